package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// call speaks JSON to the API; the answer is read into into, if it is not nil.
func (b *browser) call(method, path, body string, status int, into any) string {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, answer := b.do(r)
	if resp.StatusCode != status {
		b.t.Fatalf("%s %s %s: %d, not %d\n%s", method, path, body, resp.StatusCode, status, answer)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			b.t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
		}
	}
	return answer
}

const office = "/handsets/modems/office"

func TestAPIShowsAndChangesModems(t *testing.T) {
	_, m, b := browse(t, NetworkOptions{})
	var all []ModemStatus
	b.call("GET", "/handsets/modems", "", 200, &all)
	var s ModemStatus
	b.call("GET", office, "", 200, &s)
	if len(all) != 1 || all[0].Name != "office" || s.Personality.Slug != "generic" || !s.Present || s.Radio.Registration != "home" ||
		s.SIM.Number != m.Number() || s.SIM.State != "READY" || s.Storage["ME"].Slots != 50 || len(s.Faults) != 0 {
		t.Fatalf("%+v", s)
	}
	change := func(body string) ModemStatus {
		t.Helper()
		var s ModemStatus
		b.call("PATCH", office, body, 200, &s)
		return s
	}
	s = change(`{"faults": {"silent": 2, "ok_only": "always", "keep_echo": true, "late_by": "90s", "slow": "+CMGD=7s", "hang": "deaf"}}`)
	want := map[string]any{"silent": 2.0, "ok_only": "always", "keep_echo": true, "late_by": "1m30s", "slow": "+CMGD=7s", "hang": "deaf"}
	if fmt.Sprint(s.Faults) != fmt.Sprint(want) {
		t.Errorf("faults are %v", s.Faults)
	}
	s = change(`{"faults": {"silent": null, "keep_echo": false, "hang": ""}}`)
	if len(s.Faults) != 3 {
		t.Errorf("then they are %v", s.Faults)
	}
	if s = change(`{"action": "clear_faults"}`); len(s.Faults) != 0 {
		t.Errorf("cleared they are %v", s.Faults)
	}
	if s = change(`{"present": false}`); s.Present || m.Present() || s.Radio.Registration != "none" || s.Radio.Finds != "home" {
		t.Errorf("unplugged it is %+v", s)
	}
	if s = change(`{"present": true, "radio": {"registration": "denied", "rssi": 5, "technology": "umts", "operator": "Other"}}`); !s.Present ||
		s.Radio != (RadioStatus{"denied", "denied", 5, "umts", "Other"}) {
		t.Errorf("plugged in it is %+v", s)
	}
	if s = change(`{"radio": {"registration": "roaming"}}`); s.Radio.Registration != "roaming" || s.Radio.RSSI != 5 || s.Radio.Technology != "umts" {
		t.Errorf("roaming it is %+v", s.Radio)
	}
	if s = change(`{"sim": {"pin": "4711", "pin_tries": 1}}`); s.SIM.State != "SIM PIN" || s.SIM.PINTries != 1 || s.SIM.PUKTries != 10 {
		t.Errorf("with a PIN it is %+v", s.SIM)
	}
	if s = change(`{"sim": {"present": false}}`); s.SIM.Present || s.SIM.State != "SIM not inserted" || s.SIM.ICCID == "" {
		t.Errorf("without a SIM it is %+v", s.SIM)
	}
	if s = change(`{"sim": {"present": true, "pin": "", "pin_tries": 3}, "storage": {"SM": 5}}`); s.SIM.State != "READY" || s.Storage["SM"].Slots != 5 || s.Storage["ME"].Slots != 50 {
		t.Errorf("with everything back it is %+v", s)
	}
	if s = change(`{"action": "ring", "from": "+491701234567"}`); !s.Ringing {
		t.Error("it does not ring")
	}
	if s = change(`{"action": "hang_up"}`); s.Ringing {
		t.Error("it still rings")
	}
	change(`{"faults": {"hang": "mute", "hang_cure": "power"}}`)
	if s = change(`{"action": "restart"}`); s.Faults["hang"] != "mute" {
		t.Error("a restart cured it")
	}
	if s = change(`{"action": "power_cycle"}`); s.Faults["hang"] != nil || s.Counters.Cures != 1 {
		t.Errorf("power did not cure it: %+v", s)
	}
}

// A refused change changes nothing, and says why.
func TestAPIMistakes(t *testing.T) {
	_, m, b := browse(t, NetworkOptions{})
	before := fmt.Sprint(m.Status())
	for body, says := range map[string]string{
		`{"faults": {"nonsense": 1}}`:                                     "there is no fault",
		`{"faults": {"silent": 1, "late_by": "soon"}}`:                    "fault late_by",
		`{"faults": {"silent": -1}}`:                                      "from 0 to",
		`{"faults": {"silent": 1.5}}`:                                     "or always",
		`{"faults": {"silent": [1]}}`:                                     "must be true, a number",
		`{"faults": {"mute": "perhaps"}}`:                                 "on or off",
		`{"faults": {"hang": "badly"}}`:                                   "one of mute",
		`{"faults": {"prompt_form": "odd"}}`:                              "one of bare",
		`{"faults": {"noise": "a\r\nb"}}`:                                 "one line",
		`{"faults": {"flood": "1ns"}}`:                                    "millisecond",
		`{"faults": {"slow": "+CMGD"}}`:                                   "not understood",
		`{"faults": {"silent": 1}, "action": "explode"}`:                  "there is no action",
		`{"faults": {"silent": 1}, "radio": {"registration": "nowhere"}}`: "must be one of home",
		`{"radio": {"rssi": 32}}`:                                         "0 to 31",
		`{"radio": {"technology": "5g"}}`:                                 "must be one of gsm",
		`{"radio": {"operator": "a\"b"}}`:                                 "short line",
		`{"storage": {"SM": 100000}}`:                                     "0 to 1000",
		`{"sim": {"pin": "12"}}`:                                          "no PIN",
		`{"sim": {"pin_tries": 4}}`:                                       "0 to 3",
		`{"action": "ring", "from": "nobody"}`:                            "can't ring",
	} {
		var p struct {
			Status int
			Detail string
		}
		b.call("PATCH", office, body, 422, &p)
		if p.Status != 422 || !strings.Contains(p.Detail, says) {
			t.Errorf("%s: %+v", body, p)
		}
		if after := fmt.Sprint(m.Status()); after != before {
			t.Errorf("%s changed it:\n %s\n %s", body, before, after)
		}
	}
	for _, body := range []string{``, `{`, `[]`, `{"color": "red"}`, `{} {}`} {
		b.call("PATCH", office, body, 400, nil)
	}
	b.call("GET", "/handsets/modems/nobody", "", 404, nil)
	b.call("PATCH", "/handsets/modems/nobody", `{}`, 404, nil)
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", b.URL+office, strings.NewReader(`{"present": false}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if resp, _ := b.do(r); resp.StatusCode != http.StatusForbidden || !m.Present() {
		t.Errorf("another site's page: %d", resp.StatusCode)
	}
}

func TestAPIListsFaults(t *testing.T) {
	_, _, b := browse(t, NetworkOptions{})
	var all []faultBody
	b.call("GET", "/handsets/faults", "", 200, &all)
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
		if !slices.Contains(faultGroups, f.Group) || f.Words == "" || f.Kind == "" || strings.Contains(f.Words, "\n") {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Equal(names, FaultNames()) {
		t.Errorf("the API lists %v", names)
	}
}

func TestAPINumbersAndMessages(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{})
	const path = "/handsets/numbers/+491701234567"
	b.call("PUT", path, `{"reports": [48, 70], "report_as": "01701234567"}`, 200, nil)
	if f := n.Fate("01701234567"); string(f.Reports) != "\x30\x46" || f.ReportAs != "01701234567" {
		t.Errorf("%+v", f)
	}
	if got := b.call("GET", path, "", 200, nil); strings.TrimSpace(got) != `{"cms":0,"reports":[48,70],"silent":false,"report_as":"01701234567"}` {
		t.Error(got)
	}
	b.call("PUT", path, `{"cms": 38}`, 200, nil)
	if f := n.Fate("+491701234567"); f.CMS != 38 || f.Reports != nil {
		t.Errorf("%+v", f)
	}
	b.call("PUT", path, `{}`, 200, nil)
	if f := n.Fate("+491701234567"); f.CMS != 0 {
		t.Errorf("%+v", f)
	}
	for _, body := range []string{`{"cms": -1}`, `{"reports": [256]}`, `{"report_as": "me"}`, `{"reports": [0,0,0,0,0,0,0,0,0,0,0]}`} {
		b.call("PUT", path, body, 422, nil)
	}
	b.call("PUT", "/handsets/numbers/me", `{}`, 422, nil)

	send := func(body string) { t.Helper(); b.call("POST", "/handsets/+491701234567/messages", body, 204, nil) }
	send(fmt.Sprintf(`{"to": %q, "text": "Hi"}`, m.Number()))
	h := n.Handset("+491701234567")
	if err := h.Wait(t.Context(), func(all []Message) bool { return len(all) == 1 && all[0].Delivered }); err != nil {
		t.Fatal(err)
	}
	var all []messageBody
	b.call("GET", "/handsets/+491701234567/messages", "", 200, &all)
	if len(all) != 1 || all[0].Text != "Hi" || all[0].Incoming || !all[0].Delivered || all[0].Peer != m.Number() {
		t.Errorf("%+v", all)
	}
	b.call("POST", "/handsets/+491701234567/messages", `{"to": "nobody", "text": "Hi"}`, 422, nil)
	b.call("POST", "/handsets/+491701234567/messages", fmt.Sprintf(`{"to": %q, "as": "poem", "text": "Hi"}`, m.Number()), 422, nil)
	b.call("POST", "/handsets/"+m.Number()+"/messages", `{"to": "12345", "text": "Hi"}`, 422, nil)
	b.call("GET", "/handsets/+4917/messages", "", 404, nil)
	b.call("GET", "/handsets/+491701234567/nothing", "", 404, nil)
}

func TestModemPages(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{})
	n.Handset("+491701234567")
	if _, body := b.get("/handsets/"); !strings.Contains(body, `href="modems/office/"`) {
		t.Errorf("no link to the modem in\n%s", body)
	}
	if _, body := b.get("/handsets/modems/"); !shows(body, m.Number()) || !strings.Contains(body, "home") {
		t.Errorf("the list is\n%s", body)
	}
	resp, body := b.get(office + "/")
	for _, name := range FaultNames() {
		if !strings.Contains(body, `name="`+name+`"`) {
			t.Errorf("the page can't set %s", name)
		}
	}
	if resp.StatusCode != 200 || !shows(body, m.IMEI()) || !strings.Contains(body, "+491701234567") {
		t.Fatalf("%d\n%s", resp.StatusCode, body)
	}
	post := func(form url.Values) string {
		t.Helper()
		resp, body := b.post(office+"/", form)
		if resp.StatusCode != 200 || resp.Request.URL.Path != office+"/" {
			t.Fatalf("%v: %d at %s\n%s", form, resp.StatusCode, resp.Request.URL.Path, body)
		}
		return body
	}
	body = post(url.Values{"form": {"faults"}, "group": {"Answers"}, "silent": {"3"}, "lost": {"on"}})
	if !strings.Contains(body, "silent = 3") || !strings.Contains(body, "lost = true") {
		t.Errorf("it shows\n%s", body)
	}
	post(url.Values{"form": {"faults"}, "group": {"Lines"}, "noise": {"^BOOT:1"}})
	body = post(url.Values{"form": {"faults"}, "group": {"Answers"}, "silent": {"3"}}) // the box is not ticked any more
	if strings.Contains(body, "lost = true") || !strings.Contains(body, "noise = ^BOOT:1") {
		t.Errorf("then it shows\n%s", body)
	}
	post(url.Values{"form": {"clear_faults"}})
	post(url.Values{"form": {"unplug"}})
	if m.Present() {
		t.Error("it is still there")
	}
	post(url.Values{"form": {"plug"}})
	post(url.Values{"form": {"pull"}})
	if s := m.Status(); !s.Present || s.SIM.Present {
		t.Errorf("%+v", s)
	}
	post(url.Values{"form": {"insert"}})
	post(url.Values{"form": {"sim"}, "pin": {"4711"}, "pin_tries": {"2"}, "puk_tries": {"9"}})
	post(url.Values{"form": {"radio"}, "registration": {"denied"}, "rssi": {"7"}, "technology": {"gsm"}, "operator": {"Elsewhere"}})
	post(url.Values{"form": {"storage"}, "sm": {"3"}, "me": {"4"}})
	if s := m.Status(); s.SIM.State != "SIM PIN" || s.SIM.PINTries != 2 || s.Radio.Finds != "denied" || s.Radio.Operator != "Elsewhere" || s.Storage["SM"].Slots != 3 {
		t.Errorf("%+v", s)
	}
	post(url.Values{"form": {"sim"}, "pin": {""}, "pin_tries": {"3"}, "puk_tries": {"10"}})
	post(url.Values{"form": {"radio"}, "registration": {"home"}, "rssi": {"7"}, "technology": {"gsm"}, "operator": {"Elsewhere"}})
	if body = post(url.Values{"form": {"ring"}, "from": {"+491701234567"}}); !strings.Contains(body, "ringing") {
		t.Error("it does not ring")
	}
	post(url.Values{"form": {"hang_up"}})
	post(url.Values{"form": {"power_cycle"}})
	post(url.Values{"form": {"restart"}})

	// A mistake is told, and what was written stays.
	resp, body = b.post(office+"/", url.Values{"form": {"faults"}, "group": {"Answers"}, "silent": {"often"}, "late_by": {"7s"}})
	if resp.StatusCode != 422 || !shows(body, `"often" must be a number`) || !strings.Contains(body, `value="often"`) || !strings.Contains(body, `value="7s"`) {
		t.Errorf("%d\n%s", resp.StatusCode, body)
	}
	for _, form := range []url.Values{{"form": {"nonsense"}}, {"form": {"radio"}, "registration": {"home"}, "rssi": {"x"}, "technology": {"lte"}}, {"form": {"ring"}, "from": {"x"}}} {
		if resp, body = b.post(office+"/", form); resp.StatusCode != 422 || !strings.Contains(body, "Not done: ") {
			t.Errorf("%v: %d", form, resp.StatusCode)
		}
	}
	if resp, _ = b.post(office+"/", url.Values{"form": {"unplug"}}, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 || !m.Present() {
		t.Errorf("another site's form: %d", resp.StatusCode)
	}
	for _, path := range []string{"/handsets/modems/nobody/", "/handsets/modems/nobody/events"} {
		if resp, _ := b.get(path); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestFatePage(t *testing.T) {
	n, _, b := browse(t, NetworkOptions{})
	n.Handset("12345")
	for _, c := range []struct {
		form url.Values
		want Fate
	}{
		{url.Values{"fate": {"refuse"}, "code": {"38"}}, Fate{CMS: 38}},
		{url.Values{"fate": {"report"}, "code": {"30 46"}, "report_as": {"+4917"}}, Fate{Reports: []byte{0x30, 0x46}, ReportAs: "+4917"}},
		{url.Values{"fate": {"report"}}, Fate{Reports: []byte{}}},
		{url.Values{"fate": {"silent"}}, Fate{Silent: true}},
		{url.Values{"fate": {"deliver"}}, Fate{}},
	} {
		if resp, body := b.post("/handsets/12345/", c.form); resp.StatusCode != 200 || !strings.Contains(body, `value="`+c.form.Get("fate")+`" selected`) {
			t.Errorf("%v: %d\n%s", c.form, resp.StatusCode, body)
		}
		if got := n.Fate("12345"); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) {
			t.Errorf("%v: %+v", c.form, got)
		}
	}
	for _, form := range []url.Values{{"fate": {"refuse"}, "code": {"x"}}, {"fate": {"report"}, "code": {"XX"}}, {"fate": {"eaten"}}, {"fate": {"deliver"}, "report_as": {"me"}}} {
		if resp, body := b.post("/handsets/12345/", form); resp.StatusCode != 422 || !strings.Contains(body, "Not set: ") {
			t.Errorf("%v: %d", form, resp.StatusCode)
		}
	}
}

// Streams of the modems' pages show what changes.
func TestModemPagesAreLive(t *testing.T) {
	n, m, b := browse(t, NetworkOptions{})
	for _, path := range []string{office + "/events", "/handsets/modems/events"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", b.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		until := follow(t, resp.Body)
		until("home")
		m.Unplug()
		until("not plugged in")
		if err := m.Plug(); err != nil {
			t.Fatal(err)
		}
		until("home")
	}
	n.Close()
}

// follow returns a function that waits for a part of a stream.
func follow(t *testing.T, r io.Reader) func(part string) {
	var seen strings.Builder
	return func(part string) {
		t.Helper()
		b := make([]byte, 4096)
		for !strings.Contains(seen.String(), part) {
			k, err := r.Read(b)
			if err != nil {
				t.Fatalf("waiting for %q: %v\n%s", part, err, seen.String())
			}
			seen.Write(b[:k])
		}
		seen.Reset()
	}
}
