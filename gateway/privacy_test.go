package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// forms are the ways in which a file may hold a text or the digits of a number:
// as they are, in UTF-16, packed into septets at any bit, with swapped digits,
// and each of these in hexadecimal and in base64 at any byte.
func forms(what string) map[string][]byte {
	all := map[string][]byte{"UTF-8": []byte(what)}
	var big, little []byte
	for _, u := range utf16.Encode([]rune(what)) {
		big, little = append(big, byte(u>>8), byte(u)), append(little, byte(u), byte(u>>8))
	}
	all["UTF-16BE"], all["UTF-16LE"] = big, little
	if strings.Trim(what, "0123456789") == "" {
		var bcd []byte
		for i := 0; i+1 < len(what); i += 2 {
			bcd = append(bcd, (what[i+1]-'0')<<4|(what[i]-'0'))
		}
		all["semi-octets"] = bcd
	} else if strings.IndexFunc(what, func(r rune) bool { return r > 'z' }) < 0 {
		for fill := range 8 { // bits in front
			packed := make([]byte, (7*len(what)+fill+7)/8+1)
			for i := range len(what) {
				at := 7*i + fill
				packed[at/8] |= what[i] << (at % 8)
				if at%8 > 1 {
					packed[at/8+1] |= what[i] >> (8 - at%8)
				}
			}
			// The bytes at the ends hold what stands beside it too.
			all[fmt.Sprint("septets behind ", fill, " bits")] = packed[1 : len(packed)-3]
		}
	}
	for name, b := range maps.Clone(all) {
		all[name+" in hex"] = []byte(hex.EncodeToString(b))
		all[name+" in HEX"] = []byte(strings.ToUpper(hex.EncodeToString(b)))
		for shift := range 3 {
			padded := append(make([]byte, shift), b...)
			letters := base64.RawStdEncoding.EncodeToString(padded)
			// The letters at the ends hold bits of what stands beside it too.
			all[fmt.Sprint(name, " in base64 behind ", shift)] = []byte(letters[(8*shift+5)/6 : len(padded)*8/6])
		}
	}
	for name, b := range all {
		if len(b) < 5 {
			panic(name + " of " + what + " is too short to look for")
		}
	}
	return all
}

// echoing is a receiver of webhooks that fails and says all it was told.
type echoing struct{}

func (echoing) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusBadGateway, Header: http.Header{"X-Said": {string(body)}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// Everything that a number can leave behind is made, found where it must be,
// erased, and then nowhere: not in the database, its log, a copy of it, or what
// was logged.
func TestErasedIsInNoFile(t *testing.T) {
	const (
		number  = "+491733335577"
		latin   = "quokka zanzibar marmalade"
		foreign = "\u0441\u043e\u0432\u0435\u0440\u0448\u0435\u043d\u043d\u043e \u0441\u0435\u043a\u0440\u0435\u0442\u043d\u043e"
		note    = "metadata-pangolin"
	)
	marks := map[string]map[string][]byte{"the number": forms(number[1:]), "its end": forms("1733335577"), "a text": forms("quokka zanzibar marm"),
		"a text in Unicode": forms(foreign), "its metadata": forms(note)}
	logged := &lockedBuffer{}
	files := func(w *world) map[string][]byte {
		copied := filepath.Join(w.dir, "copy.db")
		if err := db.Backup(context.Background(), w.dir, copied, true); err != nil {
			t.Fatal(err)
		}
		all := map[string][]byte{"the log": logged.Bytes()}
		paths, _ := filepath.Glob(filepath.Join(w.dir, "*"))
		for i := 0; i < len(paths); i++ {
			p := paths[i]
			if info, err := os.Stat(p); err == nil && info.IsDir() {
				below, _ := filepath.Glob(filepath.Join(p, "*"))
				paths = append(paths, below...)
				continue
			}
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(p)] = b
		}
		return all
	}
	found := func(w *world) map[string]bool {
		all := map[string]bool{}
		for file, content := range files(w) {
			for what, forms := range marks {
				for form, b := range forms {
					if bytes.Contains(content, b) {
						all[fmt.Sprintf("%s: %s as %s", file, what, form)] = true
					}
				}
			}
		}
		return all
	}
	network := air()
	inWorld(t, 1, network, func(w *world) {
		w.restart(func(o *Options) {
			o.Transport = echoing{}
			o.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelInfo}))
			o.Webhooks = []webhook.Endpoint{{Name: "chat", URL: "https://chat.example.org/sms", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=", Events: []string{"*"}}}
		})
		w.pass(10 * time.Second)
		token, _, err := w.g.Keys().CreateLimited(context.Background(), "shop", []auth.Scope{auth.Admin}, time.Time{}, auth.Limits{Rate: 1000, Quota: 1000})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, path, body string, status int) {
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			for name, value := range map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json", "Idempotency-Key": fmt.Sprintf("%x", len(body))} {
				r.Header.Set(name, value)
			}
			a := httptest.NewRecorder()
			w.g.server.Handler.ServeHTTP(a, r)
			if a.Code != status {
				t.Fatalf("%s %s: %d %s", method, path, a.Code, a.Body)
			}
		}
		one := func(text, more string) string {
			return fmt.Sprintf(`{"to":%q,"text":%q,"callback_url":"https://app.example.org/%s","metadata":{"note":%q},"client_id":%q%s}`,
				number, text, number[1:], note, note+number+fmt.Sprint(len(text)), more)
		}
		w.net.SetFate(number, sim.Fate{CMS: 1}) // its trace is stored
		ask("POST", "/v1/messages", one(latin+"!", ""), 202)
		w.pass(time.Minute)
		if n := w.tracesKept(); n != 1 {
			t.Errorf("%d traces are stored, want one of what failed", n)
		}
		w.net.SetFate(number, sim.Fate{})
		ask("POST", "/v1/messages", one(latin, ""), 202)
		ask("POST", "/v1/messages", one(foreign, ""), 202)
		ask("POST", "/v1/messages", one(strings.Repeat(latin+" ", 20), `,"send_at":"2040-01-01T00:00:00Z"`), 202)
		batch := make([]string, 60) // kept in slices before it is written out
		for i := range batch {
			batch[i] = fmt.Sprintf(`{"to":%q,"text":%q,"send_at":"2040-01-01T00:00:00Z"}`, number, fmt.Sprint(latin, i))
		}
		ask("POST", "/v1/messages/batch", `{"messages":[`+strings.Join(batch, ",")+`]}`, 202)
		for _, text := range []string{latin, strings.Repeat(latin+" ", 20), foreign, "STOP"} {
			if err := w.net.Handset(number).Send(w.modems[0].Number(), text); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
		}
		call := sms.Call{Modem: "m1", From: number, At: time.Now()}
		if err := w.g.Queue().Append(sms.EventCall, call, nil); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)

		// Each form that the database keeps must be there, or this looks in the wrong place.
		before := found(w)
		for _, want := range []string{"the number as UTF-8", "a text as UTF-8", "a text in Unicode as UTF-8", "a text in Unicode as UTF-16BE", "its metadata as UTF-8"} {
			if !before[db.FileName+": "+want] && !before[db.FileName+"-wal: "+want] {
				t.Errorf("%s is not there before it is erased", want)
			}
			if !before["copy.db: "+want] {
				t.Errorf("%s is not in the copy before it is erased", want)
			}
		}
		septets := 0
		for name := range before {
			if strings.HasPrefix(name, "the log") {
				t.Errorf("logged above debug: %s", name)
			}
			if strings.Contains(name, "copy.db: a text as septets") && !strings.Contains(name, " in ") {
				septets++
			}
		}
		if septets == 0 {
			t.Error("no PDU is there before it is erased")
		}

		ask("DELETE", "/v1/numbers/"+number, "", 200)
		for name := range found(w) {
			switch name {
			case db.FileName + ": the number as UTF-8", db.FileName + ": its end as UTF-8", db.FileName + "-wal: the number as UTF-8", db.FileName + "-wal: its end as UTF-8",
				"copy.db: the number as UTF-8", "copy.db: its end as UTF-8":
				// Its consent, which stays; counted below.
			default:
				t.Errorf("after it was erased, %s", name)
			}
		}
		// What proves that it said STOP and keeps it from being texted is never erased: it stands on the
		// stop list, in the entry of the log of consent, in that one's index and in the event that told it.
		if n := bytes.Count(files(w)["copy.db"], []byte(number)); n != 4 {
			t.Errorf("the number stands %d times in a copy, want 4: its consent", n)
		}
		if log, _, err := w.g.Queue().Consents(context.Background(), queue.ConsentFilter{Number: number, Limit: 9}); err != nil || len(log) != 1 || log[0].Decision != sms.DecisionOptOut {
			t.Errorf("the log of its consent: %+v, %v", log, err)
		}
		if n := w.tracesKept(); n != 0 {
			t.Errorf("%d traces are left", n)
		}
		kept, err := w.g.Queue().CountNumber(context.Background(), number)
		if err != nil || kept != (queue.Kept{Stopped: true}) {
			t.Errorf("kept: %+v, %v", kept, err)
		}
	})
}
