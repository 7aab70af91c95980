package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"to +491701234567 now":                            "to +49…67 now",
		"0170 123 45 67, please":                          "017…67, please",
		"IMEI 490154203237518":                            "IMEI 490…18",
		"2026-11-27T00:12:24.123456789Z at 2026-11-27":    "2026-11-27T00:12:24.123456789Z at 2026-11-27",
		"took 1500 ms, port 127.0.0.1:8080":               "took 1500 ms, port 127.0.0.1:8080",
		"token wvt_abcdefghijklmnop of a visitor":         "token wvt_(hidden) of a visitor",
		"key gw_abcdefghijkl and whsec_MfKQ9r8GKYqrTwjU=": "key gw_(hidden) and whsec_(hidden)=",
		"POST /hooks/abc-DEF_1 now":                       "POST (hidden) now",
		"route=/hooks/:token":                             "route=/hooks/:token",
		"Authorization: Bearer abcdefghijk":               "Authorization: (hidden)",
		"https://u:p@host.example/path?token=1 x":         "https://host.example/… x",
		"mail to ada@example.org":                         "mail to …@example.org",
		"tpdu=07911326040000F0040B911346610089F60000":     "tpdu=(hex)",
	} {
		if got := Mask(in); got != want && got+"=" != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// unpack reads a bundle.
func unpack(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[path.Base(h.Name)] = string(content)
	}
}

// Each part fails on its own, and the README says why.
func TestPartsFailAlone(t *testing.T) {
	var b bytes.Buffer
	err := Write(t.Context(), &b, "1.0", time.Now(), []Part{
		{Name: "good.txt", What: "what is good", Make: func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "call +491701234567")
			return err
		}},
		{Name: "half.txt", What: "one half", Make: func(_ context.Context, w io.Writer) error {
			io.WriteString(w, "half")
			return errors.New("the disk said no to +491701234567")
		}},
		{Name: "none.txt", Make: func(context.Context, io.Writer) error { return errors.New("nobody is at home") }},
		{Name: "panics.txt", Make: func(context.Context, io.Writer) error { panic("boom") }},
		{Name: "long.txt", What: "a long one", Plain: true, Make: func(_ context.Context, w io.Writer) error {
			_, err := w.Write(make([]byte, partSize+1))
			return err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	all := unpack(t, b.Bytes())
	if all["good.txt"] != "call +49…67" || all["half.txt"] != "half" || len(all["long.txt"]) != partSize || len(all) != 4 {
		t.Errorf("%d files: %.200q", len(all), all)
	}
	for _, want := range []string{"what is good", "half.txt: the disk said no to +49…67", "none.txt: nobody is at home", "panics.txt: panic: boom", "long.txt: it is longer than 8 MiB"} {
		if !strings.Contains(all["README.txt"], want) {
			t.Errorf("the README lacks %q:\n%s", want, all["README.txt"])
		}
	}
}

func TestUSB(t *testing.T) {
	root := t.TempDir()
	device := filepath.Join(root, "sys/bus/usb/devices/1-1.2")
	if err := os.MkdirAll(device, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]string{"idVendor": "12d1\n", "idProduct": "1506\n", "product": "HUAWEI Mobile\n", "serial": "490154203237518\n"} {
		if err := os.WriteFile(filepath.Join(device, name), []byte(is), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := usb(&b, root); err != nil || !strings.Contains(b.String(), "12d1:1506") || strings.Contains(b.String(), "4901542") {
		t.Errorf("%q %v", b.String(), err)
	}
	if err := usb(&b, t.TempDir()); err == nil {
		t.Error("a machine without USB is no error")
	}
}
