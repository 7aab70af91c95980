package sms

import "strings"

// Headed is a text as an SMS carries it: behind its sender's name and its subject, with
// links to the files that go with it behind it. What stands there already is not put
// there twice; "" and nil are nothing.
func Headed(name, subject, text string, links []string) string {
	text = head(name, subject) + bare(name, subject, text, links)
	for _, l := range links {
		text += "\n" + l
	}
	return strings.TrimPrefix(text, "\n")
}

// Bare is the text of a message without what Headed has put around it: for an inbox,
// which has name, subject and files in places of their own.
func (m *Message) Bare() string {
	name, text := "", m.Text
	if m.Author != nil {
		name = m.Author.Name
	}
	var links []string
	for i := len(m.Files) - 1; i >= 0; i-- {
		at := strings.LastIndexByte(text, '\n') + 1
		if link := text[at:]; strings.HasSuffix(link, "/f/"+m.Files[i].ID) {
			text, links = strings.TrimSuffix(text[:at], "\n"), append(links, link)
		}
	}
	if m.Via != ViaSMS || m.Mode == "" && len(links) == 0 && m.Subject == "" {
		return m.Text // nothing was put around it
	}
	// The name that its recipient was told may be the shop's, and not the author's.
	if at := strings.Index(text, ": "+head("", m.Subject)); m.Subject != "" && at > 0 && at < longestName {
		name = text[:at]
	}
	return bare(name, m.Subject, text, nil)
}

// longestName is how many bytes of a text are looked through for the name before it.
const longestName = 200

func bare(name, subject, text string, links []string) string {
	text = strings.TrimPrefix(text, head(name, ""))
	text = strings.TrimPrefix(text, head("", subject))
	for i := len(links) - 1; i >= 0; i-- {
		text = strings.TrimSuffix(strings.TrimSuffix(text, links[i]), "\n")
	}
	return text
}

func head(name, subject string) (h string) {
	if name != "" {
		h = name + ": "
	}
	if subject != "" {
		h += "[" + subject + "] "
	}
	return h
}
