// Twiliogo uses the gateway as a program written for Twilio does: with the Go
// package twilio-go as it is, and a transport that says where. The test that runs
// it plays the phone: it is asked to text when this prints "say". Ends with "done".
//
// It is a module of its own, so that gatewayd does not depend on it, and takes the
// packages of the API and the client only: all of twilio-go is a minute to compile.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	"github.com/twilio/twilio-go/twiml"
)

var (
	base    = os.Getenv("BASE")
	account = os.Getenv("ACCOUNT_SID")
	token   = os.Getenv("AUTH_TOKEN")
	listen  = os.Getenv("LISTEN")
	from    = os.Getenv("FROM")
	to      = os.Getenv("TO")
)

// here sends what is meant for api.twilio.com to the gateway.
type here struct{}

func (here) RoundTrip(r *http.Request) (*http.Response, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = u.Scheme, u.Host, u.Host
	return http.DefaultTransport.RoundTrip(r)
}

func service(user, password string) *api.ApiService {
	c := &client.Client{Credentials: client.NewCredentials(user, password)}
	if base != "" {
		c.HTTPClient = &http.Client{Transport: here{}}
	}
	c.SetAccountSid(account)
	return api.NewApiService(client.NewRequestHandler(c))
}

// came is a callback, checked as Twilio says.
type came struct {
	path  string
	form  url.Values
	valid bool
}

// callbacks are all that came to us.
type callbacks struct {
	mu  sync.Mutex
	all []came
	new *sync.Cond
}

func (c *callbacks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	check(err)
	form, err := url.ParseQuery(string(body))
	check(err)
	validator := client.NewRequestValidator(token)
	stranger := client.NewRequestValidator(strings.Repeat("0", 32))
	at, signature := "http://"+listen+r.URL.String(), r.Header.Get("X-Twilio-Signature")
	valid := validator.ValidateBody(at, body, signature) && !stranger.ValidateBody(at, body, signature)
	if r.URL.Path == "/sms" {
		answer, err := twiml.Messages([]twiml.Element{
			&twiml.MessagingMessage{Body: "Reply 1 from <Go> & co: é 👍"},
			&twiml.MessagingRedirect{Url: "/more", Method: "GET"},
		})
		check(err)
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprint(w, answer)
	} else if r.URL.Path == "/more" {
		form = r.URL.Query()
		valid = validator.Validate(at, nil, signature)
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "Reply 2 from Go")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, came{r.URL.Path, form, valid})
	c.new.Broadcast()
}

// until waits for callbacks that satisfy ok; the test ends it if it takes too long.
func (c *callbacks) until(ok func([]came) bool) []came {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !ok(c.all) {
		c.new.Wait()
	}
	return slices.Clone(c.all)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func same(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("%s: got %v, want %v", what, got, want))
	}
}

func refused(what string, err error, status, code int) {
	var e *client.TwilioRestError
	if !errors.As(err, &e) {
		panic(fmt.Sprintf("%s: %v", what, err))
	}
	same(what, []int{e.Status, e.Code}, []int{status, code})
}

func create(s *api.ApiService, change func(*api.CreateMessageParams)) (*api.ApiV2010Message, error) {
	p := &api.CreateMessageParams{}
	p.SetTo(to)
	p.SetFrom(from)
	p.SetBody("Hello from Go: é 👍")
	change(p)
	return s.CreateMessage(p)
}

func list(s *api.ApiService, change func(*api.ListMessageParams)) (sids []string) {
	p := &api.ListMessageParams{}
	p.SetTo(to)
	change(p)
	all, err := s.ListMessage(p)
	check(err)
	for _, m := range all {
		sids = append(sids, *m.Sid)
	}
	return sids
}

func main() {
	c := &callbacks{}
	c.new = sync.NewCond(&c.mu)
	s := service(account, token)
	if base == "" { // the environment alone says where
		m, err := create(s, func(*api.CreateMessageParams) {})
		check(err)
		fmt.Println(*m.Sid)
		return
	}
	go func() { check(http.ListenAndServe(listen, c)) }()

	first, err := create(s, func(p *api.CreateMessageParams) { p.SetStatusCallback("http://" + listen + "/status?a=1") })
	check(err)
	same("a SID", regexp.MustCompile(`^SM[0-9a-f]{32}$`).MatchString(*first.Sid), true)
	same("new", []any{*first.Status, *first.Direction, *first.NumSegments, first.ErrorCode, first.Price}, []any{"queued", "outbound-api", "1", (*int)(nil), (*string)(nil)})

	later, err := create(s, func(p *api.CreateMessageParams) {
		p.SetFrom("MG" + strings.Repeat("0", 32))
		p.SetScheduleType("fixed")
		p.SetSendAt(time.Now().Add(2 * time.Hour))
	})
	check(err)
	same("scheduled", *later.Status, "scheduled")
	cancel := &api.UpdateMessageParams{}
	cancel.SetStatus("canceled")
	canceled, err := s.UpdateMessage(*later.Sid, cancel)
	check(err)
	same("canceled", *canceled.Status, "canceled")
	_, err = s.UpdateMessage(*later.Sid, cancel)
	refused("canceled again", err, 409, 30409)

	sids := []string{*later.Sid, *first.Sid}
	for range 3 {
		m, err := create(s, func(*api.CreateMessageParams) {})
		check(err)
		sids = append([]string{*m.Sid}, sids...)
	}
	same("the list", list(s, func(p *api.ListMessageParams) { p.SetPageSize(2) }), sids)
	same("a limited list", list(s, func(p *api.ListMessageParams) { p.SetPageSize(2); p.SetLimit(3) }), sids[:3])

	statuses := func(all []came) (got []string) {
		for _, x := range all {
			if x.path == "/status" && x.form.Get("MessageSid") == *first.Sid {
				got = append(got, x.form.Get("MessageStatus"))
			}
		}
		return got
	}
	told := c.until(func(all []came) bool { return slices.Contains(statuses(all), "delivered") })
	same("told", statuses(told), []string{"queued", "sent", "delivered"})
	sent, err := s.FetchMessage(*first.Sid, &api.FetchMessageParams{})
	check(err)
	same("fetched", *sent.Status, "delivered")
	at, err := time.Parse(time.RFC1123Z, *sent.DateSent)
	check(err)
	has := func(change func(*api.ListMessageParams)) bool { return slices.Contains(list(s, change), *first.Sid) }
	same("sent after a minute before", has(func(p *api.ListMessageParams) { p.SetDateSentAfter(at.Add(-time.Minute)) }), true)
	same("sent then", has(func(p *api.ListMessageParams) { p.SetDateSent(at) }), true)
	same("sent before a minute before", has(func(p *api.ListMessageParams) { p.SetDateSentBefore(at.Add(-time.Minute)) }), false)
	same("sent after a minute after", has(func(p *api.ListMessageParams) { p.SetDateSentAfter(at.Add(time.Minute)) }), false)

	media, err := s.ListMedia(*first.Sid, &api.ListMediaParams{})
	check(err)
	same("media", len(media), 0)
	redact := &api.UpdateMessageParams{}
	redact.SetBody("")
	redacted, err := s.UpdateMessage(*first.Sid, redact)
	check(err)
	same("redacted", *redacted.Body, "")
	check(s.DeleteMessage(*first.Sid, &api.DeleteMessageParams{}))
	_, err = s.FetchMessage(*first.Sid, &api.FetchMessageParams{})
	refused("deleted", err, 404, 20404)

	_, err = create(s, func(p *api.CreateMessageParams) { p.SetTo("+49") })
	refused("a bad number", err, 400, 21211)
	_, err = create(s, func(p *api.CreateMessageParams) { p.SetBody("") })
	refused("no text", err, 400, 21602)
	_, err = service(account, strings.Repeat("0", 32)).ListMessage(&api.ListMessageParams{})
	refused("a wrong token", err, 401, 20003)
	byKey := service(os.Getenv("KEY_SID"), os.Getenv("KEY_SECRET"))
	same("the list by a key", list(byKey, func(p *api.ListMessageParams) { p.SetPageSize(100) }), slices.DeleteFunc(sids, func(x string) bool { return x == *first.Sid }))

	fmt.Println("say")
	all := c.until(func(all []came) bool { return slices.ContainsFunc(all, func(x came) bool { return x.path == "/more" }) })
	for _, x := range all {
		same("the signature of "+x.path, x.valid, true)
		if x.path == "/sms" || x.path == "/more" {
			same(x.path, []string{x.form.Get("From"), x.form.Get("Body"), x.form.Get("SmsStatus")}, []string{to, "Hi Go: é 👍", "received"})
		}
	}
	fmt.Println("done")
}
