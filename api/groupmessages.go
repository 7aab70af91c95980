package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"

	"golang.org/x/sync/errgroup"

	"gatewayd/chat"
	"gatewayd/contacts"
	"gatewayd/queue"
	"gatewayd/sms"
)

// maxGroupMessages is how many members one request writes to.
const maxGroupMessages = 1000

// groupResult is what became of the message to one member.
type groupResult struct {
	Contact      string      `json:"contact"`
	Name         string      `json:"name"`
	Number       string      `json:"number"`
	State        string      `json:"state"` // accepted, invited, refused
	Via          *string     `json:"via"`   // sms, internet
	Conversation *string     `json:"conversation"`
	Message      *string     `json:"message"`
	Error        *groupError `json:"error"`
}

type groupError struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// groupAnswer is what became of a message to a group.
type groupAnswer struct {
	Accepted int           `json:"accepted"`
	Invited  int           `json:"invited"`
	Refused  int           `json:"refused"`
	Results  []groupResult `json:"results"`
}

// MessageGroup sends a text to each member of a group.
func (a server) MessageGroup(ctx context.Context, r MessageGroupRequestObject) (MessageGroupResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err != nil {
		return nil, err
	}
	b := r.Body
	answer, err := a.messageGroup(ctx, known, of, groupLetter{Group: r.ID, Members: b.Members, OurName: or(b.OurName, ""), Letter: chat.Letter{
		Text: b.Text, ClientID: or(b.ClientID, ""), Mode: sms.Mode(or(b.Mode, "")), Subject: or(b.Subject, ""), Files: or(b.Files, nil)}})
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusAccepted, v: answer}, nil
}

// groupLetter is what is sent to the members of a group.
type groupLetter struct {
	Group   string
	Members *[]string // ids of contacts; nil: all
	OurName string
	chat.Letter
}

// messageGroup sends a letter to members of a group, to each in the conversation of its
// own and by the way that reaches it. One that may not be written to is refused, and the
// others are not. Under the same client_id nobody gets it twice.
func (a *API) messageGroup(ctx context.Context, known *contacts.Contacts, of contacts.Of, l groupLetter) (*groupAnswer, error) {
	if a.o.Chat == nil {
		return nil, notFound.because("This gateway has no conversations.")
	}
	g, err := known.Group(ctx, of, l.Group)
	if err != nil {
		return nil, err
	}
	if g.Members > maxGroupMessages && l.Members == nil {
		return nil, conflict.because("The group has %d members; at most %d are written to at once. Make smaller groups.", g.Members, maxGroupMessages)
	}
	members, err := chosen(ctx, known, of, l)
	if err != nil {
		return nil, err
	}
	var numbers []string
	for _, c := range members {
		numbers = append(numbers, c.Numbers...)
	}
	who := map[string]chat.Presence{}
	if l.Mode != "" && l.Mode != sms.ModeSMS {
		who = a.o.Chat.Presence(ctx, numbers) // of all in one question
	}
	sender := a.senderOf(ctx)
	answer := &groupAnswer{Results: make([]groupResult, len(members))}
	ctx = context.WithoutCancel(ctx) // who leaves must not have it sent to half of them
	var group errgroup.Group
	group.SetLimit(8) // what they write comes into few commits
	for i, c := range members {
		one := &answer.Results[i]
		*one = groupResult{Contact: c.ID, Name: c.Name, Number: reached(c.Numbers, who)}
		group.Go(func() error {
			w := chat.Wanted{To: one.Number, Name: one.Name, OurName: l.OurName, Team: g.Team, Text: l.Text, By: l.Mode, Subject: l.Subject, Files: l.Files}
			if l.ClientID != "" {
				w.ClientID = l.ClientID + "/" + one.Contact
			}
			if l.ClientID != "" && len(c.Numbers) > 1 { // another number may be the better one by now
				before, err := a.o.Chat.WroteTo(ctx, sender, w.ClientID)
				if err != nil {
					return err
				}
				one.Number = cmp.Or(before, one.Number)
				w.To = one.Number
			}
			v, _, err := a.o.Chat.Begin(ctx, sender, w)
			return one.tell(v, err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, one := range answer.Results {
		switch one.State {
		case "accepted":
			answer.Accepted++
		case "invited":
			answer.Invited++
		default:
			answer.Refused++
		}
	}
	return answer, nil
}

// tell says what became of one message. What is nobody's fault but ours is an error of
// the whole request: asked again under its client_id, it goes on.
func (r *groupResult) tell(v *chat.Conversation, err error) error {
	if err != nil {
		p := problemOf(err)
		if p.Status >= 500 && !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrDiskFull) {
			return err
		}
		r.State, r.Error = "refused", &groupError{p.Type(), p.Title, p.detail}
		return nil
	}
	r.Conversation = &v.ID
	via := "sms"
	if r.State = "invited"; v.Sent != nil { // else the text goes out once the phone says YES
		r.State, r.Message = "accepted", &v.Sent.ID
		via = string(cmp.Or(v.Sent.Via, "sms"))
	}
	r.Via = &via
	return nil
}

// chosen are the members of a group that are written to.
func chosen(ctx context.Context, known *contacts.Contacts, of contacts.Of, l groupLetter) (members []contacts.Contact, err error) {
	wanted := map[string]bool{}
	for _, id := range or(l.Members, nil) {
		wanted[id] = true
	}
	err = known.ByPiece(ctx, of, contacts.Filter{Group: l.Group}, func(page []contacts.Contact) error {
		for _, c := range page {
			if l.Members == nil || wanted[c.ID] {
				delete(wanted, c.ID)
				members = append(members, c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, id := range or(l.Members, nil) {
		if wanted[id] {
			return nil, wrong(FieldError{Field: "members/" + strconv.Itoa(i), Detail: "is no member of this group"})
		}
	}
	if l.Members != nil && len(members) == 0 {
		return nil, wrong(FieldError{Field: "members", Detail: "must name somebody; left out it goes to all"})
	}
	return members, nil
}

// reached is the number of a contact by which internet reaches it best: where somebody is
// looking, else where there is an inbox; else the first one.
func reached(numbers []string, who map[string]chat.Presence) string {
	for _, n := range numbers {
		if who[n].Online {
			return n
		}
	}
	for _, n := range numbers {
		if who[n].Inbox {
			return n
		}
	}
	return numbers[0]
}

func (r reply) VisitMessageGroupResponse(w http.ResponseWriter) error { return r.write(w) }
