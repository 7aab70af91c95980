package api

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/chat"
	"gatewayd/sms"
)

// maxGroupForm is how much may be in a form of a group, without its files: a thousand
// members may be ticked.
const maxGroupForm = 128 << 10

// readGroupForm reads a form of the page of contacts. Files that come with it are stored,
// and stand in it as file, by their ids.
func (a *API) readGroupForm(c echo.Context) (url.Values, error) {
	r := c.Request()
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "multipart/form-data" { // what can't be read is no such form
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxGroupForm)
		if err := r.ParseForm(); err != nil {
			return nil, badRequest.because("The form can't be read.")
		}
		return r.PostForm, nil
	}
	most := int64(maxGroupForm)
	if a.o.Files != nil {
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(uploadPatience)) // one that knows none has none
		most += chat.MostFiles * a.o.Files.Max()
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, most)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, badRequest.because("The form can't be read.")
	}
	form, room := url.Values{}, int64(maxGroupForm)
	for {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return form, nil
		case err != nil:
			return nil, badRequest.because("The form can't be read.")
		case part.FileName() != "" && len(form["file"]) > chat.MostFiles:
			continue // it is refused for these already
		case part.FileName() != "":
			id, err := a.storeOf(c, part)
			if err != nil {
				return nil, err
			}
			form.Add("file", id)
			continue
		}
		b, err := io.ReadAll(io.LimitReader(part, room+1))
		if room -= int64(len(b)); err != nil || room < 0 {
			return nil, badRequest.because("The form can't be read.")
		}
		if len(b) > 0 || part.FormName() != "file" { // without a file its field comes empty
			form.Add(part.FormName(), string(b))
		}
	}
}

// storeOf stores a file of a form, and returns its id.
func (a *API) storeOf(c echo.Context, part *multipart.Part) (id string, err error) {
	store, err := a.filesOf()
	if err != nil {
		return "", err
	}
	f, err := keep(c, store, part.FileName(), part.Header.Get("Content-Type"), part)
	if err != nil {
		return "", err
	}
	return f.ID, nil
}

// attached are the files that an earlier try has stored, as far as they are there.
func (a *API) attached(c echo.Context, ids []string) (all []sms.File) {
	if a.o.Files == nil {
		return nil
	}
	for _, id := range ids {
		f, content, err := a.o.Files.Get(c.Request().Context(), id)
		if err != nil {
			continue // it is chosen again
		}
		content.Close()
		all = append(all, f)
	}
	return all
}
