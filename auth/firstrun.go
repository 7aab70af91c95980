package auth

import (
	"context"
	"errors"
	"time"

	"gatewayd/db"
)

// firstRunLife is how long the first-run code is good; each start makes another.
const firstRunLife = 30 * 24 * time.Hour

// FirstRun returns a new code that lets somebody become the first admin, as long as
// there are no people; else "". The code of the call before is worth nothing then.
func (k *Keys) FirstRun(ctx context.Context) (code string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		people, err := selectPeople(tx)
		if err != nil {
			return err
		}
		if len(people) > 0 {
			return deleteFirstRun(tx)
		}
		code = newCode()
		now := k.now()
		return setFirstRun(tx, codeHash(code), now, now.Add(firstRunLife))
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

// Unclaimed reports whether there are no people yet.
func (k *Keys) Unclaimed(ctx context.Context) (bool, error) {
	people, err := k.People(ctx)
	return len(people) == 0, err
}

// LetsIn reports whether code is the first-run code that Claim takes now.
func (k *Keys) LetsIn(ctx context.Context, code string) (bool, error) {
	err := k.db.Read(ctx, func(q db.Querier) error { return k.letsIn(q, code) })
	if errors.Is(err, ErrWrongCode) {
		return false, nil
	}
	return err == nil, err
}

func (k *Keys) letsIn(q db.Querier, code string) error {
	people, err := selectPeople(q)
	if err == nil && len(people) > 0 {
		err = ErrWrongCode
	}
	if err == nil {
		err = checkFirstRun(q, codeHash(code), k.now())
	}
	return err
}

// Claim makes the first admin for who has the first-run code, which is used up by
// that: of two who come at once, one is told ErrWrongCode.
func (k *Keys) Claim(ctx context.Context, code, name, password string) (Person, error) {
	admin := Person{Name: name, Role: Administrator}
	good := func(q db.Querier) error { return k.letsIn(q, code) }
	// Before the work: a wrong code costs nothing, and nobody learns of it what
	// names there are.
	if err := k.db.Read(ctx, good); err != nil {
		return Person{}, err
	}
	stored, err := k.chosen(ctx, admin, password)
	if err != nil {
		return Person{}, err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		if err := good(tx); err != nil {
			return err
		}
		if admin, err = k.insert(tx, admin, stored); err != nil {
			return err
		}
		return deleteFirstRun(tx)
	})
	return admin, err
}

// Accept gives a person the password that the person chose, for the code of the
// invitation.
func (k *Keys) Accept(ctx context.Context, code, name, password string) (Person, error) {
	invited := func(q db.Querier) (Person, error) {
		p, err := findPerson(q, name)
		if err != nil || p.ID == name {
			return Person{}, ErrWrongCode
		}
		return p, checkCode(q, p.ID, codeHash(code), k.now())
	}
	var p Person
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		p, err = invited(q)
		return err
	})
	if err != nil {
		return Person{}, err
	}
	stored, err := k.chosen(ctx, p, password)
	if err != nil {
		return Person{}, err
	}
	return k.change(ctx, p.ID, func(tx *db.Tx, p *Person) error {
		if _, err := invited(tx); err != nil {
			return err
		}
		p.HasPassword, p.Invited, p.Letter = true, time.Time{}, Letter{}
		return setPassword(tx, p.ID, stored)
	})
}

// chosen is checked of somebody who must have a password.
func (k *Keys) chosen(ctx context.Context, p Person, password string) (string, error) {
	if password == "" {
		return "", checkPassword(password)
	}
	return k.checked(ctx, p, password)
}
