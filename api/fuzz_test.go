package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"testing"
)

// What our own parser makes of JSON is what encoding/json makes of it, where
// that is not too lenient.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,"x\n\u00e4\ud83d\ude00",true,false,null],"b":{}}`, ` [ ] `, `"\\"`, `{"a":1,"a":2}`, `[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]`, `1e999`, `-0`, `{"":""}`,
		`{"a" : "b" , "c" : [ { } ] }`, "\xff", `"\ud800"`, `{`, `nul`, `01`, `"\"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := parseJSON(body)
		if err != nil {
			return
		}
		if v.twice != (len(givenTwice(ordered(body, v), nil)) > 0) {
			t.Errorf("%q: twice is %v", body, v.twice)
		}
		if !reflect.DeepEqual(plain(v), plain(ordered(body, v))) {
			t.Errorf("%q is %v, and %v in order", body, plain(v), plain(ordered(body, v)))
		}
		if v.twice {
			return // encoding/json takes the last
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(v.any, want) {
			t.Errorf("%q is %v, want %v, %v", body, v.any, want, err)
		}
	})
}

// Any query and any header get an answer that the document has.
func FuzzParameters(f *testing.F) {
	f.Add("limit=5&status=queued,sent&since=2026-01-01T00:00:00+01:00", "k1", "application/json")
	f.Add("%zz&limit=&cursor=AAAA&to=%2B49", "\x7f", "application/json; charset=\"")
	f.Add("after=9223372036854775807&heartbeat=event", "", ";")
	b := newBox(f, settings{})
	f.Fuzz(func(t *testing.T, query, key, media string) {
		b.t = t
		for _, target := range [][2]string{{"GET", "/v1/messages"}, {"GET", "/v1/events"}, {"GET", "/v1/webhooks/deliveries"},
			{"GET", "/v1/modems/office/transcript"}, {"POST", "/v1/messages"}, {"POST", "/sign-in"}} {
			r := httptest.NewRequest(target[0], target[1], bytes.NewReader([]byte(`{"to":"+491701234567"}`)))
			r.URL.RawQuery = query
			r.Header["Authorization"] = []string{"Bearer " + b.admin}
			r.Header["Accept"] = []string{"application/json"}
			r.Header["Idempotency-Key"] = []string{key}
			r.Header["Content-Type"] = []string{media}
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s: %d %s", target, w.Code, w.Body)
			}
			conforms(t, r, w)
		}
	})
}
