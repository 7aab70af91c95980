package chat

import (
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

func TestKeywords(t *testing.T) {
	k := newKeywords([]string{"Casino", "free money", "café", "straße", "赌场", "!", "one two three"})
	for text, want := range map[string]string{
		"The CASINO.":           "Casino",
		"casinos":               "",
		"my-casino/now":         "Casino",
		"Ca\u200bsi\u00adno":    "Casino",
		"𝐂𝐚𝐬𝐢𝐧𝐨":                "Casino",
		"ＣＡＳＩＮＯ":                "Casino",
		"cásìñö":                "Casino",
		"free,\n money":         "free money",
		"free my money":         "",
		"money free":            "",
		"carefree money":        "",
		"CAFE":                  "café",
		"in der STRASSE":        "straße",
		"去赌场玩":                  "赌场",
		"赌 钱 的 场":               "",
		"one two one two three": "one two three",
		"one two":               "",
		"":                      "",
		"!!!":                   "",
	} {
		if got := k.in(text); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
	if got := newKeywords(nil).in("anything"); got != "" {
		t.Error(got)
	}
}

func FuzzKeywords(f *testing.F) {
	f.Add("free money", "get free money now")
	f.Add("赌场", "去赌场玩")
	f.Add("\xff", "a\xffb")
	f.Fuzz(func(t *testing.T, keyword, text string) {
		k := newKeywords([]string{keyword})
		if len(words(keyword)) > 0 {
			if got := k.in(text + "\n" + strings.ToUpper(keyword) + "\n" + text); got != keyword && strings.ToUpper(keyword) == keyword {
				t.Errorf("%q is not found between %q", keyword, text)
			}
		}
		k.in(text)
	})
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::": "2001:db8:1:2::",
		"fe80::1%eth0": "fe80::", "": "", "nonsense": "", "2001:db8::/64": "",
	} {
		if got := network(address); got != want {
			t.Errorf("%q is of %q, want %q", address, got, want)
		}
	}
}

// A person types at no beat; a program may be fast or regular.
func TestMechanical(t *testing.T) {
	flow := func(pauses ...float64) string {
		at, recent := time.Unix(1_800_000_000, 0), ""
		recent = remember(recent, at)
		for _, p := range pauses {
			at = at.Add(time.Duration(p * float64(time.Second)))
			recent = remember(recent, at)
		}
		return recent
	}
	for what, one := range map[string]struct {
		recent string
		want   string
	}{
		"nothing":           {"", ""},
		"one":               {flow(), ""},
		"a person":          {flow(12, 34, 7, 61, 15, 22, 9), ""},
		"a quick person":    {flow(4, 9, 5, 7, 3, 8), ""},
		"fast":              {flow(1, 2, 1, 3, 2), "within 20 seconds"},
		"regular":           {flow(30, 30, 30.5, 30, 30.2), "equal intervals"},
		"regular at last":   {flow(5, 90, 30, 30, 30, 30, 30), "equal intervals"},
		"not regular yet":   {flow(30, 30, 30, 30), ""},
		"an hour each":      {flow(3600, 3601, 3599, 3602, 3600), "equal intervals"},
		"what can't be":     {"x y z", ""},
		"slower than a bot": {flow(60, 30, 60, 30, 60, 30), ""},
	} {
		if got := mechanical(one.recent); one.want == "" && got != "" || !strings.Contains(got, one.want) {
			t.Errorf("%s: %q, want %q", what, got, one.want)
		}
	}
	if n := len(strings.Fields(flow(make([]float64, 100)...))); n != remembered {
		t.Errorf("%d times are kept", n)
	}
}

func TestSIMOfTheCarrier(t *testing.T) {
	sim := func(id, local, operator, imsi string, home bool) SIM {
		return SIM{ID: id, Modem: id, Local: local, Operator: operator, IMSI: imsi, Home: home}
	}
	telekom := sim("telekom", "+491701111111", "", "", false)
	vodafone := sim("vodafone", "vodafone", "Vodafone.de", "262021234567890", true)
	roaming := sim("roaming", "roaming", "Vodafone.de", "262021234567890", false)
	austrian := sim("austrian", "austrian", "T-Mobile A", "232031234567890", true)
	c := &Chat{o: Options{Region: func() string { return "DE" }}}
	prefers := func(to string, all ...SIM) string { return c.preferSIM(to, all) }
	rules := DefaultAbuseRules()
	c.abuse.rules.Store(compile(rules))
	for _, one := range []struct {
		to   string
		sims []SIM
		want string
	}{
		{"+491711234567", []SIM{vodafone, telekom}, "telekom"},
		{"+491721234567", []SIM{telekom, vodafone}, "vodafone"},
		{"+491721234567", []SIM{telekom, roaming}, ""},
		{"+491711234567", []SIM{austrian, vodafone}, ""},
		{"+493012345678", []SIM{vodafone, telekom}, ""}, // of no mobile network
		{"12345", []SIM{vodafone, telekom}, ""},
		{"+491721234567", nil, ""},
	} {
		if got := prefers(one.to, one.sims...); got != one.want {
			t.Errorf("%s prefers %q, want %q", one.to, got, one.want)
		}
	}
	rules.PreferCarrier = false
	c.abuse.rules.Store(compile(rules))
	if got := prefers("+491711234567", telekom); got != "" {
		t.Errorf("the rule is off, and %q is preferred", got)
	}
	for a, b := range map[string]string{"Telekom.de": "T-Mobile", "Vodafone.de": "Vodafone", "O2 - de": "O2", "A1 TA": "A1", "E-Plus": "E-Plus"} {
		if brand(a) != brand(b) {
			t.Errorf("%s is %q, %s is %q", a, brand(a), b, brand(b))
		}
	}
	if brand("") != "" || brand("...") != "" {
		t.Error("a name of no letters has a brand")
	}
	c.o.SIMOf = func(m sms.Modem) string { return m.Name }
	if s := c.simOf(sms.Modem{Name: "a", Registration: "home"}); !s.Home {
		t.Error("a SIM at home is not at home")
	}
}
