package config

import (
	"os"
	"strings"
	"testing"
)

// Whatever stands in a file stays as it was, comments and all.
func TestSetLANKeepsTheRest(t *testing.T) {
	example, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, want string }{
		"nothing":           {"", "\nhttp:\n  lan:\n    listen: \":8443\"\n"},
		"another section":   {"# mine\ndata_dir: /d # here", "# mine\ndata_dir: /d # here\n\nhttp:\n  lan:\n    listen: \":8443\"\n"},
		"http":              {"http: # the API\n    # loopback\n    listen: 127.0.0.1:1\nqueue: {}\n", "http: # the API\n    lan:\n      listen: \":8443\"\n    # loopback\n    listen: 127.0.0.1:1\nqueue: {}\n"},
		"http without more": {"http:\nqueue:\n", "http:\n  lan:\n    listen: \":8443\"\nqueue:\n"},
		"lan":               {"http:\n  lan:\n    name: box\n", "http:\n  lan:\n    listen: \":8443\"\n    name: box\n"},
		"nowhere":           {"http:\n  lan:\n    listen: \"\"  # off\n    name: box\n", "http:\n  lan:\n    listen: \":8443\"  # off\n    name: box\n"},
		"null":              {"http:\n  lan:\n    listen:\n    name: box\n", "http:\n  lan:\n    listen: \":8443\"\n    name: box\n"},
		"plain":             {"http:\n  lan: {listen: 127.0.0.1:1, name: box} # x\n", "http:\n  lan: {listen: \":8443\", name: box} # x\n"},
		"in braces":         {"http: {listen: 127.0.0.1:1} # x\n", "http: {listen: '127.0.0.1:1', lan: {listen: \":8443\"}} # x\n"},
	} {
		got, err := SetLAN([]byte(c.file), ":8443")
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
	got, err := SetLAN(example, ":8443")
	if err != nil {
		t.Fatal(err)
	}
	if was, is := strings.Split(string(example), "\n"), strings.Split(string(got), "\n"); len(was) != len(is) {
		t.Errorf("%d lines became %d", len(was), len(is))
	}
	back, err := SetLAN(got, "")
	if err != nil || string(back) != string(example) {
		t.Errorf("there and back the file is another: %v\n%s", err, back)
	}
	if _, err := SetLAN([]byte("http: 5\n"), ":1"); err == nil {
		t.Error("a file that makes no sense was changed")
	}
}

func FuzzSetLAN(f *testing.F) {
	f.Add("http:\n  lan:\n    listen: 'x'\n", ":8443")
	f.Add("http: {lan: {}}", "")
	f.Add("http: &a\n  lan: *a\n", ":1")
	f.Fuzz(func(t *testing.T, file, listen string) {
		got, err := SetLAN([]byte(file), listen)
		if err != nil {
			return
		}
		if is, err := lanOf(got); err != nil || is != listen {
			t.Errorf("%q became %q, where it is %q (%v)", file, got, is, err)
		}
	})
}
