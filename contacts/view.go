package contacts

import "time"

// ContactView is a contact as it is shown.
type ContactView struct {
	ID           string       `json:"id"`
	Team         string       `json:"team"`
	Name         string       `json:"name"`
	Numbers      []string     `json:"numbers"`
	Email        string       `json:"email"`
	Organisation string       `json:"organisation"`
	Note         string       `json:"note"`
	Language     string       `json:"language"`
	Consent      *ConsentView `json:"consent"`
	Groups       []GroupLink  `json:"groups"`
	CreatedAt    time.Time    `json:"created_at"`
	UpdatedAt    time.Time    `json:"updated_at"`
}

// ConsentView is a consent as it is shown.
type ConsentView struct {
	Wording string    `json:"wording"`
	At      time.Time `json:"at"`
}

// GroupLink is a group that a contact is in, as it is shown.
type GroupLink struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// View shows a contact.
func (c *Contact) View() ContactView {
	v := ContactView{ID: c.ID, Team: c.Team, Name: c.Name, Numbers: c.Numbers, Email: c.Email, Organisation: c.Organisation, Note: c.Note,
		Language: c.Language, Groups: []GroupLink{}, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	if c.Consent != nil {
		v.Consent = &ConsentView{c.Consent.Wording, c.Consent.At}
	}
	for _, g := range c.Groups {
		v.Groups = append(v.Groups, GroupLink(g))
	}
	return v
}

// GroupView is a group as it is shown.
type GroupView struct {
	ID        string    `json:"id"`
	Team      string    `json:"team"`
	Name      string    `json:"name"`
	Members   int       `json:"members"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// View shows a group.
func (g *Group) View() GroupView { return GroupView(*g) }
