package widget

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/queue"
)

// ErrNotFound means that there is no such widget, version or image. It is also a
// queue.ErrNotFound.
var ErrNotFound = fmt.Errorf("there is no such widget, version or image: %w", queue.ErrNotFound)

// Widget is one chat on other people's web sites.
type Widget struct {
	ID  string `json:"id"` // wgt_ and a ULID
	Key string `json:"key"`
	Settings
	Version   int64      `json:"version"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	RotatedAt *time.Time `json:"rotated_at"`
	OldUntil  *time.Time `json:"old_key_until"` // the key before is good until then
	oldKey    string
}

// takes tells whether a key opens the widget now.
func (w *Widget) takes(key string, now time.Time) bool {
	return key != "" && (key == w.Key || key == w.oldKey && w.OldUntil != nil && now.Before(*w.OldUntil))
}

// allows tells whether pages of an origin may have the widget.
func (w *Widget) allows(origin string) bool {
	for _, o := range w.Origins {
		if o == origin {
			return true
		}
	}
	return false
}

// Version is what a widget, or what all have in common, was like from a time on.
type Version struct {
	Version   int64           `json:"version"`
	Settings  json.RawMessage `json:"settings"`
	By        By              `json:"by"`
	BroughtBy *int64          `json:"brings_back"` // the earlier version that it brings back
	At        time.Time       `json:"at"`
}

// By is who made a version.
type By struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// mostVersions is how many versions of a widget are kept.
const mostVersions = 200

// List lists the widgets, newest first.
func (w *Widgets) List(ctx context.Context) (all []Widget, err error) {
	all = []Widget{}
	err = w.o.DB.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(widgetColumns + `WHERE w.deleted_at IS NULL ORDER BY w.created_at DESC, w.id DESC`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			one, err := scanWidget(rows.Scan)
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		return rows.Err()
	})
	return all, err
}

// Get returns a widget.
func (w *Widgets) Get(ctx context.Context, id string) (one Widget, err error) {
	err = w.o.DB.Read(ctx, func(r db.Querier) (err error) {
		one, err = loadWidget(r, id)
		return err
	})
	return one, err
}

// Create makes a widget.
func (w *Widgets) Create(ctx context.Context, s Settings, by By) (one Widget, err error) {
	err = w.change(func(tx *db.Tx, now time.Time) error {
		if err := s.check(hasImage(tx)); err != nil {
			return err
		}
		one = Widget{ID: "wgt_" + newID(now), Key: newKey(), Settings: s, Version: 1, CreatedAt: now, UpdatedAt: now}
		_, err := tx.Exec(`INSERT INTO widgets (id, key, version, created_at, updated_at) VALUES (?, ?, 1, ?, ?)`, one.ID, one.Key, now.UnixMilli(), now.UnixMilli())
		if err != nil {
			return err
		}
		return addVersion(tx, one.ID, 1, s, by, nil, now)
	})
	return one, err
}

// Change has alter change a widget's settings, which makes a new version of it, unless
// they stay as they are.
func (w *Widgets) Change(ctx context.Context, id string, by By, alter func(*Settings) error) (one Widget, err error) {
	err = w.change(func(tx *db.Tx, now time.Time) error {
		if one, err = loadWidget(tx, id); err != nil {
			return err
		}
		s := one.Settings.clone()
		if err := alter(&s); err != nil {
			return err
		}
		return one.become(tx, s, by, nil, now)
	})
	return one, err
}

// GoBack makes a new version of a widget that is as an earlier one was.
func (w *Widgets) GoBack(ctx context.Context, id string, version int64, by By) (one Widget, err error) {
	err = w.change(func(tx *db.Tx, now time.Time) error {
		if one, err = loadWidget(tx, id); err != nil {
			return err
		}
		s := Defaults()
		if err := loadSettings(tx, id, version, &s); err != nil {
			return err
		}
		without(hasImage(tx), &s.Theme.Logo, &s.Theme.Image, &s.Banner.Image, &s.Area.Image)
		return one.become(tx, s, by, &version, now)
	})
	return one, err
}

// without takes pictures away that were deleted since.
func without(there func(id string) bool, pictures ...*string) {
	for _, id := range pictures {
		if !there(*id) {
			*id = ""
		}
	}
}

func (one *Widget) become(tx *db.Tx, s Settings, by By, origin *int64, now time.Time) error {
	if err := s.check(hasImage(tx)); err != nil {
		return err
	}
	if same(s, one.Settings) {
		return nil
	}
	one.Settings, one.UpdatedAt = s, now
	one.Version++
	if _, err := tx.Exec(`UPDATE widgets SET version = ?, updated_at = ? WHERE id = ?`, one.Version, now.UnixMilli(), one.ID); err != nil {
		return err
	}
	return addVersion(tx, one.ID, one.Version, s, by, origin, now)
}

// Versions lists the versions of a widget, newest first; of "", those of what all have
// in common.
func (w *Widgets) Versions(ctx context.Context, id string) (all []Version, err error) {
	all = []Version{}
	err = w.o.DB.Read(ctx, func(r db.Querier) error {
		if id != "" {
			if _, err := loadWidget(r, id); err != nil {
				return err
			}
		}
		rows, err := r.Query(`SELECT version, settings, by_id, by_name, origin, at FROM widget_versions WHERE widget = ? ORDER BY version DESC`, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var v Version
			var settings string
			var origin sql.NullInt64
			var at int64
			if err := rows.Scan(&v.Version, &settings, &v.By.ID, &v.By.Name, &origin, &at); err != nil {
				return err
			}
			if v.Settings, v.At = json.RawMessage(settings), moment(at); origin.Valid {
				v.BroughtBy = &origin.Int64
			}
			all = append(all, v)
		}
		return rows.Err()
	})
	return all, err
}

// Rotate gives a widget a new key. The one before opens it as long as overlap, for the
// pages that have it in them.
func (w *Widgets) Rotate(ctx context.Context, id string, overlap time.Duration) (one Widget, err error) {
	err = w.change(func(tx *db.Tx, now time.Time) error {
		if one, err = loadWidget(tx, id); err != nil {
			return err
		}
		one.oldKey, one.Key, one.OldUntil, one.RotatedAt = "", newKey(), nil, &now
		var until any
		if overlap > 0 {
			end := now.Add(overlap)
			one.OldUntil, until = &end, end.UnixMilli()
		}
		_, err := tx.Exec(`UPDATE widgets SET old_key = CASE WHEN ?1 IS NULL THEN '' ELSE key END, old_until = ?1, key = ?2, rotated_at = ?3 WHERE id = ?4`,
			until, one.Key, now.UnixMilli(), id)
		return err
	})
	return one, err
}

// Delete removes a widget and its versions. Visitors and what they wrote stay as long
// as the history keeps them.
func (w *Widgets) Delete(ctx context.Context, id string) error {
	return w.change(func(tx *db.Tx, now time.Time) error {
		if _, err := loadWidget(tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE widgets SET key = '', old_key = '', old_until = NULL, deleted_at = ? WHERE id = ?`, now.UnixMilli(), id); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM widget_versions WHERE widget = ?`, id)
		return err
	})
}

// Common is what all widgets have beside their own, and its version; 0: none was made.
func (w *Widgets) Common(ctx context.Context) (c Common, version int64, err error) {
	err = w.o.DB.Read(ctx, func(r db.Querier) (err error) {
		c, version, err = loadCommon(r)
		return err
	})
	return c, version, err
}

// ChangeCommon changes what all widgets have, which reaches every one of them.
func (w *Widgets) ChangeCommon(ctx context.Context, by By, alter func(*Common) error) (c Common, version int64, err error) {
	err = w.change(func(tx *db.Tx, now time.Time) error {
		if c, version, err = loadCommon(tx); err != nil {
			return err
		}
		before := jsonOf(c)
		c.Theme.Corners = copied(c.Theme.Corners)
		if err := alter(&c); err != nil {
			return err
		}
		if err := c.check(hasImage(tx)); err != nil || jsonOf(c) == before {
			return err
		}
		version++
		return addVersion(tx, "", version, c, by, nil, now)
	})
	return c, version, err
}

// GoBackCommon makes a new version of what all widgets have that is as an earlier one was.
func (w *Widgets) GoBackCommon(ctx context.Context, to int64, by By) (c Common, version int64, err error) {
	err = w.change(func(tx *db.Tx, now time.Time) error {
		before, newest, err := loadCommon(tx)
		if err != nil {
			return err
		}
		c, version = Common{}, newest
		if err := loadSettings(tx, "", to, &c); err != nil {
			return err
		}
		without(hasImage(tx), &c.Theme.Logo, &c.Theme.Image, &c.Banner.Image)
		if err := c.check(hasImage(tx)); err != nil || jsonOf(c) == jsonOf(before) {
			return err
		}
		version++
		return addVersion(tx, "", version, c, by, &to, now)
	})
	return c, version, err
}

// change runs fn in a commit, after which open widgets look how they are now.
func (w *Widgets) change(fn func(tx *db.Tx, now time.Time) error) error {
	return w.o.DB.Write(func(tx *db.Tx) error {
		tx.OnCommit(w.looks.tell)
		return fn(tx, w.o.Now().UTC().Truncate(time.Millisecond))
	})
}

const widgetColumns = `SELECT w.id, w.key, w.old_key, w.old_until, w.version, w.created_at, w.updated_at, w.rotated_at, v.settings
	FROM widgets w JOIN widget_versions v ON v.widget = w.id AND v.version = w.version `

func scanWidget(from func(...any) error) (one Widget, err error) {
	var until, rotated sql.NullInt64
	var created, updated int64
	var settings string
	if err := from(&one.ID, &one.Key, &one.oldKey, &until, &one.Version, &created, &updated, &rotated, &settings); err != nil {
		return one, err
	}
	one.CreatedAt, one.UpdatedAt, one.OldUntil, one.RotatedAt = moment(created), moment(updated), perhaps(until), perhaps(rotated)
	one.Settings = Defaults()
	return one, json.Unmarshal([]byte(settings), &one.Settings)
}

func loadWidget(r db.Querier, id string) (Widget, error) {
	one, err := scanWidget(r.QueryRow(widgetColumns+`WHERE w.id = ? AND w.deleted_at IS NULL`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return one, err
}

func loadSettings(r db.Querier, widget string, version int64, into any) error {
	var settings string
	err := r.QueryRow(`SELECT settings FROM widget_versions WHERE widget = ? AND version = ?`, widget, version).Scan(&settings)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(settings), into)
}

func loadCommon(r db.Querier) (c Common, version int64, err error) {
	if err := r.QueryRow(`SELECT coalesce(max(version), 0) FROM widget_versions WHERE widget = ''`).Scan(&version); err != nil || version == 0 {
		return c, 0, err
	}
	return c, version, loadSettings(r, "", version, &c)
}

func addVersion(tx *db.Tx, widget string, version int64, settings any, by By, origin *int64, now time.Time) error {
	_, err := tx.Exec(`INSERT INTO widget_versions (widget, version, settings, by_id, by_name, origin, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		widget, version, jsonOf(settings), by.ID, by.Name, origin, now.UnixMilli())
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM widget_versions WHERE widget = ? AND version <= ?`, widget, version-mostVersions)
	return err
}

func (s Settings) clone() Settings {
	s.Origins = append([]string{}, s.Origins...)
	s.Theme.Corners = copied(s.Theme.Corners)
	return s
}

func copied(n *int) *int {
	if n == nil {
		return nil
	}
	v := *n
	return &v
}

func same(a, b Settings) bool { return jsonOf(a) == jsonOf(b) }

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // they are our own types
		panic("widget: " + err.Error())
	}
	return string(b)
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func perhaps(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := moment(ms.Int64)
	return &t
}

// newID is a ULID.
func newID(now time.Time) string {
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil { // the clock is beyond the year 10889
		panic("widget: " + err.Error())
	}
	return id.String()
}

// newKey is what stands in the pages beside a widget's id. It is public; that it can't
// be guessed keeps those out who have seen only the id.
func newKey() string { return "wpk_" + strings.ToLower(rand.Text()) }

// titled is what a widget is called where nobody set anything.
func titled(s Settings) string { return cmp.Or(s.Title, s.Name) }
