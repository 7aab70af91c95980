// The chat page, as somebody uses it who is signed in: a stranger is asked, says YES,
// and both write; nothing is lost or doubled by reloads and a bad link; STOP ends it.
module.exports = async ({ browser, base, open, audit, settle, api, fail, desk, phone, say }) => {
  const page = await open(browser, { viewport: desk });
  await page.goto(`${base}/sign-in?next=/chat`);
  await page.fill('[name=name]', 'Ada');
  await page.locator('form:has([name=name]) [name=password]').fill('anchor violet teaspoon');
  await page.locator('form:has([name=name]) button').click();
  await page.waitForURL(/\/chat$/);
  await settle('the page is live', () => page.locator('#live.good').count());

  const number = process.env.PHONE;
  // answer is what somebody does at the simulated phone.
  const answer = async (text, from = number) => {
    const { conversations } = await api('GET', `/v1/conversations?${new URLSearchParams({ number, team: '*' })}`);
    await api('POST', `/handsets/${from}/messages`, { to: conversations[0].local, text });
  };
  const bubble = (words, where = page) => where.locator('#messages .bubble', { hasText: words });
  const has = (words, sign, where) => settle(`“${words}” stands there with ${sign}`, () => bubble(words, where).locator(`.mark.${sign}`).count(), 30_000);

  await page.keyboard.press('n');
  await page.fill('#new-to', number);
  await page.fill('#new-text', 'ж'.repeat(700));
  await page.click('#new-form .row button');
  if (!/It takes 11 parts/.test(await page.locator('#new-text').evaluate(e => e.validationMessage)) || !/\/chat$/.test(page.url())) fail('a text of more parts than may be begins a chat');
  await page.fill('#new-text', 'Is the door open?');
  await audit(page, 'chat, new');
  await page.click('#new-form .row button');
  await page.waitForURL(/\/chat\/conv_/);
  await settle('it says that the phone was asked', async () => /has not said YES/.test(await page.textContent('#banner')));
  if (await page.isVisible('#compose')) fail('one can write before the phone has said YES, while a text waits');
  await audit(page, 'chat, invited');
  await answer('Yes');
  await has('Ada: Is the door open?', 'ticks');
  await settle('and a line says why', () => page.locator('.system', { hasText: 'The phone said Yes' }).count());

  // What is counted is what goes out, with the name before it.
  await page.fill('#text', 'a “b”');
  if (!/^10 .*Unicode.*““” \(character 3\)/.test(await page.textContent('.counts-line'))) fail(`the counter says: ${await page.textContent('.counts-line')}`);
  await page.fill('#text', '');
  await page.locator('#text').pressSequentially('One line');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('and another');
  await page.keyboard.press('Enter');
  await has('One line\nand another', 'ticks');
  const evil = '<img src=x onerror=alert(1)> <b>it</b> is';
  await answer(evil);
  await settle('the answer stands there as it was written', () => bubble(evil).count());
  if (await page.locator('#messages b:not(.why b), #messages img').count()) fail('a text became HTML');
  await audit(page, 'chat, open');

  // A draft outlives a reload, and other devices have it.
  await page.fill('#text', 'half a senten');
  const draft = () => page.evaluate(id => fetch(`/v1/conversations/${id}/draft`).then(r => r.json()).then(d => d.text), page.url().split('/').pop());
  await settle('the gateway has the draft', async () => (await draft()) === 'half a senten');
  await page.reload();
  await settle('the draft is there again', async () => (await page.inputValue('#text')) === 'half a senten');

  // The gateway gets a text, and its answer gets lost; then the page is closed.
  page.expected.push('ERR_FAILED');
  await page.route('**/messages', async route => {
    if (route.request().method() !== 'POST') return route.continue();
    await route.fetch().catch(() => {});
    return route.abort().catch(() => {});
  });
  await page.fill('#text', 'Only once');
  await page.keyboard.press('Enter');
  await settle('it is not given up', () => bubble('Only once').count());
  await page.unroute('**/messages');
  await page.reload();
  await has('Only once', 'ticks');
  if (await bubble('Only once').count() !== 1) fail('a text whose answer got lost shows twice');
  const went = (await api('GET', '/v1/messages?limit=100&direction=outbound')).messages.filter(m => m.text?.includes('Only once'));
  if (went.length !== 1) fail(`a text whose answer got lost went out ${went.length} times`);

  // Another phone begins. It is unread until somebody looks.
  await page.keyboard.press('Escape');
  await page.locator('#who').focus();
  await answer('Anybody there?', '+491555987654');
  await settle('the title counts it', async () => (await page.title()).startsWith('(1) '));
  await page.keyboard.press('u');
  await settle('it is open', () => bubble('Anybody there?').count());
  await settle('and read', async () => !(await page.title()).startsWith('('));
  await page.keyboard.press('o');
  await page.fill('#note-text', 'Call back');
  await page.click('#note-form .row button');
  await settle('the note is there', () => page.locator('.noted', { hasText: 'Call back' }).count());

  // A key that ends what the phone agreed to asks first.
  const here = async () => (await api('GET', `/v1/conversations/${page.url().split('/').pop()}`));
  await page.keyboard.press('e');
  await settle('closing is asked for first', () => page.isVisible('#sure-dialog'));
  await audit(page, 'chat, close');
  await page.click('#sure-dialog [value=no]');
  if ((await here()).state === 'closed') fail('the key e closes a conversation without asking');

  // Blocked, it leaves the list of the open ones; unblocked, the page says why nothing is
  // sent, which is not that the phone said STOP, and an admin records its owner's word.
  await page.click('#acts-open');
  await page.click('#acts [data-act=block]');
  await page.click('#block-form .row button');
  await settle('it says that it is blocked, and why', async () => /blocked: Spam\..*did not say STOP/.test(await page.textContent('#banner')));
  const listed = () => page.locator('#list li', { hasText: '+491555987654' }).count();
  await page.click('#filters [value=blocked]');
  await settle('the list of blocked ones has it', async () => await listed() === 1 && await page.locator('#list li').count() === 1);
  await page.click('#filters [value=all]');
  await settle('the list of open ones has not', async () => await page.locator('#list li').count() > 0 && await listed() === 0);
  await page.click('#banner [data-act=unblock]');
  await settle('it is unblocked, and still gets nothing', async () => /^A conversation with this number was blocked/.test(await page.textContent('#banner-words')) && !(await page.isVisible('#compose')));
  await page.click('#banner [data-act=wants]');
  await page.fill('#wants-wording', 'Told me so at the counter');
  await audit(page, 'chat, wants');
  await page.click('#wants-form .row button');
  await settle('one can write again', () => page.isVisible('#compose'));
  if ((await here()).stopped) fail('what was recorded does not hold');
  await page.locator('#who').focus();
  await page.keyboard.press('j');
  await page.keyboard.press('?');
  if (!await page.isVisible('#keys-dialog')) fail('? does not show the shortcuts');
  await page.keyboard.press('Escape');
  await page.keyboard.press('/');
  await page.keyboard.type('door');
  await settle('the search finds it', async () => (await page.locator('#list li').count()) === 1);

  // On a phone the list and the conversation take turns, and back goes back.
  const small = await open(browser, { viewport: phone, hasTouch: true, isMobile: true, storageState: await page.context().storageState() });
  await small.goto(`${base}/chat`);
  const row = small.locator('#list li', { hasText: number }).first();
  await settle('the list is there', () => row.isVisible());
  await audit(small, '/chat');
  await row.tap();
  await has('Only once', 'ticks', small);
  if (await small.isVisible('#list')) fail('on a phone the list stands beside the conversation');
  await audit(small, 'chat, open');
  await small.goBack();
  await settle('back is back at the list', () => row.isVisible());
  await row.tap();
  await answer('STOP');
  await settle('STOP is said, and nothing can be written', async () => /said STOP/.test(await small.textContent('#banner')) && !(await small.isVisible('#compose')));
  for (const path of ['/chat/help', '/chat/about', '/chat/terms']) if ((await small.goto(base + path)).status() !== 200) fail(`${path} is not there`);
  await audit(small, '/chat/terms');

  // An app: what a browser wants of one is there.
  const dev = await page.context().newCDPSession(page);
  await settle('the worker is there', () => page.evaluate(() => navigator.serviceWorker.getRegistration('/chat').then(r => !!r?.active)));
  const { installabilityErrors } = await dev.send('Page.getInstallabilityErrors');
  const wrong = installabilityErrors.filter(e => e.errorId !== 'in-incognito');
  if (wrong.length) fail(`it can't be installed: ${JSON.stringify(wrong)}`);
  await page.goto(`${base}/chat`);
  await settle('the list is there', () => page.locator('#list li').count());
  const kept = await page.evaluate(async () => (await Promise.all((await caches.keys()).map(async n => (await (await caches.open(n)).keys()).map(r => new URL(r.url).pathname)))).flat());
  for (const path of kept) if (!path.startsWith('/assets/') && path !== '/chat/away') fail(`the browser keeps ${path}`);
  page.expected.push('ERR_INTERNET_DISCONNECTED', 'ERR_FAILED');
  await page.context().setOffline(true);
  await page.goto(`${base}/chat`);
  if (!/not reached/.test(await page.textContent('h1'))) fail('without the gateway no page says so');
  await page.context().setOffline(false);
  await page.click('#again');
  await settle('it goes on', () => page.locator('#list li').count());
};
