package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// modemPages are the pages of the modems, which do what the API does.
func (n *Network) modemPages(mux *http.ServeMux) {
	base := n.opt.Base
	mux.HandleFunc("GET "+base+"modems/{$}", func(w http.ResponseWriter, r *http.Request) {
		render(w, http.StatusOK, "modems.html", n.indexPage(""))
	})
	mux.HandleFunc("GET "+base+"modems/events", func(w http.ResponseWriter, r *http.Request) {
		n.stream(w, r, "modems", func() any { return n.indexPage("") })
	})
	mux.HandleFunc("GET "+base+"modems/{name}/{$}", n.withModem(func(w http.ResponseWriter, r *http.Request, m *Modem) {
		render(w, http.StatusOK, "modem.html", m.page("", nil))
	}))
	mux.HandleFunc("POST "+base+"modems/{name}/{$}", n.withModem(postModem))
	mux.HandleFunc("GET "+base+"modems/{name}/events", n.withModem(func(w http.ResponseWriter, r *http.Request, m *Modem) {
		n.stream(w, r, "modem", func() any { return m.page("", nil) })
	}))
}

type modemPage struct {
	ModemStatus
	Groups        []faultGroup
	Registrations []string
	Technologies  []string
	Handset       string // somebody who could ring
	Error         string
}

// faultGroup is a form of the page.
type faultGroup struct {
	Name   string
	Set    int  // how many are
	Open   bool // it was written in
	Faults []FaultInfo
}

// page fills in what was written last, if that was refused.
func (m *Modem) page(problem string, written map[string]string) modemPage {
	p := modemPage{ModemStatus: m.Status(), Registrations: registrations, Technologies: []string{"gsm", "umts", "lte"}, Error: problem}
	for _, h := range m.net.Handsets() {
		p.Handset = h.Number()
		break
	}
	for _, name := range faultGroups {
		g := faultGroup{Name: name}
		for _, f := range m.Faults() {
			if f.Group != name {
				continue
			}
			if f.Set {
				g.Set++
			}
			if v, is := written[f.Name]; is {
				f.Value, f.Set, g.Open = v, v != "", true
			}
			g.Faults = append(g.Faults, f)
		}
		p.Groups = append(p.Groups, g)
	}
	return p
}

// postModem is every form of a modem's page; "form" says which one it is.
func postModem(w http.ResponseWriter, r *http.Request, m *Modem) {
	if !readForm(w, r) {
		return
	}
	c, written, err := changeOf(r)
	if err == nil {
		err = m.Change(c)
	}
	if err != nil {
		render(w, http.StatusUnprocessableEntity, "modem.html", m.page("Not done: "+err.Error()+".", written))
		return
	}
	seeOther(w, "./")
}

// changeOf reads a form as the change that the API would be asked for.
func changeOf(r *http.Request) (c ModemChange, written map[string]string, err error) {
	value := func(name string) *string {
		s := strings.TrimSpace(r.PostFormValue(name))
		return &s
	}
	number := func(name string) *int {
		n, bad := strconv.Atoi(*value(name))
		if bad != nil && err == nil {
			err = fmt.Errorf("%q is no number", *value(name))
		}
		return &n
	}
	yes, no := true, false
	switch form := r.PostFormValue("form"); form {
	case "plug":
		c.Present = &yes
	case "unplug":
		c.Present = &no
	case "insert":
		c.SIM = &simChange{Present: &yes}
	case "pull":
		c.SIM = &simChange{Present: &no}
	case "power_cycle", "restart", "clear_faults", "ring", "hang_up":
		c.Action, c.From = form, *value("from")
	case "radio":
		c.Radio = &radioChange{value("registration"), number("rssi"), value("technology"), value("operator")}
	case "sim":
		c.SIM = &simChange{PIN: value("pin"), PINTries: number("pin_tries"), PUKTries: number("puk_tries")}
	case "storage":
		c.Storage = &storageChange{number("sm"), number("me")}
	case "faults":
		written = map[string]string{}
		c.Faults = map[string]json.RawMessage{}
		for _, f := range faultTable {
			if f.group != r.PostFormValue("group") {
				continue
			}
			written[f.name] = *value(f.name) // a box that is not ticked says nothing
			if c.Faults[f.name], err = json.Marshal(written[f.name]); err != nil {
				return c, written, err
			}
		}
	default:
		err = fmt.Errorf("there is no form %q", form)
	}
	return c, written, err
}
