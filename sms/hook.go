package sms

import (
	"net/http"
	"net/url"
	"time"
)

// Hook is an address that other programs post to, and how texts are made of
// what they say. Its token is the credential, and is shown once.
type Hook struct {
	ID string `json:"id"` // hook_ and the public part of the token
	HookSettings
	HasSecret  bool       `json:"has_secret"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	RotatedAt  *time.Time `json:"rotated_at"`      // when it got its present token; nil: at its beginning
	OldUntil   *time.Time `json:"old_token_until"` // the token before is good until then; nil: it is not
	LastUsedAt *time.Time `json:"last_used_at"`    // to within some minutes
}

// HookSettings are what the owner of a hook decides.
type HookSettings struct {
	Name         string   `json:"name"`
	Enabled      bool     `json:"enabled"`
	Preset       string   `json:"preset"`         // whose requests are understood; one of HookPresets
	Template     string   `json:"template"`       // of the text; "": the preset's own
	To           []string `json:"to"`             // who gets the texts
	ToTemplate   string   `json:"to_template"`    // makes recipients of the request; To stands in if it makes none
	From         string   `json:"from"`           // the modem that must send; "": any
	Priority     int      `json:"priority"`       // 0 to 9
	MaxParts     int      `json:"max_parts"`      // the text is cut off there
	ExpiresAfter int      `json:"expires_after"`  // seconds, then it is not sent any more; 0: never
	DedupWindow  int      `json:"dedup_window"`   // seconds within which the same is told once; 0: every time
	Resolved     bool     `json:"resolved"`       // tells also that a trouble is over
	AllowGet     bool     `json:"allow_get"`      // a GET makes texts too
	AllowFrom    []string `json:"allow_from"`     // networks that requests may come from; none: any
	MaxPerMinute int      `json:"max_per_minute"` // messages; 0: no limit
	Unicode      string   `json:"unicode"`        // allow, transliterate or reject; "": as the gateway has it
	Secret       string   `json:"-"`              // requests must be signed with; "": they need not
}

// HookPresets are the senders that are understood without a template.
var HookPresets = []string{"text", "template", "alertmanager", "grafana", "uptime-kuma", "slack", "github", "supabase"}

// HookRequest is what somebody sends to a hook.
type HookRequest struct {
	Token  string
	Remote string // his IP address
	Method string
	Header http.Header
	Query  url.Values
	Body   []byte
}

// HookText is a message that a hook made, as its sender may see it: who it goes
// to is not his affair.
type HookText struct {
	ID       string   `json:"id"`
	Status   Status   `json:"status"`
	Length   int      `json:"length"` // characters
	Parts    int      `json:"parts"`
	Encoding Encoding `json:"encoding"`
}

// HookAnswer is what came of a request.
type HookAnswer struct {
	Messages []HookText `json:"messages"`
	Skipped  *string    `json:"skipped"` // why there are none
	Replayed bool       `json:"replayed"`
	// Preset is the hook's: some senders want an answer of another form.
	Preset string `json:"-"`
}

// HookPreview is what a hook would make of a request.
type HookPreview struct {
	Text     string   `json:"text"`
	To       []string `json:"to"`
	Length   int      `json:"length"`
	Parts    int      `json:"parts"`
	Encoding Encoding `json:"encoding"`
	ForcedBy *string  `json:"forced_by"` // the character that made it Unicode
	Skipped  *string  `json:"skipped"`   // why nothing would be sent
}

// HookRefusal is why a hook does not take a request that its token opens.
type HookRefusal string

// The reasons.
const (
	HookMethod     HookRefusal = "method"     // it is a GET, and the hook takes none
	HookUnsigned   HookRefusal = "unsigned"   // it is not signed as it must be
	HookUnreadable HookRefusal = "unreadable" // its body is not what it says it is
	HookTooFast    HookRefusal = "too-fast"   // it makes more messages than the hook may now
)

// HookError is a request that a hook does not take.
type HookError struct {
	Refusal HookRefusal
	Detail  string
	Wait    time.Duration // of HookTooFast: until it may be tried again
}

func (e *HookError) Error() string { return e.Detail }
