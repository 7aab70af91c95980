package inbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/door"
	"gatewayd/files"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// message is one as its inbox shows it.
type message struct {
	Seq     int64      `json:"seq"`
	ID      string     `json:"id"`
	Thread  int64      `json:"thread"`
	Mine    bool       `json:"mine"`
	BySMS   bool       `json:"by_sms"`
	Subject string     `json:"subject"`
	Text    string     `json:"text"`
	Files   []sms.File `json:"files"`
	Kinds   []string   `json:"kinds"` // of the files: image, video, audio, "", or "waits" while not all of it is here
	At      time.Time  `json:"at"`
	Read    bool       `json:"read"`
	Erased  bool       `json:"erased"`

	number, client string
}

// thread is what a person has with one sender.
type thread struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	At      string   `json:"at"` // what the sender's gateway is called
	Unread  int      `json:"unread"`
	Newest  *message `json:"newest"`
	gateway string
}

// tagged is the condition of the filter by tag; "": all.
func tagged(tag string) (string, error) {
	switch tag {
	case "":
		return "true", nil
	case "sms":
		return "m.by_sms = 1", nil
	case "internet":
		return "m.by_sms = 0", nil
	}
	return "", door.Refuse(http.StatusUnprocessableEntity, "other", "tag is sms, internet, or left out.")
}

const messageColumns = `SELECT m.seq, m.id, m.thread, m.mine, m.by_sms, coalesce(m.subject, ''), coalesce(m.text, ''), m.files, m.at, m.read_at IS NOT NULL, m.text IS NULL FROM inbox_messages m `

func scanMessage(scan func(...any) error) (m message, err error) {
	var attached sql.NullString
	var at int64
	if err := scan(&m.Seq, &m.ID, &m.Thread, &m.Mine, &m.BySMS, &m.Subject, &m.Text, &attached, &at, &m.Read, &m.Erased); err != nil {
		return m, err
	}
	m.At, m.Files = moment(at), []sms.File{}
	if attached.Valid {
		err = json.Unmarshal([]byte(attached.String), &m.Files)
	}
	return m, err
}

func messagesOf(r db.Querier, where string, args ...any) (all []message, err error) {
	all = []message{}
	rows, err := r.Query(messageColumns+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scanMessage(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// look tells of each file how it is shown: as the store knows it, not as its sender said.
func (b *Inbox) look(ctx context.Context, all []message) {
	for i := range all {
		all[i].Kinds = []string{}
		for k, f := range all[i].Files {
			known, _, err := b.o.Files.Stat(ctx, f.ID)
			kind := files.Kind(known.Type)
			if err != nil {
				kind = "waits"
			} else {
				all[i].Files[k] = known
			}
			all[i].Kinds = append(all[i].Kinds, kind)
		}
	}
}

const (
	threadsAtOnce  = 200
	messagesAtOnce = 50
)

// threads is GET threads: who wrote, the newest first.
func (b *Inbox) threads(w http.ResponseWriter, r *http.Request, p person) error {
	q := r.URL.Query()
	condition, err := tagged(q.Get("tag"))
	if err != nil {
		return err
	}
	all := []thread{}
	err = b.o.DB.Read(r.Context(), func(r db.Querier) error {
		rows, err := r.Query(`SELECT t.id, t.gateway, t.name, (SELECT count(*) FROM inbox_messages m WHERE m.thread = t.id AND m.read_at IS NULL AND m.mine = 0) AS unread,
			(SELECT max(m.seq) FROM inbox_messages m WHERE m.thread = t.id AND `+condition+`) AS last
			FROM inbox_threads t WHERE t.number = ?1 AND last IS NOT NULL AND (unread > 0 OR ?2 = '') ORDER BY last DESC LIMIT ?3`, p.Number, q.Get("unread"), threadsAtOnce)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t thread
			var last int64
			if err := rows.Scan(&t.ID, &t.gateway, &t.Name, &t.Unread, &last); err != nil {
				return err
			}
			newest, err := scanMessage(r.QueryRow(messageColumns+`WHERE m.seq = ?`, last).Scan)
			if err != nil {
				return err
			}
			t.Newest = &newest
			all = append(all, t)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	titles := map[string]string{}
	for i, t := range all {
		if _, known := titles[t.gateway]; !known {
			titles[t.gateway] = b.titleOf(t.gateway)
		}
		all[i].At = titles[t.gateway]
	}
	return door.Answer(w, http.StatusOK, map[string]any{"threads": all})
}

// titleOf is what a thread's gateway is called; that of the hub is what this is called.
func (b *Inbox) titleOf(gateway string) string {
	if gateway == "" {
		return b.o.Name()
	}
	return cmp.Or(b.o.Title(gateway), gateway)
}

// threadOf finds a thread of a person; nobody else's.
func threadOf(r db.Querier, p person, id string) (t thread, err error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return t, queue.ErrNotFound
	}
	err = r.QueryRow(`SELECT id, gateway, name FROM inbox_threads WHERE id = ? AND number = ?`, n, p.Number).Scan(&t.ID, &t.gateway, &t.Name)
	if errors.Is(err, sql.ErrNoRows) {
		err = queue.ErrNotFound
	}
	return t, err
}

// messages is GET threads/{id}: its messages, the newest last, before a place.
func (b *Inbox) messages(w http.ResponseWriter, r *http.Request, p person) error {
	q := r.URL.Query()
	condition, err := tagged(q.Get("tag"))
	if err != nil {
		return err
	}
	before := int64(1) << 62
	if s := q.Get("before"); s != "" {
		if before, err = strconv.ParseInt(s, 10, 64); err != nil {
			return door.Refuse(http.StatusUnprocessableEntity, "other", "before is the seq of a message.")
		}
	}
	var t thread
	var all []message
	err = b.o.DB.Read(r.Context(), func(db db.Querier) (err error) {
		if t, err = threadOf(db, p, r.PathValue("id")); err != nil {
			return err
		}
		all, err = messagesOf(db, `WHERE m.thread = ? AND m.seq < ? AND `+condition+` ORDER BY m.seq DESC LIMIT ?`, t.ID, before, messagesAtOnce+1)
		return err
	})
	if err != nil {
		return err
	}
	more := len(all) > messagesAtOnce
	if more {
		all = all[:messagesAtOnce]
	}
	for i, k := 0, len(all)-1; i < k; i, k = i+1, k-1 {
		all[i], all[k] = all[k], all[i]
	}
	b.look(r.Context(), all)
	t.At = b.titleOf(t.gateway)
	return door.Answer(w, http.StatusOK, map[string]any{"thread": t, "messages": all, "more": more})
}

// mostSearched is how many of a person's messages, the newest, a search looks at.
const mostSearched = 20_000

// search is GET search.
func (b *Inbox) search(w http.ResponseWriter, r *http.Request, p person) error {
	q := r.URL.Query()
	wanted := strings.ToLower(strings.TrimSpace(cut(q.Get("q"), 200)))
	condition, err := tagged(q.Get("tag"))
	if err != nil {
		return err
	}
	type hit struct {
		message
		From string `json:"from"`
	}
	found := []hit{}
	err = b.o.DB.Read(r.Context(), func(r db.Querier) error {
		if wanted == "" {
			return nil
		}
		rows, err := r.Query(`SELECT m.seq, t.name, coalesce(m.subject, ''), coalesce(m.text, ''), coalesce(m.files, '') FROM inbox_messages m JOIN inbox_threads t ON t.id = m.thread
			WHERE m.number = ? AND `+condition+` ORDER BY m.seq DESC LIMIT ?`, p.Number, mostSearched)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() && len(found) < messagesAtOnce {
			var seq int64
			var name, subject, text, attached string
			if err := rows.Scan(&seq, &name, &subject, &text, &attached); err != nil {
				return err
			}
			if !strings.Contains(strings.ToLower(name+"\n"+subject+"\n"+text+"\n"+attached), wanted) {
				continue
			}
			m, err := scanMessage(r.QueryRow(messageColumns+`WHERE m.seq = ?`, seq).Scan)
			if err != nil {
				return err
			}
			found = append(found, hit{m, name})
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	for i := range found {
		one := []message{found[i].message}
		b.look(r.Context(), one)
		found[i].message = one[0]
	}
	return door.Answer(w, http.StatusOK, map[string]any{"messages": found})
}

// receiptsAtOnce is how many receipts one item holds.
const receiptsAtOnce = 200

// readUpTo is POST threads/{id}/read: a person has seen messages up to a place, of those
// with a tag if only they were shown. Their senders are told, once.
func (b *Inbox) readUpTo(w http.ResponseWriter, r *http.Request, p person) error {
	var in struct {
		Seq int64
		Tag string
	}
	if err := door.Read(r, &in); err != nil {
		return err
	}
	condition, err := tagged(in.Tag)
	if err != nil {
		return err
	}
	err = b.o.Queue.Do(func(tx *db.Tx) error {
		t, err := threadOf(tx, p, r.PathValue("id"))
		if err != nil {
			return err
		}
		unread, err := messagesOf(tx, `WHERE m.thread = ? AND m.seq <= ? AND m.read_at IS NULL AND m.mine = 0 AND `+condition+` ORDER BY m.seq`, t.ID, in.Seq)
		if err != nil || len(unread) == 0 {
			return err
		}
		now := b.o.Now()
		if _, err := tx.Exec(`UPDATE inbox_messages AS m SET read_at = ? WHERE m.thread = ? AND m.seq <= ? AND m.read_at IS NULL AND m.mine = 0 AND `+condition, now.UnixMilli(), t.ID, in.Seq); err != nil {
			return err
		}
		tx.OnCommit(func() { b.here.wake(p.Number) })
		return b.tellRead(tx, t.gateway, unread, now)
	})
	if err != nil {
		return err
	}
	return door.Answer(w, http.StatusOK, map[string]any{})
}

func (b *Inbox) tellRead(tx *db.Tx, gateway string, seen []message, now time.Time) error {
	var receipts []mirror.Receipt
	for _, m := range seen {
		if gateway == "" {
			if !m.BySMS {
				// The queue may have forgotten it meanwhile.
				if err := b.o.Queue.InternetTx(tx, m.ID, sms.Delivered, nil); err != nil && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrConflict) {
					return err
				}
			}
			continue
		}
		receipts = append(receipts, mirror.Receipt{ID: m.ID, Copy: sms.CopySent, ReadAt: now.UTC().Truncate(time.Millisecond)})
	}
	for len(receipts) > 0 {
		n := min(len(receipts), receiptsAtOnce)
		if err := b.o.PutTx(tx, gateway, mirror.Item{Receipts: receipts[:n]}); err != nil {
			return err
		}
		receipts = receipts[n:]
	}
	return nil
}

const (
	longestText   = 10_000 // characters
	longestClient = 64
)

// say is POST threads/{id}/messages: a person answers by internet. What has the client_id
// of one before is that one.
func (b *Inbox) say(w http.ResponseWriter, r *http.Request, p person) error {
	var in struct {
		Text     string
		Files    []string
		ClientID string `json:"client_id"`
	}
	if err := door.Read(r, &in); err != nil {
		return err
	}
	if !utf8.ValidString(in.Text) || utf8.RuneCountInString(in.Text) > longestText || strings.TrimSpace(in.Text) == "" && len(in.Files) == 0 ||
		len(in.Files) > mostFiles || len(in.ClientID) > longestClient {
		return door.Refuse(http.StatusUnprocessableEntity, "text", "A message has a text of at most %d characters, or files, %d at most.", longestText, mostFiles)
	}
	if err := door.Limited(b.limits.written, p.Number); err != nil {
		return err
	}
	attached := []sms.File{}
	for _, id := range in.Files {
		f, source, err := b.o.Files.Stat(r.Context(), id)
		if errors.Is(err, queue.ErrNotFound) || err == nil && source != sourceOf(p) {
			return door.Refuse(http.StatusUnprocessableEntity, "file", "One of the files was not uploaded from here, or was erased. Upload it again.")
		}
		if err != nil {
			return err
		}
		attached = append(attached, f)
	}
	m := message{Mine: true, Read: true, Text: in.Text, Files: attached, number: p.Number, client: in.ClientID}
	err := b.o.Queue.Do(func(tx *db.Tx) error {
		t, err := threadOf(tx, p, r.PathValue("id"))
		if err != nil {
			return err
		}
		if in.ClientID != "" {
			before, err := messagesOf(tx, `WHERE m.number = ? AND m.client_id = ?`, p.Number, in.ClientID)
			if err != nil || len(before) > 0 {
				if len(before) > 0 {
					m = before[0]
				}
				return err
			}
		}
		var to string
		err = tx.QueryRow(`SELECT id FROM inbox_messages WHERE thread = ? AND mine = 0 ORDER BY seq DESC LIMIT 1`, t.ID).Scan(&to)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		now := b.o.Now().UTC().Truncate(time.Millisecond)
		m.ID, m.Thread, m.At = "msg_"+newID(now), t.ID, now
		if err := b.store(tx, m); err != nil {
			return err
		}
		reply := mirror.Reply{ID: m.ID, From: p.Number, Name: p.Name, Text: m.Text, Files: m.Files, At: now, To: to}
		if t.gateway == "" {
			return b.o.Queue.ReplyTx(tx, queue.Reply(reply))
		}
		return b.o.PutTx(tx, t.gateway, mirror.Item{Reply: &reply})
	})
	if errors.Is(err, sms.ErrNoGateway) {
		return door.Refuse(http.StatusConflict, "gone", "Whoever wrote to you from there is no longer here, and would not get this.")
	}
	if err != nil {
		return err
	}
	one := []message{m}
	b.look(r.Context(), one)
	return door.Answer(w, http.StatusCreated, one[0])
}

// sourceOf is what files are stored under that a person uploaded.
func sourceOf(p person) string { return "ibx_" + p.Number }

// uploadLife is how long an upload may take.
const uploadLife = 15 * time.Minute

// upload is POST files: the body is the file, its name a parameter.
func (b *Inbox) upload(w http.ResponseWriter, r *http.Request, p person) error {
	if err := door.Limited(b.limits.upload, p.Number); err != nil {
		return err
	}
	name, kind := r.URL.Query().Get("name"), r.Header.Get("Content-Type")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadLife)) // a film takes longer than what is said
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(uploadLife + writeWait))
	f, err := b.o.Files.PutFrom(r.Context(), sourceOf(p), name, kind, r.Body)
	if err != nil {
		return err
	}
	return door.Answer(w, http.StatusCreated, map[string]any{"file": f, "kind": files.Kind(f.Type)})
}

// newID is a ULID.
func newID(now time.Time) string {
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil { // the clock is beyond the year 10889
		panic("inbox: " + err.Error())
	}
	return id.String()
}
