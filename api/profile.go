package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"gatewayd/auth"
)

func (r reply) VisitWithdrawInvitationResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitGetProfileResponse(w http.ResponseWriter) error         { return r.write(w) }
func (r reply) VisitChangeProfileResponse(w http.ResponseWriter) error      { return r.write(w) }

// How an invitation goes.
const (
	byEmail = "email"
	byCode  = "code"
)

// mails tells whether e-mails can be sent.
func (a *API) mails() bool { return a.o.Mails != nil && a.o.Mails() }

// addPerson adds somebody, who is invited by e-mail if that can be and no password is
// given, else by the code that it returns.
func (a *API) addPerson(r *http.Request, p auth.Person, password string) (added auth.Person, code string, err error) {
	if password == "" && p.Email != "" && a.mails() {
		added, err = a.o.Keys.AddByMail(r.Context(), p, a.base(r))
		return added, "", err
	}
	return a.o.Keys.AddPerson(r.Context(), p, password)
}

// invitePerson invites somebody to choose a password. by says how; "": by e-mail if
// that can be.
func (a *API) invitePerson(r *http.Request, idOrName, by string) (p auth.Person, code string, err error) {
	if by != byCode && a.mails() {
		p, err = a.o.Keys.Person(r.Context(), idOrName)
		if err != nil {
			return p, "", err
		}
		if p.Email != "" {
			p, err = a.o.Keys.InviteByMail(r.Context(), p.ID, a.base(r))
			return p, "", err
		}
	}
	if by == byEmail && !a.mails() {
		return p, "", conflict.because("No mail server is set up. Set mail.host and mail.from in the configuration, or invite with by=code.")
	}
	if by == byEmail {
		return p, "", auth.ErrNoEmail
	}
	return a.o.Keys.Invite(r.Context(), idOrName)
}

// base is where the pages are, for others than who asks: as the request reached them,
// but for an address that means another machine to each machine.
func (a *API) base(r *http.Request) string {
	base := url.URL{Scheme: "http", Host: r.Host}
	if secure(r) {
		base.Scheme = "https"
	}
	ip, err := netip.ParseAddr(base.Hostname())
	if base.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
		if a.o.LAN != nil {
			if all := a.o.LAN.Addresses(); len(all) > 0 {
				return all[0]
			}
		}
	}
	if host, port, err := net.SplitHostPort(base.Host); err == nil && (base.Scheme == "https" && port == "443" || base.Scheme == "http" && port == "80") {
		base.Host = host
	}
	return base.String()
}

// GetProfile tells who is signed in.
func (a server) GetProfile(ctx context.Context, _ GetProfileRequestObject) (GetProfileResponseObject, error) {
	p, err := person(from(ctx).key)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: p.View()}, nil
}

// ChangeProfile changes what recipients are told of who is signed in.
func (a server) ChangeProfile(ctx context.Context, r ChangeProfileRequestObject) (ChangeProfileResponseObject, error) {
	p, err := person(from(ctx).key)
	if err != nil {
		return nil, err
	}
	changed, err := a.o.Keys.ChangeProfile(ctx, p.ID, auth.Profile{DisplayName: r.Body.DisplayName, SignOff: r.Body.SignOff})
	if err != nil {
		return nil, err
	}
	a.log.Info("a person changed the own profile", "person", changed.Name)
	return reply{status: http.StatusOK, v: changed.View()}, nil
}

// person is who is signed in; an API key is nobody.
func person(key *auth.Key) (*auth.Person, error) {
	if key.Person == nil {
		return nil, wrongScope.because("%q is an API key. Only a person has a profile: sign in with a name and a password.", key.Name)
	}
	return key.Person, nil
}
