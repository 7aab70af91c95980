package contacts

import (
	"regexp"
	"strings"
)

// column is what a column of a table means to us.
type column int

const (
	ignored column = iota
	colName
	colGiven
	colMiddle
	colFamily
	colNumber
	colEmail
	colOrganisation
	colNote
	colLanguage
	colGroups
	colConsent
	colConsentAt
)

// headings are what spreadsheets and exports call the columns, as fold and squeeze
// make them: Google Contacts, Outlook, Thunderbird, phones, and people in some of the
// languages that they name columns in.
var headings = map[column]string{
	colName: `name|full name|fullname|display name|contact|contact name|file as|anzeigename|kontakt|vollstandiger name|nom complet|nombre completo|nome completo|nome e cognome|
		volledige naam|naam|navn|namn|nom et prenom`,
	colGiven:  `first name|firstname|given name|forename|vorname|prenom|nombre|nome|voornaam|fornavn|fornamn|etunimi|imie`,
	colMiddle: `middle name|additional name|zweiter vorname|weitere vornamen|deuxieme prenom|segundo nombre`,
	colFamily: `last name|lastname|family name|surname|nachname|familienname|nom|nom de famille|apellido|apellidos|cognome|achternaam|etternavn|efternavn|efternamn|nazwisko`,
	colEmail: `email|e mail|mail|email address|e mail address|primary email|e mail adresse|email adresse|adresse e mail|correo|correo electronico|courriel|indirizzo email|
		e mail 1|e mail 1 value|e mail 2 value|email 1 value|home email|work email`,
	colOrganisation: `organisation|organization|company|company name|organization name|organisation name|organization 1 name|firma|unternehmen|verein|societe|entreprise|empresa|azienda|
		bedrijf|organisatie|org`,
	colNote:      `note|notes|comment|comments|remark|remarks|notiz|notizen|bemerkung|bemerkungen|anmerkung|notas|nota|opmerking|opmerkingen|commentaire`,
	colLanguage:  `language|lang|locale|sprache|langue|idioma|lingua|taal`,
	colGroups:    `group|groups|category|categories|label|labels|tag|tags|group membership|gruppe|gruppen|kategorie|kategorien|groupe|groupes|grupo|grupos|gruppo|gruppi|groep|groepen`,
	colConsent:   `consent|opt in|consent wording|einwilligung|einverstandnis|consentement|consentimiento`,
	colConsentAt: `consent at|consent date|consent given|opt in date|einwilligung am|datum der einwilligung|date du consentement`,
}

var known = func() map[string]column {
	all := map[string]column{}
	for c, names := range headings {
		for name := range strings.SplitSeq(names, "|") {
			all[strings.TrimSpace(name)] = c
		}
	}
	return all
}()

// A heading with one of these words is of a number, unless it is of a fax or says
// what kind of number another column has.
var (
	numberWord = regexp.MustCompile(`\b(phone|phones|telephone|mobile|mobil|mobiltelefon|mobilnummer|mobiltelefonnummer|cell|cellphone|cellular|number|numbers|msisdn|sms|tel|telefon|telefonnummer|` +
		`rufnummer|nummer|handy|handynummer|telefono|telefone|telefoon|telephones|portable|movil|celular|cellulare|gsm|numero|numeros|puhelin|telefonszam)\b`)
	notNumber = regexp.MustCompile(`\b(fax|telefax|pager|telex|isdn|tty|tdd|type|label|ext|extension|id|house|street|account|customer|kunden|kundennummer|hausnummer|postal|government|radio|callback|count|carrier|provider)\b`)
	squeezed  = regexp.MustCompile(`[\s_\-./:,()]+`)
)

// columnOf says what a heading means.
func columnOf(heading string) column {
	name := strings.TrimSpace(squeezed.ReplaceAllString(fold(strings.Trim(heading, "'\"* \u00a0")), " "))
	if c, ok := known[name]; ok {
		return c
	}
	if numberWord.MatchString(name) && !notNumber.MatchString(name) {
		return colNumber
	}
	return ignored
}
