package api

import (
	"context"
	"net/http"

	"gatewayd/auth"
)

// ListPeople lists the people by name.
func (a server) ListPeople(ctx context.Context, _ ListPeopleRequestObject) (ListPeopleResponseObject, error) {
	people, err := a.o.Keys.People(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]auth.PersonView, len(people))
	for i := range people {
		all[i] = people[i].View()
	}
	return reply{status: http.StatusOK, v: map[string]any{"people": all}}, nil
}

// AddPerson adds somebody, with a password or an invitation.
func (a server) AddPerson(ctx context.Context, r AddPersonRequestObject) (AddPersonResponseObject, error) {
	b := r.Body
	p, code, err := a.addPerson(from(ctx).request, auth.Person{Name: b.Name, Role: auth.Role(b.Role), SeesTexts: or(b.SeesTexts, false), Email: or(b.Email, ""),
		DisplayName: or(b.DisplayName, ""), SignOff: or(b.SignOff, ""), Team: or(b.Team, "")}, or(b.Password, ""))
	if err != nil {
		return nil, err
	}
	a.audit(from(ctx).key, "a person was added", &p)
	return reply{http.StatusCreated, withCode(&p, code), map[string]string{"Location": "/v1/people/" + p.ID}}, nil
}

func withCode(p *auth.Person, code string) auth.PersonView {
	v := p.View()
	v.Code = code
	return v
}

// GetPerson shows one.
func (a server) GetPerson(ctx context.Context, r GetPersonRequestObject) (GetPersonResponseObject, error) {
	p, err := a.o.Keys.Person(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: p.View()}, nil
}

// ChangePerson changes what somebody is.
func (a server) ChangePerson(ctx context.Context, r ChangePersonRequestObject) (ChangePersonResponseObject, error) {
	b := r.Body
	change := auth.PersonChange{Name: b.Name, SeesTexts: b.SeesTexts, Disabled: b.Disabled,
		Profile: auth.Profile{DisplayName: b.DisplayName, SignOff: b.SignOff, Team: b.Team, Email: b.Email}}
	if b.Role != nil {
		role := auth.Role(*b.Role)
		change.Role = &role
	}
	p, err := a.o.Keys.Person(ctx, r.ID)
	if err == nil && b.Password != nil { // the one that may be refused first
		p, err = a.o.Keys.SetPassword(ctx, p.ID, *b.Password)
	}
	if err == nil {
		p, err = a.o.Keys.ChangePerson(context.WithoutCancel(ctx), p.ID, change)
	}
	if err != nil {
		return nil, err
	}
	a.audit(from(ctx).key, "a person was changed", &p)
	return reply{status: http.StatusOK, v: p.View()}, nil
}

// RemovePerson removes somebody for good.
func (a server) RemovePerson(ctx context.Context, r RemovePersonRequestObject) (RemovePersonResponseObject, error) {
	p, err := a.o.Keys.RemovePerson(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	a.audit(from(ctx).key, "a person was removed", &p)
	return RemovePerson204Response{}, nil
}

// InvitePerson lets somebody choose a new password.
func (a server) InvitePerson(ctx context.Context, r InvitePersonRequestObject) (InvitePersonResponseObject, error) {
	p, code, err := a.invitePerson(from(ctx).request, r.ID, string(or(r.Params.By, "")))
	if err != nil {
		return nil, err
	}
	a.audit(from(ctx).key, "a person was invited to choose a new password", &p)
	return reply{status: http.StatusOK, v: withCode(&p, code)}, nil
}

// WithdrawInvitation makes an invitation worth nothing.
func (a server) WithdrawInvitation(ctx context.Context, r WithdrawInvitationRequestObject) (WithdrawInvitationResponseObject, error) {
	p, err := a.o.Keys.Withdraw(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	a.audit(from(ctx).key, "an invitation was withdrawn", &p)
	return reply{status: http.StatusOK, v: p.View()}, nil
}

// SignOutPerson ends all sessions of somebody.
func (a server) SignOutPerson(ctx context.Context, r SignOutPersonRequestObject) (SignOutPersonResponseObject, error) {
	p, err := a.o.Keys.SignOutPerson(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	a.audit(from(ctx).key, "a person was signed out everywhere", &p)
	return reply{status: http.StatusOK, v: p.View()}, nil
}

// audit writes into the log who has changed what of whom.
func (a *API) audit(by *auth.Key, what string, p *auth.Person) {
	a.log.Info(what, "person", p.Name, "role", p.Role, "sees_texts", p.SeesTexts, "disabled", !p.DisabledAt.IsZero(), "by", by.Name)
}
