package ports

import "strings"

// Name makes the name of a modem that the configuration does not name. It is
// the same after every replug and reboot, wherever the modem is plugged in: the
// last six digits of the IMEI, which stand on its label. taken tells whether
// another modem has a name already. Without an IMEI the socket must do.
func Name(imei, key string, taken func(string) bool) string {
	if imei == "" {
		key = strings.Trim(key, "/")
		return "modem-" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
				return r
			}
			return '-'
		}, key[max(0, len(key)-26):])
	}
	if name := "modem-" + imei[max(0, len(imei)-6):]; taken == nil || !taken(name) {
		return name
	}
	return "modem-" + imei
}
