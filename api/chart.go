package api

import (
	"fmt"
	"math"
	"strings"
	"time"

	"gatewayd/sms"
)

const (
	chartSpan = 24 * time.Hour
	// The drawing's own units: a step of the history is one wide, a dB one high.
	chartWidth     = int(chartSpan / sms.SignalStep)
	strongest      = -45.0 // dBm at its upper edge; what is beyond lies on the edge
	weakest        = -125.0
	chartHeight    = int(strongest - weakest)
	mostApart      = sms.SignalStep * 3 / 2 // of two samples that are joined
	weakRSRP       = -105.0                 // below it is shaded: see readings
	hoursInTheList = 24
)

// chartView is the signal of the last 24 hours, as it is drawn and as a table.
type chartView struct {
	Label         string // what it says, for those who don't see it
	Width, Height int
	RSRP, RSSI    string // paths; "" without such measures
	Away          []awayView
	WeakFrom      int // where the shade of a weak RSRP begins
	Ticks         []int
	Rows          []chartRow
	Least, Mean   string // of RSRP, else of RSSI
	Of            string // which of them
}

// awayView is a time without any sample.
type awayView struct{ X, Width int }

// chartRow is an hour.
type chartRow struct {
	At          time.Time
	Mean, Worst string
	Technology  string
}

// viewChart draws what was measured; nil if nothing was.
func viewChart(samples []sms.SignalSample, now time.Time) *chartView {
	begin := now.Add(-chartSpan)
	v := &chartView{Width: chartWidth, Height: chartHeight, WeakFrom: heightOf(weakRSRP), Of: "RSSI"}
	for h := 6; h < 24; h += 6 {
		v.Ticks = append(v.Ticks, h*chartWidth/24)
	}
	var day hour
	var lineP, lineI line
	hours := map[int64]*hour{}
	last := 0 // up to where something was measured
	any := false
	for _, s := range samples {
		if s.At.Before(begin.Add(-sms.SignalStep)) || s.At.After(now) {
			continue
		}
		any = true
		x := min(max(int(s.At.Sub(begin)/sms.SignalStep), 0), chartWidth-1)
		if x > last+1 {
			v.Away = append(v.Away, awayView{last, x - last})
		}
		last = x + 1
		lineP.add(s.At, x, s.RSRP)
		lineI.add(s.At, x, s.DBm)
		day.add(s)
		at := s.At.Truncate(time.Hour)
		h := hours[at.Unix()]
		if h == nil {
			h = &hour{}
			hours[at.Unix()] = h
		}
		h.add(s)
	}
	if !any {
		return nil
	}
	if chartWidth > last+1 {
		v.Away = append(v.Away, awayView{last, chartWidth - last})
	}
	v.RSRP, v.RSSI = lineP.String(), lineI.String()
	all := day.rssi
	if 2*day.rsrp.n >= day.rssi.n { // else it has it of a few minutes only
		v.Of, all = "RSRP", day.rsrp
	}
	for i := range hoursInTheList + 1 {
		at := begin.Truncate(time.Hour).Add(time.Duration(i) * time.Hour)
		if h := hours[at.Unix()]; h != nil {
			m := h.rssi
			if v.Of == "RSRP" {
				m = h.rsrp
			}
			v.Rows = append(v.Rows, chartRow{At: at, Mean: m.String(), Worst: m.least(), Technology: h.technology})
		}
	}
	v.Mean, v.Least = all.String(), all.least()
	v.Label = fmt.Sprintf("Signal of the last 24 hours: %s was %s on average, %s at its weakest", v.Of, v.Mean, v.Least)
	if len(v.Away) > 0 {
		v.Label += "; there are times without a signal"
	}
	return v
}

// heightOf is where a measure lies in the drawing.
func heightOf(dBm float64) int {
	return int(math.Round(strongest - min(max(dBm, weakest), strongest)))
}

// line is a path that has a gap where nothing was measured.
type line struct {
	strings.Builder
	last time.Time
}

func (l *line) add(at time.Time, x int, dBm *float64) {
	if dBm == nil {
		return
	}
	if y := heightOf(*dBm); l.last.IsZero() || at.Sub(l.last) > mostApart {
		fmt.Fprintf(l, "M%d %dh1", x, y) // one alone is a dash
	} else {
		fmt.Fprintf(l, "L%d %d", x+1, y)
	}
	l.last = at
}

// mean is the mean of measures and the least of them.
type mean struct {
	n          int
	sum, worst float64
}

func (m *mean) add(v *float64) {
	if v == nil {
		return
	}
	if m.n == 0 || *v < m.worst {
		m.worst = *v
	}
	m.sum += *v
	m.n++
}

func (m mean) String() string {
	if m.n == 0 {
		return "–"
	}
	return dBm(m.sum / float64(m.n))
}

func (m mean) least() string {
	if m.n == 0 {
		return "–"
	}
	return dBm(m.worst)
}

func dBm(v float64) string { return strings.Replace(fmt.Sprintf("%.0f dBm", v), "-", "−", 1) }

// hour gathers the samples of one hour, or of the day.
type hour struct {
	rsrp, rssi mean
	technology string
}

func (h *hour) add(s sms.SignalSample) {
	h.rsrp.add(s.RSRP)
	h.rssi.add(s.DBm)
	for m, worst := range map[*mean]*float64{&h.rsrp: s.WorstRSRP, &h.rssi: s.WorstDBm} {
		if worst != nil && m.n > 0 {
			m.worst = min(m.worst, *worst)
		}
	}
	h.technology = s.Technology
}
