package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one figure with its floor.
type row struct {
	figure, value, floor, ratio, goal string
}

type table struct {
	rows  []row
	notes []string // printed under it
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// print writes the table as Markdown, in columns, so that it can be read as it
// is and pasted into a page.
func (t *table) print(out io.Writer) {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 4, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, "\t| ")+"\t|") }
	line("figure", "gateway", "floor", "ratio (min–max)", "goal")
	line("---", "---", "---", "---", "---")
	for _, r := range t.rows {
		for _, cell := range []*string{&r.value, &r.floor, &r.ratio, &r.goal} {
			if *cell == "" {
				*cell = "–"
			}
		}
		line(r.figure, r.value, r.floor, r.ratio, r.goal)
	}
	if len(t.rows) > 0 {
		w.Flush()
	}
	for _, note := range t.notes {
		fmt.Fprintf(out, "\n%s\n", note)
	}
}

// series is one figure over the rounds.
type series []float64

func (s series) median() float64 { return s.at(0.5) }

// at returns a quantile, the nearest that was measured.
func (s series) at(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	if q == 0.5 && len(sorted)%2 == 0 {
		return (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s series) sum() (sum float64) {
	for _, x := range s {
		sum += x
	}
	return sum
}

// over divides round by round.
func (s series) over(floor series) series {
	var r series
	for i := range min(len(s), len(floor)) {
		if floor[i] > 0 {
			r = append(r, s[i]/floor[i])
		}
	}
	return r
}

// spread is "median (min–max)".
func (s series) spread(format string) string {
	if len(s) == 0 {
		return ""
	}
	if len(s) == 1 {
		return fmt.Sprintf(format, s[0])
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.median(), slices.Min(s), slices.Max(s))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// duration shows microseconds in the unit that reads best.
func duration(us float64) string {
	switch {
	case us >= 100_000:
		return fmt.Sprintf("%.0f ms", us/1000)
	case us >= 1000:
		return fmt.Sprintf("%.2f ms", us/1000)
	case us >= 10:
		return fmt.Sprintf("%.0f µs", us)
	}
	return fmt.Sprintf("%.1f µs", us)
}

// compare makes a row of rounds of the gateway and of its floor.
func compare(figure, unit, goal string, value, floor series) row {
	show := func(s series) string {
		switch unit {
		case "/s":
			return fmt.Sprintf("%.0f/s", s.median())
		default:
			return duration(s.median())
		}
	}
	return row{figure, show(value), show(floor), value.over(floor).spread("%.2f"), goal}
}
