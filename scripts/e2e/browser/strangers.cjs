// Two strangers on pages of other origins text one phone, each through a SIM of its
// own, and each answer lands in its own window; a third is told that none is free. A
// page that is not listed gets nothing. Whatever anybody typed or set stays text.
const http = require('node:http');

module.exports = async ({ browser, base, settle, api, fail, desk, signIn, open }) => {
  const { PHONE: number, HANDSETS: handsets } = process.env;
  const phones = async (where, said) => (await fetch(handsets + where, said && { method: 'POST', body: JSON.stringify(said) })).text();
  const shows = async () => JSON.parse(await phones(`/shows?${new URLSearchParams({ number })}`));
  const evil = n => `<img src=x onerror=hit(${n})><script>hit(${n})</script>"'>`;

  // A page of another host, one for each origin. The gateway is at 127.0.0.1.
  const servers = [];
  async function site() {
    const it = { html: '' };
    const server = http.createServer((q, r) => r.writeHead(200, { 'Content-Type': 'text/html' }).end(q.url === '/' ? it.html : ''));
    await new Promise(done => server.listen(0, '127.0.0.1', done));
    server.unref(); // a scenario that fails ends all the same
    servers.push(server);
    it.origin = `http://localhost:${server.address().port}`;
    return it;
  }
  const shop = await site(), club = await site(), thief = await site();
  const widgets = [];
  for (const [i, at] of [shop, club].entries()) {
    const w = await api('POST', '/v1/widgets', {
      name: `${evil(1)} ${i}`, origins: [at.origin], title: `${evil(2)}`.slice(0, 60), welcome: evil(3), terms: { text: evil(4), each: at === shop },
      banner: { text: evil(5), link: 'https://example.org/' }, area: { text: evil(6), link: 'https://example.org/' }, theme: { accent: '#0b6e66', font: 'georgia' },
    });
    widgets.push(w);
    at.html = `<!DOCTYPE html><html lang=en><title>A shop</title><p id=secret>The page's own.</p>${w.embed}</html>`;
  }
  thief.html = shop.html + `<iframe id=stolen src="${base}/widget/v1/frame?widget=${widgets[0].id}&key=${widgets[0].key}"></iframe>`;
  // No value of a theme is more than a value.
  for (const theme of [{ accent: 'red;background:url(//evil.example)' }, { accent: '</style><script>hit(7)</script>' }, { font: '"};hit(7)//' }, { background: 'expression(hit(7))' }, { logo: '"><script>hit(7)</script>' }, { corners: 99 }]) {
    const r = await fetch(`${base}/v1/widgets/${widgets[0].id}`, { method: 'PATCH', headers: { Authorization: `Bearer ${process.env.KEY}`, 'Content-Type': 'application/json' }, body: JSON.stringify({ theme }) });
    if (r.status !== 422) fail(`a theme with ${JSON.stringify(theme)} was answered with ${r.status} ${await r.text()}`);
  }
  for (const link of ['javascript:hit(8)', 'data:text/html,<script>hit(8)</script>']) {
    const r = await fetch(`${base}/v1/widgets/${widgets[0].id}`, { method: 'PATCH', headers: { Authorization: `Bearer ${process.env.KEY}`, 'Content-Type': 'application/json' }, body: JSON.stringify({ area: { link, text: 'x' } }) });
    if (r.status !== 422) fail(`a link to ${link} was answered with ${r.status}`);
  }

  // visit is a stranger's browser on a page; the button stands in a shadow that is
  // closed to the page, and open to this test.
  const pages = [];
  const hits = () => {
    window.hits = [];
    window.hit = n => window.hits.push(n);
    const attach = Element.prototype.attachShadow;
    Element.prototype.attachShadow = function (o) { return attach.call(this, { ...o, mode: 'open' }); };
  };
  async function watch(context, page) {
    await context.addInitScript(hits);
    page.on('dialog', d => { fail(`a dialog: ${d.message()}`); d.dismiss(); });
    page.on('pageerror', e => fail(`${page.url()}: ${e.stack ?? e}`));
    pages.push(page);
  }
  async function visit(at) {
    const context = await browser.newContext({ viewport: desk });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.said = [];
    page.on('console', m => page.said.push(m.text()));
    await watch(context, page);
    await page.goto(`${at.origin}/`);
    return page;
  }
  // begins fills in what a stranger fills in, and presses the button below it.
  async function begins(at, name, first) {
    const page = await visit(at);
    await page.locator('[data-gatewayd-widget] button').click();
    await settle('the frame is there', () => page.frames().some(f => f.url().includes('/widget/v1/frame')), 30_000);
    const frame = page.frames().find(f => f.url().includes('/widget/v1/frame'));
    await frame.locator('#name').fill(name);
    await frame.locator('#region').selectOption('DE');
    await frame.locator('#number').fill(number);
    await frame.locator('#first').fill(first);
    await frame.locator('#accept').check();
    await frame.locator('#start').click();
    return { page, frame };
  }
  const row = (frame, words) => frame.locator('#log > div', { hasText: words });
  const fault = async frame => (await frame.locator('#begin-fault').textContent()).trim();

  // A stranger's name is the one thing of an invitation that a stranger writes.
  const first = await begins(shop, 'Eve <img src=x onerror=hit(9)>'.slice(0, 30), 'Hello from the shop');
  await settle('a name that is markup is refused', () => fault(first.frame), 60_000);
  if ((await shows()).length) fail('the phone gets a name that was refused');
  await first.frame.locator('#name').fill("Eve (O'Neill)");
  await first.frame.locator('#start').click();
  await settle('the phone is asked by the first', async () => (await shows()).length === 1, 60_000);
  const second = await begins(club, 'Mallory', 'Hello from the club');
  await settle('the phone is asked by the second', async () => (await shows()).length === 2 || await fault(second.frame), 60_000);
  const invitations = await shows();
  if (invitations.length !== 2 || invitations[0].Peer === invitations[1].Peer) return fail(`two strangers have not two SIMs: ${JSON.stringify(invitations)}, ${await fault(second.frame)}`);
  const [one, two] = invitations.map(m => m.Peer);

  // A third finds none free, and says so in words.
  const third = await begins(club, 'Trudy', 'And me?');
  await settle('the third is told', () => fault(third.frame), 60_000);
  if (!/free|number|later/i.test(await fault(third.frame))) fail(`the third is told: ${await fault(third.frame)}`);
  if ((await shows()).length !== 2) fail('the third got through');

  // Each answer belongs to one window.
  const say = (to, text) => phones('/say', { from: number, to, text });
  await say(two, 'YES');
  await say(one, 'YES');
  for (const [w, mine, not] of [[first, 'Hello from the shop', 'Hello from the club'], [second, 'Hello from the club', 'Hello from the shop']]) {
    await settle(`${mine} went out`, () => row(w.frame, mine).count(), 30_000);
    if (await row(w.frame, not).count()) fail(`${not} stands in the other window`);
  }
  await settle('both have arrived', async () => (await shows()).length === 4, 30_000);
  const came = (await shows()).slice(2);
  for (const [sim, text] of [[one, 'Hello from the shop'], [two, 'Hello from the club']]) {
    if (!came.some(m => m.Peer === sim && m.Text.endsWith(`: ${text}`))) fail(`the phone shows ${JSON.stringify(came)}`);
  }
  await say(one, `to the shop ${evil(10)}`);
  await say(two, `to the club ${evil(10)}`);
  await settle('the first has its answer', () => row(first.frame, `to the shop ${evil(10)}`).count(), 30_000);
  await settle('the second has its answer', () => row(second.frame, `to the club ${evil(10)}`).count(), 30_000);
  if (await row(first.frame, 'to the club').count() || await row(second.frame, 'to the shop').count()) fail('an answer stands in the wrong window');
  await first.frame.locator('#text').fill(evil(11));
  await first.frame.locator('#send').click();
  await settle('what a stranger writes arrives as it was written', async () => (await shows()).some(m => m.Peer === one && m.Text.endsWith(evil(11))), 30_000);

  // The page and the frame can't read each other.
  const peek = await first.page.evaluate(() => { try { return document.querySelector('[data-gatewayd-widget]').shadowRoot.querySelector('iframe').contentDocument?.body.innerHTML ?? ''; } catch { return ''; } });
  if (peek) fail('the page reads the frame');
  const up = await first.frame.evaluate(() => { try { return parent.document.body.innerHTML; } catch { return ''; } });
  if (up) fail('the frame reads the page');

  // Who starts again has the form, whatever is told of the chat that was left: that one
  // comes back by a new start alone.
  const fresh = second.frame;
  await fresh.locator('#end').click();
  await fresh.locator('#again').click();
  await settle('the form is there again', () => fresh.locator('#begin').isVisible());
  await say(two, 'a late answer');
  await settle('the late answer has come', async () => (await api('GET', `/v1/messages?${new URLSearchParams({ direction: 'inbound', limit: 100 })}`)).messages.some(m => m.text === 'a late answer'), 30_000);
  for (const welcome of ['Welcome back', 'Welcome once more']) { // each is told before or with the chat, so after the second the chat was told too
    await api('PATCH', `/v1/widgets/${widgets[1].id}`, { welcome });
    await settle(`the frame says ${welcome}`, async () => (await fresh.locator('#welcome').textContent()) === welcome, 30_000);
  }
  if (!await fresh.locator('#begin').isVisible() || await fresh.locator('#chat').isVisible()) fail('the chat that was left comes back over the form');
  await fresh.locator('#name').fill('Mallory');
  await fresh.locator('#number').fill(number);
  await fresh.locator('#first').fill('Hello again');
  if (await fresh.locator('#accept').isVisible()) fail('terms that are accepted once are to be accepted again');
  await fresh.locator('#start').click();
  await settle('a new start shows the chat', async () => await fresh.locator('#chat').isVisible() || await fault(fresh), 60_000);
  if (await fault(fresh)) fail(`who starts again is told: ${await fault(fresh)}`);

  // A page that is not listed: no button, no ticket, and no frame around the gateway's.
  const stolen = await visit(thief);
  await settle('the refusal is told', () => stolen.said.some(words => words.includes('gatewayd widget:')), 30_000);
  if (await stolen.locator('[data-gatewayd-widget]').count()) fail('a page that is not listed shows the widget');
  const inner = stolen.frames().find(f => f !== stolen.mainFrame());
  if (inner && await inner.locator('#begin').count().catch(() => 0)) fail('a page that is not listed frames the widget');
  const r = await fetch(`${base}/widget/v1/ticket?widget=${widgets[0].id}&key=${widgets[0].key}`, { headers: { Origin: thief.origin } });
  if (r.ok) fail(`a ticket for a page that is not listed: ${await r.text()}`);

  // What admins and colleagues see of it stays text too.
  const admin = await browser.newContext({ viewport: desk });
  const page = await admin.newPage();
  page.setDefaultTimeout(30_000);
  await watch(admin, page);
  await signIn(page);
  const { conversations } = await api('GET', `/v1/conversations?${new URLSearchParams({ number, team: '*' })}`);
  for (const where of ['/widgets', '/chat', ...conversations.map(c => `/chat/${c.id}`), '/messages', '/']) {
    const answer = await page.goto(base + where);
    if (answer.status() !== 200) fail(`${where} answered ${answer.status()}`);
    await page.waitForLoadState('networkidle').catch(() => {});
    if (await page.evaluate(() => (window.hits ?? []).length)) fail(`${where}: a text became a program`);
  }
  for (const p of pages) {
    for (const frame of p.frames()) {
      const n = await frame.evaluate(() => (window.hits ?? []).length).catch(() => 0);
      if (n) fail(`${frame.url()}: a text became a program`);
    }
    if (await p.locator('img[src="x"]').count()) fail(`${p.url()}: a text became HTML`);
  }
  for (const server of servers) server.closeAllConnections?.(), server.close();
};
