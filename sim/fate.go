package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// Fate returns what the network has in store for a number's messages.
func (n *Network) Fate(number string) Fate {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fates[n.normal(number)]
}

// check refuses fates that no network could have in store.
func (f Fate) check() error {
	if !between(0, 999, f.CMS) {
		return fmt.Errorf("the error %d must be from 1 to 999, or 0 for none", f.CMS)
	}
	if len(f.Reports) > 10 {
		return fmt.Errorf("%d reports are too many: 10 at most", len(f.Reports))
	}
	if len(f.ReportAs) > 21 || strings.Trim(f.ReportAs, "+0123456789") != "" {
		return fmt.Errorf("%q is no number", f.ReportAs)
	}
	return nil
}

// fateForm is a fate as the page asks for it.
type fateForm struct {
	Kind  string // deliver, silent, refuse, report
	Code  string // the error, or the status reports, in hex with blanks
	As    string
	Error string
}

func fateFormOf(f Fate) fateForm {
	form := fateForm{Kind: "deliver", As: f.ReportAs}
	switch {
	case f.CMS != 0:
		form.Kind, form.Code = "refuse", strconv.Itoa(f.CMS)
	case f.Reports != nil:
		form.Kind, form.Code = "report", strings.TrimSpace(fmt.Sprintf("% X", f.Reports))
	case f.Silent:
		form.Kind = "silent"
	}
	return form
}

func (form fateForm) fate() (Fate, error) {
	f := Fate{ReportAs: strings.TrimSpace(form.As)}
	switch form.Kind {
	case "deliver":
	case "silent":
		f.Silent = true
	case "refuse":
		code, err := strconv.Atoi(strings.TrimSpace(form.Code))
		if err != nil || code == 0 {
			return f, fmt.Errorf("%q is no error: write its number, such as 38", form.Code)
		}
		f.CMS = code
	case "report":
		f.Reports = []byte{}
		for s := range strings.FieldsSeq(form.Code) {
			status, err := strconv.ParseUint(s, 16, 8)
			if err != nil {
				return f, fmt.Errorf("%q is no status: write two hex digits, such as 46", s)
			}
			f.Reports = append(f.Reports, byte(status))
		}
	default:
		return f, fmt.Errorf("%q is nothing that a network does", form.Kind)
	}
	return f, f.check()
}
