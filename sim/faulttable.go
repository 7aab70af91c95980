package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what values a fault has, all written as text.
type Kind string

const (
	Switch   Kind = "switch"   // on, off
	Counted  Kind = "times"    // how often it strikes: 3, always, 0
	Number   Kind = "number"   // 0: off
	Duration Kind = "duration" // 5s; 0: off
	Words    Kind = "text"     // "": off
)

// fault is a line of the one table from which the API, the page and SetFault
// are made.
type fault struct {
	name, group string
	words       string
	kind        Kind
	choices     []string // of a text: it is one of these, or anything if there are none
	get         func(f *Faults) string
	set         func(f *Faults, value string) error
}

// Groups of faults, in the order of the page.
var faultGroups = []string{"Hangs", "Plug", "Prompt", "Answers", "Lines", "Settings", "Storage", "Receiving"}

var faultTable = []fault{
	choice("hang", "Hangs", "It is stuck: it answers nothing, its radio is gone, nothing reaches it, or every message fails; hang_cure says what helps.",
		func(f *Faults) *Hang { return &f.Hang }, HangMute, HangRadio, HangDeaf, HangSends),
	choice("hang_cure", "Hangs", "What ends a hang: closing the port, CFUN off and on, a restart, or power. Stronger things help too; without one nothing does.",
		func(f *Faults) *Cure { return &f.Cure }, CureReopen, CureCFUN, CureReset, CurePower),
	onOff("mute", "Hangs", "The port is open, and nothing is heard or said.", func(f *Faults) *bool { return &f.Mute }),
	onOff("block", "Hangs", "The modem reads no more, so writes to the port wait.", func(f *Faults) *bool { return &f.Block }),
	count("lists_hang", "Hangs", "At this many +CMGL it answers nothing more, as old Huaweis do; hang_cure says what helps.", func(f *Faults) *int { return &f.ListsHang }),

	count("unplug_after", "Plug", "It is pulled out after so many bytes more over the line, in or out.", func(f *Faults) *int { return &f.UnplugAfter }),
	span("replug_after", "Plug", "After unplug_after it is plugged in again, this much later.", func(f *Faults) *time.Duration { return &f.ReplugAfter }),
	onOff("renumber", "Plug", "When it comes back its port's link has another number, as ttyUSB0 comes back as ttyUSB1.", func(f *Faults) *bool { return &f.Renumber }),

	span("prompt_delay", "Prompt", "The prompt comes this much later.", func(f *Faults) *time.Duration { return &f.PromptDelay }),
	onOff("prompt_split", "Prompt", "The prompt comes byte by byte.", func(f *Faults) *bool { return &f.SplitPrompt }),
	times("prompt_missing", "Prompt", "No prompt comes, and what is written then is taken as the message.", func(f *Faults) *Times { return &f.NoPrompt }),
	onOff("prompt_deaf", "Prompt", "Nothing is heard before the prompt is out, ESC neither.", func(f *Faults) *bool { return &f.PromptDeaf }),
	promptForm(),

	times("silent", "Answers", "No answer after Ctrl-Z; the message is sent unless lost is on.", func(f *Faults) *Times { return &f.Silent }),
	times("ok_only", "Answers", "OK without +CMGS; the message is sent unless lost is on.", func(f *Faults) *Times { return &f.OKOnly }),
	times("late", "Answers", "The answer comes late_by after its time; the message is sent unless lost is on.", func(f *Faults) *Times { return &f.Late }),
	span("late_by", "Answers", "How late; 0 is 70 seconds.", func(f *Faults) *time.Duration { return &f.LateBy }),
	onOff("late_detached", "Answers", "While an answer is late, commands are obeyed, and it comes in between.", func(f *Faults) *bool { return &f.LateDetached }),
	times("network_timeout", "Answers", "The network never answers, and the modem gives up in its own time and words; the message is sent unless lost is on.",
		func(f *Faults) *Times { return &f.NetworkTimeout }),
	onOff("lost", "Answers", "What silent, ok_only, late and network_timeout strike never reached the network.", func(f *Faults) *bool { return &f.Lost }),
	times("reject", "Answers", "send_error answers the message.", func(f *Faults) *Times { return &f.Reject }),
	times("reject_command", "Answers", "send_error comes instead of the prompt.", func(f *Faults) *Times { return &f.RejectCommand }),
	oneLine("send_error", "Answers", "The answer that reject, reject_command and a hang give, such as +CMS ERROR: 38; empty is the usual one.",
		func(f *Faults) *string { return &f.SendError }),
	pairs("reject_for", "Answers", "Numbers that are refused, and how: +491701234567=+CMS ERROR: 10, and so on with commas.",
		func(f *Faults) *map[string]string { return &f.RejectFor }, func(s string) (string, error) { return s, nil }),
	onOff("report_first", "Answers", "The status report comes before +CMGS.", func(f *Faults) *bool { return &f.ReportFirst }),
	onOff("no_credit", "Answers", "The SIM's credit is gone: every message is refused with +CMS ERROR: 38.", func(f *Faults) *bool { return &f.NoCredit }),
	count("daily_wall", "Answers", "After so many messages a day the SIM's are refused with +CMS ERROR: 21.", func(f *Faults) *int { return &f.DailyWall }),
	times("ussd_silent", "Answers", "The network does not answer a USSD code.", func(f *Faults) *Times { return &f.USSDSilent }),

	onOff("cr_cr_lf", "Lines", "Lines end with CR CR LF.", func(f *Faults) *bool { return &f.CRCRLF }),
	onOff("cr_only", "Lines", "Lines end with CR alone.", func(f *Faults) *bool { return &f.CROnly }),
	onOff("keep_echo", "Lines", "ATE0 is answered OK, and echo stays.", func(f *Faults) *bool { return &f.KeepEcho }),
	several("noise", "Lines", "|", "These lines come in every gap of a dialogue: ^BOOT:1|+CREG: 5.", func(f *Faults) *[]string { return &f.Noise }),
	span("flood", "Lines", "The noise comes this often when nobody speaks; without noise it is ^BOOT.", func(f *Faults) *time.Duration { return &f.Flood }),
	times("garbage", "Lines", "Four thousand octets that are no text, without the end of a line, come before a final result.", func(f *Faults) *Times { return &f.Garbage }),
	pairs("slow", "Lines", "Commands that take time: +CMGD=7s,+CPMS=2s.", func(f *Faults) *map[string]time.Duration { return &f.Slow }, time.ParseDuration),
	several("no_final", "Lines", ",", "Commands whose OK never comes: +CPMS,+CPIN.", func(f *Faults) *[]string { return &f.NoFinal }),

	choice("cpin_form", "Settings", "+CPIN? is answered without the blank, in quotes, or as a bare word without OK.",
		func(f *Faults) *string { return &f.CPINForm }, "tight", "quoted", "bare"),
	onOff("lte_only", "Settings", "+CREG says that it searches while +CEREG says that it is registered.", func(f *Faults) *bool { return &f.LTEOnly }),
	onOff("csq_100", "Settings", "+CSQ counts from 100 to 191.", func(f *Faults) *bool { return &f.CSQ100 }),
	times("silent_reset", "Settings", "After a final result all settings are those of power-on, and nothing tells so.", func(f *Faults) *Times { return &f.SilentReset }),
	onOff("cfun_forgets", "Settings", "All settings are forgotten when the radio is switched on.", func(f *Faults) *bool { return &f.CFUNForgets }),

	count("storage_slots", "Storage", "A memory holds no more than so many messages.", func(f *Faults) *int { return &f.Slots }),
	onOff("cpms_one", "Storage", "+CPMS takes one value and no more.", func(f *Faults) *bool { return &f.CPMSOne }),
	onOff("cpms_three", "Storage", "+CPMS takes three values and no fewer.", func(f *Faults) *bool { return &f.CPMSThree }),
	onOff("cpms_bare", "Storage", "+CPMS= is answered OK alone; +CPMS? tells the sizes.", func(f *Faults) *bool { return &f.CPMSBare }),
	span("count_lag", "Storage", "+CPMS counts nothing for so long after a message came.", func(f *Faults) *time.Duration { return &f.CountLag }),

	onOff("refuse_cnmi", "Receiving", "+CNMI= is refused.", func(f *Faults) *bool { return &f.RefuseCNMI }),
	onOff("forget_cnmi", "Receiving", "+CNMI= is answered OK, and has no effect.", func(f *Faults) *bool { return &f.ForgetCNMI }),
	onOff("refuse_cnma", "Receiving", "+CNMA is refused with 340.", func(f *Faults) *bool { return &f.RefuseCNMA }),
	times("cmti_twice", "Receiving", "A message is announced twice.", func(f *Faults) *Times { return &f.CMTITwice }),
	times("cmti_unknown", "Receiving", "A message is announced with the index -1.", func(f *Faults) *Times { return &f.CMTIUnknown }),
	times("cmti_missing", "Receiving", "A message is stored and not announced.", func(f *Faults) *Times { return &f.CMTIMissing }),
	times("duplicate", "Receiving", "The network misses the acknowledgement and brings the same again.", func(f *Faults) *Times { return &f.Duplicate }),
	times("class_zero", "Receiving", "A message comes as class 0 (flash).", func(f *Faults) *Times { return &f.ClassZero }),
	times("type_zero", "Receiving", "A message of type 0, which nobody may see, comes in front of one.", func(f *Faults) *Times { return &f.TypeZero }),
	onOff("reuse_reference", "Receiving", "Every long message has the reference 1.", func(f *Faults) *bool { return &f.ReuseReference }),
	times("bad_padding", "Receiving", "The unused bits of a text in septets are set.", func(f *Faults) *Times { return &f.BadPadding }),
	times("odd_ucs2", "Receiving", "A UCS2 text has an octet too many.", func(f *Faults) *Times { return &f.OddUCS2 }),
	times("bad_time", "Receiving", "The service centre's time stamp is all F.", func(f *Faults) *Times { return &f.BadTime }),
	times("bad_address", "Receiving", "The length of the sender's number counts its filler.", func(f *Faults) *Times { return &f.BadAddress }),
}

// A value is kept where at points to.

func onOff(name, group, words string, at func(f *Faults) *bool) fault {
	return fault{name: name, group: group, words: words, kind: Switch,
		get: func(f *Faults) string {
			if *at(f) {
				return "on"
			}
			return "off"
		},
		set: func(f *Faults, v string) error {
			switch strings.ToLower(v) {
			case "on", "true", "1":
				*at(f) = true
			case "off", "false", "0", "":
				*at(f) = false
			default:
				return fmt.Errorf("%q must be on or off", v)
			}
			return nil
		}}
}

func times(name, group, words string, at func(f *Faults) *Times) fault {
	return fault{name: name, group: group, words: words, kind: Counted,
		get: func(f *Faults) string {
			if *at(f) < 0 {
				return "always"
			}
			return strconv.Itoa(int(*at(f)))
		},
		set: func(f *Faults, v string) error {
			if v == "always" {
				*at(f) = Always
				return nil
			}
			n, err := whole(v)
			*at(f) = Times(n)
			if err != nil {
				return fmt.Errorf("%w, or always", err)
			}
			return nil
		}}
}

// most is the largest number that a fault may have.
const most = 1_000_000_000

func whole(v string) (int, error) {
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%q must be a number from 0 to %d", v, most)
	}
	return n, nil
}

func count(name, group, words string, at func(f *Faults) *int) fault {
	return fault{name: name, group: group, words: words, kind: Number,
		get: func(f *Faults) string { return strconv.Itoa(*at(f)) },
		set: func(f *Faults, v string) (err error) {
			*at(f), err = whole(v)
			return err
		}}
}

func span(name, group, words string, at func(f *Faults) *time.Duration) fault {
	return fault{name: name, group: group, words: words, kind: Duration,
		get: func(f *Faults) string { return at(f).String() },
		set: func(f *Faults, v string) error {
			if v == "" {
				v = "0"
			}
			d, err := time.ParseDuration(v)
			// A flood without a pause would leave time for nothing else.
			if err != nil || d < 0 || d > 0 && d < time.Millisecond {
				return fmt.Errorf("%q must be a duration such as 5s, of a millisecond at least", v)
			}
			*at(f) = d
			return nil
		}}
}

func oneLine(name, group, words string, at func(f *Faults) *string) fault {
	return fault{name: name, group: group, words: words, kind: Words,
		get: func(f *Faults) string { return *at(f) },
		set: func(f *Faults, v string) error {
			if strings.ContainsFunc(v, control) {
				return fmt.Errorf("%q must be one line", v)
			}
			*at(f) = v
			return nil
		}}
}

func control(r rune) bool { return r < ' ' }

func choice[S ~string](name, group, words string, at func(f *Faults) *S, choices ...S) fault {
	var all []string
	for _, c := range choices {
		all = append(all, string(c))
	}
	return fault{name: name, group: group, words: words, kind: Words, choices: all,
		get: func(f *Faults) string { return string(*at(f)) },
		set: func(f *Faults, v string) error {
			if v != "" && !slices.Contains(all, v) {
				return fmt.Errorf("%q must be one of %s", v, strings.Join(all, ", "))
			}
			*at(f) = S(v)
			return nil
		}}
}

// promptForms are prompts that have been seen.
var promptForms = map[string]string{"": "", "bare": ">", "line": "\r\n>\r\n", "no_space": "\r\n>"}

func promptForm() fault {
	all := slices.Sorted(maps.Keys(promptForms))[1:]
	return fault{name: "prompt_form", group: "Prompt", words: "The prompt is > alone, a line of its own, or has no blank.", kind: Words, choices: all,
		get: func(f *Faults) string {
			for name, s := range promptForms {
				if s == f.Prompt {
					return name
				}
			}
			return f.Prompt
		},
		set: func(f *Faults, v string) error {
			s, known := promptForms[v]
			if !known {
				return fmt.Errorf("%q must be one of %s", v, strings.Join(all, ", "))
			}
			f.Prompt = s
			return nil
		}}
}

func several(name, group, between, words string, at func(f *Faults) *[]string) fault {
	return fault{name: name, group: group, words: words, kind: Words,
		get: func(f *Faults) string { return strings.Join(*at(f), between) },
		set: func(f *Faults, v string) error {
			if strings.ContainsFunc(v, control) {
				return fmt.Errorf("%q must be one line", v)
			}
			*at(f) = nil
			for s := range strings.SplitSeq(v, between) {
				if s = strings.TrimSpace(s); s != "" {
					*at(f) = append(*at(f), s)
				}
			}
			return nil
		}}
}

func pairs[V any](name, group, words string, at func(f *Faults) *map[string]V, read func(string) (V, error)) fault {
	return fault{name: name, group: group, words: words, kind: Words,
		get: func(f *Faults) string {
			var all []string
			for _, k := range slices.Sorted(maps.Keys(*at(f))) {
				all = append(all, fmt.Sprintf("%s=%v", k, (*at(f))[k]))
			}
			return strings.Join(all, ",")
		},
		set: func(f *Faults, v string) error {
			if strings.ContainsFunc(v, control) {
				return fmt.Errorf("%q must be one line", v)
			}
			all := map[string]V{}
			for s := range strings.SplitSeq(v, ",") {
				if s = strings.TrimSpace(s); s == "" {
					continue
				}
				k, value, is := strings.Cut(s, "=")
				x, err := read(value)
				if !is || err != nil {
					return fmt.Errorf("%q is not understood: %s", s, words)
				}
				all[k] = x
			}
			if *at(f) = all; len(all) == 0 {
				*at(f) = nil
			}
			return nil
		}}
}
