package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// statuses are the pictures of all modems.
func (n *Network) statuses() []ModemStatus {
	all := []ModemStatus{}
	for _, m := range n.Modems() {
		all = append(all, m.Status())
	}
	return all
}

// modem returns the modem of that name, nil if there is none.
func (n *Network) modem(name string) *Modem {
	for _, m := range n.Modems() {
		if m.name == name {
			return m
		}
	}
	return nil
}

// api are the routes that speak JSON; docs/simulator.md shows them.
func (n *Network) api(mux *http.ServeMux) {
	base := n.opt.Base
	mux.HandleFunc("GET "+base+"modems", func(w http.ResponseWriter, r *http.Request) { answer(w, n.statuses()) })
	mux.HandleFunc("GET "+base+"modems/{name}", n.withModem(func(w http.ResponseWriter, r *http.Request, m *Modem) { answer(w, m.Status()) }))
	mux.HandleFunc("PATCH "+base+"modems/{name}", n.withModem(func(w http.ResponseWriter, r *http.Request, m *Modem) {
		var c ModemChange
		if !decode(w, r, &c) {
			return
		}
		if err := m.Change(c); err != nil {
			problem(w, http.StatusUnprocessableEntity, err)
			return
		}
		answer(w, m.Status())
	}))
	mux.HandleFunc("GET "+base+"faults", func(w http.ResponseWriter, r *http.Request) { answer(w, faultList()) })
	mux.HandleFunc("GET "+base+"numbers/{number}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, fateBodyOf(n.Fate(r.PathValue("number"))))
	})
	mux.HandleFunc("PUT "+base+"numbers/{number}", n.putFate)
	mux.HandleFunc("POST "+base+"{number}/messages", n.postMessage)
}

type faultBody struct {
	Name    string   `json:"name"`
	Group   string   `json:"group"`
	Words   string   `json:"words"`
	Kind    Kind     `json:"kind"`
	Choices []string `json:"choices,omitempty"`
}

func faultList() (all []faultBody) {
	for _, f := range faultTable {
		all = append(all, faultBody{f.name, f.group, f.words, f.kind, f.choices})
	}
	return all
}

// fateBody is Fate in JSON; bytes would be written as base64.
type fateBody struct {
	CMS      int    `json:"cms"`
	Reports  []int  `json:"reports"` // null: delivered, and reported as it goes
	Silent   bool   `json:"silent"`
	ReportAs string `json:"report_as"`
}

func fateBodyOf(f Fate) fateBody {
	b := fateBody{CMS: f.CMS, Silent: f.Silent, ReportAs: f.ReportAs}
	if f.Reports != nil {
		b.Reports = []int{}
	}
	for _, status := range f.Reports {
		b.Reports = append(b.Reports, int(status))
	}
	return b
}

func (n *Network) putFate(w http.ResponseWriter, r *http.Request) {
	var b fateBody
	if !decode(w, r, &b) {
		return
	}
	number := r.PathValue("number")
	f := Fate{CMS: b.CMS, Silent: b.Silent, ReportAs: b.ReportAs}
	if b.Reports != nil {
		f.Reports = []byte{}
	}
	for _, status := range b.Reports {
		if !between(0, 255, status) {
			problem(w, http.StatusUnprocessableEntity, fmt.Errorf("the status %d must be from 0 to 255", status))
			return
		}
		f.Reports = append(f.Reports, byte(status))
	}
	err := f.check()
	if n.normal(number) == "" {
		err = fmt.Errorf("%q is not a phone number; write it like +491701234567", number)
	}
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, err)
		return
	}
	n.SetFate(number, f)
	answer(w, fateBodyOf(f))
}

// messageBody is a message on a handset.
type messageBody struct {
	ID        int       `json:"id"`
	Incoming  bool      `json:"incoming"`
	Peer      string    `json:"peer"`
	Text      string    `json:"text"`
	Data      []byte    `json:"data,omitempty"` // base64
	Parts     int       `json:"parts"`
	Flash     bool      `json:"flash"`
	At        time.Time `json:"at"`
	Delivered bool      `json:"delivered"`
}

func (n *Network) listMessages(w http.ResponseWriter, r *http.Request) {
	h := n.existing(r.PathValue("number"))
	if h == nil {
		problem(w, http.StatusNotFound, errors.New("there is no such handset yet: send something to it or from it"))
		return
	}
	all := []messageBody{}
	for _, m := range h.Messages() {
		all = append(all, messageBody{m.ID, m.Incoming, m.Peer, m.Text, m.Data, m.Parts, m.Class == 0, m.At, m.Delivered})
	}
	answer(w, all)
}

// postMessage has a handset send; one that is not there yet is made.
func (n *Network) postMessage(w http.ResponseWriter, r *http.Request) {
	var b struct {
		To   string `json:"to"`
		As   string `json:"as"` // one of Specials; "": a text
		Text string `json:"text"`
	}
	if !decode(w, r, &b) {
		return
	}
	h := n.Handset(r.PathValue("number"))
	if h == nil {
		problem(w, http.StatusUnprocessableEntity, fmt.Errorf("%q can't be a handset: it takes a number that no modem has", r.PathValue("number")))
		return
	}
	if err := h.SendSpecial(b.To, b.As, b.Text); err != nil {
		problem(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (n *Network) withModem(f func(http.ResponseWriter, *http.Request, *Modem)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m := n.modem(r.PathValue("name"))
		if m == nil {
			problem(w, http.StatusNotFound, fmt.Errorf("there is no modem %q", r.PathValue("name")))
			return
		}
		f(w, r, m)
	}
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows the JSON object")
		}
	}
	if err != nil {
		problem(w, http.StatusBadRequest, fmt.Errorf("the body can't be read: %w", err))
	}
	return err == nil
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the reader may be gone
}

func problem(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": err.Error()})
}
