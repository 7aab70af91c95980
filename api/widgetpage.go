package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/widget"
)

// widgetsView is the page of the widgets.
type widgetsView struct {
	Widgets  []widgetLink
	Edit     *widgetEdit // nil: none is edited
	Images   []widget.Image
	Presets  []widget.Preset
	Fonts    []widget.Choice
	Language []widget.Choice
}

type widgetLink struct {
	ID, Name, Where string
	Pill            pill
	Current         bool
}

// widgetEdit is what is edited: a widget, a new one, or what all have.
type widgetEdit struct {
	ID       string // "": a new one
	Common   bool
	Override bool
	widget.Settings
	Origin   string // the origins, a line each
	Embed    string
	Key      string
	OldUntil time.Time
	Version  int64
	Versions []versionView
}

type versionView struct {
	Version int64
	By      string
	At      time.Time
	Back    int64 // the version that it brings back; 0: none
	Now     bool
}

// widgetsPage lists the widgets, and shows one to be edited.
func (a *API) widgetsPage(c echo.Context) error {
	w, err := a.widgets()
	if err != nil {
		return err
	}
	ctx, wanted := c.Request().Context(), c.QueryParam("widget")
	all, err := w.List(ctx)
	if err != nil {
		return err
	}
	v := widgetsView{Presets: widget.Presets(), Fonts: widget.Fonts(), Language: widget.LanguageNames()}
	if v.Images, err = w.Images(ctx); err != nil {
		return err
	}
	for i := range all {
		one := &all[i]
		link := widgetLink{ID: one.ID, Name: one.Name, Where: strings.Join(one.Origins, ", "), Pill: pill{"on", good}, Current: one.ID == wanted}
		if !one.Enabled {
			link.Pill = pill{"off", idle}
		} else if len(one.Origins) == 0 {
			link.Pill, link.Where = pill{"no site", warn}, "no site may show it yet"
		}
		v.Widgets = append(v.Widgets, link)
	}
	if wanted != "" {
		if v.Edit, err = a.editWidget(c, w, all, wanted); err != nil {
			return err
		}
	}
	f := a.frame(c, "Widgets")
	f.Style, f.Script = "widgets.css", "widgets.js"
	return a.page(c, http.StatusOK, "widgets.html", f, v)
}

func (a *API) editWidget(c echo.Context, w *widget.Widgets, all []widget.Widget, wanted string) (*widgetEdit, error) {
	ctx := c.Request().Context()
	e := &widgetEdit{Settings: widget.Defaults()}
	id := wanted
	switch wanted {
	case "new":
		return e, nil
	case "common":
		common, version, err := w.Common(ctx)
		if err != nil {
			return nil, err
		}
		e.Common, e.Override, e.Theme, e.Banner, e.Version, id = true, common.Override, common.Theme, common.Banner, version, ""
	default:
		at := slices.IndexFunc(all, func(one widget.Widget) bool { return one.ID == wanted })
		if at < 0 {
			return nil, notFound.because("There is no such widget.")
		}
		one := &all[at]
		e.ID, e.Settings, e.Key, e.Version = one.ID, one.Settings, one.Key, one.Version
		e.Origin, e.Embed = strings.Join(one.Origins, "\n"), one.Line(baseOf(c.Request()))
		if one.OldUntil != nil && one.OldUntil.After(a.now()) {
			e.OldUntil = *one.OldUntil
		}
	}
	versions, err := w.Versions(ctx, id)
	for i, v := range versions {
		e.Versions = append(e.Versions, versionView{Version: v.Version, By: v.By.Name, At: v.At, Back: or(v.BroughtBy, 0), Now: i == 0})
	}
	return e, err
}

// mostSettings is the largest form of a preview: terms are ten thousand characters.
const mostSettings = 128 << 10

// previewWidget answers with the real frame, as it would be with what is in the form.
func (a *API) previewWidget(c echo.Context) error {
	w, err := a.widgets()
	if err != nil {
		return err
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, mostSettings)
	if err := r.ParseForm(); err != nil {
		return badRequest.because("The form can't be read.")
	}
	settings := []byte(r.PostForm.Get("settings"))
	if r.PostForm.Get("common") != "" {
		var common widget.Common
		if json.Unmarshal(settings, &common) != nil {
			return badRequest.because("The settings are no JSON of these settings.")
		}
		return w.PreviewCommon(r.Context(), c.Response(), common)
	}
	s := widget.Defaults()
	if err := json.Unmarshal(settings, &s); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return badRequest.because("%s can't be a %s.", wrong.Field, wrong.Value)
		}
		return badRequest.because("The settings are no JSON of these settings.")
	}
	return w.Preview(r.Context(), c.Response(), s)
}
