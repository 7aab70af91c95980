package config

import (
	"os"
	"strings"
	"testing"
)

const planted = `
# comment-secret
data_dir: /data
default_region: DE
http: {listen: "127.0.0.1:8080"}
modems:
  list:
    - name: office
      pin: &p "0012"
      imei: 490154203237518
      number: +491701234567
      smsc: +491700000000
      max_per_day: 7
      balance: {code: "*100#secret-code", every: 24h}
      keep_alive: {to: +491701234568, text: text-secret}
      nmae: misspelt-secret
webhooks:
  - url: https://user:url-secret@crm.example/hook?token=url-secret
    secret: whsec_secret
    headers: ["Authorization: Bearer header-secret"]
    match: {to: +491701234567, keyword: word-secret, modem: office}
mail: {host: smtp.example.org, username: mail-secret, password: mail-secret, from: ada@example.org}
unknown-secret: {deep: [x-secret]}
alias: *p
`

func TestRedacted(t *testing.T) {
	out, err := redact([]byte(planted))
	if err != nil {
		t.Fatal(err)
	}
	got := string(out)
	for _, bad := range []string{"secret: whsec", "-secret", "0012", "490154203237518", "1701234567", "1701234568", "1700000000", "crm.example", "ada@"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is in\n%s", bad, got)
		}
	}
	for _, want := range []string{"data_dir: /data", "127.0.0.1:8080", "name: office", "max_per_day: 7", "every: 24h", "modem: office", "smtp.example.org", "pin: (hidden)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if _, err := redact([]byte("a: [secret\n")); err == nil || strings.Contains(err.Error(), "secret\n") {
		t.Errorf("broken YAML: %v", err)
	}
}

// The documented example shows all of its keys.
func TestRedactedExample(t *testing.T) {
	b, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := redact(b); err != nil || strings.Contains(string(out), "#") {
		t.Errorf("%v\n%s", err, out)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add([]byte(planted))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("webhooks: [{url: x}]\n---\nb: c\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := redact(append([]byte("webhooks:\n  - {secret: planted-9f3a, url: planted-9f3a}\n"), b...))
		if err == nil && strings.Contains(string(out), "planted-9f3a") {
			t.Errorf("%s", out)
		}
	})
}
