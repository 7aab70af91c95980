package gateway

import (
	"cmp"
	"context"

	"gatewayd/auth"
	"gatewayd/sms"
)

// letters are how invitations go by e-mail: by the mail server that the
// configuration has now.
func (g *Gateway) letters() auth.Post {
	return auth.Post{
		Send: func() func(context.Context, []string, string, string, string) error { return g.set.Load().Mail },
		Box:  func() string { return cmp.Or(g.settings.get(sms.SettingName), "gatewayd") },
		Log:  g.logOf("auth"),
	}
}
