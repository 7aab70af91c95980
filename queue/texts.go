package queue

import "strings"

// ConsentTexts are the automatic answers in one language. {name} stands for who this
// is, {contact} for how to reach somebody.
type ConsentTexts struct {
	Us      string // what {name} is where nobody has a name
	Stopped string // to STOP
	Started string // to START
	Help    string // to HELP, with a contact
	NoHelp  string // to HELP, without one
	Silence string // after long silence
}

// builtInTexts fit into one message each, with a name of usual length.
var builtInTexts = map[string]ConsentTexts{
	"en": {"us",
		"You get no more messages from {name}. Reply START to get them again.",
		"You get messages from {name} again. Reply STOP to end them.",
		"Messages from {name}. Help: {contact}. Reply STOP to end them. Standard rates apply.",
		"Messages from {name}. Reply STOP to end them, START to get them again. Standard rates apply.",
		"We have not heard from you for long, so you get no more messages from {name}. Reply START to get them again."},
	"de": {"uns",
		"Sie erhalten keine Nachrichten mehr von {name}. Mit START erhalten Sie wieder welche.",
		"Sie erhalten wieder Nachrichten von {name}. Mit STOP beenden Sie das.",
		"Nachrichten von {name}. Hilfe: {contact}. Mit STOP beenden Sie sie. Es gilt Ihr Tarif.",
		"Nachrichten von {name}. Mit STOP beenden Sie sie, mit START erhalten Sie wieder welche. Es gilt Ihr Tarif.",
		"Wir haben lange nichts von Ihnen gehört, daher kommen keine Nachrichten mehr von {name}. Mit START erhalten Sie wieder welche."},
	"fr": {"nous",
		"Vous ne recevrez plus de messages de {name}. Répondez START pour en recevoir.",
		"Vous recevez de nouveau des messages de {name}. STOP pour arrêter.",
		"Messages de {name}. Aide : {contact}. STOP pour arrêter. Tarif normal de votre opérateur.",
		"Messages de {name}. STOP pour arrêter, START pour reprendre. Tarif normal de votre opérateur.",
		"Sans nouvelles de vous, {name} ne vous écrit plus. Répondez START pour recevoir des messages."},
	"es": {"nosotros",
		"No recibirá más mensajes de {name}. Responda START para recibirlos de nuevo.",
		"Vuelve a recibir mensajes de {name}. Responda STOP para terminar.",
		"Mensajes de {name}. Ayuda: {contact}. STOP para terminar. Tarifa normal.",
		"Mensajes de {name}. STOP para terminar, START para volver. Tarifa normal.",
		"Hace mucho que no sabemos de usted y no recibirá más mensajes de {name}. Responda START para recibirlos."},
	"it": {"noi",
		"Non riceverà più messaggi da {name}. Risponda START per riceverli di nuovo.",
		"Riceve di nuovo messaggi da {name}. Risponda STOP per terminare.",
		"Messaggi da {name}. Aiuto: {contact}. STOP per terminare. Tariffa normale.",
		"Messaggi da {name}. STOP per terminare, START per riprendere. Tariffa normale.",
		"Da molto non abbiamo sue notizie: non riceverà più messaggi da {name}. Risponda START per riceverli."},
	"nl": {"ons",
		"U krijgt geen berichten meer van {name}. Antwoord START om ze weer te krijgen.",
		"U krijgt weer berichten van {name}. Antwoord STOP om te stoppen.",
		"Berichten van {name}. Hulp: {contact}. Antwoord STOP om te stoppen. Normaal tarief.",
		"Berichten van {name}. Antwoord STOP om te stoppen, START om te hervatten. Normaal tarief.",
		"Wij hoorden lang niets van u, dus u krijgt geen berichten meer van {name}. Antwoord START om ze weer te krijgen."},
	"pt": {"nós",
		"Não receberá mais mensagens de {name}. Responda START para voltar a receber.",
		"Volta a receber mensagens de {name}. Responda STOP para terminar.",
		"Mensagens de {name}. Ajuda: {contact}. STOP para terminar. Tarifa normal.",
		"Mensagens de {name}. STOP para terminar, START para voltar. Tarifa normal.",
		"Sem notícias suas há muito, não receberá mais mensagens de {name}. Responda START para voltar a receber."},
	"pl": {"nas",
		"Nie otrzymasz więcej wiadomości od {name}. Odpisz START, aby je znów otrzymywać.",
		"Znów otrzymujesz wiadomości od {name}. Odpisz STOP, aby zakończyć.",
		"Wiadomości od {name}. Pomoc: {contact}. STOP kończy. Opłata wg taryfy.",
		"Wiadomości od {name}. STOP kończy, START wznawia. Opłata wg taryfy.",
		"Dawno nie pisałeś, więc {name} już nie pisze. Odpisz START, aby wznowić."},
	"tr": {"bizden",
		"{name} artık size mesaj göndermeyecek. Yeniden almak için START yazın.",
		"{name} size yeniden mesaj gönderiyor. Bitirmek için STOP yazın.",
		"{name} mesajları. Yardım: {contact}. Bitirmek için STOP yazın. Normal tarife geçerlidir.",
		"{name} mesajları. Bitirmek için STOP, sürdürmek için START yazın. Normal tarife geçerlidir.",
		"Uzun süredir sizden haber yok; {name} artık mesaj göndermeyecek. Yeniden almak için START yazın."},
}

// texts are those of a language, with names put in.
func (r *ConsentRules) texts(lang string) ConsentTexts {
	if _, ours := r.Texts[lang]; lang == everywhere || !ours && builtInTexts[lang].Us == "" {
		lang = r.Language
	}
	t, ok := builtInTexts[lang]
	if !ok {
		t = builtInTexts["en"]
	}
	own := r.Texts[lang]
	for _, one := range []struct{ into, from *string }{
		{&t.Us, &own.Us}, {&t.Stopped, &own.Stopped}, {&t.Started, &own.Started}, {&t.Help, &own.Help}, {&t.NoHelp, &own.Help}, {&t.Silence, &own.Silence},
	} {
		if *one.from != "" {
			*one.into = *one.from
		}
	}
	if r.Contact == "" {
		t.Help = t.NoHelp
	}
	name := r.Name
	if name == "" {
		name = t.Us
	}
	put := strings.NewReplacer("{name}", name, "{contact}", r.Contact)
	for _, text := range []*string{&t.Stopped, &t.Started, &t.Help, &t.Silence} {
		*text = put.Replace(*text)
	}
	return t
}
