package contacts

import (
	"context"
	"errors"
	"slices"
	"strings"

	"gatewayd/db"
)

// Import says how a file's rows become contacts.
type Import struct {
	Team    string
	By      string // who states the consents that stand in it
	Replace bool   // what the file says takes the place of what a contact has; else it fills what is empty
	Group   string // the id of a group that all of them come into; "": none
	Dry     bool   // nothing is stored
	Good    bool   // the good rows come in although others are wrong; else all or none
}

// Outcome is what becomes of a row.
type Outcome string

// What may become of it.
const (
	RowNew     Outcome = "new"
	RowChanged Outcome = "changed" // its number is in a contact that is there, or in an earlier row
	RowSame    Outcome = "same"    // it says nothing new
	RowSkipped Outcome = "skipped" // it has no number
	RowWrong   Outcome = "wrong"
)

// RowReport says what becomes of a row.
type RowReport struct {
	Line     int
	Name     string
	Numbers  []string
	Outcome  Outcome
	Contact  string // the id of the contact that it is merged into, if that is there already
	SameAs   int    // the line of the earlier row that it is merged into; 0: none
	Problems []Mistake
}

// Report says what becomes, or became, of a file.
type Report struct {
	Rows    []RowReport
	Counts  map[Outcome]int
	Groups  []string // that are made
	Ignored []string // headings of columns that mean nothing here
	Stored  bool
}

// entity is a contact in the making: one that is there, or a new one.
type entity struct {
	before  *Contact // nil: it is new
	after   Contact
	groups  []string // by name, that it comes into
	line    int      // of the first row that it has to do with
	changed bool
	rows    []int // of the report, that it was made of
}

// plan is an import that is thought through and not yet stored.
type plan struct {
	Report
	o        Import
	entities []*entity
	byNumber map[string]*entity
	byID     map[string]*entity
	groups   map[string]string // ids by folded name; "": it is to be made
}

// Import stores the rows of a file, or says what would become of them. Rows of one
// number are one contact. It is stored in slices, so that no modem waits for all of
// it: if the machine stops in between, the same file again brings in what is missing.
func (c *Contacts) Import(ctx context.Context, f *File, o Import) (*Report, error) {
	p := &plan{o: o, byNumber: map[string]*entity{}, byID: map[string]*entity{}}
	p.Report = Report{Rows: make([]RowReport, 0, len(f.Rows)), Counts: map[Outcome]int{}, Ignored: f.Ignored}
	if o.Group != "" {
		if _, err := c.Group(ctx, Of{Team: o.Team}, o.Group); err != nil {
			return nil, err
		}
	}
	for start := 0; start < len(f.Rows); start += slice {
		err := c.o.DB.Read(ctx, func(r db.Querier) error {
			for i := start; i < min(start+slice, len(f.Rows)); i++ {
				if err := p.row(r, &f.Rows[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := c.o.DB.Read(ctx, p.newGroups); err != nil {
		return nil, err
	}
	p.count()
	if o.Dry || p.Counts[RowWrong] > 0 && !o.Good {
		return &p.Report, nil
	}
	return &p.Report, c.store(p)
}

// slice is how many contacts one transaction reads or writes.
const slice = 200

// row decides on one.
func (p *plan) row(r db.Querier, row *Row) error {
	report := RowReport{Line: row.Line, Name: row.Contact.Name, Numbers: row.Contact.Numbers, Outcome: RowWrong, Problems: slices.Concat(row.Wrong, row.LeftOut)}
	defer func() { p.Rows = append(p.Rows, report) }()
	if row.Skipped != "" {
		report.Outcome, report.Problems = RowSkipped, append(report.Problems, Mistake{"number", "is missing: there is nothing to text"})
		return nil
	}
	if len(row.Wrong) > 0 {
		return nil
	}
	var owners []*entity
	for _, n := range row.Contact.Numbers {
		owner, err := p.owner(r, n)
		if err != nil {
			return err
		}
		if owner != nil && !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	if len(owners) > 1 {
		report.Problems = append(report.Problems, mistake("number", "belongs to %q and %q: its numbers are in two contacts, and a row can't be both", owners[0].after.Name, owners[1].after.Name))
		return nil
	}
	if len(owners) == 0 {
		e := &entity{after: row.Contact, groups: row.Groups, line: row.Line, changed: true, rows: []int{len(p.Rows)}}
		e.after.Team, e.after.Groups = p.o.Team, []GroupName{}
		if p.o.Group != "" {
			e.after.Groups = []GroupName{{ID: p.o.Group}}
		}
		p.keep(e)
		report.Outcome = RowNew
		return nil
	}
	e := owners[0]
	if e.before != nil {
		report.Contact = e.before.ID
	}
	if e.line != 0 {
		report.SameAs = e.line
	} else {
		e.line = row.Line
	}
	over, changed := p.merge(e, row)
	if over > 0 {
		report.Problems = append(report.Problems, mistake("number", "of %d more: a contact has %d at most", over, MaxNumbers))
		return nil
	}
	e.rows = append(e.rows, len(p.Rows))
	report.Outcome = RowSame
	if changed {
		report.Outcome = RowChanged
	}
	return nil
}

// owner is who has a number, as far as the import has come.
func (p *plan) owner(r db.Querier, number string) (*entity, error) {
	if e, ok := p.byNumber[number]; ok {
		return e, nil
	}
	id, err := ownerOf(r, p.o.Team, number)
	if err != nil || id == "" {
		return nil, err
	}
	if e, ok := p.byID[id]; ok { // the file has taken the number from it
		return e, nil
	}
	before, err := load(r, Of{Team: p.o.Team}, id)
	if err != nil {
		return nil, err
	}
	e := &entity{before: before, after: *before}
	e.after.Numbers, e.after.Groups = slices.Clone(before.Numbers), slices.Clone(before.Groups)
	p.byID[id] = e
	p.keep(e)
	return e, nil
}

func (p *plan) keep(e *entity) {
	p.entities = append(p.entities, e)
	for _, n := range e.after.Numbers {
		p.byNumber[n] = e
	}
}

// merge adds to a contact what a row says. It returns how many numbers are too many,
// and whether the row says anything new.
func (p *plan) merge(e *entity, row *Row) (over int, changed bool) {
	c, from := &e.after, &row.Contact
	var fresh []string
	for _, n := range from.Numbers {
		if !slices.Contains(c.Numbers, n) {
			fresh = append(fresh, n)
		}
	}
	if over := len(c.Numbers) + len(fresh) - MaxNumbers; over > 0 {
		return over, false
	}
	for _, n := range fresh {
		c.Numbers, changed = append(c.Numbers, n), true
		p.byNumber[n] = e
	}
	fill := func(into *string, value string) {
		if value != "" && value != *into && (*into == "" || p.o.Replace) {
			*into, changed = value, true
		}
	}
	if !slices.Contains(from.Numbers, from.Name) { // else it has none
		if slices.Contains(c.Numbers, c.Name) {
			c.Name = ""
		}
		fill(&c.Name, from.Name)
	}
	fill(&c.Email, from.Email)
	fill(&c.Organisation, from.Organisation)
	fill(&c.Note, from.Note)
	fill(&c.Language, from.Language)
	if from.Consent != nil && (c.Consent == nil || p.o.Replace && !c.Consent.same(from.Consent)) {
		c.Consent, changed = from.Consent, true
	}
	has := func(name string) bool {
		same := func(s string) bool { return fold(s) == fold(name) }
		return slices.ContainsFunc(e.groups, same) || slices.ContainsFunc(c.Groups, func(g GroupName) bool { return same(g.Name) })
	}
	for _, name := range row.Groups {
		if !has(name) {
			e.groups, changed = append(e.groups, name), true
		}
	}
	if p.o.Group != "" && !slices.ContainsFunc(c.Groups, func(g GroupName) bool { return g.ID == p.o.Group }) {
		c.Groups, changed = append(c.Groups, GroupName{ID: p.o.Group}), true
	}
	e.changed = e.changed || changed
	return 0, changed
}

// newGroups finds the groups that are not there yet.
func (p *plan) newGroups(r db.Querier) error {
	p.groups = map[string]string{}
	for _, e := range p.entities {
		for _, name := range e.groups {
			if _, seen := p.groups[fold(name)]; seen {
				continue
			}
			id, err := groupNamed(r, p.o.Team, name)
			if err != nil {
				return err
			}
			if p.groups[fold(name)] = id; id == "" {
				p.Groups = append(p.Groups, name)
			}
		}
	}
	return nil
}

func (p *plan) count() {
	clear(p.Counts)
	for i := range p.Rows {
		p.Counts[p.Rows[i].Outcome]++
	}
}

// store writes what changes, some at a time.
func (c *Contacts) store(p *plan) error {
	var write []*entity
	fresh := 0
	for _, e := range p.entities {
		if e.changed {
			write = append(write, e)
			if e.before == nil {
				fresh++
			}
		}
	}
	err := c.o.DB.Write(func(tx *db.Tx) error {
		if err := c.room(tx, fresh); err != nil {
			return err
		}
		for _, name := range p.Groups {
			id, err := groupNamed(tx, p.o.Team, name)
			if err == nil && id == "" { // nobody has made it meanwhile
				var g *Group
				if g, err = c.addGroup(tx, p.o.Team, name); err == nil {
					id = g.ID
				}
			}
			if err != nil {
				return err
			}
			p.groups[fold(name)] = id
		}
		return nil
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(write, slice) {
		err := c.o.Queue.Do(func(tx *db.Tx) error {
			for _, e := range part {
				if err := c.storeOne(tx, p, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	p.Stored = true
	p.count()
	return nil
}

// storeOne writes a contact, unless somebody has changed meanwhile what it was
// planned by.
func (c *Contacts) storeOne(tx *db.Tx, p *plan, e *entity) error {
	refuse := func(why string) {
		for _, i := range e.rows {
			p.Rows[i].Outcome = RowWrong
			p.Rows[i].Problems = append(p.Rows[i].Problems, Mistake{"number", why})
		}
	}
	after := e.after // a transaction may be run twice
	after.Groups = slices.Clone(e.after.Groups)
	if e.before != nil {
		now, err := load(tx, Everybody, e.before.ID)
		if errors.Is(err, ErrNotFound) || err == nil && !now.UpdatedAt.Equal(e.before.UpdatedAt) {
			refuse("is in a contact that somebody changed just now: import the file again")
			return nil
		}
		if err != nil {
			return err
		}
	}
	for _, n := range after.Numbers {
		owner, err := ownerOf(tx, after.Team, n)
		if err != nil {
			return err
		}
		if owner != "" && owner != after.ID {
			refuse("was put into another contact just now: import the file again")
			return nil
		}
	}
	for _, name := range e.groups {
		after.Groups = append(after.Groups, GroupName{p.groups[fold(name)], name})
	}
	if len(after.Groups) > MaxGroupsOf {
		refuse("is in more groups than a contact may be in")
		return nil
	}
	now := c.now()
	if e.before == nil {
		id, err := c.newID(idPrefix, now)
		if err != nil {
			return err
		}
		after.ID, after.CreatedAt = id, now
	}
	after.UpdatedAt = now
	if after.Consent != nil && after.Consent.At.IsZero() {
		consent := *after.Consent
		consent.At = now
		after.Consent = &consent
	}
	if err := save(tx, &after); err != nil {
		return err
	}
	return c.state(tx, p.o.By, e.before, &after)
}

// ByPiece hands out all contacts of a filter by name, some at a time.
func (c *Contacts) ByPiece(ctx context.Context, of Of, f Filter, each func([]Contact) error) error {
	for f.Limit = slice; ; {
		page, next, err := c.List(ctx, of, f)
		if err != nil {
			return err
		}
		if err := each(page); err != nil || next == "" {
			return err
		}
		f.Cursor = next
	}
}

// MostNumbers is how many numbers a contact of those has at most.
func (c *Contacts) MostNumbers(ctx context.Context, of Of) (n int, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT coalesce(max(position), 0) + 1 FROM contact_numbers WHERE ?1 OR team = ?2`, of.Any, of.Team).Scan(&n)
	})
	return n, err
}

// Read reads a file of either kind: it is told by how it begins.
func (c *Contacts) Read(file []byte) (*File, error) {
	if len(file) > MaxFile {
		return nil, notReadable("the file has more than %d MB", MaxFile>>20)
	}
	begin := strings.ToUpper(strings.TrimSpace(decode(file[:min(len(file), 400)&^1])))
	if strings.HasPrefix(begin, "BEGIN:VCARD") {
		return ReadVCards(file, c.o.Region())
	}
	return ReadCSV(file, c.o.Region())
}

// Unreadable reports whether an error says that a file is none of ours.
func Unreadable(err error) bool {
	var e *FileError
	return errors.As(err, &e)
}
