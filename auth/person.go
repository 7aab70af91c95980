package auth

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Role is what a person is on this box.
type Role string

// The roles.
const (
	Technician    Role = "technician" // sees how the box is, tests and restarts modems
	Operator      Role = "operator"   // sends and reads
	Administrator Role = "admin"      // all of it: keys, webhooks, people
)

// Roles are all of them.
var Roles = []Role{Technician, Operator, Administrator}

// Scopes are what a role may do; texts: a technician who may see numbers and texts.
func (r Role) Scopes(texts bool) []Scope {
	switch r {
	case Technician:
		if texts {
			return []Scope{Watch, Service, Read}
		}
		return []Scope{Watch, Service}
	case Operator:
		return []Scope{Watch, Send, Read}
	case Administrator:
		return []Scope{Admin}
	}
	return nil
}

func (r Role) check() error {
	if r.Scopes(false) == nil {
		return &WrongError{"role", "must be technician, operator or admin"}
	}
	return nil
}

// Person is somebody who signs in with a name and a password.
type Person struct {
	ID          string
	Name        string
	Role        Role
	SeesTexts   bool // numbers and texts too; of a technician alone: others do anyway
	HasPassword bool
	Invited     time.Time // until when the invitation is good; zero: there is none
	CreatedAt   time.Time
	SignedInAt  time.Time // zero: never
	DisabledAt  time.Time // zero: not disabled
	Email       string    // "": not known
	DisplayName string    // what recipients are told; "": Name
	SignOff     string    // what the person's texts in conversations end with
	Team        string    // whose conversations the person shares; "": that of everybody who has none
	Letter      Letter    // the e-mail with the invitation
}

// Shown is what recipients are told that the person is called.
func (p *Person) Shown() string { return cmp.Or(p.DisplayName, p.Name) }

// idOfPerson is what a person's id begins with; no API key's does.
const idOfPerson = "usr_"

// IsPerson tells whether a principal is somebody who signs in, and no API key.
func IsPerson(principal string) bool { return strings.HasPrefix(principal, idOfPerson) }

// Key is the person as handlers see whoever asks: what the role may do, and the
// person's id as the principal, so that what a person sends is the person's.
func (p *Person) Key() *Key {
	return &Key{ID: p.ID, Principal: p.ID, Name: p.Name, Scopes: p.Role.Scopes(p.SeesTexts), CreatedAt: p.CreatedAt, LastUsedAt: p.SignedInAt, Person: p}
}

// fold is a name as it is compared.
func fold(name string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(name))) }

// The errors of people that callers tell apart.
var (
	// ErrNoPerson means that nobody has the name or id.
	ErrNoPerson = errors.New("there is no such person")
	// ErrWrongPassword means that the name or the password is wrong, or the account
	// is disabled; which of them is nobody's business who does not know both.
	ErrWrongPassword = errors.New("the name or the password is wrong")
	// ErrWrongCode means that a first-run code or an invitation is not good.
	ErrWrongCode = errors.New("the code is wrong, was used already or has expired")
	// ErrLastAdmin means that nobody would be left who may change anything.
	ErrLastAdmin = errors.New("this is the last admin with a password who is not disabled; make another one first")
)

// PersonView is a person as it is shown; nil is what is not.
type PersonView struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Role         Role       `json:"role"`
	SeesTexts    bool       `json:"sees_texts"`
	Scopes       []Scope    `json:"scopes"`
	HasPassword  bool       `json:"has_password"`
	Disabled     bool       `json:"disabled"`
	CreatedAt    time.Time  `json:"created_at"`
	SignedInAt   *time.Time `json:"signed_in_at"`
	DisabledAt   *time.Time `json:"disabled_at"`
	InvitedUntil *time.Time `json:"invited_until"`
	Email        *string    `json:"email"`
	DisplayName  *string    `json:"display_name"`
	SignOff      *string    `json:"sign_off"`
	Team         *string    `json:"team"`
	Invitation   *Letter    `json:"invitation_email"`
	Code         string     `json:"code,omitempty"` // when it is made, never again
}

// View shows a person.
func (p *Person) View() PersonView {
	scopes := p.Role.Scopes(p.SeesTexts)
	var letter *Letter
	if p.Letter.State != NoLetter {
		letter = &Letter{p.Letter.State, p.Letter.Error, p.Letter.At.UTC()}
	}
	return PersonView{
		ID: p.ID, Name: p.Name, Role: p.Role, SeesTexts: p.SeesTexts || p.Role != Technician, Scopes: scopes, HasPassword: p.HasPassword,
		Disabled: !p.DisabledAt.IsZero(), CreatedAt: p.CreatedAt.UTC(), SignedInAt: orNever(p.SignedInAt),
		DisabledAt: orNever(p.DisabledAt), InvitedUntil: orNever(p.Invited),
		Email: orNone(p.Email), DisplayName: orNone(p.DisplayName), SignOff: orNone(p.SignOff), Team: orNone(p.Team), Invitation: letter,
	}
}
