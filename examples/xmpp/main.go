// Command gatewayd-xmpp lets people text from their XMPP client: it is a
// component (XEP-0114) of an XMPP server, and a client of gatewayd's HTTP API.
// A chat with +491701234567@sms.example.org is a conversation with that phone.
//
// README.md tells how to set it up, and what it promises.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"mellium.im/xmpp/jid"
)

// config is what the command line and the environment say.
type config struct {
	gateway string // where gatewayd's API is
	key     string
	server  string // where the XMPP server takes components
	domain  jid.JID
	secret  string
	owner   jid.JID         // gets texts that answer nobody
	allowed map[string]bool // bare addresses, and domains
	state   string          // the file that keeps the place in the event log
}

func main() {
	log.SetFlags(0) // whoever runs it adds the time
	c, err := readConfig(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gatewayd-xmpp:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bridge{config: c, api: newAPI(c.gateway, c.key)}
	for ctx.Err() == nil {
		err := b.run(ctx)
		if ctx.Err() != nil {
			break
		}
		log.Printf("not connected: %v; next try in %v", err, reconnect)
		pause(ctx, reconnect)
	}
}

const reconnect = 2 * time.Second

func readConfig(args []string) (c config, err error) {
	f := flag.NewFlagSet("gatewayd-xmpp", flag.ExitOnError)
	f.StringVar(&c.gateway, "gateway", "http://127.0.0.1:8080", "address of gatewayd's API; its key, with the scopes send and read, is in GATEWAYD_KEY")
	f.StringVar(&c.server, "server", "127.0.0.1:5347", "where the XMPP server takes components; the secret they share is in XMPP_SECRET")
	domain := f.String("domain", "", "the component's name, such as sms.example.org")
	owner := f.String("default", "", "who gets a text from a number that nobody here has written to, such as me@example.org")
	allow := f.String("allow", "", "who may send texts, beside the one of -default: addresses and whole domains, separated by commas")
	f.StringVar(&c.state, "state", "gatewayd-xmpp.state", "the file in which it keeps how far it has read")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	c.key, c.secret = os.Getenv("GATEWAYD_KEY"), os.Getenv("XMPP_SECRET")
	if c.key == "" || c.secret == "" {
		return c, fmt.Errorf("set GATEWAYD_KEY to a key of gatewayd (gatewayd keys create --name xmpp --scope send,read) and XMPP_SECRET to the component's secret")
	}
	if u, err := url.Parse(c.gateway); err != nil || u.Host == "" {
		return c, fmt.Errorf("-gateway %q is no address like http://127.0.0.1:8080", c.gateway)
	}
	c.gateway = strings.TrimRight(c.gateway, "/")
	if c.domain, err = jid.Parse(*domain); err != nil || *domain == "" {
		return c, fmt.Errorf("-domain %q must be the name that the XMPP server has for this component, like sms.example.org", *domain)
	}
	if c.owner, err = jid.Parse(*owner); err != nil || *owner == "" {
		return c, fmt.Errorf("-default %q must be an address like me@example.org", *owner)
	}
	c.owner = c.owner.Bare()
	c.allowed = map[string]bool{c.owner.String(): true}
	for _, who := range strings.FieldsFunc(*allow, func(r rune) bool { return r == ',' || r == ' ' }) {
		j, err := jid.Parse(who)
		if err != nil {
			return c, fmt.Errorf("-allow: %q is neither an address nor a domain", who)
		}
		c.allowed[j.Bare().String()] = true
	}
	return c, nil
}

// allows tells whether somebody may send texts and be written to.
func (c *config) allows(who jid.JID) bool {
	return c.allowed[who.Bare().String()] || c.allowed[who.Domain().String()]
}

// pause waits, or returns at once when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
