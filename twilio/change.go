package twilio

import (
	"context"
	"errors"
	"net/http"

	"gatewayd/auth"
	"gatewayd/queue"
	"gatewayd/sms"
)

// message is the one that a request's path names, if the caller may see it.
func (a *API) message(r *request) (*sms.Message, error) {
	id, ok := idOf(r.sid)
	if !ok {
		return nil, noSuchMessage
	}
	share, err := a.share(r)
	if err != nil {
		return nil, err
	}
	if share == nil {
		return a.o.Queue.Message(r.Context(), id)
	}
	return a.o.Queue.MessageOf(r.Context(), share, id)
}

// fetch is GET …/Messages/{sid}.json.
func (a *API) fetch(r *request) (int, any, error) {
	m, err := a.message(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, view(r.account, m), nil
}

// media is GET …/Messages/{sid}/Media.json: no message has any.
func (a *API) media(r *request) (int, any, error) {
	m, err := a.message(r)
	if err != nil {
		return 0, nil, err
	}
	uri := Prefix + "Accounts/" + r.account + "/Messages/" + sidOf(m.ID) + "/Media.json?PageSize=50&Page=0"
	return http.StatusOK, map[string]any{
		"media_list": []any{}, "page": 0, "page_size": 50, "start": 0, "end": 0,
		"uri": uri, "first_page_uri": uri, "next_page_uri": nil, "previous_page_uri": nil,
	}, nil
}

// change is POST …/Messages/{sid}.json: cancels with Status=canceled, redacts
// with an empty Body.
func (a *API) change(r *request) (int, any, error) {
	body, redact := r.form["Body"]
	status := r.form.Get("Status")
	switch {
	case redact && body[0] != "":
		return 0, nil, badParameter.says("Body must be empty: a message's text can be erased, not changed")
	case status != "" && status != "canceled":
		return 0, nil, badParameter.says("Status can only be set to canceled")
	case !redact && status == "":
		return 0, nil, badParameter.says("Nothing to change: Status=canceled cancels a message, an empty Body erases its text")
	}
	m, err := a.message(r)
	if err != nil {
		return 0, nil, err
	}
	ctx := context.WithoutCancel(r.Context())
	if status != "" {
		if err := r.may(auth.Send); err != nil {
			return 0, nil, err
		}
		if m, err = a.o.Cancel(ctx, m.ID); errors.Is(err, queue.ErrConflict) {
			err = notCancelable
		}
		if err != nil {
			return 0, nil, err
		}
	}
	if redact {
		if err := a.mayErase(ctx, r, m); err != nil {
			return 0, nil, err
		}
		if m, err = a.o.Queue.Redact(ctx, m.ID); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, view(r.account, m), nil
}

// remove is DELETE …/Messages/{sid}.json.
func (a *API) remove(r *request) (int, any, error) {
	m, err := a.message(r)
	if err != nil {
		return 0, nil, err
	}
	ctx := context.WithoutCancel(r.Context())
	if err := a.mayErase(ctx, r, m); err != nil {
		return 0, nil, err
	}
	if err := a.o.Queue.EraseMessage(ctx, m.ID); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// mayErase is an error unless the caller may erase a message: its own with the
// scope send, as at Twilio, any with admin.
func (a *API) mayErase(ctx context.Context, r *request, m *sms.Message) error {
	if r.caller.key.Can(auth.Admin) {
		return nil
	}
	if err := r.may(auth.Send); err != nil {
		return err
	}
	own, err := a.own(ctx, r, m.ID)
	if err == nil && !own {
		err = r.may(auth.Admin)
	}
	return err
}
