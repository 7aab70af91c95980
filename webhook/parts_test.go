package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

// The example of the Standard Webhooks specification.
func TestSignatureOfTheSpecification(t *testing.T) {
	keys, err := parseSecrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecrets(t *testing.T) {
	keys, err := parseSecrets(testSecret + "\n " + testSecret)
	if err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if s := sign(keys, "a", time.Unix(0, 0), nil); len(strings.Fields(s)) != 2 {
		t.Errorf("two secrets sign %q", s)
	}
	for _, bad := range []string{"", " ", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_%%%", testSecret + " x",
		"whsec_" + strings.Repeat("AAAA", 22)} {
		if _, err := parseSecrets(bad); err == nil || (bad != "" && strings.Contains(err.Error(), "MfKQ")) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBackoffGrowsToItsCap(t *testing.T) {
	total, tries := time.Duration(0), 0
	for last := time.Duration(0); total < giveUp; tries++ {
		d := delayAfter(tries)
		if d < last*3/5 || d > maxDelay*5/4 {
			t.Errorf("delay %d is %s after %s", tries, d, last)
		}
		last, total = d, total+d
	}
	if first := delayAfter(0); first < 4*time.Second || first > 6*time.Second {
		t.Errorf("the first delay is %s", first)
	}
	if tries < 20 || tries > 35 {
		t.Errorf("%d tries in three days", tries)
	}
	if d := delayAfter(slowest); d < maxDelay*3/4 {
		t.Errorf("the slowest delay is %s", d)
	}
	seen := map[time.Duration]bool{}
	for range 20 {
		seen[delayAfter(5)] = true
	}
	if len(seen) < 15 {
		t.Errorf("%d different delays of 20: no jitter", len(seen))
	}
	if sum := refusalDelay(1) + refusalDelay(2); sum < 8*time.Minute || sum > 10*time.Minute {
		t.Errorf("three tries of a refused event take %s", sum)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "120": 2 * time.Minute, " 7 ": 7 * time.Second, "soon": 0,
		"99999999999": longestWait, "99999999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute,
		now.Add(-time.Hour).Format(http.TimeFormat):  0,
		now.AddDate(9, 0, 0).Format(http.TimeFormat): longestWait,
	} {
		h := http.Header{}
		h.Set("Retry-After", value)
		if got := retryAfter(h, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	h := http.Header{}
	h.Set("Retry-After", now.Add(time.Minute).Format(http.TimeFormat))
	h.Set("Date", now.Format(http.TimeFormat))
	if got := retryAfter(h, time.Unix(0, 0)); got != time.Minute {
		t.Errorf("with a clock that is wrong: %s", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		h := http.Header{"Retry-After": {value}, "Date": {date}}
		if d := retryAfter(h, time.Now()); d < 0 || d > longestWait {
			t.Errorf("%q: %s", value, d)
		}
	})
}

func TestMatch(t *testing.T) {
	m := sms.Message{Modem: "office", To: "+491700000000", From: "+4915112345678", Text: "HILFE! bitte"}
	for _, c := range []struct {
		match Match
		fits  bool
	}{
		{Match{}, true},
		{Match{Modem: "office", To: "+491700000000", FromPrefix: "+49151", Keyword: "hilfe"}, true},
		{Match{Modem: "home"}, false},
		{Match{To: "+491700000001"}, false},
		{Match{FromPrefix: "+49152"}, false},
		{Match{Keyword: "hilfe!"}, true},
		{Match{Keyword: "bitte"}, false},
		{Match{Keyword: "hilf"}, false},
		{Match{Modem: "office", Keyword: "bitte"}, false},
	} {
		if got := c.match.fits(&m); got != c.fits {
			t.Errorf("%+v: %v", c.match, got)
		}
	}
	for text, want := range map[string]bool{"": false, " \n": false, "...": false, "¡Größe": true, " größe\tx": true, "Größer": false} {
		if startsWith(text, "GRÖßE") != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestEveryStatusHasItsVerdict(t *testing.T) {
	for status := 100; status < 600; status++ {
		want := refused
		switch {
		case status >= 200 && status < 300:
			want = delivered
		case status == 410:
			want = gone
		case status == 408, status == 425, status == 429, status >= 500:
			want = again
		}
		if r := judge(status, time.Second); r.verdict != want || r.status != status || (r.words == "") != (want == delivered) || (r.wait > 0) != (want == again) {
			t.Errorf("%d: %+v, want %d", status, r, want)
		}
	}
}

func TestEndpointsAreChecked(t *testing.T) {
	good := testEndpoint("app")
	for what, change := range map[string]func(*Endpoint){
		"no url":       func(e *Endpoint) { e.URL = "" },
		"a bad url":    func(e *Endpoint) { e.URL = "://?token=s3cr3t" },
		"ftp":          func(e *Endpoint) { e.URL = "ftp://x.example/?token=s3cr3t" },
		"plain http":   func(e *Endpoint) { e.URL = "http://x.example/?token=s3cr3t" },
		"no secret":    func(e *Endpoint) { e.Secret = "" },
		"a bad secret": func(e *Endpoint) { e.Secret = "whsec_s3cr3t" },
		"no events":    func(e *Endpoint) { e.Events = nil },
	} {
		e := good
		change(&e)
		if _, err := New(Options{Endpoints: []Endpoint{e}}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := New(Options{Endpoints: []Endpoint{good, good}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same one twice: %v", err)
	}
}

func TestVerify(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	body := []byte(`{"type":"message.received"}`)
	signed := func(secrets string, at time.Time) http.Header {
		keys, err := parseSecrets(secrets)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set("webhook-id", "dlv_1")
		h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		h.Set("webhook-signature", sign(keys, "dlv_1", at, body))
		return h
	}
	const other = "whsec_YW5vdGhlciBzZWNyZXQgZm9yIHRoZSByb3RhdGlvbg=="
	for what, c := range map[string]struct {
		secret string
		h      http.Header
		body   string
		ok     bool
	}{
		"as sent":          {testSecret, signed(testSecret, now), string(body), true},
		"rotation, new":    {testSecret, signed(testSecret+" "+other, now), string(body), true},
		"rotation, old":    {other, signed(testSecret+" "+other, now), string(body), true},
		"a little old":     {testSecret, signed(testSecret, now.Add(-299*time.Second)), string(body), true},
		"too old":          {testSecret, signed(testSecret, now.Add(-301*time.Second)), string(body), false},
		"from the future":  {testSecret, signed(testSecret, now.Add(301*time.Second)), string(body), false},
		"another secret":   {other, signed(testSecret, now), string(body), false},
		"another body":     {testSecret, signed(testSecret, now), string(body) + " ", false},
		"no headers":       {testSecret, http.Header{}, string(body), false},
		"no usable secret": {"", signed(testSecret, now), string(body), false},
	} {
		if err := Verify(c.secret, c.h, []byte(c.body), now); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	h := signed(testSecret, now)
	h.Set("webhook-id", "dlv_2")
	if Verify(testSecret, h, body, now) == nil {
		t.Error("another id was accepted")
	}
}
