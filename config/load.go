package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/viper"

	"gatewayd/sms"
	numbers "gatewayd/sms/number"
)

// ClientVariables are the GATEWAYD_… variables that belong to the commands
// that talk to a running daemon, not to its configuration.
var ClientVariables = []string{"GATEWAYD_KEY", "GATEWAYD_URL", "GATEWAYD_CONFIG"}

// environment lays the variables of env over the file. An empty variable
// counts as none: that is how service files switch one off.
func (l *loader) environment(v *viper.Viper, env []string) {
	l.env = map[string]string{}
	known := map[string]string{}
	for _, f := range scalarFields(&Config{}) {
		known[variable(f.path)] = f.path
		if f.def != "" {
			v.SetDefault(f.path, f.def)
		}
	}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "GATEWAYD_") || value == "" || slices.Contains(ClientVariables, name) {
			continue
		}
		if path, ok := known[name]; ok {
			l.env[path] = name
			v.Set(path, value)
			continue
		}
		l.unknownVariable(name, known)
	}
}

// unknownVariable refuses one that was evidently meant for us. Others pass:
// Kubernetes gives a service called gatewayd variables such as
// GATEWAYD_SERVICE_HOST.
func (l *loader) unknownVariable(name string, known map[string]string) {
	best, at := "", 4
	for k := range known {
		if d := distance(name, k); d < at || (d == at && k < best) {
			best, at = k, d
		}
	}
	switch {
	case best != "":
		l.errs = append(l.errs, Error{Key: printable(name), Allowed: "unknown variable, did you mean " + best + "?"})
	case strings.HasPrefix(name, "GATEWAYD_MODEMS_LIST"), strings.HasPrefix(name, "GATEWAYD_WEBHOOKS"), strings.HasPrefix(name, "GATEWAYD_HUB_ROUTES"):
		l.errs = append(l.errs, Error{Key: printable(name), Allowed: "lists are set in the file, not in the environment"})
	default:
		for _, top := range []string{"HTTP", "QUEUE", "DESTINATIONS", "HISTORY", "CONSENT", "CHAT", "MODEMS", "MAIL", "LOG", "HUB"} {
			if strings.HasPrefix(name, "GATEWAYD_"+top+"_") {
				l.errs = append(l.errs, Error{Key: printable(name), Allowed: "unknown variable; they are named like the keys: GATEWAYD_HTTP_LISTEN is http.listen"})
			}
		}
	}
}

func (l *loader) scalars(v *viper.Viper) {
	for _, f := range scalarFields(l.c) {
		l.read(f, f.path, v.GetString(f.path))
	}
}

// read applies a field's rule; without a text it applies the default.
func (l *loader) read(f field, path, raw string) {
	if raw == "" {
		raw = f.def
	}
	if raw == "" {
		return
	}
	if err := f.read(raw); err != nil {
		if f.secret {
			raw = ""
		}
		l.fail(path, raw, err.Error())
	}
}

func (l *loader) lists(v *viper.Viper) {
	l.c.Destinations.Allow = l.destinations(v, "destinations.allow")
	l.c.Destinations.Deny = l.destinations(v, "destinations.deny")
	l.consent(v)
	l.hubRoutes(v)
	l.c.Alarms.SMSTo = l.texts(v, "alarms.sms_to", recipient)
	l.c.Alarms.MailTo = l.texts(v, "alarms.mail_to", mailAddress)
	for i, entry := range entries(v, "modems.list") {
		m := Modem{}
		at := fmt.Sprintf("modems.list[%d]", i)
		for _, f := range modemFields(&m) {
			l.read(f, join(at, f.path), lookup(entry, f.path))
		}
		l.modem(at, &m, entry)
		l.c.Modems.List = append(l.c.Modems.List, m)
	}
	for i, entry := range entries(v, "webhooks") {
		w := Webhook{}
		at := fmt.Sprintf("webhooks[%d]", i)
		for _, f := range webhookFields(&w) {
			l.read(f, join(at, f.path), lookup(entry, f.path))
		}
		l.webhook(at, &w, entry)
		l.c.Webhooks = append(l.c.Webhooks, w)
	}
}

// destinations reads a list of countries, prefixes and short codes.
func (l *loader) destinations(v *viper.Viper, key string) []numbers.Destination {
	list, _ := v.Get(key).([]any)
	var all []numbers.Destination
	for i := range list {
		word, _ := list[i].(string)
		d, err := numbers.ParseDestination(word)
		if err != nil {
			l.fail(fmt.Sprintf("%s[%d]", key, i), word, err.Error())
			continue
		}
		all = append(all, d)
	}
	return all
}

func entries(v *viper.Viper, key string) []map[string]any {
	list, _ := v.Get(key).([]any)
	out := make([]map[string]any, len(list))
	for i := range list {
		out[i], _ = list[i].(map[string]any)
	}
	return out
}

// lookup finds the text at a dotted path, "" if there is none.
func lookup(m map[string]any, path string) string {
	head, rest, deeper := strings.Cut(path, ".")
	if deeper {
		inner, _ := m[head].(map[string]any)
		return lookup(inner, rest)
	}
	s, _ := m[head].(string)
	return s
}

func (l *loader) modem(at string, m *Modem, entry map[string]any) {
	if lookup(entry, "name") == "" {
		l.fail(at+".name", "", "every modem needs a name, such as office")
	}
	var given []string
	for _, k := range []string{"port", "imei", "iccid"} {
		if lookup(entry, k) != "" {
			given = append(given, k)
		}
	}
	if len(given) != 1 {
		words := "none is given"
		if len(given) > 1 {
			words = strings.Join(given, " and ") + " are given"
		}
		l.fail(at, "", "one of port, imei and iccid says which modem it is; "+words)
	}
	l.account(at, entry)
	if m.pinFile == "" {
		return
	}
	if lookup(entry, "pin") != "" {
		l.fail(at+".pin_file", "", "pin and pin_file are both given; keep one")
		return
	}
	raw, ok := l.secretFile(at+".pin_file", &m.pinFile)
	if ok && !pinForm.MatchString(raw) {
		l.fail(at+".pin_file", m.pinFile, "the file must hold the PIN alone, 4 to 8 digits")
	} else if ok {
		m.PIN = Secret(raw)
	}
}

// account checks what is watched of a SIM: no part does anything alone.
func (l *loader) account(at string, entry map[string]any) {
	for _, need := range []struct{ key, why string }{
		{"balance.code", "the USSD code that tells the balance, such as \"*100#\", is needed too"},
		{"top_up.by", "the day by which the SIM must be topped up, such as 2027-01-31, is needed too"},
		{"keep_alive.to", "the number that the text goes to is needed too"},
		{"keep_alive.text", "the text to send is needed too"},
	} {
		section, key, _ := strings.Cut(need.key, ".")
		given, _ := entry[section].(map[string]any)
		if len(given) > 0 && lookup(given, key) == "" {
			l.fail(at+"."+need.key, "", need.why)
		}
	}
}

// Events are the events that this version tells.
func Events() []string { return sms.EventTypes() }

func (l *loader) webhook(at string, w *Webhook, entry map[string]any) {
	if lookup(entry, "url") == "" {
		l.fail(at+".url", "", "every webhook needs the address that events are posted to")
	}
	l.private(at+".url", w)
	switch {
	case lookup(entry, "secret") == "" && w.secretFile == "" && strings.HasPrefix(strings.ToLower(w.URL), "mailto:"): // nothing is signed
	case lookup(entry, "secret") == "" && w.secretFile == "":
		l.fail(at+".secret", "", "secret or secret_file is needed: "+errSigning.Error())
	case w.secretFile == "":
	case lookup(entry, "secret") != "":
		l.fail(at+".secret_file", "", "secret and secret_file are both given; keep one")
	default:
		if raw, ok := l.secretFile(at+".secret_file", &w.secretFile); ok {
			if err := signing(&w.Secret)(raw); err != nil {
				l.fail(at+".secret_file", w.secretFile, "the file must hold "+err.Error())
			}
		}
	}
	l.events(at+".events", w, entry)
	l.headers(at+".headers", w, entry)
	if w.Match != (Match{}) && !slices.Contains(w.Events, "*") && !slices.Contains(w.Events, sms.EventOf(sms.Received)) {
		l.fail(at+".match", "", "match narrows received messages, and message.received is not among the events")
	}
}

func (l *loader) events(at string, w *Webhook, entry map[string]any) {
	list, given := entry["events"].([]any)
	if !given {
		w.Events = []string{"message.received", "message.sent", "message.delivered", "message.failed"}
		return
	}
	if len(list) == 0 {
		l.fail(at, "", `the list is empty; leave it out for the usual ones, or ["*"] for all`)
	}
	known := Events()
	for i, e := range list {
		name, _ := e.(string)
		if name != "*" && !slices.Contains(known, name) {
			l.fail(fmt.Sprintf("%s[%d]", at, i), name, `"*" for all, or one of `+strings.Join(known, ", "))
			continue
		}
		w.Events = append(w.Events, name)
	}
}

// headers are lines such as "Authorization: Bearer abc"; their values are secrets.
func (l *loader) headers(at string, w *Webhook, entry map[string]any) {
	list, _ := entry["headers"].([]any)
	for i, one := range list {
		line, _ := one.(string)
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok || !headerForm.MatchString(name) || strings.ContainsFunc(value, unicode.IsControl):
			l.fail(fmt.Sprintf("%s[%d]", at, i), "", `a header's name, a colon and its value, such as "Authorization: Bearer abc"`)
		case reservedHeader.MatchString(name):
			l.fail(fmt.Sprintf("%s[%d]", at, i), name, "a header that an app may add: gatewayd sets this one, or nobody may")
		default:
			if w.Headers == nil {
				w.Headers = map[string]Secret{}
			}
			w.Headers[name] = Secret(value)
		}
	}
}

var (
	headerForm     = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
	reservedHeader = regexp.MustCompile("(?i)^(connection|content-(encoding|length|type)|expect|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|webhook-.*)$")
)

// private refuses at once what the daemon would refuse at every delivery.
func (l *loader) private(key string, w *Webhook) {
	u, err := url.Parse(w.URL)
	if err != nil || w.URL == "" || w.AllowPrivate {
		return
	}
	const permit = "; set allow_private: true if that is meant"
	if u.Scheme == "http" {
		l.fail(key, "", "plain http:// shows texts and numbers to the network; use https://"+permit)
		return
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, err := netip.ParseAddr(host)
	local := err != nil && (host == "localhost" || strings.HasSuffix(host, ".localhost"))
	if err == nil {
		ip = ip.Unmap()
		local = ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast()
	}
	if local {
		l.fail(key, "", "its host is this machine or on the local network"+permit)
	}
}

// secretFile reads a small file of a secret and makes its path absolute.
func (l *loader) secretFile(key string, path *string) (string, bool) {
	*path = l.absolute(key, *path)
	info, err := os.Stat(*path)
	if err != nil {
		l.fail(key, *path, "the file can't be read: "+cause(err))
		return "", false
	}
	if !info.Mode().IsRegular() {
		l.fail(key, *path, "a regular file is expected")
		return "", false
	}
	f, err := os.Open(*path)
	if err != nil {
		l.fail(key, *path, "the file can't be read: "+cause(err))
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		l.fail(key, *path, "the file can't be read: "+cause(err))
		return "", false
	}
	// A group is fine: root owns the file and the service's group reads it.
	if info.Mode().Perm()&0o007 != 0 {
		l.c.Warnings = append(l.c.Warnings, oneLine(fmt.Sprintf(
			"%s: others on this machine may read %s (mode %04o): chmod o= it", key, *path, info.Mode().Perm())))
	}
	return strings.TrimSpace(string(b)), true
}

// absolute takes a path of the file from the file's directory, one of the
// environment from the working directory.
func (l *loader) absolute(key, path string) string {
	if path == "" {
		return ""
	}
	if l.env[key] == "" && !filepath.IsAbs(path) {
		path = filepath.Join(l.dir, path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// cause is the system's word without the path, which the line has already.
func cause(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// together checks what no key can be blamed for alone.
func (l *loader) together() {
	c := l.c
	c.DataDir = l.absolute("data_dir", c.DataDir)
	if info, err := os.Stat(c.DataDir); err == nil && !info.IsDir() {
		l.fail("data_dir", c.DataDir, "a directory is expected")
	}
	l.tls()
	switch {
	case c.History.KeepTexts == 0:
		c.History.KeepTexts = c.History.Keep
	case c.History.Keep > 0 && c.History.KeepTexts > c.History.Keep:
		l.fail("history.keep_texts", short(c.History.KeepTexts),
			"texts go with their messages, so at most history.keep, which is "+short(c.History.Keep))
	}
	l.mail()
	l.hub()
	l.alarms()
	l.unique()
}

func (l *loader) tls() {
	h := &l.c.HTTP
	h.TLSCertificate = l.absolute("http.tls.certificate", h.TLSCertificate)
	h.TLSKey = l.absolute("http.tls.key", h.TLSKey)
	switch {
	case h.TLSCertificate == "" && h.TLSKey == "":
		l.warnOpen()
	case h.TLSKey == "":
		l.fail("http.tls.key", "", "the certificate's private key is needed too (a PEM file)")
	case h.TLSCertificate == "":
		l.fail("http.tls.certificate", "", "the key's certificate is needed too (a PEM file)")
	default:
		if _, err := tls.LoadX509KeyPair(h.TLSCertificate, h.TLSKey); err != nil {
			key, value := "http.tls.certificate", h.TLSCertificate
			var pe *os.PathError
			if errors.As(err, &pe) && pe.Path == h.TLSKey {
				key, value = "http.tls.key", h.TLSKey
			}
			l.fail(key, value, "certificate and key can't be used: "+cause(err))
		}
	}
}

// warnOpen tells about keys and texts in the clear.
func (l *loader) warnOpen() {
	host, _, err := net.SplitHostPort(l.c.HTTP.Listen)
	if err != nil || host == "localhost" {
		return
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return
	}
	l.c.Warnings = append(l.c.Warnings, fmt.Sprintf(
		"http.listen: %s is reachable from the network without TLS: API keys and texts can be read on the way; set http.tls, or put a proxy with TLS in front and listen on 127.0.0.1",
		l.c.HTTP.Listen))
}

// unique refuses entries that claim the same thing twice.
func (l *loader) unique() {
	type claim struct{ kind, value string }
	first := map[claim]string{}
	take := func(kind, value, at string, secret bool) {
		if value == "" {
			return
		}
		k := claim{kind, value}
		if kind == "modem" || kind == "webhook" { // Office and office would be mixed up by people
			k.value = strings.ToLower(value)
		}
		if other, taken := first[k]; taken {
			if secret {
				value = ""
			}
			l.fail(at, value, "taken by "+other+" already")
			return
		}
		first[k] = at
	}
	for i, m := range l.c.Modems.List {
		at := fmt.Sprintf("modems.list[%d]", i)
		take("modem", m.Name, at+".name", false)
		take("port", m.Port, at+".port", false)
		take("imei", m.IMEI, at+".imei", false)
		take("iccid", m.ICCID, at+".iccid", false)
		take("number", m.Number, at+".number", false)
	}
	for i, w := range l.c.Webhooks {
		at := fmt.Sprintf("webhooks[%d]", i)
		take("webhook", w.Name, at+".name", false)
		if w.Name == "" { // its address is its name
			take("url", w.URL, at+".url", true)
		}
	}
	for i, w := range l.c.Webhooks {
		if w.Match.Modem == "" || l.c.Modems.Discover {
			continue
		}
		if !slices.ContainsFunc(l.c.Modems.List, func(m Modem) bool { return m.Name == w.Match.Modem }) {
			l.fail(fmt.Sprintf("webhooks[%d].match.modem", i), w.Match.Modem, "no modem of modems.list has this name")
		}
	}
}
