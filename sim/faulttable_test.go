package sim

import (
	"testing"
	"time"
)

// Every fault does what its words say.
func TestEveryFaultIsShown(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range FaultNames() {
		if seen[name] {
			t.Errorf("%s is in the table twice", name)
		}
		seen[name] = true
		show := demonstrations[name]
		if show == nil {
			t.Errorf("%s is not shown", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			inBubble(t, NetworkOptions{Latency: 2 * time.Second, Retry: time.Minute}, func(t *testing.T, n *Network) {
				m := n.AddModem(ModemOptions{})
				d := plainly(t, m)
				d.ask("AT+CNMI=2,1,0,2,0", "OK")
				x := &trial{T: t, n: n, m: m, d: d}
				show(x)
				m.ClearFaults()
				for _, f := range m.Faults() {
					if f.Set {
						t.Errorf("%s is %q after all were cleared", f.Name, f.Value)
					}
				}
			})
		})
	}
	for name := range demonstrations {
		if !seen[name] {
			t.Errorf("%s is shown and not in the table", name)
		}
	}
}

// FuzzSetFault: a value is refused or understood; what is understood is
// written back in words that mean the same.
func FuzzSetFault(f *testing.F) {
	for i, v := range []string{"on", "3", "always", "5s", "+CMGD=7s,+CPMS=2s", "^BOOT:1|+CREG: 5", "mute", "", "-1", "1e9", "bare", "=", ",,", "||"} {
		f.Add(byte(i), v)
		f.Add(byte(i*5), v)
	}
	f.Fuzz(func(t *testing.T, which byte, value string) {
		x := faultTable[int(which)%len(faultTable)]
		set, err := parseFaults(map[string]string{x.name: value})
		if err != nil {
			return
		}
		var one, two Faults
		set(&one)
		again, err := parseFaults(map[string]string{x.name: x.get(&one)})
		if err != nil {
			t.Fatalf("%s: %q became %q, which is refused: %v", x.name, value, x.get(&one), err)
		}
		again(&two)
		if got, want := x.get(&two), x.get(&one); got != want {
			t.Fatalf("%s: %q became %q and then %q", x.name, value, want, got)
		}
	})
}
