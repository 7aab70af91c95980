package auth

import (
	"strings"
	"time"

	"gatewayd/sms/number"
)

// View is a key as it is shown; nil is what it has not.
type View struct {
	ID         string               `json:"id"`
	Prefix     string               `json:"prefix"`
	Principal  string               `json:"principal"`
	Name       string               `json:"name"`
	Scopes     []Scope              `json:"scopes"`
	Rate       *int                 `json:"rate"`
	Burst      *int                 `json:"burst"`
	Quota      *int                 `json:"quota"`
	Allow      []number.Destination `json:"allow"`
	Premium    bool                 `json:"premium"`
	Valid      bool                 `json:"valid"`
	CreatedAt  time.Time            `json:"created_at"`
	LastUsedAt *time.Time           `json:"last_used_at"`
	ExpiresAt  *time.Time           `json:"expires_at"`
	RevokedAt  *time.Time           `json:"revoked_at"`
	Token      string               `json:"token,omitempty"` // when it is made, never again
}

// View shows a key as it is at a time.
func (k *Key) View(now time.Time) View {
	allow := k.Allow
	if allow == nil {
		allow = []number.Destination{}
	}
	return View{
		ID: k.ID, Prefix: k.Prefix(), Principal: k.Principal, Name: k.Name, Scopes: k.Scopes,
		Rate: orNone(k.Rate), Burst: orNone(k.Burst), Quota: orNone(k.Quota), Allow: allow, Premium: k.Premium,
		Valid: k.Valid(now), CreatedAt: k.CreatedAt.UTC(),
		LastUsedAt: orNever(k.LastUsedAt), ExpiresAt: orNever(k.ExpiresAt), RevokedAt: orNever(k.RevokedAt),
	}
}

func orNone[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

func orNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Scopes writes scopes as ParseScopes reads them.
func Scopes(all []Scope) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	return strings.Join(words, ",")
}
