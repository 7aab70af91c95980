package api

import (
	"gatewayd/chat"
)

// What conversations are refused for.
var (
	noNumberFree = &kind{"no-number-free", 409, "No number is free",
		"Somebody else is writing with this phone through each of this gateway's numbers, or none of them works now. Nothing was sent. Try again later."}
	notOptedIn = &kind{"not-opted-in", 409, "The phone has not said YES",
		"A chat with somebody who did not write first needs their YES: POST /v1/conversations/{id}/invite asks. Nothing was sent."}
	optedOut = &kind{"opted-out", 409, "The recipient has said STOP",
		"This phone asked for no more messages. It gets some again once it sends START. Nothing was sent."}
	blockedSender = &kind{"blocked-sender", 403, "The sender is blocked",
		"Too many recipients complained, or an admin blocked it. An admin can let it write again."}
	blockedNumber = &kind{"blocked-number", 409, "The conversation or its number is blocked",
		"Nothing is sent to it until an admin unblocks it."}
	keywordRefused = &kind{"keyword", 422, "The text has a word that is not let through",
		"Write it in other words. An admin keeps the list."}
	destinationRefused = &kind{"destination", 422, "Nothing is sent to such numbers",
		"An admin sets which countries and kinds of numbers may be written to."}
	chatLimit = &kind{"limit", 429, "Too much for now",
		"Nothing was sent. Wait as many seconds as the header Retry-After says."}
	puzzleNeeded = &kind{"captcha", 403, "A puzzle has to be solved first",
		"A stranger's browser solves one before the first message, and a harder one when it looks like a program. Ask for a challenge, hand in its solution, and send again."}
	noInternet = &kind{"no-internet", 409, "Nothing goes by internet from here",
		"The gateway belongs to no hub. Nothing was sent; send it as SMS."}
	linkDown = &kind{"link-down", 409, "The link to the hub is down",
		"Nothing was sent. Send it as SMS now, or in mode offline: then it goes when the link is back."}
	noInbox = &kind{"no-inbox", 409, "The recipient has no inbox",
		"Nothing was sent: the number has opened no inbox on the hub. Send it as SMS."}
	noLink = &kind{"no-link", 409, "A file can't go by SMS from here",
		"By SMS a file goes as a link, which needs a hub with a public address. Nothing was sent; send it by internet, or without files."}
	conversationClosed = &kind{"closed", 409, "The conversation is closed",
		"Open it again, or begin a new one."}
)

var chatKinds = map[chat.Code]*kind{
	chat.NoNumberFree: noNumberFree, chat.NotOptedIn: notOptedIn, chat.OptedOut: optedOut, chat.BlockedSender: blockedSender, chat.BlockedNumber: blockedNumber,
	chat.Keyword: keywordRefused, chat.Destination: destinationRefused, chat.Limit: chatLimit, chat.Captcha: puzzleNeeded, chat.Closed: conversationClosed, chat.NotFound: notFound,
	chat.NoHub: noInternet, chat.LinkDown: linkDown, chat.NoInbox: noInbox, chat.NoLink: noLink, chat.TooLong: invalidFields, chat.Invalid: invalidFields,
}

// problemOfChat is what somebody is told who may not do something in a conversation.
func problemOfChat(e *chat.Error) *problem {
	k := chatKinds[e.Code]
	if k == invalidFields && e.Field != "" {
		return wrong(FieldError{Field: e.Field, Detail: e.Detail})
	}
	p := &problem{kind: k, detail: e.Detail, retry: e.RetryAfter}
	if e.Field != "" {
		p.fields = []FieldError{{Field: e.Field, Detail: e.Detail}}
	}
	return p
}
