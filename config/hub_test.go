package config

// hubMistakes are those of a hub, and of gateways that have one.
var hubMistakes = []mistake{
	{"hub without credentials", "hub:\n  url: tls://hub.example.org:4222\n", nil,
		[]string{"hub.credentials_file: the gateway's credentials are needed too: the file that gatewayd hub add-gateway prints, on the hub (line 1)"}},
	{"hub in the clear", "hub:\n  url: nats://hub.example.org:4222, tls://b\n", nil,
		[]string{`hub.url: "nats://hub.example.org:4222, tls://b" is not allowed: nats:// shows texts and numbers to the network, and is for this machine alone; use tls:// or wss:// (line 2)`}},
	{"hub with another's words", "hub: {url: 'https://hub.example.org', public_url: 'ftp://x', window: 0, default: 'North', pull: push, lease: 1s}\n", nil, []string{
		`hub.url: "https://hub.example.org" is not allowed: an address that begins with tls:// or wss://, or with nats:// or ws:// on this machine (line 1)`,
		`hub.public_url: "ftp://x" is not allowed: where people reach the hub's pages, such as https://sms.example.org (line 1)`,
		`hub.window: "0" is not allowed: a whole number from 1 to 10000 (line 1)`,
		`hub.lease: "1s" is not allowed: 0 for never, or a duration from 1m to 720h (line 1)`,
		`hub.pull: "push" is not allowed: consumer or request (line 1)`,
		`hub.default: "North" is not allowed: the name of a gateway, or group: and the name of a group (line 1)`}},
	{"hub and gateway at once", "hub: {url: nats://localhost:4222, listen: 127.0.0.1:4222}\n", nil,
		[]string{"hub.url: url is for a gateway, listen and nats_url are for its hub; keep what this machine is (line 1)"}},
	{"hub in two forms", "hub: {listen: 127.0.0.1:4222, nats_url: tls://a}\n", nil,
		[]string{"hub.nats_url: listen runs NATS here, nats_url uses a cluster elsewhere; keep one (line 1)"}},
	{"hub without TLS", "hub: {listen: ':4222'}\n", nil,
		[]string{"hub.tls.certificate: texts and numbers pass there, so certificate and key are needed: only an address of this machine alone, such as 127.0.0.1:4222, may do without (line 1)"}},
	{"hub with half of TLS", "hub: {listen: ':4222', websocket: {listen: ':443'}, tls: {certificate: /c.pem}}\n", nil,
		[]string{"hub.tls.key: the certificate's private key is needed too (a PEM file) (line 1)"}},
	{"hub's credentials", "hub:\n  url: nats://localhost:4222\n  credentials_file: /no/north.creds\n", nil,
		[]string{`hub.credentials_file: "/no/north.creds" is not allowed: the file can't be read: no such file or directory (line 3)`}},
	{"hub's authority", "hub: {url: nats://localhost:4222, ca_file: /no/ca.pem}\n", nil, []string{
		"hub.credentials_file: the gateway's credentials are needed too: the file that gatewayd hub add-gateway prints, on the hub (line 1)",
		`hub.ca_file: "/no/ca.pem" is not allowed: the file can't be read: no such file or directory (line 1)`}},
	{"hub's authority is none", "hub: {listen: 127.0.0.1:4222, ca_file: /dev/null}\n", nil,
		[]string{`hub.ca_file: "/dev/null" is not allowed: the certificate of an authority is expected, a PEM file that begins with BEGIN CERTIFICATE (line 1)`}},
	{"hub's routes", "hub:\n  listen: 127.0.0.1:4222\n  routes:\n    - {prefix: 44, to: north}\n    - {prefix: +44}\n    - {prefix: +44, to: 'group:a'}\n", nil, []string{
		`hub.routes[0].prefix: "44" is not allowed: a plus sign and the first digits of numbers, such as +44 (line 4)`,
		"hub.routes[1].to: a route has a prefix and says where its numbers go (line 5)",
		`hub.routes[2].prefix: "+44" is not allowed: another route has it already (line 6)`}},
}
