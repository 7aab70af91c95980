package at_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem/at"
	"gatewayd/modem/internal/script"
)

// heard are the unsolicited lines that come of what the modem says.
func heard(t *testing.T, says ...string) (lines []string) {
	t.Helper()
	bubble(t, func(k *talk) {
		for _, s := range says {
			k.m.Say(s)
			synctest.Wait()
		}
		if err := k.p.Drain(); err != nil {
			t.Fatal(err)
		}
		for _, u := range k.urcs {
			lines = append(lines, u.Line)
		}
	})
	return lines
}

// A text may have line ends in it: it is read to the closing quote.
func TestQuotedTextOverLines(t *testing.T) {
	for name, c := range map[string]struct {
		say  string
		want []string
	}{
		"one line":           {"\r\n+CUSD: 0,\"Hi\",15\r\n", []string{`+CUSD: 0,"Hi",15`}},
		"two lines":          {"\r\n+CUSD: 1,\"Menu\r\n1 Top up\",15\r\n+CREG: 1\r\n", []string{"+CUSD: 1,\"Menu\n1 Top up\",15", "+CREG: 1"}},
		"LF only":            {"\r\n+CUSD: 1,\"a\nb\n\nc\",0\r\nRING\r\n", []string{"+CUSD: 1,\"a\nb\nc\",0", "RING"}},
		"begins with one":    {"\r\n+CUSD: 0,\"\r\na\r\n\",15\r\n", []string{"+CUSD: 0,\"\na\n\",15"}},
		"no coding":          {"\r\n+CUSD: 0,\"a\r\nb\"\r\nRING\r\n", []string{"+CUSD: 0,\"a\nb\"", "RING"}},
		"results in it":      {"\r\n+CUSD: 0,\"a\r\nOK\r\nERROR\",15\r\n", []string{"+CUSD: 0,\"a\nOK\nERROR\",15"}},
		"quotes in it":       {"\r\n+CUSD: 0,\"say \"yes\"\r\nor \"no\"\",15\r\n", []string{"+CUSD: 0,\"say \"yes\"\nor \"no\"\",15"}},
		"comma and number":   {"\r\n+CUSD: 0,\"20\r\n30,50\r\n\",15\r\n", []string{"+CUSD: 0,\"20\n30,50\n\",15"}},
		"a sign as a prompt": {"\r\n+CUSD: 0,\"a\r\n> b\",15\r\n", []string{"+CUSD: 0,\"a\n> b\",15"}},
		"odd letters":        {"\r\n+CUSD: 0,\"\x02 5\x1be\x00\",15\r\n", []string{"+CUSD: 0,\"\x02 5\x1be\x00\",15"}},
		"nothing quoted":     {"\r\n+CUSD: 2\r\nRING\r\n", []string{"+CUSD: 2", "RING"}},
		"quote lost":         {"\r\n+CUSD: 0,\"a\r\n+CMTI: \"SM\",3\r\n", []string{`+CUSD: 0,"a`, `+CMTI: "SM",3`}},
		"endless":            {"\r\n+CUSD: 0,\"a\r\n" + strings.Repeat("b", 2000) + "\r\nRING\r\n", []string{`+CUSD: 0,"a`, strings.Repeat("b", 2000), "RING"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := heard(t, c.say); strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("%q, want %q", got, c.want)
			}
			bytewise := strings.Split(c.say, "")
			if got := heard(t, bytewise...); strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("byte by byte %q, want %q", got, c.want)
			}
		})
	}
}

// A closing quote that got lost does not take the answer to a command with it
// for longer than a moment.
func TestQuoteThatIsNotClosed(t *testing.T) {
	bubble(t, func(k *talk) {
		k.plays(func(m *script.Modem) {
			m.Hear("AT+CSQ")
			m.Say("\r\n+CUSD: 0,\"cut of\r\n\r\n+CSQ: 7,99\r\n\r\nOK\r\n")
			time.Sleep(3 * time.Second)
			m.Say("\r\n^RSSI:18\r\n")
		})
		k.want(at.Command{Line: "AT+CSQ", Prefix: "+CSQ"}, "+CSQ: 7,99")
	})
}
