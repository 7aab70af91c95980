package chat

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatewayd/captcha"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/sms/number"
)

// AbuseRules are what admins decide about who may write what to whom by chat.
type AbuseRules struct {
	Keywords        []string      `json:"keywords"`         // words and phrases that no text may have
	Destinations    []string      `json:"destinations"`     // as the gateway's own; none: wherever that sends
	NumberTypes     []number.Type `json:"number_types"`     // none: all
	Limits          Limits        `json:"limits"`           // of messages
	Invitations     Invitations   `json:"invitations"`      // for strangers, a day
	Abroad          bool          `json:"abroad"`           // strangers may write to other countries too, while Destinations names none
	Thresholds      Thresholds    `json:"thresholds"`       // so many answers block who they answer
	WidgetThreshold int           `json:"widget_threshold"` // so many of a kind, to whoever writes in it, block a widget; 0: none do
	CountDays       int           `json:"count_days"`       // answers count so long
	Puzzles         bool          `json:"puzzles"`          // strangers solve one before they write, and again when they look like a program
	SameText        int           `json:"same_text"`        // a stranger's same text to so many numbers looks like a program; 0: never
	PreferCarrier   bool          `json:"prefer_carrier"`   // a new conversation gets a SIM of the number's own carrier, if one is free
}

// Limits are how much may be sent.
type Limits struct {
	Person  Rate `json:"person"`  // somebody who is signed in
	Visitor Rate `json:"visitor"` // a stranger in a widget
	Address Rate `json:"address"` // all strangers of one network address, or of one /64 of IPv6
	Widget  Rate `json:"widget"`  // all strangers in one widget
}

// Rate is how many messages may be accepted; 0: any number.
type Rate struct {
	PerMinute int `json:"per_minute"`
	PerHour   int `json:"per_hour"`
	PerDay    int `json:"per_day"`
}

// Thresholds are the numbers of answers that block a sender; 0: none do.
type Thresholds struct {
	Spam   int `json:"spam"`
	Threat int `json:"threat"`
	Stop   int `json:"stop"`
}

// DefaultAbuseRules are those of a gateway whose admins have decided nothing.
func DefaultAbuseRules() AbuseRules {
	return AbuseRules{
		Keywords: []string{}, Destinations: []string{}, NumberTypes: []number.Type{},
		Limits: Limits{
			Person:  Rate{PerMinute: 60, PerHour: 600, PerDay: 3000},
			Visitor: Rate{PerMinute: 20, PerHour: 100, PerDay: 300},
			Address: Rate{PerMinute: 40, PerHour: 200, PerDay: 600},
			Widget:  Rate{PerMinute: 60, PerHour: 600, PerDay: 3000},
		},
		Invitations: Invitations{Visitor: 10, Address: 20, Widget: 100, All: 200, Number: 3},
		Thresholds:  Thresholds{Spam: 3, Threat: 3, Stop: 3}, WidgetThreshold: 30, CountDays: 30,
		Puzzles: true, SameText: 3, PreferCarrier: true,
	}
}

// What rules may have at most.
const (
	maxKeywords  = 1000
	maxKeyword   = 100
	maxLimit     = 1_000_000
	maxThreshold = 10_000
	maxCountDays = 365
)

// check says all that is wrong with rules, and writes what is right in one form.
func (r *AbuseRules) check() error {
	var wrongs intake.Refused
	wrong := func(field, format string, args ...any) {
		wrongs = append(wrongs, intake.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
	if len(r.Keywords) > maxKeywords {
		wrong("keywords", "has %d entries; at most %d are allowed", len(r.Keywords), maxKeywords)
	}
	keywords := []string{}
	for i, k := range r.Keywords {
		field := fmt.Sprintf("keywords[%d]", i)
		k = strings.Join(strings.Fields(k), " ")
		switch {
		case utf8.RuneCountInString(k) > maxKeyword || strings.ContainsFunc(k, unicode.IsControl):
			wrong(field, "must be a word or phrase of at most %d characters", maxKeyword)
		case len(words(k)) == 0:
			wrong(field, "has no letter and no digit, so no text would have it")
		case !slices.Contains(keywords, k):
			keywords = append(keywords, k)
		}
	}
	destinations := []string{}
	for i, d := range r.Destinations {
		known, err := number.ParseDestination(d)
		if err != nil {
			wrong(fmt.Sprintf("destinations[%d]", i), "%s", err)
		} else if !slices.Contains(destinations, string(known)) {
			destinations = append(destinations, string(known))
		}
	}
	types := []number.Type{}
	for i, t := range r.NumberTypes {
		if !number.ValidType(t) {
			wrong(fmt.Sprintf("number_types[%d]", i), "must be one of %s", listed(number.Types))
		} else if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	within := func(field string, n, least, most int, zero string) {
		if n < least || n > most {
			wrong(field, "must be a whole number from %d%s to %d", least, zero, most)
		}
	}
	for _, l := range r.Limits.all() {
		within("limits."+l.name+".per_minute", l.PerMinute, 0, maxLimit, ", no limit,")
		within("limits."+l.name+".per_hour", l.PerHour, 0, maxLimit, ", no limit,")
		within("limits."+l.name+".per_day", l.PerDay, 0, maxLimit, ", no limit,")
	}
	for _, i := range r.Invitations.all() {
		within("invitations."+i.name, i.n, 0, maxLimit, ", no limit,")
	}
	within("thresholds.spam", r.Thresholds.Spam, 0, maxThreshold, ", never,")
	within("thresholds.threat", r.Thresholds.Threat, 0, maxThreshold, ", never,")
	within("thresholds.stop", r.Thresholds.Stop, 0, maxThreshold, ", never,")
	within("widget_threshold", r.WidgetThreshold, 0, maxThreshold, ", never,")
	within("count_days", r.CountDays, 1, maxCountDays, "")
	within("same_text", r.SameText, 0, maxThreshold, ", never,")
	if len(wrongs) > 0 {
		return wrongs
	}
	r.Keywords, r.Destinations, r.NumberTypes = keywords, destinations, types
	return nil
}

func listed(types []number.Type) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = string(t)
	}
	return strings.Join(all, ", ")
}

// named is a limit with whose it is.
type named struct {
	name string
	Rate
}

func (l Limits) all() []named {
	return []named{{"person", l.Person}, {"visitor", l.Visitor}, {"address", l.Address}, {"widget", l.Widget}}
}

// ruling is rules made ready to be asked for each message.
type ruling struct {
	AbuseRules
	keywords     keywords
	destinations number.Rules
}

func compile(r AbuseRules) *ruling {
	c := &ruling{AbuseRules: r, keywords: newKeywords(r.Keywords)}
	for _, d := range r.Destinations {
		c.destinations.Allow = append(c.destinations.Allow, number.Destination(d))
	}
	c.destinations.Premium = true // the gateway's own rules and number_types decide that
	return c
}

// openRules reads what admins have decided. The first time it makes the key of the puzzles.
func (c *Chat) openRules(ctx context.Context) error {
	var kept string
	var key []byte
	read := func(r db.Querier) error {
		return r.QueryRow(`SELECT rules, puzzle_key FROM chat_rules`).Scan(&kept, &key)
	}
	err := c.o.DB.Read(ctx, read)
	if errors.Is(err, sql.ErrNoRows) {
		key = make([]byte, captcha.KeySize)
		if _, err := rand.Read(key); err != nil {
			return err
		}
		err = c.o.DB.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO chat_rules (id, rules, updated_at, updated_by, puzzle_key) VALUES (1, '', 0, '', ?)`, key)
			return err
		})
	}
	if err != nil {
		return err
	}
	rules, err := readRules(kept)
	if err != nil {
		return err
	}
	c.abuse.rules.Store(compile(rules))
	c.abuse.puzzles = captcha.New(key, c.o.Now)
	c.abuse.normal, c.abuse.hard = captcha.Normal, captcha.Hard
	return nil
}

// readRules reads what is kept over the defaults, so that a rule that is new here has one.
func readRules(kept string) (AbuseRules, error) {
	r := DefaultAbuseRules()
	if kept == "" {
		return r, nil
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(kept))).Decode(&r); err != nil {
		return r, fmt.Errorf("the rules of the chat: %w", err)
	}
	return r, nil
}

// AbuseRules are the ones that hold.
func (c *Chat) AbuseRules() AbuseRules {
	r := c.abuse.rules.Load().AbuseRules
	r.Keywords, r.Destinations, r.NumberTypes = slices.Clone(r.Keywords), slices.Clone(r.Destinations), slices.Clone(r.NumberTypes)
	return r
}

// CheckAbuseRules says what is wrong with rules, as SetAbuseRules would.
func (c *Chat) CheckAbuseRules(r AbuseRules) error { return r.check() }

// SetAbuseRules lays down others, from the next message on. Its error is an intake.Refused
// if they can't be so.
func (c *Chat) SetAbuseRules(ctx context.Context, r AbuseRules, by string) (AbuseRules, error) {
	if err := r.check(); err != nil {
		return r, err
	}
	if err := ctx.Err(); err != nil {
		return r, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	next := compile(r)
	err = c.o.DB.Write(func(tx *db.Tx) error {
		before := c.abuse.rules.Load()
		if _, err := tx.Exec(`UPDATE chat_rules SET rules = ?, updated_at = ?, updated_by = ?`, string(b), ms(c.o.Now()), by); err != nil {
			return err
		}
		c.abuse.rules.Store(next) // whoever is next in this transaction goes by them
		tx.OnRollback(func() { c.abuse.rules.Store(before) })
		return nil
	})
	return r, err
}
