package sms

import "testing"

// An SMS says whose it is and what it is about once, however it was written.
func TestHeaded(t *testing.T) {
	links := []string{"https://hub.example/f/one", "https://hub.example/f/two"}
	for _, c := range []struct {
		name, subject, text string
		links               []string
		want, bare          string
	}{
		{"Anna", "", "hello", nil, "Anna: hello", "hello"},
		{"Anna", "Keys", "hello", nil, "Anna: [Keys] hello", "hello"},
		{"Anna", "Keys", "Anna: hello", nil, "Anna: [Keys] hello", "hello"},
		{"Anna", "Keys", "Anna: [Keys] hello", nil, "Anna: [Keys] hello", "hello"},
		{"", "Keys", "[Keys] hello", nil, "[Keys] hello", "hello"},
		{"", "", "hello", nil, "hello", "hello"},
		{"Anna", "", "hello", links, "Anna: hello\nhttps://hub.example/f/one\nhttps://hub.example/f/two", "hello"},
		{"", "", "", links[:1], "https://hub.example/f/one", ""},
	} {
		got := Headed(c.name, c.subject, c.text, c.links)
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
		if again := Headed(c.name, c.subject, got, c.links); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
		m := Message{Text: got, Subject: c.subject, Mode: ModeSMS, Author: &Author{Name: c.name}}
		for _, l := range c.links {
			m.Files = append(m.Files, File{ID: l[len("https://hub.example/f/"):]})
		}
		if bare := m.Bare(); bare != c.bare {
			t.Errorf("%q is %q without its head, want %q", got, bare, c.bare)
		}
	}
}

// What was put around a text goes, and nothing that somebody wrote.
func TestBare(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{Message{Text: "The shop: [Keys] hello", Subject: "Keys", Mode: ModeAuto, Author: &Author{Name: "Anna"}}, "hello"},
		{Message{Text: "Anna: hello", Author: &Author{Name: "Anna"}}, "Anna: hello"},
		{Message{Text: "Anna: hello", Via: ViaInternet, Mode: ModeAuto, Author: &Author{Name: "Anna"}}, "Anna: hello"},
		{Message{Text: "see\nhttps://x/f/other", Mode: ModeSMS, Files: []File{{ID: "one"}}}, "see\nhttps://x/f/other"},
	} {
		if got := c.m.Bare(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.m, got, c.want)
		}
	}
}
