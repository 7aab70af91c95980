package hooks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatewayd/intake"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// The limits of settings.
const (
	maxRecipients = 100
	maxNetworks   = 50
	maxSecret     = 255
	maxExpiry     = 7 * 24 * time.Hour
	maxWindow     = 24 * time.Hour // answers to requests are kept longer
	defaultParts  = 3
	maxRate       = 10_000_000 // as of API keys
	defaultRate   = 60         // a minute; a token that leaks must not empty a SIM
)

// Defaults are the settings that a new hook of a preset begins with.
func Defaults(name string) sms.HookSettings {
	return sms.HookSettings{Enabled: true, Preset: name, Priority: sms.DefaultPriority, MaxParts: defaultParts, MaxPerMinute: defaultRate, Resolved: true,
		DedupWindow: int(presets[name].window / time.Second), To: []string{}, AllowFrom: []string{}}
}

// Defaults are the settings that a new hook of a preset begins with.
func (*Hooks) Defaults(name string) sms.HookSettings { return Defaults(name) }

// checking collects what is wrong with settings.
type checking struct{ wrongs intake.Refused }

func (c *checking) wrong(field, format string, args ...any) {
	c.wrongs = append(c.wrongs, intake.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (c *checking) err() error {
	if len(c.wrongs) == 0 {
		return nil
	}
	return c.wrongs
}

// check says all that is wrong with settings, and gives numbers and networks
// their normal form.
func (h *Hooks) check(s *sms.HookSettings) error {
	c := &checking{}
	if s.Name = strings.TrimSpace(s.Name); s.Name == "" {
		c.wrong("name", "is missing")
	} else if utf8.RuneCountInString(s.Name) > 100 || strings.ContainsFunc(s.Name, unicode.IsControl) {
		c.wrong("name", "must be a line of at most 100 characters")
	}
	h.checkText(c, s)
	h.checkRecipients(c, s)
	h.checkLife(c, s)
	if s.From != "" && (utf8.RuneCountInString(s.From) > 100 || strings.ContainsFunc(s.From, unicode.IsControl)) {
		c.wrong("from", "must be the name or the number of a modem")
	}
	if len(s.AllowFrom) > maxNetworks {
		c.wrong("allow_from", "has %d networks; at most %d are allowed", len(s.AllowFrom), maxNetworks)
	}
	for i, network := range s.AllowFrom {
		p, err := parseNetwork(network)
		if err != nil {
			c.wrong(fmt.Sprintf("allow_from[%d]", i), "must be an IP address or a network, such as 192.168.1.0/24")
			continue
		}
		s.AllowFrom[i] = p.String()
	}
	c.secret(s)
	return c.err()
}

// checkText checks what the text is made of and how long it may be.
func (h *Hooks) checkText(c *checking, s *sms.HookSettings) {
	if !slices.Contains(sms.HookPresets, s.Preset) {
		c.wrong("preset", "must be one of %s", strings.Join(sms.HookPresets, ", "))
	}
	if s.Preset == "template" && s.Template == "" {
		c.wrong("template", "is missing; or choose a preset that needs none")
	}
	for field, source := range map[string]string{"template": s.Template, "to_template": s.ToTemplate} {
		if source == "" {
			continue
		}
		if err := checkTemplate(source); err != nil {
			c.wrong(field, "is wrong: %s", err)
		}
	}
	slices.SortStableFunc(c.wrongs, func(a, b intake.FieldError) int { return strings.Compare(a.Field, b.Field) })
	switch intake.Unicode(s.Unicode) {
	case "", intake.Allow, intake.Transliterate, intake.Reject:
	default:
		c.wrong("unicode", "must be one of %s, %s, %s, or empty: as the gateway has it", intake.Allow, intake.Transliterate, intake.Reject)
	}
	if s.MaxParts < 1 || s.MaxParts > pdu.MaxParts {
		c.wrong("max_parts", "must be a whole number from 1 to %d", pdu.MaxParts)
	}
}

func (h *Hooks) checkRecipients(c *checking, s *sms.HookSettings) {
	if len(s.To) > maxRecipients {
		c.wrong("to", "has %d recipients; at most %d are allowed", len(s.To), maxRecipients)
		return
	}
	if len(s.To) == 0 && s.ToTemplate == "" && s.Preset != "supabase" {
		c.wrong("to", "is empty; somebody must get the texts, or to_template says who")
	}
	something := "."
	for i, to := range s.To {
		d, errs := h.o.Desk.Draft(intake.Caller{}, intake.Message{To: to, Text: &something})
		for _, e := range errs {
			if e.Field == "to" {
				c.wrong(fmt.Sprintf("to[%d]", i), "%s", e.Detail)
			}
		}
		if len(errs) == 0 {
			s.To[i] = d.To
		}
	}
	if len(c.wrongs) == 0 {
		s.To = unique(s.To)
	}
}

func unique(all []string) []string {
	some := []string{}
	for _, s := range all {
		if !slices.Contains(some, s) {
			some = append(some, s)
		}
	}
	return some
}

func (h *Hooks) checkLife(c *checking, s *sms.HookSettings) {
	if s.Priority < 0 || s.Priority > 9 {
		c.wrong("priority", "must be a whole number from 0 to 9")
	}
	if s.MaxPerMinute < 0 || s.MaxPerMinute > maxRate {
		c.wrong("max_per_minute", "must be a number of messages from 0, no limit, to %d", maxRate)
	}
	for _, span := range []struct {
		field string
		value int
		most  time.Duration
	}{{"expires_after", s.ExpiresAfter, maxExpiry}, {"dedup_window", s.DedupWindow, maxWindow}} {
		if span.value < 0 || span.value > int(span.most/time.Second) {
			c.wrong(span.field, "must be a whole number of seconds from 0 to %d", int(span.most/time.Second))
		}
	}
}

func (c *checking) secret(s *sms.HookSettings) {
	switch {
	case s.Preset == "supabase" && s.Secret == "":
		c.wrong("secret", "is missing: Supabase shows it with the hook, and signs each request with it")
	case len(s.Secret) > maxSecret || strings.ContainsFunc(s.Secret, unicode.IsControl):
		c.wrong("secret", "must be a line of at most %d bytes", maxSecret)
	case s.Secret != "" && len(s.Secret) < 8:
		c.wrong("secret", "must have at least 8 characters, best 32 random ones")
	case standardKey(s.Secret) == nil:
		c.wrong("secret", "must be whsec_ and base64, if it begins so")
	case s.Preset == "supabase" && !strings.HasPrefix(strings.TrimPrefix(s.Secret, "v1,"), "whsec_"):
		c.wrong("secret", "must be what Supabase shows: v1,whsec_ and base64")
	}
}

func parseNetwork(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap().Prefix(ip.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// mayAsk reports whether requests may come from there.
func mayAsk(s *sms.HookSettings, remote string) bool {
	if len(s.AllowFrom) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(remote)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(s.AllowFrom, func(network string) bool {
		p, err := parseNetwork(network)
		return err == nil && p.Contains(ip)
	})
}
