package modem

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

var update = flag.Bool("update", false, "write docs/errors.md anew")

const errorPage = "../docs/errors.md"

// The page about errors is made of the table that the driver works with.
func TestErrorPage(t *testing.T) {
	want := page()
	if *update {
		if err := os.WriteFile(errorPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(errorPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/errors.md is not what the table says: run go generate ./modem")
	}
}

const pageHead = `# Errors of modems and networks

<!-- Made of the table in modem/errortable.go by "go generate ./modem"; a test holds it against the table. -->

A message that was refused carries an ` + "`error`" + `: its ` + "`code`" + ` is ` + "`cms-38`" + ` for ` + "`+CMS ERROR: 38`" + `, ` + "`cme-14`" + ` for ` + "`+CME ERROR: 14`" + `, also when the
modem says it in words (` + "`AT+CMEE=2`" + `); ` + "`modem-error`" + ` is a final line without a code. ` + "`detail`" + ` has the modem's own line, what to look at, and what
happens next. The same number means different things in the two sets, and from 512 on in each maker's modems.

## The classes

| class | the gateway | the technician |
| --- | --- | --- |
`

// classPage explains each class, in the order of the page.
var classPage = []struct {
	class         sms.Class
	does, advises string
}{
	{sms.Now, "The message goes again after 3 s, three times, then with growing pauses as under *later*.", "Nothing."},
	{sms.Later, "The message goes again after 15 to 30 s, then after twice as long each time, up to half an hour, with a random part; until `expires_at`, or, without one, until it was tried more than ten times and for more than a day.", "Nothing, unless it lasts."},
	{sms.Permanent, "The message fails at once. Nothing else changes.", "Check the number and the message."},
	{sms.Account, "The modem is `parked` for 5 minutes, then 10, up to an hour while that goes on, and says why. Its messages go to other modems at once. It is never started afresh for that.", "Check the SIM: its credit, its contract, its SMSC number, its PIN, and that it may send text messages."},
	{sms.Fault, "The message goes to another modem at once, else again after 3 s, then as under *later*. Three in a row start the modem afresh.", "Check the power supply, then the cable and the firmware."},
	{sms.Unknown, "The message is `unconfirmed`: a late answer or a status report settles it, else its `on_unconfirmed` decides.", "Nothing, unless it comes often; then check the signal."},
	{sms.Accepted, "The message counts as sent: the network has an earlier copy.", "Nothing."},
}

const pageRun = `
## The gateway's own codes

| code | means | to do |
| --- | --- | --- |
| opted-out | The number said STOP ([consent.md](consent.md)). | Nothing: it may send START. |
| not-opted-in | The conversation needs a YES of the phone, and has none that holds. | Ask again: ` + "`POST /v1/conversations/{id}/invite`" + `. |
| no-inbox | It was to go by internet, and its number has opened no inbox on the hub ([chat.md](chat.md)). | Send it by SMS. |
| blocked-sender | Who wrote it was blocked before it went out ([abuse.md](abuse.md)). | An admin looks at ` + "`/abuse`" + `. |
| blocked-number, destination, keyword | Somebody who signs in wrote it, and the rules of the page Abuse let no person write to that number, or that word ([abuse.md](abuse.md)). | An admin looks at ` + "`/abuse`" + `. |
| sim-moved | The conversation's SIM was put into another modem before the text went out; what was meant for one number would have come from another. | Send it again. |
| quiet-hours | It is night at the recipient's; the message waits for ` + "`expected_at`" + `. | Nothing. |
| expired | It was not sent before ` + "`expires_at`" + `. | Send it again, with more time. |
| unconfirmed | Nobody can know whether it went out. | Look whether the recipient has it. |
| encoding | It can't be written as an SMS, which should have been said when it was posted. | Report it. |
| refused, not-sent, port-gone, stopped | The modem did not take it, was unplugged, or the gateway was stopped; it goes again. | Nothing, unless it comes often. |
| restored | It was canceled after a backup was restored ([backup.md](backup.md)). | Send it again if it is still wanted. |
| moved | The hub gave it to another gateway, since this one was away for too long ([hub.md](hub.md)). It stands so at this gateway only. | Nothing: the hub tells what becomes of it. |
| unfit | The hub gave it to a gateway that can't send it: it has too many parts for that one, or the SIM that is to send it is in none of its modems. | See the detail; send it by another gateway. |
| undecodable | A text that came can't be decoded; ` + "`GET /v1/messages/{id}/pdus`" + ` has its octets. | Report it. |
| tp-st-70 and the like | The network's status report says that it did not arrive; the number is TP-Status in decimal. | The title says why. |

## Who is to blame

One answer does not tell, so it is read together with the SIM's other results. They outlive a restart of the modem, and end with the SIM.

- **One recipient among successes** is that recipient's trouble: a message that was refused in class *account* by the network, before and after others
  were accepted, fails. Two working modems that both answer with class *fault* to one message, and to nothing else, fail it too.
- **The same code for five different recipients** in a row, with no success between, is the SIM's or the network's. Where the table says *the SIM*, its
  modem is parked. Else sending is slowed down: a pause between parts of 2 s, twice as long after each further refusal, up to a minute, half of it at
  random; each success halves it. Codes that speak of the network, and class
  *unknown*, do so from the second recipient on. One recipient alone slows nobody down.
- **Five dead numbers in a row** are no proof: on a SIM that has sent nothing yet they park the modem, on another one the fifth and later ones get
  a second attempt, through another SIM if there is one.
- **Perhaps the SIM's**: one recipient alone may be barred. Its message goes to another SIM at once; only a second recipient parks the modem.
- **Faults of one recipient alone** start the modem afresh once, not again before another recipient has some too.
- A recipient that did not get its message stands behind all others that wait, until it gets one. A message that parked its modem is tried by it a minute
  after the park ends, when the others had their turn.

An error that says nothing counts as *unknown* when it comes more than 20 s after the message was handed over: the network's silence made it.
Codes that stand nowhere below are class *fault*.
`

func page() string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, c := range classPage {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.class, c.does, c.advises)
	}
	b.WriteString(pageRun)
	for _, s := range []struct{ title, set string }{
		{"+CMS ERROR", "CMS"}, {"+CME ERROR", "CME"}, {"Other final lines", ""},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| code | maker | class | meaning | what is special | to look at | from |\n| --- | --- | --- | --- | --- | --- | --- |\n", s.title)
		for _, m := range meanings {
			if m.set != s.set && (s.set != "" || m.code >= 0) {
				continue
			}
			code := fmt.Sprint(m.code)
			if m.code < 0 {
				code = "`" + m.set + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", code, makers(m.maker), m.class, m.title, special(m), m.hint, m.from)
		}
	}
	return b.String()
}

func makers(s string) string {
	var names []string
	for _, n := range strings.Split(s, "|") {
		if n != "" {
			names = append(names, n[:1]+strings.ToLower(n[1:]))
		}
	}
	return strings.Join(names, ", ")
}

// special puts a rule in words.
func special(m meaning) string {
	var all []string
	add := func(yes bool, words string) {
		if yes {
			all = append(all, words)
		}
	}
	add(m.perhaps, "perhaps the SIM's")
	add(m.first, "the first of a row counts as *later*")
	add(m.sim, "the SIM's after five recipients in a row; until then tried through another SIM at once")
	add(m.stays, "the SIM's when it lasts ten minutes; until then tried through another SIM at once")
	add(m.network, "slows sending down from the second recipient on")
	add(m.times > 0, fmt.Sprintf("refused %d times the message fails", m.times))
	add(m.lasts > 0, fmt.Sprintf("after %d hours the message fails", int(m.lasts/time.Hour)))
	add(m.silent, "*unknown* when it comes late")
	add(m.hold > 0, fmt.Sprintf("the modem waits %d s", int(m.hold/time.Second)))
	add(m.cure != "", string(m.cure))
	return strings.Join(all, "; ")
}
