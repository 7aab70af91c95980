package webhook

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// kept settings are those of an endpoint that the API made, as its row has them.
type keptSettings struct {
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	URL         string            `json:"url"`
	Events      []string          `json:"events"`
	Match       Match             `json:"match"`
	Stop        bool              `json:"stop,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Paused      bool              `json:"paused,omitempty"`
	Position    int               `json:"position,omitempty"`
	After       int64             `json:"after"`
}

func (e *endpoint) kept(s *settings) (string, error) {
	b, err := json.Marshal(keptSettings{s.Name, s.Description, s.URL, s.Events, s.Match, s.Stop, s.Headers, s.paused, s.position, e.after})
	return string(b), err
}

// loadMade reads the endpoints that the API made. The configuration may have
// taken a name of theirs since.
func (w *Webhooks) loadMade(newest int64, configured []*endpoint) (all []*endpoint, err error) {
	err = w.o.DB.Read(context.Background(), func(r db.Querier) error {
		rows, err := r.Query(`SELECT id, name, identity, settings, created_at FROM webhook_endpoints WHERE kind = ? AND removed_at IS NULL ORDER BY id`, ofAPI)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			var name, identity, raw string
			var created sql.NullInt64
			if err := rows.Scan(&id, &name, &identity, &raw, &created); err != nil {
				return err
			}
			var k keptSettings
			if err := json.Unmarshal([]byte(raw), &k); err != nil {
				return fmt.Errorf("the settings of webhook %s: %w", name, err)
			}
			name = unique(name, nil, append(slices.Clone(configured), all...))
			e := w.newEndpoint(ofAPI, name, settings{paused: k.Paused, position: k.Position, Endpoint: Endpoint{
				Name: k.Name, Description: k.Description, URL: k.URL, Events: k.Events, Match: k.Match, Stop: k.Stop, Headers: k.Headers}})
			e.id, e.identity, e.after, e.created = id, identity, k.After, moment(created.Int64)
			all = append(all, e)
		}
		return rows.Err()
	})
	for _, e := range all {
		if err != nil {
			return nil, err
		}
		s := *e.is()
		if s.secrets, err = w.loadSecrets(e.id); err != nil {
			return nil, fmt.Errorf("the secrets of webhook %s: %w", e.name(), err)
		}
		e.settings.Store(&s)
		err = w.o.DB.Write(func(tx *db.Tx) error { return w.store.loadState(tx, e, newest, `id = ?`, e.id) })
	}
	slices.SortStableFunc(all, byPosition)
	return all, err
}

// byPosition orders the endpoints: those of the configuration stay in front.
func byPosition(a, b *endpoint) int {
	if a.kind != b.kind {
		return strings.Compare(b.kind, a.kind) // config, api
	}
	if a.kind == ofConfig {
		return 0
	}
	return a.is().position - b.is().position
}

// Webhooks lists the endpoints in their order.
func (w *Webhooks) Webhooks(ctx context.Context) ([]sms.Webhook, error) {
	return w.show(ctx, w.list()...)
}

// Webhook shows one endpoint; queue.ErrNotFound if there is none.
func (w *Webhooks) Webhook(ctx context.Context, id string) (sms.Webhook, error) {
	e := w.named(id)
	if e == nil {
		return sms.Webhook{}, queue.ErrNotFound
	}
	all, err := w.show(ctx, e)
	if err != nil {
		return sms.Webhook{}, err
	}
	return all[0], nil
}

func (w *Webhooks) named(id string) *endpoint {
	for _, e := range w.list() {
		if e.public == id {
			return e
		}
	}
	return nil
}

func (w *Webhooks) show(ctx context.Context, endpoints ...*endpoint) ([]sms.Webhook, error) {
	waiting, failed, disabled, since := map[int64]int{}, map[int64]int{}, map[int64]*time.Time{}, map[int64]*time.Time{}
	err := w.o.DB.Read(ctx, func(r db.Querier) error {
		for _, state := range []struct {
			query string
			into  map[int64]int
		}{
			{`SELECT endpoint, count(*) FROM webhook_deliveries WHERE state = 'pending' GROUP BY endpoint`, waiting},
			{`SELECT endpoint, count(*) FROM webhook_deliveries WHERE state = 'failed' GROUP BY endpoint`, failed},
		} {
			rows, err := r.Query(state.query)
			if err != nil {
				return err
			}
			for rows.Next() {
				var id int64
				var n int
				if err := rows.Scan(&id, &n); err != nil {
					rows.Close()
					return err
				}
				state.into[id] = n
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
		}
		for _, e := range endpoints {
			var at sql.NullInt64
			if err := r.QueryRow(`SELECT disabled_at FROM webhook_endpoints WHERE id = ?`, e.id).Scan(&at); err != nil {
				return err
			}
			disabled[e.id] = nullTime(at)
			if waiting[e.id] > 0 {
				if err := r.QueryRow(`SELECT created_at FROM webhook_deliveries WHERE row =
					(SELECT min(row) FROM webhook_deliveries WHERE endpoint = ? AND state = 'pending')`, e.id).Scan(&at); err != nil {
					return err
				}
				since[e.id] = nullTime(at)
			}
		}
		return nil
	})
	all := make([]sms.Webhook, 0, len(endpoints))
	for _, e := range endpoints {
		s := e.is()
		h := sms.Webhook{ID: e.public, Name: e.name(), URL: s.URL, Source: sms.WebhookOfConfig, Enabled: !s.paused, Status: sms.WebhookActive,
			Events: s.Events, Match: s.Match.show(), Stop: s.Stop, Headers: map[string]string{}, AllowPrivate: e.reach() == anywhere,
			Description: orNil(s.Description), OldSecretUntil: s.secrets.oldUntil(w.o.Now()), Waiting: waiting[e.id], WaitingSince: since[e.id], Failed: failed[e.id]}
		if at := e.failing.Load(); at != 0 {
			t := moment(at)
			h.FailingSince = &t
		}
		for name := range s.Headers {
			h.Headers[name] = sms.HiddenValue
		}
		if e.kind == ofAPI {
			h.Source, h.Position = sms.WebhookOfAPI, &s.position
			h.CreatedAt = &e.created
		}
		switch {
		case e.disabled.Load():
			words := e.reason()
			h.Status, h.Reason, h.DisabledAt = sms.WebhookDisabled, &words, disabled[e.id]
		case s.paused:
			h.Status = sms.WebhookPaused
		}
		all = append(all, h)
	}
	return all, err
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (f Match) show() sms.WebhookMatch {
	return sms.WebhookMatch{Modem: orNil(f.Modem), To: orNil(f.To), FromPrefix: orNil(f.FromPrefix), Keyword: orNil(f.Keyword)}
}

// Why an endpoint is left as it is.
var (
	errReadOnly = queue.Conflict("the webhook stands in the configuration file; change it there and have it read with systemctl reload gatewayd")
	errOff      = queue.Conflict("the webhook is disabled or paused; enable it first")
	errPaused   = queue.Conflict("its webhook is paused; enable that first")
)

// changeable finds an endpoint that the API may change.
func (w *Webhooks) changeable(id string) (*endpoint, error) {
	e := w.named(id)
	if e == nil {
		return nil, queue.ErrNotFound
	}
	if e.kind != ofAPI {
		return nil, errReadOnly
	}
	return e, nil
}

// apply makes the settings that a change asks for.
func (s settings) apply(c sms.WebhookChange) settings {
	set := func(to *string, v *string) {
		if v != nil {
			*to = *v
		}
	}
	set(&s.Name, c.Name)
	set(&s.Description, c.Description)
	set(&s.URL, c.URL)
	if c.Events != nil {
		s.Events = *c.Events
	}
	if m := c.Match; m != nil {
		set(&s.Match.Modem, m.Modem)
		set(&s.Match.To, m.To)
		set(&s.Match.FromPrefix, m.FromPrefix)
		set(&s.Match.Keyword, m.Keyword)
	}
	if c.Stop != nil {
		s.Stop = *c.Stop
	}
	if c.Position != nil {
		s.position = *c.Position
	}
	if c.Enabled != nil {
		s.paused = !*c.Enabled
	}
	headers := maps.Clone(s.Headers)
	if headers == nil || c.NoHeaders {
		headers = map[string]string{}
	}
	for name, value := range c.Headers {
		switch {
		case value == nil:
			delete(headers, name)
		case *value != sms.HiddenValue || s.Headers[name] == "":
			headers[name] = *value
		default:
			headers[name] = s.Headers[name]
		}
	}
	s.Headers = headers
	return s
}

// Create makes an endpoint, which gets the events from now on, and shows its
// secret. Errors: sms.WebhookMistakes.
func (w *Webhooks) Create(ctx context.Context, c sms.WebhookChange) (sms.Webhook, error) {
	w.managing.Lock()
	defer w.managing.Unlock()
	s := settings{Endpoint: Endpoint{Events: []string{"*"}}}.apply(c)
	mistakes := w.checkSettings(&s)
	text := makeSecret()
	if c.Secret != nil && *c.Secret != "" {
		text = *c.Secret
	}
	keys, err := parseSecrets(text)
	if err != nil || len(keys) != 1 {
		mistakes = append(mistakes, sms.WebhookMistake{Field: "secret", Detail: "must be whsec_ and the base64 of 24 to 64 bytes; leave it out to have one made"})
	}
	if len(mistakes) > 0 {
		return sms.Webhook{}, mistakes
	}
	if err := w.follows(); err != nil {
		return sms.Webhook{}, err
	}
	after, err := w.newest(ctx)
	if err != nil {
		return sms.Webhook{}, err
	}
	var e *endpoint
	err = w.o.DB.Write(func(tx *db.Tx) error {
		now := w.o.Now()
		all := w.list()
		if err := w.nameFor(&s, nil, all); err != nil {
			return err
		}
		if n := len(all); n >= maxEndpoints {
			return sms.WebhookMistakes{{Field: "url", Detail: fmt.Sprintf("can't be added: there are %d webhooks already, the most that are allowed", n)}}
		}
		e = w.newEndpoint(ofAPI, w.shownName(&s, nil, all), s)
		e.after, e.created = after, moment(ms(now))
		id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
		if err != nil {
			return err
		}
		e.public = "whk_" + id.String()
		e.identity = "api " + e.public
		raw, err := e.kept(&s)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO webhook_endpoints (identity, name, url_hash, public, kind, settings, created_at) VALUES (?, ?, '', ?, ?, ?, ?)`,
			e.identity, e.name(), e.public, ofAPI, raw, ms(now)); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT id FROM webhook_endpoints WHERE identity = ?`, e.identity).Scan(&e.id); err != nil {
			return err
		}
		if s.secrets, err = rotate(tx, e.id, now, nil, text, 0); err != nil {
			return err
		}
		if s.paused {
			err = w.store.openGap(tx, e.id, after)
		}
		e.use(s, e.name())
		tx.OnCommit(func() { w.replace(append(slices.Clone(all), e)) })
		return err
	})
	if err != nil {
		return sms.Webhook{}, err
	}
	w.log.Info("a webhook was made", logEndpoint, e.name())
	shown, err := w.Webhook(ctx, e.public)
	shown.Secret = &text
	return shown, err
}

// replace puts other endpoints in the place of those that are there, in the
// commit that changes them.
func (w *Webhooks) replace(all []*endpoint) {
	slices.SortStableFunc(all, byPosition)
	w.endpoints.Store(&all)
}

// nameFor refuses a name that another endpoint has.
func (w *Webhooks) nameFor(s *settings, but *endpoint, all []*endpoint) error {
	for _, o := range all {
		if o != but && s.Name != "" && strings.EqualFold(o.name(), s.Name) {
			return sms.WebhookMistakes{{Field: "name", Detail: "is the name of another webhook"}}
		}
	}
	return nil
}

// shownName is an endpoint's name, else its host and a number.
func (w *Webhooks) shownName(s *settings, but *endpoint, all []*endpoint) string {
	if s.Name != "" {
		return s.Name
	}
	return unique(hostOf(s.URL), but, all)
}

// unique is a name, with a number behind it if another endpoint has it.
func unique(name string, but *endpoint, all []*endpoint) string {
	free := name
	for n := 2; slices.ContainsFunc(all, func(o *endpoint) bool { return o != but && o.name() == free }); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// Change changes an endpoint that the API made, at once. What waits for it goes
// to its new address. Errors: queue.ErrNotFound, queue.ErrConflict for
// one of the configuration, sms.WebhookMistakes.
func (w *Webhooks) Change(ctx context.Context, id string, c sms.WebhookChange) (sms.Webhook, error) {
	w.managing.Lock()
	defer w.managing.Unlock()
	e, err := w.changeable(id)
	if err != nil {
		return sms.Webhook{}, err
	}
	err = w.o.DB.Write(func(tx *db.Tx) error {
		was := e.is()
		s := was.apply(c)
		if mistakes := w.checkSettings(&s); len(mistakes) > 0 {
			return mistakes
		}
		all := w.list()
		if !slices.Contains(all, e) {
			return queue.ErrNotFound
		}
		if err := w.nameFor(&s, e, all); err != nil {
			return err
		}
		raw, err := e.kept(&s)
		if err != nil {
			return err
		}
		name := e.name() // a log line, a metric and a filter go by it: it changes with the name alone
		if s.Name != was.Name {
			name = w.shownName(&s, e, all)
		}
		if _, err := tx.Exec(`UPDATE webhook_endpoints SET settings = ?, name = ? WHERE id = ?`, raw, name, e.id); err != nil {
			return err
		}
		if s.paused && !was.paused {
			err = w.store.openGap(tx, e.id, w.place.Load())
		}
		// A new address is a new start for an endpoint that was disabled.
		if err == nil && s.URL != was.URL && e.disabled.Load() {
			err = e.enableTx(tx)
		}
		if err != nil {
			return err
		}
		tx.OnCommit(func() { w.changed(e, name, s) })
		return nil
	})
	if err != nil {
		return sms.Webhook{}, err
	}
	e.poke()
	w.tellAlarm()
	if err := e.endGap(ctx); err != nil {
		return sms.Webhook{}, err
	}
	return w.Webhook(ctx, id)
}

// changed has an endpoint's new settings count.
func (w *Webhooks) changed(e *endpoint, name string, s settings) {
	s.secrets = e.is().secrets // the clock may have been set meanwhile
	e.use(s, name)
	w.replace(slices.Clone(w.list()))
}

// Delete takes an endpoint away that the API made, with what waits for it.
func (w *Webhooks) Delete(_ context.Context, id string) error {
	w.managing.Lock()
	defer w.managing.Unlock()
	e, err := w.changeable(id)
	if err != nil {
		return err
	}
	err = w.o.DB.Write(func(tx *db.Tx) error {
		// Its name stays while its deliveries are listed; its secrets don't.
		if _, err := tx.Exec(`UPDATE webhook_endpoints SET removed_at = ?, settings = NULL WHERE id = ?`, ms(w.o.Now()), e.id); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM webhook_secrets WHERE endpoint = ?`, e.id); err != nil {
			return err
		}
		tx.OnCommit(func() {
			w.replace(slices.DeleteFunc(slices.Clone(w.list()), func(o *endpoint) bool { return o == e }))
			s := *e.is()
			s.paused = true // so that nothing more is begun
			e.settings.Store(&s)
		})
		return nil
	})
	if err != nil {
		return err
	}
	w.tellAlarm()
	for more := true; more && err == nil; {
		more, err = w.store.dropAll(e.id, "its webhook was deleted")
	}
	e.log().Info("the webhook was deleted")
	return err
}

// dropAll drops what is pending or failed of an endpoint that was deleted.
func (s *store) dropAll(endpoint int64, words string) (more bool, err error) {
	err = s.db.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'dropped', head = 0, lane = 0, last_error = ?, ended_at = ?, answer = NULL WHERE row IN
			(SELECT row FROM webhook_deliveries WHERE endpoint = ? AND state IN ('pending', 'failed') LIMIT ?)`, words, ms(s.now()), endpoint, slice)
		more = n == slice
		return err
	})
	return more, err
}

// Enable is the way back of an endpoint that was disabled by itself, or paused;
// what it missed can be replayed. What waits out a backoff is due now: whoever
// enables an endpoint that is on has mended its receiver.
func (w *Webhooks) Enable(ctx context.Context, id string) (sms.Webhook, error) {
	e := w.named(id)
	if e == nil {
		return sms.Webhook{}, queue.ErrNotFound
	}
	if e.kind == ofAPI && e.is().paused {
		on := true
		if _, err := w.Change(ctx, id, sms.WebhookChange{Enabled: &on}); err != nil {
			return sms.Webhook{}, err
		}
	}
	if err := w.o.DB.Write(e.enableTx); err != nil {
		return sms.Webhook{}, err
	}
	if err := w.store.hurry(e.id, true); err != nil {
		return sms.Webhook{}, err
	}
	e.poke()
	w.tellAlarm()
	if err := e.endGap(ctx); err != nil {
		return sms.Webhook{}, err
	}
	return w.Webhook(ctx, id)
}

// Test posts an event of the type webhook.test now, whether the endpoint is
// enabled or not, and tells how that went. It is not tried again.
func (w *Webhooks) Test(ctx context.Context, id string) (sms.WebhookTest, error) {
	e := w.named(id)
	if e == nil {
		return sms.WebhookTest{}, queue.ErrNotFound
	}
	now := w.o.Now()
	made, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil {
		return sms.WebhookTest{}, err
	}
	data, err := json.Marshal(map[string]string{"webhook_id": e.public, "name": e.name(), "text": "This is a test of the webhook; nothing has happened."})
	if err != nil {
		return sms.WebhookTest{}, err
	}
	event := &sms.Event{Type: sms.EventWebhookTest, Time: now, ClockUncertain: !w.o.Trusted(), Data: data}
	t := sms.WebhookTest{ID: "dlv_" + made.String()}
	r := e.attempt(ctx, Delivery{ID: t.ID, Event: event, Attempt: 1}, "")
	t.Delivered, t.LatencyMS, t.Response, t.Error = r.verdict == delivered, r.took.Milliseconds(), orNil(r.answer), orNil(r.words)
	if r.verdict == gone { // a test disables nothing
		t.Error = orNil("HTTP 410 Gone: after a real event the webhook would be disabled")
	}
	if r.status != 0 {
		t.ResponseStatus = &r.status
	}
	return t, nil
}
