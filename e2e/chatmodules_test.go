//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stage is what the modules of the chat page find around them: no page to speak of, a
// store that keeps, and a gateway that answers what a test wants.
const stage = `
	const dead = () => new Proxy(function () {}, { get: (_, name) => name === Symbol.toPrimitive ? () => '' : name === 'value' ? '' : dead(), set: () => true, apply: () => dead() });
	const data = { me: 'usr_1', send: '', admin: '', unicode: 'allow' };
	globalThis.document = { body: { dataset: data }, getElementById: dead, title: '' };
	globalThis.addEventListener ??= () => {};
	globalThis.dispatchEvent ??= () => {};
	const stored = new Map();
	globalThis.localStorage = { getItem: k => stored.get(k) ?? null, setItem: (k, v) => stored.set(k, v), removeItem: k => stored.delete(k) };
	const asked = [];
	let answer = () => [200, {}];
	globalThis.fetch = async (path, { method, body }) => {
		asked.push(method + ' ' + path);
		const [status, said] = answer(method, path, body && JSON.parse(body));
		return { ok: status < 400, status, headers: new Map(), text: async () => JSON.stringify(said) };
	};
	const load = name => import(process.argv[1] + name);
	const until = async ok => { while (!ok()) await new Promise(r => setImmediate(r)); };
	const talk = (id, more) => ({ id, number: '+49171' + id, team: 'shop', visitor: null, state: 'open', mode: 'open', unread: 0, assigned_to: null, waiting: false, opt_in: null, ...more });
`

// modules runs a script beside the modules of the chat page, and reads what it prints.
func modules(t *testing.T, script string, into any) {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("../api/assets/chat-*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	program := node(t, "--input-type=module", "-e", stage+script, "file://"+dir+"/")
	var wrong strings.Builder
	program.Stderr = &wrong
	out, err := program.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, wrong.String())
	}
}

// What other teams and visitors have is told to admins too: it counts as unread to nobody
// but those whose it is, and stands in the list of all teams alone. What is blocked has a
// list of its own.
func TestChatPageKnowsWhoseItIs(t *testing.T) {
	var got struct {
		Before, Total, Moved int
		Lists                map[string]string
	}
	modules(t, `
		const store = await load('chat-store.js');
		store.put(talk('early', { team: 'other', unread: 7 }));
		answer = (method, path) => [200, path === '/v1/chat' ? { id: 'usr_1', name: 'Ada', team: 'shop', admin: true } : { conversations: [] }];
		const before = store.total();
		await store.start();
		const all = [talk('own', { unread: 2 }), talk('mine', { assigned_to: 'usr_1' }), talk('closed', { state: 'closed' }), talk('blocked', { state: 'blocked', assigned_to: 'usr_1' }),
			talk('others', { team: 'other', unread: 3 }), talk('visitors', { team: '', visitor: { name: 'Eve' }, unread: 5 }), talk('bad', { team: 'other', state: 'blocked' })];
		for (const c of all) store.put(c);
		const lists = Object.fromEntries(Object.entries(store.filters).map(([name, f]) => [name, all.filter(f.has).map(c => c.id).join(' ')]));
		const total = store.total();
		store.put({ ...all[0], team: 'other' });
		console.log(JSON.stringify({ before, total, moved: store.total(), lists }));`, &got)
	if got.Before != 7 || got.Total != 2 || got.Moved != 0 {
		t.Errorf("unread: %+v", got)
	}
	for name, want := range map[string]string{"all": "own mine", "mine": "mine", "unassigned": "own", "unread": "own", "closed": "closed", "blocked": "blocked", "everybody": "own mine blocked others visitors bad"} {
		if got.Lists[name] != want {
			t.Errorf("the list %s has %q, want %q", name, got.Lists[name], want)
		}
	}
}

// A sound calls whoever a text is for: not an admin for another team's or a visitor's, of
// which the page may not know yet, and nobody for what comes in a blocked conversation.
func TestChatPageCallsItsOwn(t *testing.T) {
	var got struct{ Sounds int }
	modules(t, `
		let sounds = 0;
		document.hasFocus = () => false;
		const part = new Proxy({}, { get: () => Object.assign(() => ({ connect: () => {} }), { setValueAtTime: () => {}, exponentialRampToValueAtTime: () => {} }), set: () => true });
		globalThis.AudioContext = class { currentTime = 0; destination = {}; createGain = () => part; createOscillator() { sounds += 0.5; return part; } };
		localStorage.setItem('chat usr_1 sound', 'true');
		const store = await load('chat-store.js'), notify = await load('chat-notify.js');
		answer = (method, path) => [200, path === '/v1/chat' ? { id: 'usr_1', team: 'shop' } : path.endsWith('/unknown') ? talk('unknown', { visitor: { name: 'Eve' } }) : { conversations: [] }];
		await store.start();
		notify.start({ current: () => '' });
		for (const c of [talk('own'), talk('blocked', { state: 'blocked' }), talk('others', { team: 'other' }), talk('visitors', { visitor: { name: 'Eve' } })]) store.put(c);
		const now = new Date().toISOString();
		for (const id of ['unknown', 'others', 'visitors', 'blocked', 'own']) store.take({ id: 'msg_' + id, conversation: id, direction: 'inbound', status: 'received', text: 'x', created_at: now, updated_at: now });
		await until(() => store.conversations.has('unknown') && sounds);
		await new Promise(r => setImmediate(r)); // what waited for the answer goes on
		console.log(JSON.stringify({ sounds }));
		process.exit();`, &got)
	if got.Sounds != 1 {
		t.Errorf("%d sounds, want one", got.Sounds)
	}
}

// A text that was to wait for YES, and is tried again when the phone has said it, is sent;
// one that was to be sent under a YES that is used up asks.
func TestChatPageAsksAsThingsStand(t *testing.T) {
	var got []string
	modules(t, `
		const store = await load('chat-store.js'), outbox = await load('chat-outbox.js');
		answer = (method, path) => [422, { type: '/problems/invalid-fields', title: 'The phone has said YES already' }];
		const asks = o => talk('c', { mode: 'invite', opt_in: o });
		store.put(asks({ state: 'asked' }));
		outbox.send('c', 'hello', true);
		await until(() => outbox.waiting('c')[0].status === 'unsaved');
		store.put(asks({ state: 'given', used: 1, of: 10 }));
		outbox.again(outbox.waiting('c')[0].client_id);
		await until(() => outbox.waiting('c')[0].status === 'unsaved');
		store.put(asks({ state: 'given', used: 10, of: 10 }));
		answer = () => [200, { ...asks({ state: 'asked' }), waiting: true }];
		outbox.again(outbox.waiting('c')[0].client_id);
		await until(() => !outbox.count());
		console.log(JSON.stringify(asked));`, &got)
	if want := "POST /v1/conversations/c/invite, POST /v1/conversations/c/messages, POST /v1/conversations/c/invite"; strings.Join(got, ", ") != want {
		t.Errorf("asked for %q", got)
	}
}

// The text that waits is one's own while it does, and never a colleague's.
func TestChatPageKnowsWhoseTextWaits(t *testing.T) {
	var got map[string]any
	modules(t, `
		const store = await load('chat-store.js'), outbox = await load('chat-outbox.js');
		const at = (waiting, asked_at) => talk('c', { mode: 'invite', waiting, opt_in: { state: 'asked', asked_at } });
		const [one, two] = ['2026-11-27T12:00:00Z', '2026-11-28T12:00:00Z'];
		outbox.awaits(at(true, one), 'mine');
		const said = { mine: outbox.pending(store.put(at(true, one))), missed: outbox.pending(at(true, two)) };
		store.put(at(false, one));
		said.over = outbox.pending(store.put(at(true, one)));
		console.log(JSON.stringify({ ...said, kept: stored.size }));`, &got)
	if got["mine"] != "mine" || got["missed"] != nil || got["over"] != nil || got["kept"] != 0.0 {
		t.Errorf("%v", got)
	}
}

// A text of more parts than one may have is held, whatever its alphabet, and says so.
func TestChatPageCountsParts(t *testing.T) {
	type measured struct {
		Words, Why string
		Over       bool
	}
	var got map[string]measured
	modules(t, `
		const { measure } = await load('chat-compose.js');
		const limits = { characters: 1530, parts: 10 };
		const of = text => measure(text, ['', ''], limits);
		const said = { fits: of('ж'.repeat(670)), long: of('ж'.repeat(671)), latin: of('a'.repeat(1530)), escaped: of('€'.repeat(766)), longer: of('a'.repeat(1531)) };
		data.unicode = 'transliterate';
		said.replaced = of('ж'.repeat(671));
		console.log(JSON.stringify(said));`, &got)
	for name, over := range map[string]bool{"fits": false, "long": true, "latin": false, "escaped": true, "longer": true, "replaced": false} {
		if got[name].Over != over {
			t.Errorf("%s: %+v", name, got[name])
		}
	}
	if want := "It takes 11 parts, for “ж” makes it Unicode; a text may have 10. Make it shorter, or send it as two."; got["long"].Why != want {
		t.Errorf("it says %q", got["long"].Why)
	}
}

// A number said STOP only if it did.
func TestChatPageSaysWhyNothingIsSent(t *testing.T) {
	var got map[string]string
	modules(t, `
		const { stopped } = await load('chat-words.js');
		console.log(JSON.stringify(Object.fromEntries(['word', 'blocked', 'admin', 'import', 'silence', ''].map(r => [r, stopped(r || undefined)]))));`, &got)
	for reason, words := range got {
		if strings.Contains(words, "said STOP") != (reason == "word") {
			t.Errorf("%q: %s", reason, words)
		}
	}
}
