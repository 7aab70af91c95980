package gateway

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"gatewayd/sms"
)

// anyAmount is the pattern of those who give none: the first number.
var anyAmount = regexp.MustCompile(`(-?[0-9](?:[0-9.,'\x{A0}\x{202F}]*[0-9])?)`)

// A currency is told by its sign or its abbreviation, mostly behind the amount.
var (
	currencyBehind = regexp.MustCompile(`^\s*(\p{Sc}|[A-Z]{2,3}\b|[A-Z][a-z]{1,3}\b\.?)`)
	currencyBefore = regexp.MustCompile(`(?:^|[^\pL])(\p{Sc}|[A-Z]{2,3}|[A-Z][a-z]{1,2}\.?)\s*$`)
)

// readBalance finds the amount in what the network says: the pattern's group,
// as a decimal number, and the currency next to it, if any stands there.
func readBalance(text string, pattern *regexp.Regexp) (amount, currency string, ok bool) {
	if pattern == nil {
		pattern = anyAmount
	}
	at := pattern.FindStringSubmatchIndex(text)
	if len(at) < 4 || at[2] < 0 {
		return "", "", false
	}
	if amount, ok = decimal(text[at[2]:at[3]]); !ok {
		return "", "", false
	}
	if m := currencyBehind.FindStringSubmatch(text[at[3]:]); m != nil {
		currency = m[1]
	} else if m := currencyBefore.FindStringSubmatch(text[:at[2]]); m != nil {
		currency = m[1]
	}
	return amount, currency, true
}

// decimal reads an amount as networks write it: the last of comma and point
// parts the fraction, unless three digits follow, which are thousands.
func decimal(s string) (string, bool) {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" '\u00A0\u202F", r) {
			return -1
		}
		return r
	}, s)
	digits, minus := strings.CutPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789.,") != "" || strings.Trim(digits, ".,") == "" {
		return "", false
	}
	whole, fraction := digits, ""
	if i := strings.LastIndexAny(digits, ".,"); i >= 0 {
		whole, fraction = digits[:i], digits[i+1:]
		sign := digits[i : i+1]
		other := strings.Trim(whole, "0123456789"+sign) != ""
		if len(fraction) == 3 && !other && strings.Trim(whole, "0") != "" || strings.Contains(whole, sign) {
			whole, fraction = digits, "" // 1.000, 1,000,000
		}
	}
	whole = strings.TrimLeft(strings.NewReplacer(".", "", ",", "").Replace(whole), "0")
	if whole == "" {
		whole = "0"
	}
	if len(whole) > 12 || len(fraction) > 6 {
		return "", false // a number of another kind
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if minus {
		whole = "-" + whole
	}
	return whole, true
}

// below compares two decimal numbers.
func below(amount, mark string) bool {
	a, okA := new(big.Rat).SetString(amount)
	b, okB := new(big.Rat).SetString(mark)
	return okA && okB && a.Cmp(b) < 0
}

// amountOf is an amount as metrics have it.
func amountOf(amount string) (float64, bool) {
	f, err := strconv.ParseFloat(amount, 64)
	return f, err == nil
}

// inWords is a balance for people.
func inWords(b *sms.Balance) string { return strings.TrimSpace(b.Amount + " " + b.Currency) }
