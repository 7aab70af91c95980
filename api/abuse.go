package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"gatewayd/chat"
)

// talks is whoever keeps conversations.
func (a *API) talks() (*chat.Chat, error) {
	if a.o.Chat == nil {
		return nil, notFound.because("This gateway has no conversations.")
	}
	return a.o.Chat, nil
}

// blockedNumberJSON is a blocked number as the API shows it.
type blockedNumberJSON struct {
	Number    string    `json:"number"`
	Reason    string    `json:"reason"`
	BlockedBy string    `json:"blocked_by"`
	BlockedAt time.Time `json:"blocked_at"`
}

func showBlockedNumber(b *chat.NumberBlock) blockedNumberJSON {
	return blockedNumberJSON{b.Number, b.Reason, b.By, b.At}
}

// ListBlockedNumbers lists them by number.
func (a server) ListBlockedNumbers(ctx context.Context, _ ListBlockedNumbersRequestObject) (ListBlockedNumbersResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	found, err := c.BlockedNumbers(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]blockedNumberJSON, len(found))
	for i := range found {
		all[i] = showBlockedNumber(&found[i])
	}
	return reply{status: http.StatusOK, v: map[string]any{"blocked_numbers": all}}, nil
}

// BlockNumber blocks one.
func (a server) BlockNumber(ctx context.Context, r BlockNumberRequestObject) (BlockNumberResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	b, err := c.BlockNumber(ctx, r.Body.Number, or(r.Body.Reason, ""), from(ctx).key.Principal)
	if err != nil {
		return nil, err
	}
	a.log.Info("a number was blocked for the chat", "by", from(ctx).key.Name)
	return reply{http.StatusCreated, showBlockedNumber(b), map[string]string{"Location": "/v1/blocked-numbers/" + url.PathEscape(b.Number)}}, nil
}

// UnblockNumber lifts that.
func (a server) UnblockNumber(ctx context.Context, r UnblockNumberRequestObject) (UnblockNumberResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	if err := c.UnblockNumber(ctx, r.Number); err != nil {
		return nil, err
	}
	a.log.Info("a number was unblocked for the chat", "by", from(ctx).key.Name)
	return UnblockNumber204Response{}, nil
}

// senderJSON is a sender as the API shows it.
type senderJSON struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Name      *string         `json:"name"`
	Address   *string         `json:"address"`
	Widget    *string         `json:"widget"`
	Today     int             `json:"messages_today"`
	Answers   chat.Thresholds `json:"answers"`
	Blocked   bool            `json:"blocked"`
	BlockedAt *time.Time      `json:"blocked_at"`
	BlockedBy *string         `json:"blocked_by"`
	Reason    *string         `json:"reason"`
	FirstAt   time.Time       `json:"first_at"`
	LastAt    time.Time       `json:"last_at"`
}

func showSender(s *chat.SenderRecord) senderJSON {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	v := senderJSON{ID: s.ID, Kind: s.Kind, Name: text(s.Name), Address: text(s.Address), Widget: text(s.Widget), Today: s.Today, Answers: s.Answers,
		Blocked: !s.BlockedAt.IsZero(), BlockedBy: text(s.BlockedBy), Reason: text(s.Reason), FirstAt: s.FirstAt, LastAt: s.LastAt}
	if v.Blocked {
		v.BlockedAt = &s.BlockedAt
	}
	return v
}

// ListSenders lists them, who wrote last first.
func (a server) ListSenders(ctx context.Context, r ListSendersRequestObject) (ListSendersResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	p := r.Params
	found, next, err := c.Senders(ctx, chat.SenderFilter{State: string(or(p.State, "")), Kind: string(or(p.Kind, "")), Cursor: or(p.Cursor, ""), Limit: or(p.Limit, 0)})
	if err != nil {
		return nil, err
	}
	all := make([]senderJSON, len(found))
	for i := range found {
		all[i] = showSender(&found[i])
	}
	var cursor *string
	if next != "" {
		cursor = &next
	}
	return reply{status: http.StatusOK, v: map[string]any{"senders": all, "next_cursor": cursor}}, nil
}

// BlockSender lets nothing more through of one.
func (a server) BlockSender(ctx context.Context, r BlockSenderRequestObject) (BlockSenderResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	reason := ""
	if r.Body != nil {
		reason = or(r.Body.Reason, "")
	}
	s, err := c.BlockSender(ctx, r.ID, reason, from(ctx).key.Principal)
	if err != nil {
		return nil, err
	}
	a.log.Info("a sender was blocked for the chat", "sender", s.ID, "kind", s.Kind, "by", from(ctx).key.Name)
	return reply{status: http.StatusOK, v: showSender(s)}, nil
}

// ReopenSender lets one write again.
func (a server) ReopenSender(ctx context.Context, r ReopenSenderRequestObject) (ReopenSenderResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	s, err := c.ReopenSender(ctx, r.ID, from(ctx).key.Principal)
	if err != nil {
		return nil, err
	}
	a.log.Info("a sender was opened again for the chat", "sender", s.ID, "kind", s.Kind, "by", from(ctx).key.Name)
	return reply{status: http.StatusOK, v: showSender(s)}, nil
}

// GetChatRules shows what admins have decided.
func (a server) GetChatRules(ctx context.Context, _ GetChatRulesRequestObject) (GetChatRulesResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: c.AbuseRules()}, nil
}

// SetChatRules decides it.
func (a server) SetChatRules(ctx context.Context, r SetChatRulesRequestObject) (SetChatRulesResponseObject, error) {
	c, err := a.talks()
	if err != nil {
		return nil, err
	}
	// What is left out keeps its default.
	rules := chat.DefaultAbuseRules()
	b, err := json.Marshal(r.Body)
	if err := errors.Join(err, json.Unmarshal(b, &rules)); err != nil {
		return nil, err
	}
	if rules, err = c.SetAbuseRules(ctx, rules, from(ctx).key.Principal); err != nil {
		return nil, err
	}
	a.log.Info("the rules of the chat were changed", "by", from(ctx).key.Name)
	return reply{status: http.StatusOK, v: rules}, nil
}

func (r reply) VisitListBlockedNumbersResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitBlockNumberResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitListSendersResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitBlockSenderResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitReopenSenderResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitGetChatRulesResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitSetChatRulesResponse(w http.ResponseWriter) error       { return r.write(w) }
