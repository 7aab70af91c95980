// Consent, from end to end: Ada invites a phone, which says YES; she and Bert share
// the conversation, ten texts each way; STOP ends it by every door, and START brings
// it back. What the phone shows is asked of the simulated network.
module.exports = async ({ browser, base, open, settle, api, fail, desk }) => {
  const { PHONE: number, LOCAL: local, HANDSETS: handsets } = process.env;
  const other = '+491701111199';
  const phones = async (where, said) => (await fetch(handsets + where, said && { method: 'POST', body: JSON.stringify(said) })).text();
  const shows = async (of = number) => JSON.parse(await phones(`/shows?${new URLSearchParams({ number: of })}`)).map(m => m.Text);
  const say = text => phones('/say', { from: number, to: local, text });

  const people = {};
  for (const name of ['Ada', 'Bert']) {
    const page = people[name] = await open(browser, { viewport: desk });
    await page.goto(`${base}/sign-in?next=/chat`);
    await page.fill('[name=name]', name);
    await page.locator('form:has([name=name]) [name=password]').fill('anchor violet teaspoon');
    await page.locator('form:has([name=name]) button').click();
    await page.waitForURL(/\/chat$/);
    await settle(`${name}'s page is live`, () => page.locator('#live.good').count());
  }
  const { Ada, Bert } = people;
  const both = (what, ok) => Promise.all(Object.entries(people).map(([name, page]) => settle(`${name}: ${what}`, () => ok(page), 30_000)));
  const bubble = (page, words) => page.locator('#messages .bubble', { hasText: words });

  // Nothing goes out but the invitation.
  await Ada.keyboard.press('n');
  await Ada.fill('#new-to', number);
  await Ada.fill('#new-text', 'ours 0.');
  await Ada.click('#new-form .row button');
  await Ada.waitForURL(/\/chat\/conv_/);
  await settle('the phone is asked', async () => (await shows()).length === 1, 30_000);
  const [invitation] = await shows();
  if (!/^Ada: .*YES.*STOP/.test(invitation)) fail(`the invitation is ${invitation}`);
  const id = Ada.url().split('/').pop();
  const refused = async (method, where, body, want, status = 409) => {
    const r = await fetch(base + where, { method, headers: { Authorization: `Bearer ${process.env.KEY}`, 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    const answer = await r.text();
    if (r.status !== status || !answer.includes(want)) fail(`${method} ${where} was answered with ${r.status} ${answer}, not with ${want}`);
  };
  await refused('POST', `/v1/conversations/${id}/messages`, { text: 'too early' }, 'not-opted-in');

  // YES, and ten texts each way, in both windows.
  await Bert.locator('#list li', { hasText: number }).first().click();
  await Bert.waitForURL(new RegExp(id));
  await say('YES');
  await both('what Ada wrote goes out', page => bubble(page, 'ours 0.').locator('.mark.ticks').count());
  for (let i = 1; i < 10; i++) {
    const page = i % 2 ? Bert : Ada;
    await page.fill('#text', `ours ${i}.`);
    await page.keyboard.press('Enter');
    await both(`ours ${i} has arrived`, p => bubble(p, `ours ${i}.`).locator('.mark.ticks').count());
  }
  for (let i = 0; i < 10; i++) {
    await say(`theirs ${i}.`);
    await both(`theirs ${i} is there`, p => bubble(p, `theirs ${i}.`).count());
  }
  const before = (await shows()).slice(1);
  if (before.length !== 10 || !before.every((text, i) => text.includes(`ours ${i}.`))) fail(`the phone shows ${JSON.stringify(before)}`);
  const { conversations } = await api('GET', `/v1/conversations?${new URLSearchParams({ number, team: '*' })}`);
  if (conversations.length !== 1) fail(`the two colleagues have ${conversations.length} conversations with one phone`);
  const one = await api('GET', `/v1/conversations/${id}`);
  if (one.opt_in?.used !== 10) fail(`ten texts went out, and of the opt-in are used: ${JSON.stringify(one.opt_in)}`);

  // STOP, while something waits for its time, which is far enough for it to be booked before.
  const text = 'must not arrive';
  const later = await api('POST', '/v1/messages', { to: number, text, send_at: new Date(Date.now() + 30_000).toISOString() });
  if (later.status !== 'scheduled') fail(`a scheduled text is ${later.status}`);
  await say('STOP');
  await both('STOP is said, and nothing can be written', async p => /said STOP/.test(await p.textContent('#banner')) && !(await p.isVisible('#compose')));
  await settle('the phone gets its confirmation', async () => (await shows()).length === 12, 30_000);
  if (!/START/.test((await shows())[11])) fail(`the confirmation is ${(await shows())[11]}`);

  // By every door.
  await refused('POST', `/v1/conversations/${id}/messages`, { text }, 'opted-out');
  await refused('POST', `/v1/conversations/${id}/invite`, undefined, 'opted-out');
  const single = await api('POST', '/v1/messages', { to: number, text });
  const { messages: batch } = await api('POST', '/v1/messages/batch', { messages: [{ to: number, text }, { to: other, text: 'may arrive' }, { to: number, text }] });
  const twilio = await fetch(`${base}/2010-04-01/Accounts/${process.env.ACCOUNT_SID}/Messages.json`, {
    method: 'POST', headers: { Authorization: `Basic ${btoa(`${process.env.ACCOUNT_SID}:${process.env.AUTH_TOKEN}`)}` },
    body: new URLSearchParams({ To: number, From: local, Body: text }),
  });
  const told = await twilio.json();
  if (twilio.status !== 400 || told.code !== 21610) fail(`the Twilio-compatible call was answered with ${twilio.status} ${JSON.stringify(told)}`);
  for (const [what, m] of Object.entries({ single, first: batch[0], last: batch[2], scheduled: later })) {
    await settle(`the ${what} one has failed`, async () => (await api('GET', `/v1/messages/${m.id}`)).status === 'failed', 60_000);
    const { error } = await api('GET', `/v1/messages/${m.id}`);
    if (error?.code !== 'opted-out') fail(`the ${what} one failed with ${JSON.stringify(error)}`);
  }
  // What comes later by the same SIM has arrived, so what was refused is not on its way.
  await settle('the other phone of the batch gets its text', async () => (await shows(other)).includes('may arrive'), 30_000);
  await api('POST', '/v1/messages', { to: other, text: 'after all' });
  await settle('and one more', async () => (await shows(other)).includes('after all'), 30_000);
  if ((await shows()).length !== 12) fail(`after STOP the phone shows ${JSON.stringify((await shows()).slice(12))}`);

  // START brings it back.
  await say('START');
  await both('one can write again', p => p.isVisible('#compose'));
  const count = (await shows()).length;
  await Bert.fill('#text', 'Here we are again.');
  await Bert.keyboard.press('Enter');
  await both('it arrives', p => bubble(p, 'Here we are again.').locator('.mark.ticks').count());
  const again = await api('POST', '/v1/messages', { to: number, text: 'By the API too.' });
  await settle('and by the API', async () => (await api('GET', `/v1/messages/${again.id}`)).status === 'delivered', 30_000);
  const last = (await shows()).slice(count);
  if (last.some(words => words.includes(text))) fail(`what was refused arrived after START: ${JSON.stringify(last)}`);
};
