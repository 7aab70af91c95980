package api

import (
	"strings"
	"time"

	"gatewayd/sms"
)

// balanceView is a prepaid SIM's credit.
type balanceView struct {
	Kind, Amount, Fault, Answer string
	At                          time.Time
}

func viewBalance(b *sms.Balance) *balanceView {
	if b == nil {
		return nil
	}
	v := &balanceView{Kind: good, Amount: strings.TrimSpace(b.Amount + " " + b.Currency), Fault: b.Fault, Answer: b.Answer, At: b.At}
	if b.IsLow {
		v.Kind = bad
	}
	return v
}
