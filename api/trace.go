package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gatewayd/auth"
	"gatewayd/sms"
)

// Traces is what went over the modems' ports around a message.
type Traces interface {
	// Trace returns it as far as it is kept. Masked, no number and no text is in it;
	// a PIN never is.
	Trace(ctx context.Context, m *sms.Message, masked bool) (sms.Trace, error)
}

// TraceMessage gives one message's trace as a file.
func (a server) TraceMessage(ctx context.Context, r TraceMessageRequestObject) (TraceMessageResponseObject, error) {
	masked := or(r.Params.Masked, true)
	if key := from(ctx).key; !masked && !key.Can(auth.Admin) {
		return nil, wrongScope.because("A trace with numbers and texts in it needs the scope %q; without masked=false it needs only %q.", auth.Admin, auth.Read)
	}
	m, err := a.message(ctx, from(ctx).key, r.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.timeline(ctx, m)
	if err != nil {
		return nil, err
	}
	var dialogue sms.Trace
	if a.o.Traces != nil {
		if dialogue, err = a.o.Traces.Trace(ctx, m, masked); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	a.writeTrace(&b, m, t, dialogue, masked)
	return traceFile{m.ID, b.Bytes()}, nil
}

type traceFile struct {
	id   string
	text []byte
}

func (t traceFile) VisitTraceMessageResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+t.id+`.trace.txt"`)
	_, err := w.Write(t.text)
	return err
}

// writeTrace writes the file: what it is about, the timeline, the dialogue.
func (a *API) writeTrace(b *bytes.Buffer, m *sms.Message, t timeline, dialogue sms.Trace, masked bool) {
	fmt.Fprintf(b, "gatewayd trace 1\nmessage: %s\ndirection: %s\nstatus: %s\nkind: %s\nencoding: %s\nparts: %d\nversion: %s\nmade: %s\nmasked: %t\n",
		m.ID, m.Direction, m.Status, m.Kind, m.Encoding, m.Parts, a.o.Version, sayTime(a.now()), masked)
	if !masked {
		fmt.Fprintf(b, "to: %s\nfrom: %s\ntext: %q\n", m.To, m.From, m.Shown())
	}
	used := map[string]bool{}
	for _, s := range t.Steps {
		used[or(s.Modem, "")] = true
	}
	if a.o.Modems != nil {
		for _, modem := range a.o.Modems.List() {
			if used[modem.Name] {
				fmt.Fprintf(b, "modem %s: %s %s, firmware %s, now %s\n", modem.Name, modem.Manufacturer, modem.Model, modem.Firmware, modem.State)
			}
		}
	}
	b.WriteString("\nTIMELINE\n")
	if !t.Complete {
		b.WriteString("Older steps are no longer kept.\n")
	}
	for _, s := range t.Steps {
		writeStep(b, s, masked)
	}
	for _, s := range t.Ahead {
		b.WriteString("ahead: ")
		writeStep(b, s, masked)
	}
	b.WriteString("\nDIALOGUE: seconds, > to the modem, < from it\n")
	for _, p := range dialogue.Pieces {
		fmt.Fprintf(b, "\n== %s, modem %s, %s\n%s", p.What, p.Modem, p.At.UTC().Format("2006-01-02 15:04:05.000 UTC"), p.Text)
	}
	for _, n := range dialogue.Notes {
		fmt.Fprintf(b, "\n%s\n", n)
	}
}

// writeStep writes a line. Masked, it leaves out what others said: a receiver may
// repeat a text, and its address may hold a number.
func writeStep(w io.Writer, s lifeStep, masked bool) {
	var line strings.Builder
	line.WriteString(s.At.UTC().Format("2006-01-02 15:04:05.000 UTC"))
	if s.AfterMS != nil {
		line.WriteString(" (" + later(*s.AfterMS) + ")")
	}
	title := s.Title
	if masked && s.Kind == stepWebhook {
		title = "A receiver is told " + s.told + ", attempt " + numberOr(s.Attempt, "–")
	}
	line.WriteString(" " + title)
	if s.Code != nil {
		line.WriteString(" [" + *s.Code + "]")
	}
	if s.Detail != nil && !(masked && s.strange) {
		line.WriteString(" " + *s.Detail)
	}
	if s.Kind == stepWebhook {
		fmt.Fprintf(&line, " status %s", numberOr(s.ResponseStatus, "–"))
		if s.LatencyMS != nil {
			fmt.Fprintf(&line, " in %d ms", *s.LatencyMS)
		}
	}
	fmt.Fprintln(w, strings.Join(strings.Fields(line.String()), " "))
}

// later says how long after the step before something was.
func later(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case ms == 0:
		return "at once"
	case d < time.Second:
		return fmt.Sprintf("%d ms later", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s later", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s later", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min later", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days later", int(d.Hours()/24))
}
