package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gatewayd/auth"
	"gatewayd/contacts"
	"gatewayd/wire"
)

// known are the contacts that a request may see. team is what it asks for: admins and
// API keys may see each team's, people their own team's.
func (a *API) known(key *auth.Key, team *string) (*contacts.Contacts, contacts.Of, error) {
	own := contacts.Of{Team: teamOf(key), Any: key.Person == nil || key.Can(auth.Admin)}
	switch {
	case a.o.Contacts == nil:
		return nil, own, notFound.because("This gateway keeps no contacts.")
	case team == nil:
		return a.o.Contacts, own, nil
	case !own.Any && *team != own.Team:
		return nil, own, wrongScope.because("The contacts of other teams are for admins; you are in the team %q.", own.Team)
	}
	return a.o.Contacts, contacts.Of{Team: *team}, nil
}

// teamOf is the team of whoever asks: that of a person, and for API keys the one of
// everybody who has none.
func teamOf(key *auth.Key) string {
	if key.Person == nil {
		return ""
	}
	return key.Person.Team
}

// namesOf is what the contacts that somebody may see call numbers.
func (a *API) namesOf(ctx context.Context, key *auth.Key, numbers ...string) (map[string]string, error) {
	if a.o.Contacts == nil {
		return nil, nil
	}
	known, of, err := a.known(key, nil)
	if err != nil {
		return nil, err
	}
	return known.Names(ctx, of, numbers...)
}

// refusedContact has the mistakes of package contacts told as all others are.
func refusedContact(m contacts.Refused) *problem {
	fields := make([]FieldError, len(m))
	for i, one := range m {
		fields[i] = FieldError{Field: one.Field, Detail: one.Detail}
	}
	return wrong(fields...)
}

// ListContacts lists contacts by name.
func (a server) ListContacts(ctx context.Context, r ListContactsRequestObject) (ListContactsResponseObject, error) {
	p := r.Params
	known, of, err := a.known(from(ctx).key, p.Team)
	if err != nil {
		return nil, err
	}
	all := []contacts.ContactView{}
	if p.Number != nil {
		n, err := a.numberOf(*p.Number)
		if err != nil {
			return nil, err
		}
		found, err := known.Find(ctx, of, n)
		switch {
		case err == nil:
			all = append(all, found.View())
		case !errors.Is(err, contacts.ErrNotFound):
			return nil, err
		}
		return reply{status: http.StatusOK, v: map[string]any{"contacts": all, "next_cursor": nil}}, nil
	}
	page, next, err := known.List(ctx, of, contacts.Filter{Q: or(p.Q, ""), Group: or(p.Group, ""), Cursor: or(p.Cursor, ""), Limit: or(p.Limit, defaultLimit)})
	if err != nil {
		return nil, err
	}
	for i := range page {
		all = append(all, page[i].View())
	}
	return reply{status: http.StatusOK, v: map[string]any{"contacts": all, "next_cursor": orNil(next)}}, nil
}

// CreateContact adds a contact.
func (a server) CreateContact(ctx context.Context, r CreateContactRequestObject) (CreateContactResponseObject, error) {
	key, b := from(ctx).key, r.Body
	known, of, err := a.known(key, b.Team)
	if err != nil {
		return nil, err
	}
	c := contacts.Contact{Team: of.Team, Name: b.Name, Numbers: b.Numbers, Email: or(b.Email, ""), Organisation: or(b.Organisation, ""),
		Note: or(b.Note, ""), Language: or(b.Language, ""), Consent: stated(b.Consent)}
	for _, id := range or(b.Groups, nil) {
		c.Groups = append(c.Groups, contacts.GroupName{ID: id})
	}
	made, err := known.Create(ctx, key.ID, c)
	if err != nil {
		return nil, err
	}
	return reply{http.StatusCreated, made.View(), map[string]string{"Location": "/v1/contacts/" + made.ID}}, nil
}

func stated(c *wire.ContactConsent) *contacts.Consent {
	if c == nil {
		return nil
	}
	return &contacts.Consent{Wording: c.Wording, At: or(c.At, time.Time{})}
}

// GetContact shows one.
func (a server) GetContact(ctx context.Context, r GetContactRequestObject) (GetContactResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err != nil {
		return nil, err
	}
	c, err := known.Get(ctx, of, r.ID)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: c.View()}, nil
}

// ChangeContact changes what stands in the request.
func (a server) ChangeContact(ctx context.Context, r ChangeContactRequestObject) (ChangeContactResponseObject, error) {
	in, b := from(ctx), r.Body
	known, of, err := a.known(in.key, nil)
	if err != nil {
		return nil, err
	}
	body, _ := in.value.any.(map[string]any)
	_, consents := body["consent"] // null takes it away
	c, err := known.Change(ctx, of, in.key.ID, r.ID, func(c *contacts.Contact) {
		c.Name, c.Numbers = or(b.Name, c.Name), or(b.Numbers, c.Numbers)
		c.Email, c.Organisation = or(b.Email, c.Email), or(b.Organisation, c.Organisation)
		c.Note, c.Language = or(b.Note, c.Note), or(b.Language, c.Language)
		if consents {
			c.Consent = stated(b.Consent)
		}
		if b.Groups != nil {
			c.Groups = nil
			for _, id := range *b.Groups {
				c.Groups = append(c.Groups, contacts.GroupName{ID: id})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: c.View()}, nil
}

// DeleteContact removes one.
func (a server) DeleteContact(ctx context.Context, r DeleteContactRequestObject) (DeleteContactResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err == nil {
		err = known.Delete(ctx, of, r.ID)
	}
	if err != nil {
		return nil, err
	}
	return DeleteContact204Response{}, nil
}

// ListGroups lists groups by name.
func (a server) ListGroups(ctx context.Context, r ListGroupsRequestObject) (ListGroupsResponseObject, error) {
	known, of, err := a.known(from(ctx).key, r.Params.Team)
	if err != nil {
		return nil, err
	}
	groups, err := known.Groups(ctx, of)
	if err != nil {
		return nil, err
	}
	all := []contacts.GroupView{}
	for i := range groups {
		all = append(all, groups[i].View())
	}
	return reply{status: http.StatusOK, v: map[string]any{"groups": all}}, nil
}

// CreateGroup makes one.
func (a server) CreateGroup(ctx context.Context, r CreateGroupRequestObject) (CreateGroupResponseObject, error) {
	known, of, err := a.known(from(ctx).key, r.Body.Team)
	if err != nil {
		return nil, err
	}
	g, err := known.AddGroup(ctx, of.Team, r.Body.Name)
	if err != nil {
		return nil, err
	}
	return reply{http.StatusCreated, g.View(), map[string]string{"Location": "/v1/groups/" + g.ID}}, nil
}

// GetGroup shows one.
func (a server) GetGroup(ctx context.Context, r GetGroupRequestObject) (GetGroupResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err != nil {
		return nil, err
	}
	g, err := known.Group(ctx, of, r.ID)
	return groupReply(g, err)
}

func groupReply(g *contacts.Group, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, v: g.View()}, nil
}

// RenameGroup gives one another name.
func (a server) RenameGroup(ctx context.Context, r RenameGroupRequestObject) (RenameGroupResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err != nil {
		return nil, err
	}
	g, err := known.RenameGroup(ctx, of, r.ID, r.Body.Name)
	return groupReply(g, err)
}

// DeleteGroup ends one.
func (a server) DeleteGroup(ctx context.Context, r DeleteGroupRequestObject) (DeleteGroupResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err == nil {
		err = known.DeleteGroup(ctx, of, r.ID)
	}
	if err != nil {
		return nil, err
	}
	return DeleteGroup204Response{}, nil
}

// AddMembers puts contacts into a group.
func (a server) AddMembers(ctx context.Context, r AddMembersRequestObject) (AddMembersResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err != nil {
		return nil, err
	}
	g, err := known.AddMembers(ctx, of, r.ID, r.Body.Contacts)
	return groupReply(g, err)
}

// RemoveMember takes a contact out of a group.
func (a server) RemoveMember(ctx context.Context, r RemoveMemberRequestObject) (RemoveMemberResponseObject, error) {
	known, of, err := a.known(from(ctx).key, nil)
	if err == nil {
		err = known.RemoveMember(ctx, of, r.ID, r.Contact)
	}
	if err != nil {
		return nil, err
	}
	return RemoveMember204Response{}, nil
}
