package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
)

// codeLife is how long an invitation is good: over a long weekend.
const codeLife = 7 * 24 * time.Hour

// People lists them by name.
func (k *Keys) People(ctx context.Context) (all []Person, err error) {
	err = k.db.Read(ctx, func(q db.Querier) error {
		all, err = selectPeople(q)
		return err
	})
	return all, err
}

// Person returns the one with an id or a name, or ErrNoPerson.
func (k *Keys) Person(ctx context.Context, idOrName string) (p Person, err error) {
	err = k.db.Read(ctx, func(q db.Querier) error {
		p, err = findPerson(q, idOrName)
		return err
	})
	return p, err
}

func findPerson(q db.Querier, idOrName string) (Person, error) {
	all, err := selectPeople(q)
	if err != nil {
		return Person{}, err
	}
	for _, by := range []func(*Person) bool{
		func(p *Person) bool { return p.ID == idOrName },
		func(p *Person) bool { return fold(p.Name) == fold(idOrName) },
	} {
		for i := range all {
			if by(&all[i]) {
				return all[i], nil
			}
		}
	}
	return Person{}, fmt.Errorf("%w: %.100q", ErrNoPerson, idOrName)
}

// AddPerson adds somebody. Without a password the code that it returns lets the
// person choose one, once.
func (k *Keys) AddPerson(ctx context.Context, p Person, password string) (added Person, code string, err error) {
	stored, err := k.checked(ctx, p, password)
	if err != nil {
		return Person{}, "", err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		if added, err = k.insert(tx, p, stored); err != nil || stored != "" {
			return err
		}
		code, err = k.invite(tx, &added)
		return err
	})
	return added, code, err
}

// checked says what is wrong with a person, and makes of the password what is stored.
func (k *Keys) checked(ctx context.Context, p Person, password string) (stored string, err error) {
	for _, err := range []error{checkPersonName(p.Name), p.Role.check(), p.checkProfile(), ctx.Err()} {
		if err != nil {
			return "", err
		}
	}
	if password == "" {
		return "", nil
	}
	if err := checkPassword(password, p.Name, "gatewayd"); err != nil {
		return "", err
	}
	return k.hashPassword(ctx, password)
}

func checkPersonName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, idOfPerson) {
		return &WrongError{"name", "can't begin with " + idOfPerson + ", as ids do"}
	}
	return nil
}

func (k *Keys) insert(tx *db.Tx, p Person, stored string) (Person, error) {
	if _, err := findPerson(tx, p.Name); err == nil {
		return p, &WrongError{"name", fmt.Sprintf("is taken: there is somebody named %q already", p.Name)}
	}
	p.ID, p.CreatedAt, p.HasPassword = idOfPerson+random(idLength), k.now(), stored != ""
	p.SeesTexts = p.SeesTexts && p.Role == Technician
	return p, insertPerson(tx, &p, stored)
}

// invite makes a new invitation. The one before is worth nothing any more.
func (k *Keys) invite(tx *db.Tx, p *Person) (code string, err error) {
	now := k.now()
	code, p.Invited = newCode(), now.Add(codeLife)
	return code, setCode(tx, p.ID, codeHash(code), now, p.Invited)
}

// Invite takes a person's password away and returns a code that lets the person
// choose another, once. All of the person's sessions end.
func (k *Keys) Invite(ctx context.Context, idOrName string) (p Person, code string, err error) {
	p, err = k.change(ctx, idOrName, func(tx *db.Tx, p *Person) error {
		p.HasPassword, p.Letter = false, Letter{}
		if err := setPassword(tx, p.ID, ""); err != nil {
			return err
		}
		code, err = k.invite(tx, p)
		return err
	})
	return p, code, err
}

// PersonChange is what to change of a person; nil stays.
type PersonChange struct {
	Name      *string
	Role      *Role
	SeesTexts *bool
	Disabled  *bool
	Profile   Profile
}

// ChangePerson changes what a person is. The person's sessions end, so that no
// browser goes on with what was; not if it is the profile alone.
func (k *Keys) ChangePerson(ctx context.Context, idOrName string, c PersonChange) (Person, error) {
	change := k.change
	if c.Name == nil && c.Role == nil && c.SeesTexts == nil && c.Disabled == nil && !c.Profile.none() {
		change = k.changeQuietly
	}
	return change(ctx, idOrName, func(tx *db.Tx, p *Person) error {
		if err := c.Profile.apply(p); err != nil {
			return err
		}
		if c.Name != nil && *c.Name != p.Name {
			if err := checkPersonName(*c.Name); err != nil {
				return err
			}
			if other, err := findPerson(tx, *c.Name); err == nil && other.ID != p.ID {
				return &WrongError{"name", fmt.Sprintf("is taken: there is somebody named %q already", *c.Name)}
			}
			p.Name = *c.Name
		}
		if c.Role != nil {
			if err := c.Role.check(); err != nil {
				return err
			}
			p.Role = *c.Role
		}
		if c.SeesTexts != nil {
			p.SeesTexts = *c.SeesTexts
		}
		p.SeesTexts = p.SeesTexts && p.Role == Technician
		if c.Disabled != nil {
			switch {
			case !*c.Disabled:
				p.DisabledAt = time.Time{}
			case p.DisabledAt.IsZero():
				p.DisabledAt = k.now()
			}
		}
		return updatePerson(tx, p)
	})
}

// RemovePerson removes somebody for good.
func (k *Keys) RemovePerson(ctx context.Context, idOrName string) (Person, error) {
	return k.change(ctx, idOrName, func(tx *db.Tx, p *Person) error { return erasePerson(tx, p.ID, k.now()) })
}

// SetPassword gives a person another password, as somebody may who need not know
// the one before. All of the person's sessions end.
func (k *Keys) SetPassword(ctx context.Context, idOrName, password string) (Person, error) {
	p, err := k.Person(ctx, idOrName)
	if err != nil {
		return p, err
	}
	return k.setPassword(ctx, p, password, func(*db.Tx) error { return nil })
}

// ChangePassword is SetPassword by who knows the password before.
func (k *Keys) ChangePassword(ctx context.Context, id, old, password string) (Person, error) {
	var stored string
	p, err := k.Person(ctx, id)
	if err == nil {
		stored, err = k.storedPassword(ctx, p.ID)
	}
	if err != nil {
		return p, err
	}
	if ok, err := k.matches(ctx, stored, old, false); err != nil || !ok {
		return p, orWrong(err)
	}
	return k.setPassword(ctx, p, password, func(tx *db.Tx) error {
		now, err := selectPassword(tx, p.ID)
		if err == nil && now != stored { // somebody else has changed it meanwhile
			err = ErrWrongPassword
		}
		return err
	})
}

func (k *Keys) setPassword(ctx context.Context, p Person, password string, still func(*db.Tx) error) (Person, error) {
	if err := checkPassword(password, p.Name, "gatewayd"); err != nil {
		return p, err
	}
	stored, err := k.hashPassword(ctx, password)
	if err != nil {
		return p, err
	}
	return k.change(ctx, p.ID, func(tx *db.Tx, p *Person) error {
		if err := still(tx); err != nil {
			return err
		}
		p.HasPassword, p.Invited, p.Letter = true, time.Time{}, Letter{}
		return setPassword(tx, p.ID, stored)
	})
}

func (k *Keys) storedPassword(ctx context.Context, id string) (stored string, err error) {
	err = k.db.Read(ctx, func(q db.Querier) error {
		stored, err = selectPassword(q, id)
		return err
	})
	return stored, err
}

// SignOutPerson ends all sessions of a person.
func (k *Keys) SignOutPerson(ctx context.Context, idOrName string) (Person, error) {
	return k.change(ctx, idOrName, func(*db.Tx, *Person) error { return nil })
}

// change does something to a person in one commit, ends the person's sessions, and
// sees to it that somebody may still change things afterwards.
func (k *Keys) change(ctx context.Context, idOrName string, do func(*db.Tx, *Person) error) (p Person, err error) {
	return k.changeQuietly(ctx, idOrName, func(tx *db.Tx, p *Person) error {
		if err := do(tx, p); err != nil {
			return err
		}
		return deleteSessionsOf(tx, p.ID)
	})
}

// changeQuietly is change that ends no session.
func (k *Keys) changeQuietly(ctx context.Context, idOrName string, do func(*db.Tx, *Person) error) (p Person, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		if p, err = findPerson(tx, idOrName); err != nil {
			return err
		}
		before, err := countAdmins(tx)
		if err == nil {
			err = do(tx, &p)
		}
		if err == nil {
			err = setChanged(tx, p.ID, k.now())
		}
		if err != nil {
			return err
		}
		if after, err := countAdmins(tx); err != nil || before > 0 && after == 0 {
			return orLast(err)
		}
		return nil
	})
	return p, err
}

func orLast(err error) error {
	if err != nil {
		return err
	}
	return ErrLastAdmin
}

func orWrong(err error) error {
	if err != nil {
		return err
	}
	return ErrWrongPassword
}
