package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatewayd/sms"
)

// The limits of an endpoint.
const (
	maxEndpoints   = 100 // that the API makes
	maxURL         = 2048
	maxDescription = 500
	maxHeaders     = 20
	maxHeader      = 1024
	maxRecipients  = 10
	maxWord        = 255
)

// checkURL says what is wrong with a receiver's address; permit is what would
// allow plain HTTP and private ones, and mail says whether there is a mail server. It reads on from "its url".
func checkURL(raw string, mail, private bool, permit string) error {
	if isMail(raw) {
		switch to := recipients(raw); {
		case to == nil:
			return errors.New("must be mailto: and e-mail addresses with commas between them, such as mailto:on-call@example.org")
		case len(to) > maxRecipients:
			return fmt.Errorf("names more than %d e-mail addresses", maxRecipients)
		case !mail:
			return errors.New("can't be an e-mail address: no mail server is set up in the configuration")
		}
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" || u.User != nil ||
		strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return errors.New("must be an http or https URL with a host, and without a fragment or a password")
	}
	if len(raw) > maxURL {
		return fmt.Errorf("is longer than %d bytes", maxURL)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err == nil && isMetadata(ip) {
		return errors.New("leads to a cloud's metadata service, which nothing permits")
	}
	if private {
		return nil
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.Scheme == "http":
		return fmt.Errorf("is plain http://, which shows texts and numbers to the network; use https://, or set %s", permit)
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return fmt.Errorf("leads to this host; %s permits it", permit)
	case err == nil && forbidden(ip) != "":
		return fmt.Errorf("leads to %s; %s permits it", forbidden(ip), permit)
	}
	return nil
}

var (
	nameForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,31}$`)
	headerForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
)

// ours are the headers that nobody else may set.
var ours = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// CheckHeader says what is wrong with a header that an endpoint adds, "" if nothing is.
func CheckHeader(name, value string) string {
	switch {
	case !headerForm.MatchString(name):
		return "is not a header's name"
	case slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, name) }), hasPrefixFold(name, "webhook-"):
		return "is a header that gatewayd sets, or none that an app may set"
	case len(value) > maxHeader:
		return fmt.Sprintf("is longer than %d bytes", maxHeader)
	case strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
		return "has spaces around it or control characters in it"
	}
	return ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// checkSettings collects what is wrong with an endpoint that the API makes.
func (w *Webhooks) checkSettings(s *settings) (all sms.WebhookMistakes) {
	wrong := func(field, format string, args ...any) {
		all = append(all, sms.WebhookMistake{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
	if s.Name != "" && !nameForm.MatchString(s.Name) {
		wrong("name", "must be a letter, then up to 31 letters, digits, dots, dashes and underscores (A-Z, a-z)")
	}
	if utf8.RuneCountInString(s.Description) > maxDescription {
		wrong("description", "is longer than %d characters", maxDescription)
	}
	if err := checkURL(s.URL, w.variable.Load().mail != nil, w.o.AllowPrivate, PrivateSwitch+": true in the configuration"); err != nil {
		wrong("url", "%s", err)
	}
	known := sms.EventTypes()
	if len(s.Events) == 0 {
		wrong("events", `is an empty list; leave it out, or give ["*"], for all`)
	}
	for i, e := range s.Events {
		if e != "*" && !slices.Contains(known, e) {
			wrong(fmt.Sprintf("events[%d]", i), `must be "*" for all, or one of %s`, strings.Join(known, ", "))
			break
		}
	}
	if s.Match != (Match{}) && !slices.Contains(s.Events, "*") && !slices.Contains(s.Events, sms.EventOf(sms.Received)) {
		wrong("match", "narrows received messages, and message.received is not among the events")
	}
	for field, v := range map[string]string{"modem": s.Match.Modem, "to": s.Match.To, "from_prefix": s.Match.FromPrefix, "keyword": s.Match.Keyword} {
		if len(v) > maxWord || strings.ContainsFunc(v, unicode.IsControl) {
			wrong("match."+field, "is too long or has control characters in it")
		}
	}
	if len(strings.Fields(s.Match.Keyword)) > 1 {
		wrong("match.keyword", "must be one word: the first of the texts that are wanted")
	}
	if len(s.Headers) > maxHeaders {
		wrong("headers", "has %d members; at most %d are allowed", len(s.Headers), maxHeaders)
	}
	seen := map[string]bool{}
	for name, value := range s.Headers {
		if what := CheckHeader(name, value); what != "" {
			wrong("headers", "can't have %q: it %s", short(name), what)
		} else if seen[strings.ToLower(name)] {
			wrong("headers", "has %q twice", short(name))
		}
		seen[strings.ToLower(name)] = true
	}
	return all
}

func short(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
