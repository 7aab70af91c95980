package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/files"
	"gatewayd/sms"
)

// uploadPatience is how long an upload may take: the largest one over a slow line.
const uploadPatience = 10 * time.Minute

func (a *API) filesOf() (*files.Store, error) {
	if a.o.Files == nil {
		return nil, notFound.because("This gateway keeps no files.")
	}
	return a.o.Files, nil
}

// uploadFile is POST /v1/files: the body is the file, or a form with it.
func (a *API) uploadFile(c echo.Context) error {
	q := newQuery(c)
	name := q.line("name")
	if err := q.done(); err != nil {
		return err
	}
	store, err := a.filesOf()
	if err != nil {
		return err
	}
	r := c.Request()
	_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(uploadPatience)) // one that knows none has none
	// With room for what a form has around a file: the store counts the file alone.
	r.Body = http.MaxBytesReader(c.Response(), r.Body, store.Max()+64<<10)
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return wrongMediaType.because("Say what the file is: Content-Type: image/jpeg, or application/octet-stream if that is not known. With curl: -H 'Content-Type: image/jpeg' --data-binary @picture.jpg")
	}
	var content io.Reader = r.Body
	if media == "multipart/form-data" && params["boundary"] != "" {
		form, err := r.MultipartReader()
		if err != nil {
			return badRequest.because("The form can't be read.")
		}
		for {
			part, err := form.NextPart()
			if errors.Is(err, io.EOF) {
				return wrong(FieldError{Field: "file", Detail: "is missing: the form has no part of this name"})
			}
			if err != nil {
				return cutOff(err, store)
			}
			if part.FormName() != "file" {
				continue
			}
			content, media = part, part.Header.Get("Content-Type")
			if name == "" {
				name = part.FileName()
			}
			break
		}
	}
	f, err := keep(c, store, name, media, content)
	switch {
	case err != nil:
		return err
	case f.Size == 0:
		return errors.Join(wrong(FieldError{Field: "file", Detail: "is empty"}), store.Remove(f.ID))
	}
	c.Response().Header().Set("Location", "/v1/files/"+f.ID)
	return a.json(c, http.StatusCreated, f)
}

// keep stores what is uploaded.
func keep(c echo.Context, store *files.Store, name, media string, content io.Reader) (sms.File, error) {
	f, err := store.Put(c.Request().Context(), name, media, content)
	if errors.Is(err, files.ErrFull) {
		return f, diskFull.because("There is no room for more files. Old ones go with the messages that they came with.")
	}
	if err != nil {
		return f, cutOff(err, store)
	}
	return f, nil
}

// cutOff tells why an upload could not be read to its end.
func cutOff(err error, store *files.Store) error {
	tooMany := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooMany), errors.Is(err, files.ErrTooLarge):
		return tooLarge.because("The file is larger than %d MB.", store.Max()>>20)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest.because("The file ended before its announced length, or came too slowly.")
	}
	return err
}

// downloadFile is GET /v1/files/{id}. Whatever somebody has uploaded, it runs nothing
// here: its type is what it looks like, only pictures, video and sound are shown, and
// those in a sandbox.
func (a *API) downloadFile(c echo.Context) error {
	store, err := a.filesOf()
	if err != nil {
		return err
	}
	f, content, err := store.Get(c.Request().Context(), param(c, "id"))
	switch {
	case errors.Is(err, files.ErrIncomplete):
		return notFound.because("The file is not here yet: not all of it has come. Try again later.")
	case errors.Is(err, files.ErrNotFound):
		return notFound.because("There is no such file, or it was erased.")
	case err != nil:
		return err
	}
	defer content.Close()
	h := c.Response().Header()
	how, media := "attachment", "application/octet-stream"
	if files.Inline(f.Type) {
		how, media = "inline", f.Type
	}
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", how+"; filename*=UTF-8''"+url.PathEscape(f.Name))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "private, no-cache") // it may be erased
	h.Set("ETag", `"`+f.ID+`"`)
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(uploadPatience))
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, content)
	return nil
}
