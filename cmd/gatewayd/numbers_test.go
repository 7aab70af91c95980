package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"gatewayd/client"
)

// asked runs a command against a daemon that answers as given, by method and path.
func asked(t *testing.T, cmd *cobra.Command, answers map[string]string, stdin string, args ...string) (out, errs string, requests []string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if refused := answers["409 "+r.Method+" "+r.URL.Path]; refused != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			answer = refused
		} else if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			answer = `{"title":"There is no such thing here","status":404}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	t.Setenv("GATEWAYD_KEY", "gk_test")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(append(args, "--url", server.URL))
	err = cmd.Execute()
	return stdout.String(), stderr.String(), requests, err
}

const (
	numberPath = "/v1/numbers/+491701234567"
	counted    = `{"number":"+491701234567","outbound":3,"inbound":2,"unfinished":1,"loose":4,"stopped":false}`
	wasErased  = `{"number":"+491701234567","erased":5,"hooks":["on call"]}`
)

func TestNumbersExport(t *testing.T) {
	const document = `{"number":"+491701234567","messages":[]}` + "\n"
	out, _, _, err := asked(t, numbersCommand(), map[string]string{"GET " + numberPath + "/export": document}, "", "export", "+491701234567")
	if err != nil || out != document {
		t.Errorf("%q, %v", out, err)
	}
	if _, _, _, err := asked(t, numbersCommand(), nil, "", "export", "1"); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("of a number that is none: %v", err)
	}
}

// Nothing is erased before somebody says yes, or --yes.
func TestNumbersErase(t *testing.T) {
	answers := map[string]string{"GET " + numberPath: counted, "DELETE " + numberPath: wasErased}
	for _, c := range []struct {
		stdin string
		args  []string
		done  bool
	}{
		{"yes\n", nil, true},
		{"", []string{"--yes"}, true},
		{"y\n", nil, false},
		{"", nil, false},
	} {
		out, errs, requests, err := asked(t, numbersCommand(), answers, c.stdin, append([]string{"erase", "+491701234567"}, c.args...)...)
		erased := strings.Contains(strings.Join(requests, "\n"), "DELETE")
		if erased != c.done || (err == nil) != c.done || !c.done && !errors.Is(err, errNotConfirmed) {
			t.Errorf("after %q with %v: asked %q, %v", c.stdin, c.args, requests, err)
		}
		if c.done && (out != "erased 5 messages of +491701234567\n" || !strings.Contains(errs, "on call")) {
			t.Errorf("said %q, %q", out, errs)
		}
		if c.args == nil && !strings.Contains(errs, "3 messages to +491701234567 (1 of them not sent yet), 2 from it and 4 other records") {
			t.Errorf("asked with %q", errs)
		}
	}
	var usage usageError
	if _, _, _, err := asked(t, numbersCommand(), answers, "", "erase"); !errors.As(err, &usage) {
		t.Errorf("without a number: %v", err)
	}
}

// What is foreseen is said once, and only what is worth it.
func TestSendSaysWhatIsForeseen(t *testing.T) {
	at := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	message := `{"id":"msg_1","status":"queued","parts":1,"encoding":"gsm7","expected_at":"` + at.Format(time.RFC3339) +
		`","expected_modem":"office","warnings":[{"code":"late","detail":"It is expected after its expires_at"}]}`
	out, errs, requests, err := asked(t, sendCommand(), map[string]string{"POST /v1/messages": message}, "",
		"--to", "+491701234567", "--unicode", "transliterate", "--reject-if-late", "--expires", "1h", "hi")
	if err != nil || out != "msg_1 queued (1 part, gsm7)\n" {
		t.Fatalf("%q, %q, %v", out, errs, err)
	}
	if !strings.Contains(errs, "warning: It is expected after its expires_at\nit is expected to be sent at "+at.Local().Format("2006-01-02 15:04:05")+" through office\n") {
		t.Errorf("said %q", errs)
	}
	if len(requests) != 1 || !strings.Contains(requests[0], `"unicode":"transliterate"`) || !strings.Contains(requests[0], `"reject_if_late":true`) {
		t.Errorf("asked %q", requests)
	}
	if got := foreseen(&client.Message{ExpectedAt: &at}, at.Add(-time.Second)); got != nil {
		t.Errorf("of a message that goes at once: %q", got)
	}
}

// A file that is sent with another --unicode is another campaign.
func TestDigestKnowsUnicode(t *testing.T) {
	digests := map[string]bool{}
	for _, c := range []common{{}, {unicode: "reject"}, {unicode: "allow"}, {rejectIfLate: true}} {
		d, err := (&sender{common: c}).digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[d] = true
	}
	if len(digests) != 4 {
		t.Errorf("%d digests of 4 command lines", len(digests))
	}
}
