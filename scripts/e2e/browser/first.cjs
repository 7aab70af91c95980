// From the address that the demo prints to the first text, as a technician with
// a phone goes it: by what is to be seen and tapped.
module.exports = async ({ browser, base, open, audit, settle, fail, phone, say }) => {
  const page = await open(browser, { viewport: phone });
  const begun = Date.now();
  const password = 'anchor violet teaspoon';
  await page.goto(process.env.WELCOME);
  await settle('the address fills the code in', async () => (await page.inputValue('[name=code]')).length > 5);
  await audit(page, '/welcome');
  await page.fill('[name=name]', 'Ada');
  await page.fill('[name=password]', password);
  await page.fill('[name=again]', password);
  await page.click('#welcome button');
  await page.waitForURL(/\/setup/);

  const step = async (key, act) => {
    await page.goto(`${base}/setup?step=${key}`);
    await audit(page, `/setup?step=${key}`);
    await act?.();
    await page.locator('.step form:has(input[name=do]) button:not(.quiet)').last().click();
    await page.waitForLoadState();
    const refused = await page.locator('.step .notice').allTextContents();
    if (refused.length) fail(`the step ${key} says: ${refused.join(' ')}`);
  };
  for (const key of ['country', 'name', 'sims', 'alarms']) await step(key);

  await page.goto(`${base}/setup?step=test`);
  await audit(page, '/setup?step=test');
  await page.click('text=Send a test to me');
  await page.fill('[name=to]', process.env.PHONE);
  const words = await page.locator('form.test q').textContent();
  await page.click('form.test button');
  await settle('the test becomes delivered on the page', async () => /delivered/i.test(await page.textContent('#how-far .pill')), 30_000);
  say('from the address to a delivered text:', ((Date.now() - begun) / 1000).toFixed(1), 's');
  await audit(page, '/test');
  await step('test');
  await page.goto(`${base}/acceptance`);
  await audit(page, '/acceptance');
  if (!(await page.locator('.sheet dl div', { hasText: 'Test sent' }).allTextContents()).some(words => /delivered to the phone/i.test(words))) fail('the acceptance sheet does not show the test');
  await step('sheet');

  await step('key', () => page.fill('[name=app]', 'shop'));
  const token = (await page.textContent('.token')).trim();
  if (!token.startsWith('gw_')) fail('the key of the app is not shown');
  await audit(page, 'the key of the app');
  await page.goto(`${base}/setup?step=key`);
  if ((await page.content()).includes(token)) fail('the key of the app is shown twice');

  await page.click('text=Sign out');
  await page.goto(`${base}/sign-in`);
  await page.fill('[name=name]', 'Ada');
  await page.locator('form:has([name=name]) [name=password]').fill(password);
  await page.locator('form:has([name=name]) button').click();
  await page.waitForURL(url => !url.pathname.startsWith('/sign-in'));
  await page.goto(`${base}/handsets/${process.env.PHONE}/`);
  const start = words.trim().slice(0, 12);
  await settle('the text is on the handset', async () => (await page.textContent('body')).includes(start));
};
