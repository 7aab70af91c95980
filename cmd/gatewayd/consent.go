package main

import (
	"fmt"

	"gatewayd/config"
	"gatewayd/queue"
)

// consentRules maps what a configuration says of consent. A word that means two things
// is a mistake of it.
func consentRules(c config.Consent) (queue.ConsentRules, error) {
	r := queue.ConsentRules{Language: c.Language, Name: c.Name, Contact: c.Contact, Answers: queue.Answers(c.Answers), Silence: c.Silence}
	if c.Silence == 0 {
		r.Silence = -1
	}
	for _, q := range c.QuietHours {
		r.Quiet = append(r.Quiet, queue.QuietTime{For: q.Destination, From: q.From, Until: q.Until, Zone: q.TimeZone})
	}
	for _, t := range c.Texts {
		if r.Texts == nil {
			r.Texts = map[string]queue.ConsentTexts{}
		}
		r.Texts[t.Language] = queue.ConsentTexts{Stopped: t.Stopped, Started: t.Started, Help: t.Help, Silence: t.Silence}
	}
	var words []queue.Words
	for _, w := range c.Words {
		words = append(words, queue.Words{Lang: w.Language, Stop: w.Stop, Start: w.Start, Yes: w.Yes, Help: w.Help, Who: w.Who, Spam: w.Spam, Threat: w.Threat})
	}
	var err error
	if r.Words, err = queue.NewVocabulary(words...); err != nil {
		return r, usageError{fmt.Errorf("consent.words: %w", err)}
	}
	return r, nil
}
