// A branch with a hub, and the link between them: what is written in the branch's chat
// while the link is cut goes as SMS and follows into the inbox, or waits for the link.
module.exports = async ({ browser, base, open, audit, settle, api, fail, desk, phone, say }) => {
  const { HUB: hub, WORLD: world, PHONE: number, OTHER: other } = process.env;
  const handset = async n => {
    const r = await fetch(`${world}/handsets/${n}/messages`);
    return r.ok ? (await r.json()).filter(m => m.incoming).map(m => m.text) : [];
  };
  const link = async what => { if (!(await fetch(`${world}/link/${what}`, { method: 'POST' })).ok) throw new Error(`link ${what}`); };
  const picture = await drawn(browser);

  // The phone's owner opens an inbox on the hub, with the code that the branch's modem texts.
  const inbox = await open(browser, { viewport: phone });
  await inbox.goto(`${hub}/inbox/`);
  await inbox.fill('#number', number);
  await inbox.fill('#name', 'Bea');
  await audit(inbox, 'inbox, door');
  await inbox.click('#ask button');
  await settle('the code is asked for', () => inbox.isVisible('#code'), 30_000);
  let code;
  await settle('the phone has the code', async () => (code = (await handset(number)).map(t => /^\d{6}/.exec(t)?.[0]).find(Boolean)), 30_000);
  await audit(inbox, 'inbox, code');
  await inbox.fill('#code', code);
  await inbox.click('#enter button:not(.plain)');
  await settle('the inbox is open, and empty', async () => /No messages yet/.test(await inbox.textContent('#nothing')));

  // Somebody in the branch begins to write.
  await api('POST', '/v1/people', { name: 'Ada', role: 'admin', password: 'anchor violet teaspoon' });
  const page = await open(browser, { viewport: desk });
  await page.goto(`${base}/sign-in?next=/chat`);
  await page.fill('[name=name]', 'Ada');
  await page.locator('form:has([name=name]) [name=password]').fill('anchor violet teaspoon');
  await page.locator('form:has([name=name]) button').click();
  await page.waitForURL(/\/chat$/);
  await settle('the page is live', () => page.locator('#live.good').count());
  await page.keyboard.press('n');
  await page.fill('#new-to', number);
  await page.check('#new-form [value=open]');
  await page.fill('#new-text', 'Hello Bea');
  await page.click('#new-form .row button');
  await page.waitForURL(/\/chat\/conv_/);
  const bubble = words => page.locator('#messages .bubble', { hasText: words });
  const told = async (words, way, how, within = 20_000) => settle(`“${words}” has the tag ${way} and says “${how}”`, async () => {
    const text = await bubble(words).locator('.meta').textContent();
    return text.includes(way) && text.includes(how);
  }, within);
  const write = async (words, way) => {
    if (way) {
      if (!await page.isVisible('#ways')) await page.click('#way');
      await page.check(`#ways [value=${way}]`, { force: true });
    }
    await page.fill('#text', words);
    await page.click('#send');
  };
  await settle('who has an inbox is shown so', async () => /internet|online/i.test(await page.textContent('#presence')), 45_000);

  // Whom the hub is slow to know, the usual way reaches by SMS for some seconds.
  const conversation = page.url().split('/').pop();
  const reachable = () => settle('the inbox can be reached', async () => (await api('GET', `/v1/conversations/${conversation}`)).reachable.includes('internet'), 45_000);

  if ((await page.textContent('#messages')).includes(code)) fail('the code that opens the inbox can be read in the chat');

  // With the link up, what reaches an inbox goes there, with pictures.
  await page.click('#extras-open');
  await page.setInputFiles('#file', { name: 'roof.png', mimeType: 'image/png', buffer: picture });
  await settle('the picture is with the gateway', () => page.locator('#attached img').count());
  await reachable();
  await write('The roof as it is');
  const thread = inbox.locator('#threads button').first();
  await settle('it is in the inbox', async () => (await inbox.textContent('#threads')).includes('The roof as it is'), 30_000);
  await thread.click();
  const shown = words => inbox.locator('#log .message', { hasText: words });
  await settle('and its picture is shown there', () => shown('The roof as it is').locator('img').evaluate(i => i.complete && i.naturalWidth > 0), 30_000);
  await told('The roof as it is', 'Internet', 'read');
  if ((await handset(number)).some(t => t.includes('roof'))) fail('what went by internet came to the phone too');
  await audit(inbox, 'inbox, open');

  // The link is cut.
  await link('cut');
  say('ways are offered after', await settle('the page offers the ways, by itself', async () => await page.isVisible('#ways.down') && /link to the hub is down/.test(await page.textContent('#ways-words')), 30_000), 'ms');
  await audit(page, 'hub chat, link down');
  await write('The roof is open', 'sms');
  await settle('the phone has the text, with the name', async () => (await handset(number)).filter(t => t === 'Ada: The roof is open').length === 1, 30_000);
  await told('The roof is open', 'SMS', 'internet copy: not sent');
  await write('Bring the long ladder', 'offline');
  await told('Bring the long ladder', 'Internet', 'waits for the link');
  await audit(page, 'hub chat, written meanwhile');
  for (const words of ['The roof is open', 'long ladder']) if (await shown(words).count()) fail(`“${words}” is in the inbox while the link is cut`);

  // The link is back.
  await link('heal');
  say('what waited is in the inbox after', await settle('both are in the inbox', async () => await shown('The roof is open').count() && await shown('Bring the long ladder').count(), 60_000), 'ms');
  await told('The roof is open', 'SMS', 'internet copy: sent');
  await told('Bring the long ladder', 'Internet', 'read');
  await settle('nothing is offered by itself any more, and the way is the usual one', async () => !await page.isVisible('#ways') && await page.textContent('#way') === 'Auto');
  if (!await shown('The roof is open').locator('.tag', { hasText: 'SMS' }).count()) fail('the copy has no tag SMS in the inbox');
  if (await shown('Bring the long ladder').locator('.tag', { hasText: 'SMS' }).count()) fail('what went by internet alone is tagged SMS in the inbox');

  // Both ends filter by the tag.
  const back = inbox.locator('#back');
  await back.click();
  const once = async (tag, here, gone) => {
    await inbox.click(`[data-tag="${tag}"]`);
    await thread.click();
    await settle(`with the filter ${tag || 'all'} the inbox shows “${here}” alone`, async () => await shown(here).count() === 1 && !(gone && await shown(gone).count()));
    await back.click();
  };
  await once('sms', 'The roof is open', 'Bring the long ladder');
  await once('internet', 'Bring the long ladder', 'The roof is open');
  await once('', 'The roof is open');
  await page.selectOption('#tag', 'sms');
  await settle('the chat shows what went as SMS', async () => await bubble('The roof is open').count() === 1 && !await bubble('long ladder').count());
  await page.selectOption('#tag', 'internet');
  await settle('the chat shows what went by internet', async () => !await bubble('The roof is open').count() && await bubble('long ladder').count() === 1);
  await page.selectOption('#tag', '');

  // An answer from the inbox stands in the chat.
  await thread.click();
  await inbox.fill('#text', 'I have the ladder');
  await inbox.click('#write .send');
  await settle('the answer is in the chat', async () => await bubble('I have the ladder').count() === 1, 30_000);
  if (!/Internet/.test(await bubble('I have the ladder').locator('.meta').textContent())) fail('the answer has no tag Internet');

  // A group: each by the way that reaches it.
  const { id: group } = await api('POST', '/v1/groups', { name: 'Roof' });
  for (const [name, n] of [['Bea', number], ['Carl', other]]) {
    await api('POST', '/v1/contacts', { name, numbers: [n], groups: [group], consent: { wording: 'Said so at the site' } });
  }
  await page.goto(`${base}/contacts?group=${group}`);
  await page.fill('form:has([name=do][value=write]) [name=text]', 'Lunch at noon');
  await audit(page, 'group, write');
  await reachable();
  await page.click('[name=do][value=write]');
  await settle('the page says what became of each', async () => /Bea/.test(await page.textContent('main')) && !await page.locator('[name=text]').inputValue().catch(() => ''));
  await settle('who has an inbox has it there', async () => await shown('Lunch at noon').count() === 1, 30_000);
  await settle('who has none has it on the phone', async () => (await handset(other)).filter(t => t === 'Ada: Lunch at noon').length === 1, 30_000);
  if ((await handset(number)).some(t => t.includes('Lunch'))) fail('who has it in the inbox got it as SMS too');

  // A picture goes along to an inbox. By SMS it would go as a link, for which this hub has no
  // public address, and the page says so.
  await page.fill('form:has([name=do][value=write]) [name=text]', 'The plan');
  await page.setInputFiles('input[type=file][name=file]', { name: 'plan.png', mimeType: 'image/png', buffer: picture });
  await reachable();
  await page.click('[name=do][value=write]');
  await settle('the picture is in the inbox', () => shown('The plan').locator('img').evaluate(i => i.complete && i.naturalWidth > 0).catch(() => false), 30_000);
  await settle('the page says whom it does not reach', async () => /Carl: .*link/.test(await page.textContent('main')));
  await audit(page, 'group, written');

  // The hub's own pages about the branch.
  const admin = await open(browser, { viewport: desk });
  await admin.goto(`${hub}/sign-in`);
  const folded = admin.locator('details:has(input[name=key]):not([open]) > summary');
  if (await folded.count()) await folded.first().click();
  await admin.fill('input[name=key]', process.env.HUBKEY);
  await admin.locator('form:has(input[name=key]) button').click();
  await admin.waitForURL(url => !url.pathname.startsWith('/sign-in'));
  for (const viewport of [desk, phone]) {
    await admin.setViewportSize(viewport);
    for (const path of ['/', '/gateways', '/gateways/north']) {
      await admin.goto(hub + path);
      await audit(admin, `hub, ${path}`);
    }
    await inbox.setViewportSize(viewport);
    await audit(inbox, 'inbox, at the end');
  }
  await page.setViewportSize(phone);
  await page.goto(`${base}/chat`);
  await page.locator('#list li', { hasText: 'Bea' }).first().click();
  await settle('it is open', () => bubble('I have the ladder').count());
  await audit(page, 'hub chat, at the end');
};

// drawn is a picture that can be seen.
async function drawn(browser) {
  const page = await browser.newPage({ viewport: { width: 320, height: 200 } });
  await page.setContent('<body style="background: linear-gradient(#79c, #eee 60%, #a54 60%)">');
  const picture = await page.screenshot();
  await page.close();
  return picture;
}
