package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/contacts"
)

// uploads are files of contacts whose preview somebody is looking at.
type uploads struct {
	mu  sync.Mutex
	all []*upload // the oldest first
}

type upload struct {
	token, principal string
	file             *contacts.File
	o                contacts.Import
	at               time.Time
}

const (
	mostUploads = 4 // some megabytes each
	uploadLife  = 15 * time.Minute
)

// keep keeps a file until it is taken; of too many the oldest goes.
func (u *uploads) keep(one *upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one.token = rand.Text()
	if u.all = append(u.all, one); len(u.all) > mostUploads {
		u.all = u.all[1:]
	}
}

// take returns a file that somebody has uploaded, once; nil: it is gone.
func (u *uploads) take(token, principal string, now time.Time) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, one := range u.all {
		if one.token == token && one.principal == principal {
			u.all = append(u.all[:i:i], u.all[i+1:]...)
			if now.Sub(one.at) > uploadLife {
				return nil
			}
			return one
		}
	}
	return nil
}

// importPageView is the page that imports contacts.
type importPageView struct {
	Said   *saidView
	Token  string // of the file that is shown; "": none
	Report *importView
	Come   int // rows that would be new or change something
	Groups []contacts.Group
	Group  string
	Most   int
	MB     int
}

func (a *API) importPage(c echo.Context) error {
	return a.showImport(c, http.StatusOK, importPageView{Group: c.QueryParam("group")})
}

func (a *API) showImport(c echo.Context, status int, v importPageView) error {
	key := keyOf(c)
	known, _, err := a.known(key, nil)
	if err != nil {
		return err
	}
	if v.Groups, err = known.Groups(c.Request().Context(), contacts.Of{Team: teamOf(key)}); err != nil {
		return err
	}
	v.Most, v.MB = contacts.MaxRows, contacts.MaxFile>>20
	frame := a.frame(c, "Import contacts")
	frame.Style = "contacts.css"
	return a.page(c, status, "import.html", frame, v)
}

// pressImport shows what would become of a file, or imports one that was shown.
func (a *API) pressImport(c echo.Context) error {
	r, key := c.Request(), keyOf(c)
	known, _, err := a.known(key, nil)
	if err != nil {
		return err
	}
	form, data, err := readUpload(c)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.Context())
	refuse := func(title string, lines ...string) error {
		return a.showImport(c, http.StatusUnprocessableEntity, importPageView{Said: &saidView{Kind: bad, Title: title, Lines: lines}, Group: form["group"]})
	}
	switch form["do"] {
	case "preview":
		if len(data) == 0 {
			return refuse("Choose a file first")
		}
		f, err := known.Read(data)
		if contacts.Unreadable(err) {
			return refuse("This file can’t be imported", capital(err.Error())+".")
		}
		if err != nil {
			return err
		}
		u := &upload{principal: key.Principal, file: f, at: a.now(), o: contacts.Import{Team: teamOf(key), By: key.ID, Replace: form["existing"] == "replace", Group: form["group"], Good: true}}
		dry := u.o
		dry.Dry = true
		report, err := known.Import(ctx, f, dry)
		if err != nil {
			return err
		}
		a.uploads.keep(u)
		view := viewImport(report)
		return a.showImport(c, http.StatusOK, importPageView{Token: u.token, Report: &view, Come: view.New + view.Changed, Group: form["group"]})
	case "import":
		u := a.uploads.take(form["token"], key.Principal, a.now())
		if u == nil {
			return refuse("The file is not there any more", "It is kept for 15 minutes. Choose it once more.")
		}
		report, err := known.Import(ctx, u.file, u.o)
		if status, said := refusedContacts(err); said != nil {
			return a.showImport(c, status, importPageView{Said: said})
		}
		if err != nil {
			return err
		}
		view := viewImport(report)
		said := &saidView{Kind: good, Title: fmt.Sprintf("%s new, %d changed.", countOf(view.New, "contact is", "contacts are"), view.Changed)}
		return a.showContacts(c, http.StatusOK, contactsView{Said: said}, u.o.Group)
	}
	return badRequest.because("The form does not say what to do.")
}

// readUpload reads a form with a file in it.
func readUpload(c echo.Context) (form map[string]string, file []byte, err error) {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, contacts.MaxFile+64<<10)
	form = map[string]string{}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, nil, badRequest.because("The form can't be read.")
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return form, file, nil
		}
		var b []byte
		if err == nil {
			most := int64(8 << 10)
			if part.FormName() == "file" {
				most = contacts.MaxFile + 1
			}
			b, err = io.ReadAll(io.LimitReader(part, most))
		}
		if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
			return nil, nil, tooLarge.because("The file is larger than %d MB: import it in pieces.", contacts.MaxFile>>20)
		}
		if err != nil {
			return nil, nil, badRequest.because("The form can't be read.")
		}
		if part.FormName() == "file" {
			file = b
		} else {
			form[part.FormName()] = string(b)
		}
	}
}
