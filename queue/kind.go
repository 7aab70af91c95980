package queue

import (
	"encoding/json"
	"fmt"
	"time"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// read makes what parts say of a received message: what kind it is, its text or
// data, and what is in them. A part that never came is nil.
func (r *record) read(parts []*pdu.Deliver, arrived time.Time) {
	first := parts[0]
	for i := 0; first == nil; i++ {
		first = parts[i]
	}
	r.Text, r.Data, r.Encoding = pdu.Join(parts)
	r.Parts, r.Flash, r.Port, r.SentAt = len(parts), first.Class == 0, first.DstPort, first.SCTS
	switch {
	case r.Data != nil && pdu.PushPort(r.Port):
		// Behind a gap nothing is where it should be.
		whole := parts
		for i, p := range parts {
			if p == nil {
				whole = parts[:i]
				break
			}
		}
		_, data, _ := pdu.Join(whole)
		at := r.SentAt
		if at.IsZero() {
			at = arrived
		}
		r.Kind, r.Push, r.MMS = pdu.ReadPush(data, at)
	case r.Data != nil:
		r.Kind = sms.KindData
	case first.Waiting != nil:
		r.Kind, r.Waiting = sms.KindWaiting, first.Waiting
	default:
		r.Kind = sms.KindText
	}
}

// about is the column details.
type about struct {
	Push    *sms.Push     `json:"push,omitempty"`
	MMS     *sms.MMS      `json:"mms,omitempty"`
	Waiting []sms.Waiting `json:"waiting,omitempty"`
}

func (r *record) details() (any, error) {
	if r.Push == nil && r.MMS == nil && r.Waiting == nil {
		return nil, nil
	}
	b, err := json.Marshal(about{r.Push, r.MMS, r.Waiting})
	return string(b), err
}

func (r *record) setDetails(stored string) error {
	var a about
	if err := json.Unmarshal([]byte(stored), &a); err != nil {
		return fmt.Errorf("message %s: details: %w", r.ID, err)
	}
	r.Push, r.MMS, r.Waiting = a.Push, a.MMS, a.Waiting
	return nil
}
