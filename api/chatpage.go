package api

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/sms"
)

// chatView is what the chat page is told of who opens it; all else it asks the API.
type chatView struct {
	Me          string
	Send, Admin bool
	Unicode     string   // what becomes of texts that need it
	Modules     []string // of its script
}

// chatModules are what chat.js imports, so that a browser asks for all at once.
var chatModules = []string{"chat-api.js", "chat-compose.js", "chat-count.js", "chat-dialogs.js", "chat-list.js", "chat-notify.js", "chat-outbox.js", "chat-store.js", "chat-talk.js", "chat-ways.js", "chat-words.js"}

// chatPage is the chat: one page for the list and for every conversation.
func (a *API) chatPage(c echo.Context) error {
	if a.o.Chat == nil {
		return notFound.because("This gateway has no conversations.")
	}
	if id := c.Param("id"); id != "" && !strings.HasPrefix(id, "conv_") {
		return notFound.because("There is no such page.")
	}
	key, f := keyOf(c), a.frame(c, "Chat")
	for i, l := range f.Nav {
		f.Nav[i].Current = l.Path == "/chat"
	}
	return a.page(c, http.StatusOK, "chat.html", f, chatView{Me: key.ID, Send: key.Can(auth.Send), Admin: key.Can(auth.Admin),
		Unicode: string(a.o.Desk.Unicode()), Modules: chatModules})
}

// chatAway is what a browser shows of the chat while nobody answers. It keeps it, so
// there is nothing of anybody on it.
func (a *API) chatAway(c echo.Context) error {
	return a.page(c, http.StatusOK, "chat-away.html", frame{}, nil)
}

// worker is the script that keeps it. It stands at the root, so that it may act for /chat.
func (a *API) worker(c echo.Context) error { return a.embedded(c, "sw.js") }

func (a *API) manifest(c echo.Context) error {
	c.Response().Header().Set("Content-Type", "application/manifest+json") // not every machine knows the ending
	return a.embedded(c, "manifest.webmanifest")
}

func (a *API) chatHelp(c echo.Context) error {
	return a.chatText(c, http.StatusOK, "Help", "chat-help.html", nil)
}

// aboutView says what this is and what it is made of.
type aboutView struct {
	Version, Go string
	Modules     []*debug.Module
}

func (a *API) chatAbout(c echo.Context) error {
	v := aboutView{Version: a.o.Version}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go, v.Modules = info.GoVersion, info.Deps
	}
	return a.chatText(c, http.StatusOK, "About", "chat-about.html", v)
}

// termsView are the owner's terms, if there are any.
type termsView struct {
	Terms     string
	MayChange bool
	Said      *saidView
	Fault     string
}

func (a *API) chatTerms(c echo.Context) error {
	v := termsView{MayChange: a.o.Settings != nil && keyOf(c).Can(auth.Admin)}
	if a.o.Settings != nil {
		v.Terms = a.o.Settings.All()[sms.SettingTerms].Value
	}
	return a.showTerms(c, http.StatusOK, v)
}

func (a *API) showTerms(c echo.Context, status int, v termsView) error {
	return a.chatText(c, status, "Terms", "chat-terms.html", v)
}

// changeTerms is the form below them. Terms are longer than other forms.
func (a *API) changeTerms(c echo.Context) error {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, 128<<10)
	if err := r.ParseForm(); err != nil {
		return badRequest.because("The form can't be read.")
	}
	v := termsView{MayChange: true, Terms: strings.ReplaceAll(r.PostForm.Get("terms"), "\r\n", "\n")}
	err := a.set(r.Context(), map[string]string{sms.SettingTerms: v.Terms})
	var refused intake.Refused
	if errors.As(err, &refused) {
		v.Fault = "The terms " + refused[0].Detail + "."
		return a.showTerms(c, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	v.Terms = a.o.Settings.All()[sms.SettingTerms].Value
	v.Said = &saidView{Kind: good, Title: "The terms are kept."}
	return a.showTerms(c, http.StatusOK, v)
}

func (a *API) chatText(c echo.Context, status int, title, name string, data any) error {
	f := a.frame(c, title)
	f.Style = "chat.css"
	return a.page(c, status, name, f, data)
}
