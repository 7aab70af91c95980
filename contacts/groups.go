package contacts

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"gatewayd/db"
	"gatewayd/queue"
)

const groupPrefix = "grp_"

// Group is some contacts of a team.
type Group struct {
	ID        string
	Team      string
	Name      string
	Members   int
	CreatedAt time.Time
	UpdatedAt time.Time
}

const groupColumns = `SELECT g.id, g.team, g.name, (SELECT count(*) FROM group_members m WHERE m.contact_group = g.id), g.created_at, g.updated_at
	FROM contact_groups g `

func scanGroup(from func(...any) error) (*Group, error) {
	var g Group
	var created, updated int64
	err := from(&g.ID, &g.Team, &g.Name, &g.Members, &created, &updated)
	g.CreatedAt, g.UpdatedAt = moment(created), moment(updated)
	return &g, err
}

func loadGroup(r db.Querier, of Of, id string) (*Group, error) {
	g, err := scanGroup(r.QueryRow(groupColumns+`WHERE g.id = ? AND g.deleted_at IS NULL`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !of.has(g.Team) {
		return nil, ErrNoGroup
	}
	return g, err
}

func noneFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// Groups lists all groups by name.
func (c *Contacts) Groups(ctx context.Context, of Of) (all []Group, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(groupColumns+`WHERE g.deleted_at IS NULL AND (?1 OR g.team = ?2) ORDER BY g.sort, g.id`, of.Any, of.Team)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			g, err := scanGroup(rows.Scan)
			if err != nil {
				return err
			}
			all = append(all, *g)
		}
		return rows.Err()
	})
	return all, err
}

// Group returns one.
func (c *Contacts) Group(ctx context.Context, of Of, id string) (g *Group, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		g, err = loadGroup(r, of, id)
		return err
	})
	return g, err
}

// AddGroup makes a group of a team.
func (c *Contacts) AddGroup(_ context.Context, team, name string) (g *Group, err error) {
	if name, err = groupName(name); err != nil {
		return nil, err
	}
	err = c.o.DB.Write(func(tx *db.Tx) error {
		g, err = c.addGroup(tx, team, name)
		return err
	})
	return g, err
}

func groupName(name string) (string, error) {
	name = strings.TrimSpace(norm.NFC.String(name))
	why := lineFault(name, MaxName)
	if name == "" {
		why = "is empty"
	}
	if why != "" {
		return "", Refused{{"name", why}}
	}
	return name, nil
}

func (c *Contacts) addGroup(tx *db.Tx, team, name string) (*Group, error) {
	if err := freeGroupName(tx, team, name, ""); err != nil {
		return nil, err
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM contact_groups WHERE deleted_at IS NULL`).Scan(&n); err != nil {
		return nil, err
	}
	if n >= MaxGroups {
		return nil, queue.Conflict("there are %d groups already, the most that are allowed; delete one that is not needed", n)
	}
	now := c.now()
	id, err := c.newID(groupPrefix, now)
	if err != nil {
		return nil, err
	}
	g := &Group{ID: id, Team: team, Name: name, CreatedAt: now, UpdatedAt: now}
	_, err = tx.Exec(`INSERT INTO contact_groups (id, team, name, sort, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)`,
		g.ID, g.Team, g.Name, fold(g.Name), now.UnixMilli(), now.UnixMilli())
	return g, err
}

// groupNamed is the group of a team with a name, "": none.
func groupNamed(r db.Querier, team, name string) (id string, err error) {
	err = r.QueryRow(`SELECT id FROM contact_groups WHERE team = ? AND sort = ? AND deleted_at IS NULL`, team, fold(name)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

func freeGroupName(tx *db.Tx, team, name, own string) error {
	id, err := groupNamed(tx, team, name)
	if err == nil && id != "" && id != own {
		err = queue.Conflict("there is a group named %q already (%s)", name, id)
	}
	return err
}

// RenameGroup gives a group another name.
func (c *Contacts) RenameGroup(_ context.Context, of Of, id, name string) (g *Group, err error) {
	if name, err = groupName(name); err != nil {
		return nil, err
	}
	err = c.o.DB.Write(func(tx *db.Tx) error {
		if g, err = loadGroup(tx, of, id); err != nil {
			return err
		}
		if err := freeGroupName(tx, g.Team, name, id); err != nil {
			return err
		}
		g.Name, g.UpdatedAt = name, c.now()
		_, err := tx.Exec(`UPDATE contact_groups SET name = ?, sort = ?, updated_at = ? WHERE id = ?`, name, fold(name), g.UpdatedAt.UnixMilli(), id)
		return err
	})
	return g, err
}

// DeleteGroup ends a group; its members stay.
func (c *Contacts) DeleteGroup(_ context.Context, of Of, id string) error {
	return c.o.DB.Write(func(tx *db.Tx) error {
		if _, err := loadGroup(tx, of, id); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM group_members WHERE contact_group = ?`, id); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE contact_groups SET name = '', sort = id, updated_at = ?2, deleted_at = ?2 WHERE id = ?1`, id, c.now().UnixMilli())
		return err
	})
}

// AddMembers puts contacts of the group's team into it; who is in it stays.
func (c *Contacts) AddMembers(_ context.Context, of Of, id string, members []string) (g *Group, err error) {
	err = c.o.DB.Write(func(tx *db.Tx) error {
		if g, err = loadGroup(tx, of, id); err != nil {
			return err
		}
		for _, m := range members {
			contact, err := load(tx, Of{Team: g.Team}, m)
			if err != nil {
				return err
			}
			if len(contact.Groups) >= MaxGroupsOf {
				return queue.Conflict("the contact %q is in %d groups already, the most that are allowed", contact.Name, len(contact.Groups))
			}
			if _, err := tx.Exec(`INSERT OR IGNORE INTO group_members (contact, contact_group) VALUES (?, ?)`, m, id); err != nil {
				return err
			}
		}
		return c.touchGroup(tx, id, &g)
	})
	return g, err
}

// RemoveMember takes a contact out of a group.
func (c *Contacts) RemoveMember(_ context.Context, of Of, id, member string) error {
	return c.o.DB.Write(func(tx *db.Tx) error {
		g, err := loadGroup(tx, of, id)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM group_members WHERE contact_group = ? AND contact = ?`, id, member)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return c.touchGroup(tx, id, &g)
	})
}

func (c *Contacts) touchGroup(tx *db.Tx, id string, g **Group) (err error) {
	if _, err = tx.Exec(`UPDATE contact_groups SET updated_at = ? WHERE id = ?`, c.now().UnixMilli(), id); err == nil {
		*g, err = loadGroup(tx, Everybody, id)
	}
	return err
}
