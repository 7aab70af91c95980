package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"gatewayd/queue"
	"gatewayd/widget"
	"gatewayd/wire"
)

// maxKeyOverlap is how long a widget's key that was replaced may stay good.
const maxKeyOverlap = 31 * 24 * time.Hour

func (a *API) widgets() (*widget.Widgets, error) {
	if a.o.Widgets == nil {
		return nil, notFound.because("This gateway has no widgets.")
	}
	return a.o.Widgets, nil
}

// widgetProblem is what is told of an error of the widgets.
func widgetProblem(err error) error {
	var bad widget.Wrong
	switch {
	case errors.As(err, &bad):
		fields := make([]FieldError, len(bad))
		for i, f := range bad {
			fields[i] = FieldError{Field: f.Field, Detail: f.Detail}
		}
		return wrong(fields...)
	case errors.Is(err, widget.ErrNotFound):
		return notFound.because("There is no such widget, version or image.")
	}
	return err
}

// widgetJSON is a widget with the line that pages need.
type widgetJSON struct {
	widget.Widget
	Embed string `json:"embed"`
}

func viewWidget(w widget.Widget, r *http.Request) widgetJSON {
	return widgetJSON{w, w.Line(baseOf(r))}
}

// commonJSON is what all widgets have beside their own.
type commonJSON struct {
	widget.Common
	Version int64 `json:"version"`
}

// by is who changes a widget.
func (in *incoming) by() widget.By { return widget.By{ID: in.key.ID, Name: in.key.Name} }

// merge puts the members of a request's body over v: what is not given, or null, stays.
// Its types are the document's, which has checked it.
func (in *incoming) merge(v any) error {
	if err := json.Unmarshal(in.raw, v); err != nil {
		return badRequest.because("The body can't be read: %v.", err)
	}
	return nil
}

// withWidgets answers with what do makes of the widgets.
func withWidgets[T any](a server, status int, do func(*widget.Widgets) (T, error)) (reply, error) {
	w, err := a.widgets()
	if err != nil {
		return reply{}, err
	}
	v, err := do(w)
	if err != nil {
		return reply{}, widgetProblem(err)
	}
	return reply{status: status, v: v}, nil
}

// ListWidgets lists the widgets, newest first.
func (a server) ListWidgets(ctx context.Context, _ ListWidgetsRequestObject) (ListWidgetsResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (any, error) {
		all, err := w.List(ctx)
		views := make([]widgetJSON, len(all))
		for i := range all {
			views[i] = viewWidget(all[i], from(ctx).request)
		}
		return map[string]any{"widgets": views}, err
	})
}

// CreateWidget makes a widget.
func (a server) CreateWidget(ctx context.Context, _ CreateWidgetRequestObject) (CreateWidgetResponseObject, error) {
	in, s := from(ctx), widget.Defaults()
	if err := in.merge(&s); err != nil {
		return nil, err
	}
	var id string
	r, err := withWidgets(a, http.StatusCreated, func(w *widget.Widgets) (widgetJSON, error) {
		one, err := w.Create(ctx, s, in.by())
		id = one.ID
		return viewWidget(one, in.request), err
	})
	r.header = map[string]string{"Location": "/v1/widgets/" + id}
	return r, err
}

// GetWidget shows a widget.
func (a server) GetWidget(ctx context.Context, r GetWidgetRequestObject) (GetWidgetResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (widgetJSON, error) {
		one, err := w.Get(ctx, r.ID)
		return viewWidget(one, from(ctx).request), err
	})
}

// ChangeWidget changes a widget, which makes a new version of it.
func (a server) ChangeWidget(ctx context.Context, r ChangeWidgetRequestObject) (ChangeWidgetResponseObject, error) {
	in := from(ctx)
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (widgetJSON, error) {
		one, err := w.Change(ctx, r.ID, in.by(), func(s *widget.Settings) error { return in.merge(s) })
		return viewWidget(one, in.request), err
	})
}

// DeleteWidget deletes a widget.
func (a server) DeleteWidget(ctx context.Context, r DeleteWidgetRequestObject) (DeleteWidgetResponseObject, error) {
	_, err := withWidgets(a, http.StatusNoContent, func(w *widget.Widgets) (any, error) { return nil, w.Delete(ctx, r.ID) })
	return DeleteWidget204Response{}, err
}

// RotateWidgetKey gives a widget a new key.
func (a server) RotateWidgetKey(ctx context.Context, r RotateWidgetKeyRequestObject) (RotateWidgetKeyResponseObject, error) {
	var asked *wire.Overlap
	if r.Body != nil {
		asked = r.Body.Overlap
	}
	overlap, err := overlapOf(asked, 24*time.Hour, maxKeyOverlap)
	if err != nil {
		return nil, err
	}
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (widgetJSON, error) {
		one, err := w.Rotate(ctx, r.ID, overlap)
		return viewWidget(one, from(ctx).request), err
	})
}

// ListWidgetVersions lists the versions of a widget.
func (a server) ListWidgetVersions(ctx context.Context, r ListWidgetVersionsRequestObject) (ListWidgetVersionsResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (any, error) {
		if r.ID == "" {
			return nil, widget.ErrNotFound
		}
		all, err := w.Versions(ctx, r.ID)
		return map[string]any{"versions": all}, err
	})
}

// RestoreWidget goes back to an earlier version.
func (a server) RestoreWidget(ctx context.Context, r RestoreWidgetRequestObject) (RestoreWidgetResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (widgetJSON, error) {
		one, err := w.GoBack(ctx, r.ID, r.Version, from(ctx).by())
		return viewWidget(one, from(ctx).request), err
	})
}

// GetCommonWidget shows what all widgets have.
func (a server) GetCommonWidget(ctx context.Context, _ GetCommonWidgetRequestObject) (GetCommonWidgetResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (commonJSON, error) {
		c, version, err := w.Common(ctx)
		return commonJSON{c, version}, err
	})
}

// ChangeCommonWidget changes what all widgets have.
func (a server) ChangeCommonWidget(ctx context.Context, _ ChangeCommonWidgetRequestObject) (ChangeCommonWidgetResponseObject, error) {
	in := from(ctx)
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (commonJSON, error) {
		c, version, err := w.ChangeCommon(ctx, in.by(), func(c *widget.Common) error { return in.merge(c) })
		return commonJSON{c, version}, err
	})
}

// ListCommonWidgetVersions lists the versions of what all widgets have.
func (a server) ListCommonWidgetVersions(ctx context.Context, _ ListCommonWidgetVersionsRequestObject) (ListCommonWidgetVersionsResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (any, error) {
		all, err := w.Versions(ctx, "")
		return map[string]any{"versions": all}, err
	})
}

// RestoreCommonWidget goes back to an earlier version of what all widgets have.
func (a server) RestoreCommonWidget(ctx context.Context, r RestoreCommonWidgetRequestObject) (RestoreCommonWidgetResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (commonJSON, error) {
		c, version, err := w.GoBackCommon(ctx, r.Version, from(ctx).by())
		return commonJSON{c, version}, err
	})
}

// ListWidgetImages lists the pictures.
func (a server) ListWidgetImages(ctx context.Context, _ ListWidgetImagesRequestObject) (ListWidgetImagesResponseObject, error) {
	return withWidgets(a, http.StatusOK, func(w *widget.Widgets) (any, error) {
		all, err := w.Images(ctx)
		return map[string]any{"images": all}, err
	})
}

// AddWidgetImage keeps a picture.
func (a server) AddWidgetImage(ctx context.Context, r AddWidgetImageRequestObject) (AddWidgetImageResponseObject, error) {
	return withWidgets(a, http.StatusCreated, func(w *widget.Widgets) (widget.Image, error) {
		return w.AddImage(ctx, or(r.Body.Name, ""), r.Body.Data)
	})
}

// DeleteWidgetImage deletes a picture that no widget has.
func (a server) DeleteWidgetImage(ctx context.Context, r DeleteWidgetImageRequestObject) (DeleteWidgetImageResponseObject, error) {
	_, err := withWidgets(a, http.StatusNoContent, func(w *widget.Widgets) (any, error) {
		err := w.DeleteImage(ctx, r.Image)
		if errors.Is(err, widget.ErrInUse) {
			err = queue.Conflict("the image can't be deleted: %s", err)
		}
		return nil, err
	})
	return DeleteWidgetImage204Response{}, err
}

func (r reply) VisitListWidgetsResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitCreateWidgetResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitGetWidgetResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitChangeWidgetResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitRotateWidgetKeyResponse(w http.ResponseWriter) error          { return r.write(w) }
func (r reply) VisitListWidgetVersionsResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitRestoreWidgetResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitGetCommonWidgetResponse(w http.ResponseWriter) error          { return r.write(w) }
func (r reply) VisitChangeCommonWidgetResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitListCommonWidgetVersionsResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitRestoreCommonWidgetResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitListWidgetImagesResponse(w http.ResponseWriter) error         { return r.write(w) }
func (r reply) VisitAddWidgetImageResponse(w http.ResponseWriter) error           { return r.write(w) }
