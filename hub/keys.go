package hub

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"gatewayd/db"
	"gatewayd/mirror"
)

// keys are a hub's own. The operator vouches for the accounts, the account for its
// gateways' credentials, so no server needs to be told of a new one.
type keys struct {
	operator, account, system nkeys.KeyPair
}

// openKeys reads the keys, and makes them when there are none yet.
func openKeys(tx *db.Tx) (k keys, err error) {
	for _, one := range []struct {
		name string
		to   *nkeys.KeyPair
		make func() (nkeys.KeyPair, error)
	}{
		{"operator", &k.operator, nkeys.CreateOperator}, {"account", &k.account, nkeys.CreateAccount}, {"system", &k.system, nkeys.CreateAccount},
	} {
		var seed string
		err := tx.QueryRow(`SELECT seed FROM hub_keys WHERE name = ?`, one.name).Scan(&seed)
		if err == nil {
			if *one.to, err = nkeys.FromSeed([]byte(seed)); err != nil {
				return k, fmt.Errorf("the hub's %s key can't be read: %w", one.name, err)
			}
			continue
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return k, err
		}
		if *one.to, err = one.make(); err != nil {
			return k, err
		}
		made, err := (*one.to).Seed()
		if err != nil {
			return k, err
		}
		if _, err := tx.Exec(`INSERT INTO hub_keys (name, seed) VALUES (?, ?)`, one.name, string(made)); err != nil {
			return k, err
		}
	}
	return k, nil
}

func public(k nkeys.KeyPair) string {
	p, _ := k.PublicKey() // of a key that we made
	return p
}

// operatorClaims say who vouches for the accounts.
func (k keys) operatorClaims() (*jwt.OperatorClaims, string, error) {
	c := jwt.NewOperatorClaims(public(k.operator))
	c.Name = "gatewayd"
	c.SystemAccount = public(k.system)
	text, err := c.Encode(k.operator)
	return c, text, err
}

// accountClaims are the account of hub and gateways, without those whose credentials
// are revoked.
func (k keys) accountClaims(revoked []string) (*jwt.AccountClaims, string, error) {
	c := jwt.NewAccountClaims(public(k.account))
	c.Name = "gatewayd"
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxAckPending: jwt.NoLimit,
	}
	for _, key := range revoked {
		// Whenever they were made: a key is never taken into use again.
		c.RevokeAt(key, time.Unix(math.MaxInt32, 0))
	}
	text, err := c.Encode(k.operator)
	return c, text, err
}

func (k keys) systemClaims() (string, error) {
	c := jwt.NewAccountClaims(public(k.system))
	c.Name = "SYS"
	return c.Encode(k.operator)
}

// noLimits are what the hub itself may do in its account.
var noLimits jwt.Permissions

// user makes credentials below an account, for who may do what permissions say.
func user(account nkeys.KeyPair, elsewhere, name string, permissions jwt.Permissions) (key, token string, seed []byte, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", nil, err
	}
	c := jwt.NewUserClaims(public(pair))
	c.Name = name
	c.Permissions = permissions
	if permissions.Pub.Allow != nil { // a gateway; the hub itself has no limits
		c.Limits.Subs, c.Limits.Payload = mostSubscriptions, mostPayload
		c.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket}
	}
	c.IssuerAccount = elsewhere // our account key is a signing key of that one
	if token, err = c.Encode(account); err != nil {
		return "", "", nil, err
	}
	seed, err = pair.Seed()
	return public(pair), token, seed, err
}

// credentials makes a gateway's, as a .creds file.
func (k keys) credentials(gateway, elsewhere, pull string) (key, file string, err error) {
	key, token, seed, err := user(k.account, elsewhere, gateway, permissions(gateway, pull))
	if err != nil {
		return "", "", err
	}
	b, err := jwt.FormatUserConfig(token, seed)
	// The library's words to people are for people; what is read is between the lines of dashes.
	return key, strings.TrimLeft(string(b), "\n"), err
}

// answerWait is how long a gateway may take to answer a command.
const answerWait = time.Minute

// What a gateway needs of a server, with room.
const (
	mostSubscriptions = 64
	mostPayload       = 1 << 20 // as NATS has it, whatever a cluster allows others
)

// permissions are all that a gateway may do: nothing in them is another's. NATS looks at where
// somebody publishes to, and not at where the answer is to go; JetStream answers there, and an
// answer that arrives at a subject of JetStream's is a command. So a gateway gets at JetStream
// by its own consumer only where that is wanted, and everything else goes to the hub, which
// answers nobody but the gateway that asks.
func permissions(gateway, pull string) jwt.Permissions {
	asks := jwt.StringList{mirror.Tell(gateway), mirror.Hello(gateway), mirror.Who(gateway), mirror.PullSubject(gateway)}
	if stream, consumer := mirror.Out(gateway), mirror.Consumer(gateway); pull == PullConsumer {
		asks = append(asks, "$JS.API.CONSUMER.INFO."+stream+"."+consumer, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, "$JS.ACK."+stream+"."+consumer+".>")
	}
	return jwt.Permissions{
		Pub:  jwt.Permission{Allow: asks},
		Sub:  jwt.Permission{Allow: jwt.StringList{"gatewayd.gw." + gateway + ".>", mirror.InboxPrefix(gateway) + ".>"}},
		Resp: &jwt.ResponsePermission{MaxMsgs: 1, Expires: answerWait},
	}
}

// accountOf is the account that the credentials in a file are of.
func accountOf(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token, err := jwt.ParseDecoratedJWT(b)
	if err != nil {
		return "", err
	}
	c, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return "", err
	}
	if c.IssuerAccount != "" {
		return c.IssuerAccount, nil
	}
	return c.Issuer, nil
}

// ServerConfig is what the servers of a cluster elsewhere need in their configuration.
func (r *Registry) ServerConfig() (string, error) {
	if r.elsewhere != "" {
		return fmt.Sprintf("# The cluster has an operator of its own. Add this as a signing key of the account %s:\n# nsc edit account --sk %s\n", r.elsewhere, public(r.keys.account)), nil
	}
	_, operator, err := r.keys.operatorClaims()
	if err != nil {
		return "", err
	}
	_, account, err := r.keys.accountClaims(nil)
	if err != nil {
		return "", err
	}
	system, err := r.keys.systemClaims()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`# For every server of the cluster, beside its own listen, tls, cluster and jetstream (with
# sync_interval: always, so that what is acknowledged is on disk)
# sections. Revocations reach a server through its resolver, so it needs the type full.
operator: %s
system_account: %s
resolver: {type: full, dir: "./accounts", allow_delete: false, interval: "2m"}
resolver_preload: {
  %s: %s
  %s: %s
}
`, operator, public(r.keys.system), public(r.keys.account), account, public(r.keys.system), system), nil
}
