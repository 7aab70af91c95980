package api

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatewayd/sms"
)

// aimView is the page of somebody who turns an antenna. Its script writes the same
// figures anew, about once a second.
type aimView struct {
	Modems []string
	Name   string // the chosen one, "" if there is none
	Pill   pill
	Reason string
	Facts  []fact
	Level  *levelView // nil: no signal
}

type fact struct{ ID, Name, Value string }

// levelView is the figure that counts: RSRP where there is one, else the RSSI.
type levelView struct {
	Kind   string // RSRP, RSSI
	Figure string // −91
	Word   pill
	Share  int // of the bar, in percent
}

// The ends of the bar, in dBm. The script has them from the page.
var levelScales = map[string][2]float64{"RSRP": {-130, -70}, "RSSI": {-113, -51}}

// signalPills says the quality of a signal in plain words.
var signalPills = map[string]pill{"good": {"good", good}, "fair": {"fair", warn}, "poor": {"poor", bad}, "none": {"next to nothing", bad}}

func levelOf(s *sms.Signal) *levelView {
	if s == nil {
		return nil
	}
	v := levelView{Kind: "RSSI", Word: signalPills[s.Quality]}
	dbm := float64(s.DBm)
	if s.RSRP != nil {
		v.Kind, dbm = "RSRP", *s.RSRP
	}
	scale := levelScales[v.Kind]
	v.Figure = minus(strconv.Itoa(int(math.Round(dbm))))
	v.Share = int(math.Round(min(max((dbm-scale[0])/(scale[1]-scale[0]), 0), 1) * 100))
	return &v
}

// minus writes a negative number with the sign that is meant for it.
func minus(s string) string { return strings.Replace(s, "-", "−", 1) }

// decibels is a value with its unit, or a dash.
func decibels(v *float64, unit string) string {
	if v == nil {
		return "–"
	}
	return minus(strconv.FormatFloat(*v, 'f', -1, 64)) + " " + unit
}

// aimPage shows one modem's signal, big enough to be read from a ladder.
func (a *API) aimPage(c echo.Context) error {
	v, wanted := aimView{}, c.QueryParam("modem")
	var chosen *sms.Modem
	all := slices.DeleteFunc(a.modems(keyOf(c)), func(m sms.Modem) bool { return m.Unidentified })
	for i := range all {
		m := &all[i]
		v.Modems = append(v.Modems, m.Name)
		better := chosen == nil || chosen.State == sms.Absent && m.State != sms.Absent
		if m.Name == wanted || wanted == "" && better {
			chosen = m
		}
	}
	if chosen == nil && wanted != "" {
		return notFound.because("No modem has the name %q.", shorten(wanted))
	}
	if chosen != nil {
		m := *chosen
		signal := or(m.Signal, sms.Signal{})
		rssi := "–"
		if m.Signal != nil {
			rssi = minus(strconv.Itoa(signal.DBm)) + " dBm"
		}
		v.Name, v.Pill, v.Reason, v.Level = m.Name, modemWords[m.State], m.Reason, levelOf(m.Signal)
		v.Facts = []fact{
			{"operator", "Operator", m.Operator}, {"technology", "Technology", m.Technology}, {"cell", "Cell", m.Cell},
			{"rsrp", "RSRP", decibels(signal.RSRP, "dBm")}, {"rsrq", "RSRQ", decibels(signal.RSRQ, "dB")}, {"sinr", "SINR", decibels(signal.SINR, "dB")},
			{"rssi", "RSSI", rssi},
		}
		for i := range v.Facts {
			if v.Facts[i].Value == "" {
				v.Facts[i].Value = "–"
			}
		}
	}
	f := a.frame(c, "Aim the antenna")
	f.Style, f.Script = "aim.css", "aim.js"
	return a.page(c, http.StatusOK, "aim.html", f, v)
}
