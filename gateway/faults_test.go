package gateway

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// recoveryTable is where TestEveryFault writes how long each fault took; make
// bench prints it.
var recoveryTable = flag.String("recovery-table", "", "file for the table of TestEveryFault")

var onlyTrial = flag.String("only-trial", "", "the one trial of TestEveryFault to run")

// trial is one fault, or several that belong together.
type trial struct {
	name   string
	set    map[string]string
	lasts  time.Duration // then it is ended; 0: it ends by itself, or by what cures it
	doubt  bool          // nobody can know whether messages went out
	refuse bool          // messages may fail for good, and say so
}

// alone are the values of faults that are tried by themselves. Every fault of
// the simulator must stand here or in combined; a test sees to that.
var alone = map[string]trial{
	"hang": {}, "hang_cure": {}, "lost": {}, "late_by": {}, "late_detached": {}, "send_error": {}, "replug_after": {}, "renumber": {}, // combined
	"mute":  {set: map[string]string{"mute": "on"}, lasts: time.Minute, doubt: true},
	"block": {set: map[string]string{"block": "on"}, lasts: time.Minute, doubt: true},

	"prompt_delay":   {set: map[string]string{"prompt_delay": "5s"}, lasts: 5 * time.Minute},
	"prompt_split":   {set: map[string]string{"prompt_split": "on"}, lasts: 5 * time.Minute},
	"prompt_missing": {set: map[string]string{"prompt_missing": "2"}},
	"prompt_deaf":    {set: map[string]string{"prompt_deaf": "on", "prompt_delay": "2s"}, lasts: 5 * time.Minute},
	"prompt_form":    {set: map[string]string{"prompt_form": "line"}, lasts: 5 * time.Minute},

	"silent":          {set: map[string]string{"silent": "2"}, doubt: true},
	"ok_only":         {set: map[string]string{"ok_only": "2"}, doubt: true},
	"late":            {set: map[string]string{"late": "2", "late_by": "135s"}, doubt: true},
	"network_timeout": {set: map[string]string{"network_timeout": "2"}, doubt: true},
	"reject":          {set: map[string]string{"reject": "2"}},
	"reject_command":  {set: map[string]string{"reject_command": "2"}},
	"reject_for":      {set: map[string]string{"reject_for": phone + "=+CMS ERROR: 30"}, lasts: 5 * time.Minute, refuse: true},
	"report_first":    {set: map[string]string{"report_first": "on"}, lasts: 5 * time.Minute},
	"no_credit":       {set: map[string]string{"no_credit": "on"}, lasts: 10 * time.Minute},
	"daily_wall":      {set: map[string]string{"daily_wall": "2"}, lasts: 10 * time.Minute, refuse: true},
	"ussd_silent":     {set: map[string]string{"ussd_silent": "2"}, lasts: time.Minute},

	"cr_cr_lf":  {set: map[string]string{"cr_cr_lf": "on"}, lasts: 5 * time.Minute},
	"cr_only":   {set: map[string]string{"cr_only": "on"}, lasts: 5 * time.Minute},
	"keep_echo": {set: map[string]string{"keep_echo": "on", "silent_reset": "1"}, lasts: 5 * time.Minute},
	"noise":     {set: map[string]string{"noise": "^BOOT:1,2|RING|+CREG: 1|^RSSI:12"}, lasts: 5 * time.Minute},
	"flood":     {set: map[string]string{"flood": "50ms"}, lasts: time.Minute},
	"garbage":   {set: map[string]string{"garbage": "3"}, doubt: true},
	"slow":      {set: map[string]string{"slow": "+CMGD=7s,+CPMS=4s,+CSQ=4s"}, lasts: 5 * time.Minute},
	"no_final":  {set: map[string]string{"no_final": "+CPMS,+CPIN"}, lasts: 5 * time.Minute},

	"cpin_form":    {set: map[string]string{"cpin_form": "bare"}, lasts: 5 * time.Minute},
	"lte_only":     {set: map[string]string{"lte_only": "on"}, lasts: 5 * time.Minute},
	"csq_100":      {set: map[string]string{"csq_100": "on"}, lasts: 5 * time.Minute},
	"silent_reset": {set: map[string]string{"silent_reset": "1"}},
	"cfun_forgets": {set: map[string]string{"cfun_forgets": "on", "hang": "radio_gone", "hang_cure": "cfun"}, lasts: 15 * time.Minute},

	"storage_slots": {set: map[string]string{"storage_slots": "3"}, lasts: 5 * time.Minute},
	"cpms_one":      {set: map[string]string{"cpms_one": "on"}, lasts: 5 * time.Minute},
	"cpms_three":    {set: map[string]string{"cpms_three": "on"}, lasts: 5 * time.Minute},
	"cpms_bare":     {set: map[string]string{"cpms_bare": "on"}, lasts: 5 * time.Minute},
	"count_lag":     {set: map[string]string{"count_lag": "500ms"}, lasts: 5 * time.Minute},
	"lists_hang":    {set: map[string]string{"lists_hang": "1", "hang_cure": "reset"}, doubt: true},

	"refuse_cnmi":     {set: map[string]string{"refuse_cnmi": "on", "silent_reset": "1"}, lasts: 5 * time.Minute},
	"forget_cnmi":     {set: map[string]string{"forget_cnmi": "on", "silent_reset": "1"}, lasts: 5 * time.Minute},
	"refuse_cnma":     {set: map[string]string{"refuse_cnma": "on"}, lasts: 5 * time.Minute},
	"cmti_twice":      {set: map[string]string{"cmti_twice": "3"}},
	"cmti_unknown":    {set: map[string]string{"cmti_unknown": "3"}},
	"cmti_missing":    {set: map[string]string{"cmti_missing": "3"}},
	"duplicate":       {set: map[string]string{"duplicate": "2"}},
	"class_zero":      {set: map[string]string{"class_zero": "2"}},
	"type_zero":       {set: map[string]string{"type_zero": "2"}},
	"reuse_reference": {set: map[string]string{"reuse_reference": "on"}, lasts: 5 * time.Minute},
	"bad_padding":     {set: map[string]string{"bad_padding": "2"}},
	"odd_ucs2":        {set: map[string]string{"odd_ucs2": "2"}},
	"bad_time":        {set: map[string]string{"bad_time": "2"}},
	"bad_address":     {set: map[string]string{"bad_address": "2"}},

	"unplug_after": {set: map[string]string{"unplug_after": "250", "replug_after": "5s"}, doubt: true},
}

// trials are all that a family is put through.
func trials(p sim.Profile) []trial {
	var all []trial
	for name, t := range alone {
		if t.set != nil {
			t.name = name
			all = append(all, t)
		}
	}
	for _, lost := range []string{"silent", "ok_only", "network_timeout"} {
		t := alone[lost]
		t.name, t.set = lost+", lost", maps.Clone(t.set)
		t.set["lost"] = "on"
		all = append(all, t)
	}
	late := alone["late"]
	late.name, late.set = "late, detached", maps.Clone(late.set)
	late.set["late_detached"] = "on"
	all = append(all, late)
	for _, at := range []string{"1", "40", "100", "180"} {
		all = append(all, trial{name: "unplug_after " + at, set: map[string]string{"unplug_after": at, "replug_after": "1s"}, doubt: true})
	}
	for _, hang := range []sim.Hang{sim.HangMute, sim.HangRadio, sim.HangDeaf, sim.HangSends} {
		for _, cure := range []sim.Cure{sim.CureReopen, sim.CureCFUN, sim.CureReset, sim.CurePower} {
			all = append(all, trial{name: fmt.Sprintf("hang %s, cured by %s", hang, cure), doubt: hang == sim.HangMute,
				set: map[string]string{"hang": string(hang), "hang_cure": string(cure)}})
		}
	}
	for _, e := range p.SendErrors {
		all = append(all, trial{name: "reject " + e, set: map[string]string{"reject": "1", "send_error": e}, doubt: true, refuse: true})
	}
	slices.SortFunc(all, func(a, b trial) int { return strings.Compare(a.name, b.name) })
	return all
}

// Every fault of the simulator is tried; a new one must be added above.
func TestEveryFaultIsTried(t *testing.T) {
	for _, name := range sim.FaultNames() {
		if _, ok := alone[name]; !ok {
			t.Errorf("the fault %s is tried by no test", name)
		}
	}
}

// Each family is put through each fault: nothing is lost, nothing goes out or
// comes in twice without a mark, and no mark is set where the answer was plain.
func TestEveryFault(t *testing.T) {
	t.Parallel() // it and the other long one take what the machine has
	var mu sync.Mutex
	took := map[string]map[string]time.Duration{} // by trial, by family
	t.Run("families", func(t *testing.T) {
		for _, p := range sim.Profiles() {
			t.Run(p.Slug, func(t *testing.T) {
				t.Parallel()
				inFamily(t, p, func(w *world, h *hub) {
					for _, tr := range trials(p) {
						if *onlyTrial != "" && tr.name != *onlyTrial {
							continue
						}
						d := w.try(h, tr)
						mu.Lock()
						if took[tr.name] == nil {
							took[tr.name] = map[string]time.Duration{}
						}
						took[tr.name][p.Slug] = d
						mu.Unlock()
						if t.Failed() {
							return // what follows would only tell of it again
						}
					}
				})
			})
		}
	})
	if *recoveryTable != "" && !t.Failed() {
		if err := writeTable(*recoveryTable, took); err != nil {
			t.Error(err)
		}
	}
}

// inFamily runs fn with one modem of a family in a socket of a hub.
func inFamily(t *testing.T, p sim.Profile, fn func(*world, *hub)) {
	o := air()
	o.Retry = time.Minute
	inWorld(t, 0, o, func(w *world) {
		h := newHub()
		m := w.net.AddModem(sim.ModemOptions{Name: "m1", Profile: p})
		m.Unplug()
		w.modems = append(w.modems, m)
		w.restart(func(o *Options) {
			o.Discovery = h.discovery(true)
			o.Canary = Canary{Every: time.Hour, Wait: 5 * time.Minute}
			o.Modems = []ModemOptions{{Name: "m1", IMEI: m.IMEI(), Number: m.Number()}}
			if p.USB.Interfaces[0].Driver == "ch341" {
				o.Modems[0].IMEI, o.Modems[0].Port = "", "/none/dev/ttyUSB9"
			}
		})
		h.plugFamily("1-1.2", m)
		w.state("m1", sms.Ready, 2*time.Minute)
		fn(w, h)
	})
}

// try puts the modem through one fault while messages go both ways, and
// returns how long it took until a message that was posted when it began was
// sent, and one that a phone sent then was received.
func (w *world) try(h *hub, tr trial) time.Duration {
	w.t.Helper()
	m := w.modems[0]
	before := len(w.net.Accepted())
	known := len(w.inbound())
	begin := time.Now()
	if err := m.SetFaults(tr.set); err != nil {
		w.t.Fatalf("%s: %v", tr.name, err)
	}
	var sent []sms.Message
	var received []string
	for i := range 5 {
		text := fmt.Sprintf("%s %d", tr.name, i)
		if i == 2 {
			text += strings.Repeat(" and more of it", 14)
		}
		to := []string{phone, "+491700000001", "+491700000002"}[i%3]
		sent = append(sent, w.submit(to, text, func(d *queue.Draft) { d.DeliveryReport = i%2 == 0 }))
		if i%2 == 0 {
			in := "to you: " + text
			if err := w.net.Handset("+491709999999").Send(m.Number(), in); err != nil {
				w.t.Fatal(err)
			}
			received = append(received, in)
		}
		w.pass(3 * time.Second)
	}
	if tr.lasts > 0 {
		w.pass(tr.lasts)
		m.ClearFaults()
	}
	w.settled(tr, sent, before, 4*time.Hour)
	first := w.message(sent[0].ID)
	w.state("m1", sms.Ready, 3*time.Hour)
	w.arrived(tr, received, known, 3*time.Hour)
	m.ClearFaults()          // what has not struck
	w.pass(11 * time.Minute) // the ladder's probation
	last := cmp.Or(first.SentAt, first.UpdatedAt)
	for _, m := range w.inbound() {
		if m.Text == received[0] && !m.PossibleDuplicate && m.CreatedAt.After(last) {
			last = m.CreatedAt
		}
	}
	return max(0, last.Sub(begin))
}

func writeTable(path string, took map[string]map[string]time.Duration) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tabwriter.NewWriter(f, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "| fault")
	for _, p := range sim.Profiles() {
		fmt.Fprintf(w, "\t| %s", p.Slug)
	}
	fmt.Fprint(w, "\t|\n| ---")
	for range sim.Profiles() {
		fmt.Fprint(w, "\t| ---")
	}
	fmt.Fprint(w, "\t|\n")
	for _, name := range slices.Sorted(maps.Keys(took)) {
		fmt.Fprintf(w, "| %s", name)
		for _, p := range sim.Profiles() {
			d, ok := took[name][p.Slug]
			cell := "–"
			if ok {
				cell = d.Round(time.Second).String()
			}
			fmt.Fprintf(w, "\t| %s", cell)
		}
		fmt.Fprint(w, "\t|\n")
	}
	return w.Flush()
}
