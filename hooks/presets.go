package hooks

import (
	"fmt"
	"strings"
	"time"

	"gatewayd/sms"
)

// made is what a preset makes of a request.
type made struct {
	text string
	to   []string // who the request itself names
	skip string   // why nothing is to be sent; "": something is
	// same is equal in two requests that tell the same; "": unknown, so the
	// whole request counts.
	same string
	// delivery is the sender's own id of this request, the same in each of its
	// repetitions; "": it has none.
	delivery string
}

// preset is a sender whose requests are understood.
type preset struct {
	read   func(v any, r *Request, s *sms.HookSettings) made
	window time.Duration // dedup_window, unless the owner says another
}

var presets = map[string]preset{
	"text":         {read: readText},
	"template":     {read: func(any, *Request, *sms.HookSettings) made { return made{} }},
	"alertmanager": {read: readAlerts, window: 5 * time.Minute},
	"grafana":      {read: readAlerts, window: 5 * time.Minute},
	"uptime-kuma":  {read: readKuma, window: time.Minute},
	"slack":        {read: readSlack},
	"github":       {read: readGitHub},
	"supabase":     {read: readSupabase, window: time.Minute},
}

// unwrap takes out JSON that is sent in a form's field: Slack's payload and
// Uptime Kuma's data.
func unwrap(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for _, name := range []string{"payload", "data"} {
		s, ok := m[name].(string)
		if ok && strings.HasPrefix(strings.TrimSpace(s), "{") {
			if inner, err := parseJSON([]byte(s)); err == nil {
				return inner
			}
		}
	}
	return v
}

// readText takes a text however it comes: as the body, or as the field that
// holds it in what curl, Home Assistant and many others send.
func readText(v any, r *Request, _ *sms.HookSettings) made {
	m, ok := v.(map[string]any)
	if !ok {
		return made{text: plainText(v)}
	}
	var lines []string
	title := firstOf(str(m, "title"), str(m, "subject"))
	text := firstOf(str(m, "text"), str(m, "message"), str(m, "msg"), str(m, "body"), str(m, "content"))
	for _, s := range []string{title, text} {
		if s != "" {
			lines = append(lines, s)
		}
	}
	if len(lines) == 0 && len(r.Body) > 0 {
		lines = []string{cut(string(r.Body))} // curl -d 'a=b'
	}
	return made{text: strings.Join(lines, "\n")}
}

// maxLines bounds the work on a group of alerts; no text has room for more.
const maxLines = 500

// readAlerts understands the webhooks of Alertmanager, version 4
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config),
// and of Grafana, which are alike
// (https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/).
func readAlerts(v any, _ *Request, s *sms.HookSettings) made {
	status := str(v, "status")
	if status == "" || get(v, "alerts") == nil {
		return made{skip: "it is no group of alerts: status or alerts is missing"}
	}
	if status == "resolved" && !s.Resolved {
		return made{skip: "resolved notices are off"}
	}
	all := list(get(v, "alerts"))
	var firing, resolved []string
	same := []string{str(v, "groupKey"), status}
	for _, alert := range all {
		was := firstOf(str(alert, "status"), status)
		same = append(same, was, firstOf(str(alert, "fingerprint"), plainText(get(alert, "labels"))), str(alert, "startsAt"))
		switch {
		case was != "resolved":
			firing = append(firing, alertLine(v, alert))
		case s.Resolved:
			resolved = append(resolved, alertLine(v, alert))
		}
	}
	if len(firing)+len(resolved) == 0 && len(all) > 0 {
		return made{skip: "resolved notices are off"}
	}
	lines := firing
	if status == "resolved" {
		lines = resolved
	} else {
		for _, l := range resolved {
			lines = append(lines, "resolved: "+l)
		}
	}
	left := 0
	if n, ok := get(v, "truncatedAlerts").(int64); ok && n > 0 && n < 1e6 {
		left = int(n)
	}
	count := fmt.Sprintf(" (%d)", len(lines)+left)
	if status != "resolved" && len(resolved) > 0 {
		count = fmt.Sprintf(" (%d of %d)", len(firing)+left, len(lines)+left)
	}
	if len(lines) > maxLines {
		left += len(lines) - maxLines
		lines = lines[:maxLines]
	}
	return made{text: alertText(v, status, count, lines, left, roomOf(s)), same: strings.Join(same, "\n")}
}

func alertText(v any, status, count string, lines []string, left int, r room) string {
	head := strings.ToUpper(status)
	if severity := str(v, "commonLabels", "severity"); severity != "" {
		head += " " + severity
	}
	name := firstOf(str(v, "commonLabels", "alertname"), str(v, "groupLabels", "alertname"), groupName(v), str(v, "title"), str(v, "receiver"))
	head += " " + shorten(oneLine(name), 80)
	if len(lines) == 1 && left == 0 {
		return r.fit(clean(head + ": " + lines[0]))
	}
	return r.listing(clean(head+count), lines, left)
}

// groupName is what the alerts of a group have in common.
func groupName(v any) string {
	labels, _ := get(v, "groupLabels").(map[string]any)
	return plainText(sorted(labels))
}

// alertLine says one alert in a line.
func alertLine(group, alert any) string {
	says := firstOf(str(alert, "annotations", "summary"), str(alert, "annotations", "message"), str(alert, "annotations", "description"))
	name, where := str(alert, "labels", "alertname"), firstOf(str(alert, "labels", "instance"), str(alert, "labels", "job"))
	switch {
	case says == "":
		says = strings.TrimSpace(name + " " + where)
	case str(group, "commonLabels", "alertname") == "" && name != "" && !strings.Contains(says, name):
		says = name + ": " + says
	}
	if says == "" {
		labels, _ := get(alert, "labels").(map[string]any)
		says = plainText(sorted(labels))
	}
	return shorten(oneLine(clean(says)), 160)
}

// readKuma understands Uptime Kuma's webhook, as JSON, as a form with the field
// data, and as the query of a GET
// (https://github.com/louislam/uptime-kuma/blob/master/server/notification-providers/webhook.js).
func readKuma(v any, _ *Request, s *sms.HookSettings) made {
	monitor, beat := inner(v, "monitor"), inner(v, "heartbeat")
	name := firstOf(str(monitor, "pathName"), str(monitor, "name"))
	status, known := get(beat, "status").(int64)
	if name == "" || !known {
		text := str(v, "msg") // a test, or a certificate that expires
		if text == "" {
			return made{skip: "it is no notification of Uptime Kuma: msg, monitor and heartbeat are missing"}
		}
		return made{text: text}
	}
	word := "CHANGED"
	if status >= 0 && status < 4 {
		word = [...]string{"DOWN", "UP", "PENDING", "MAINTENANCE"}[status]
	}
	if word == "UP" && !s.Resolved {
		return made{skip: "resolved notices are off"}
	}
	text := word + ": " + oneLine(name)
	if says := oneLine(str(beat, "msg")); says != "" {
		text += " - " + says
	}
	return made{text: text, same: strings.Join([]string{str(monitor, "id"), name, word, str(beat, "time")}, "\n")}
}

// inner is an object, or the JSON of one in a text.
func inner(v any, name string) any {
	got := get(v, name)
	if s, ok := got.(string); ok {
		if parsed, err := parseJSON([]byte(s)); err == nil {
			return parsed
		}
	}
	return got
}

// readSupabase understands Supabase's Send SMS hook
// (https://supabase.com/docs/guides/auth/auth-hooks/send-sms-hook). Each of its
// tries has another webhook-id, so recipient and code tell a repetition.
func readSupabase(v any, _ *Request, _ *sms.HookSettings) made {
	phone, code := firstOf(str(v, "sms", "phone"), str(v, "user", "phone")), str(v, "sms", "otp")
	if phone == "" || code == "" {
		return made{skip: "it is no Send SMS hook: user.phone or sms.otp is missing"}
	}
	if phone[0] >= '1' && phone[0] <= '9' {
		phone = "+" + phone // Supabase keeps numbers without it
	}
	return made{text: "Your code is " + code, to: []string{phone}, same: phone + "\n" + code}
}
