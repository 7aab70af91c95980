package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gatewayd/sms"
)

// The bounds of numbers and durations.
const (
	maxCapacity = 10_000_000
	maxLimit    = 10_000_000
	minWait     = 100 * time.Millisecond
	maxWait     = 30 * 24 * time.Hour
	minKeep     = time.Hour
	minCanary   = 10 * time.Minute // each costs what a text costs
	maxKeep     = 100 * 365 * 24 * time.Hour
	maxEvery    = 366 * 24 * time.Hour
	minSize     = 1 << 20
	maxSize     = 1 << 40
)

func text(p *string) func(string) error {
	return func(raw string) error {
		if strings.ContainsFunc(raw, unicode.IsControl) {
			return errors.New("a text without control characters")
		}
		*p = raw
		return nil
	}
}

// boxName reads what a box is called on its network.
func boxName(p *string) func(string) error {
	return func(raw string) error {
		if !boxNameForm.MatchString(raw) {
			return errors.New("up to 63 of the letters a to z, digits and hyphens within, such as gatewayd, which is gatewayd.local then; none for no name")
		}
		*p = raw
		return nil
	}
}

var boxNameForm = regexp.MustCompile("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")

func boolean(p *bool) func(string) error {
	return func(raw string) error {
		switch strings.ToLower(raw) {
		case "true":
			*p = true
		case "false":
			*p = false
		default:
			return errors.New("true or false")
		}
		return nil
	}
}

func number(p *int, low, high int) func(string) error {
	return func(raw string) error {
		n, err := strconv.Atoi(strings.ReplaceAll(raw, "_", ""))
		if err != nil || n < low || n > high {
			return fmt.Errorf("a whole number from %d to %d", low, high)
		}
		*p = n
		return nil
	}
}

// size reads an amount of bytes; 0 is none. Units are those of people: a
// thousand and its powers.
func size(p *int64) func(string) error {
	return func(raw string) error {
		digits, unit := raw, int64(1)
		for suffix, n := range map[string]int64{"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
			if before, ok := strings.CutSuffix(raw, suffix); ok {
				digits, unit = strings.TrimSpace(before), n
			}
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
		if err != nil || n < 0 || n > maxSize/unit || n > 0 && n*unit < minSize {
			return errors.New("0 for none, or an amount of bytes from 1MiB to 1024GiB, such as 64MB")
		}
		*p = n * unit
		return nil
	}
}

func duration(p *time.Duration, low, high time.Duration) func(string) error {
	return func(raw string) error {
		d, err := time.ParseDuration(raw)
		if err != nil {
			return errors.New("a number and its unit, such as 90s, 2m or 24h")
		}
		if d < low || d > high {
			return fmt.Errorf("a duration from %s to %s", short(low), short(high))
		}
		*p = d
		return nil
	}
}

// durationOrNone also takes 0.
func durationOrNone(p *time.Duration, low, high time.Duration) func(string) error {
	take := duration(p, low, high)
	return func(raw string) error {
		if raw == "0" || raw == "0s" {
			*p = 0
			return nil
		}
		if err := take(raw); err != nil {
			return fmt.Errorf("0 for never, or %w", err)
		}
		return nil
	}
}

// short writes 24h instead of 24h0m0s, and 10m instead of 10m0s.
func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

func networks(p *[]netip.Prefix) func(string) error {
	return func(raw string) error {
		*p = nil
		for one := range strings.SplitSeq(raw, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			network, err := netip.ParsePrefix(one)
			if err != nil {
				var a netip.Addr
				if a, err = netip.ParseAddr(one); err == nil {
					network, err = a.Unmap().WithZone("").Prefix(a.Unmap().BitLen())
				}
			}
			if err != nil {
				return errors.New("IP addresses and networks, separated by commas, such as 127.0.0.1, 10.0.0.0/8")
			}
			*p = append(*p, network.Masked())
		}
		return nil
	}
}

func address(p *string) func(string) error {
	return func(raw string) error {
		host, port, err := net.SplitHostPort(raw)
		if err == nil {
			n, e := strconv.Atoi(port)
			_, ip := netip.ParseAddr(host)
			if e == nil && n >= 0 && n <= 65535 && (host == "" || ip == nil || hostName.MatchString(host)) {
				*p = raw
				return nil
			}
		}
		return errors.New("an address and a port from 0 to 65535, such as 127.0.0.1:8080, [::1]:8080 or :8080")
	}
}

// optional takes nothing too.
func optional(read func(string) error) func(string) error {
	return func(raw string) error {
		if raw == "" {
			return nil
		}
		if err := read(raw); err != nil {
			return fmt.Errorf("empty, or %w", err)
		}
		return nil
	}
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$`)
	// labelForm is what may be a metric's label, a segment of a path and the
	// from of a message: the letter in front keeps it apart from a number.
	labelForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,31}$`)
	phoneForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	pinForm   = regexp.MustCompile(`^[0-9]{4,8}$`)
	shortForm = regexp.MustCompile(`^[1-9][0-9]{2,5}$`)
	moneyForm = regexp.MustCompile(`^-?[0-9]{1,9}([.,][0-9]{1,3})?$`)
	digitForm = regexp.MustCompile(`^[0-9]+$`)
)

func label(p *string) func(string) error {
	return func(raw string) error {
		if !labelForm.MatchString(raw) {
			return errors.New("a letter, then up to 31 letters, digits, dots, dashes and underscores (A-Z, a-z)")
		}
		*p = raw
		return nil
	}
}

func device(p *string) func(string) error {
	return func(raw string) error {
		if !strings.HasPrefix(raw, "/") || strings.ContainsFunc(raw, unicode.IsControl) {
			return errors.New("the absolute path of a serial port, such as /dev/serial/by-id/… or /dev/ttyUSB0")
		}
		*p = raw
		return nil
	}
}

func digits(p *string, low, high int, allowed string) func(string) error {
	return func(raw string) error {
		if len(raw) < low || len(raw) > high || !digitForm.MatchString(raw) {
			return errors.New(allowed)
		}
		*p = raw
		return nil
	}
}

var errPIN = errors.New("a SIM's PIN has 4 to 8 digits")

func pin(p *Secret) func(string) error {
	return func(raw string) error {
		if !pinForm.MatchString(raw) {
			return errPIN
		}
		*p = Secret(raw)
		return nil
	}
}

func phone(p *string) func(string) error {
	return func(raw string) error {
		if !phoneForm.MatchString(raw) {
			return errors.New("a number in international form, such as +491700000000")
		}
		*p = raw
		return nil
	}
}

// recipient is a number that texts can be sent to.
func recipient(p *string) func(string) error {
	return func(raw string) error {
		if !phoneForm.MatchString(raw) && !shortForm.MatchString(raw) {
			return errors.New("a number in international form, such as +491700000000, or a short code of 3 to 6 digits")
		}
		*p = raw
		return nil
	}
}

func oneOf(p *string, allowed ...string) func(string) error {
	return func(raw string) error {
		if !slices.Contains(allowed, raw) {
			return errors.New(strings.Join(allowed, " or "))
		}
		*p = raw
		return nil
	}
}

func ussdCode(p *string) func(string) error {
	return func(raw string) error {
		if err := sms.USSDCode(raw); err != nil {
			return fmt.Errorf("it %w", err)
		}
		*p = raw
		return nil
	}
}

// pattern takes a regular expression that finds an amount.
func pattern(p *string) func(string) error {
	return func(raw string) error {
		r, err := regexp.Compile(raw)
		switch {
		case err != nil:
			return fmt.Errorf("a regular expression in Go's syntax; %w", err)
		case r.NumSubexp() != 1:
			return fmt.Errorf("a regular expression with one group in parentheses, which is the amount; it has %d; (?:…) is no group", r.NumSubexp())
		}
		*p = raw
		return nil
	}
}

// amount takes a decimal number, and writes its point as one.
func amount(p *string) func(string) error {
	return func(raw string) error {
		if !moneyForm.MatchString(raw) {
			return errors.New("an amount such as 2.00, without a currency")
		}
		*p = strings.ReplaceAll(raw, ",", ".")
		return nil
	}
}

func day(p *time.Time) func(string) error {
	return func(raw string) error {
		t, err := time.ParseInLocation(time.DateOnly, raw, time.Local)
		if err != nil {
			return errors.New("a day such as 2027-01-31")
		}
		*p = t
		return nil
	}
}

func word(p *string) func(string) error {
	return func(raw string) error {
		if len(strings.Fields(raw)) != 1 || strings.ContainsFunc(raw, unicode.IsControl) {
			return errors.New("one word: the first of the texts that are wanted")
		}
		*p = strings.TrimSpace(raw)
		return nil
	}
}

func region(p *string) func(string) error {
	return func(raw string) error {
		r := strings.ToUpper(raw)
		if len(r) != 2 || !strings.Contains(" "+regions+" ", " "+r+" ") {
			hint := ""
			if r == "UK" {
				hint = " (GB for the United Kingdom)"
			}
			return errors.New("the two letters of a country, such as DE" + hint)
		}
		*p = r
		return nil
	}
}

func link(p *string) func(string) error {
	return func(raw string) error {
		u, err := url.Parse(raw)
		if err == nil && strings.EqualFold(u.Scheme, "mailto") && u.RawQuery == "" && u.Fragment == "" && strings.Contains(u.Opaque, "@") {
			*p = raw
			return nil
		}
		if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return errors.New("an address such as https://chat.example.org/sms or mailto:on-call@example.org")
		}
		if port := u.Port(); port != "" {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return errors.New("its port must be from 1 to 65535")
			}
		}
		if u.Fragment != "" {
			return errors.New("an address without a #fragment")
		}
		*p = raw
		return nil
	}
}

var errSigning = errors.New("whsec_ and the base64 of 24 to 64 random bytes (make one: echo whsec_$(head -c 32 /dev/urandom | base64)); two, separated by a space, while you change it")

// signing takes the secrets of a webhook: the first signs, and so do the
// others while receivers move from one to the next.
func signing(p *Secret) func(string) error {
	return func(raw string) error {
		all := strings.Fields(raw)
		if len(all) < 1 || len(all) > 3 {
			return errSigning
		}
		for _, s := range all {
			encoded, ok := strings.CutPrefix(s, "whsec_")
			b, err := base64.StdEncoding.DecodeString(encoded)
			if !ok || err != nil || len(b) < 24 || len(b) > 64 {
				return errSigning
			}
		}
		*p = Secret(strings.Join(all, " "))
		return nil
	}
}

// regions are the countries whose national numbers can be read.
const regions = "AC AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ " +
	"TA TC TD TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
