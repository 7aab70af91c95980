// A technician is invited on a page, comes in by the code, and sees how the box
// is, but neither numbers nor texts.
module.exports = async ({ browser, base, open, signIn, fail, desk, phone }) => {
  const admin = await open(browser, { viewport: desk });
  await signIn(admin);
  await admin.goto(`${base}/people`);
  const form = admin.locator('form:has(button[value=add])');
  await form.locator('[name=name]').fill('Tom');
  await form.locator('[name=role]').selectOption('technician');
  await form.locator('button').click();
  const link = (await admin.textContent('.invitation .where a')).trim();

  const page = await open(browser, { viewport: phone });
  await page.goto(link);
  if (await page.inputValue('[name=name]') !== 'Tom') fail('the address of the invitation does not fill the name in');
  await page.fill('[name=password]', 'copper lantern meadow');
  await page.fill('[name=again]', 'copper lantern meadow');
  await page.click('#welcome button');
  await page.waitForURL(url => !url.pathname.startsWith('/welcome'));

  const secret = [process.env.PHONE.replace(/\D/g, ''), process.env.TEXT];
  const unseen = async path => {
    const all = await page.content();
    // Digits as people group them, too.
    for (const words of secret) if (all.includes(words) || all.replace(/(?<=\d)[\s()/-]+(?=\d)/g, '').includes(words)) fail(`${path} shows ${words} to a technician`);
  };
  for (const [path, title] of [['/', /./], ['/aim', /antenna/i], ['/test', /test/i], ['/acceptance', /acceptance/i], ['/account', /Tom/]]) {
    const answer = await page.goto(base + path);
    if (answer.status() !== 200) fail(`${path} answered ${answer.status()} to a technician`);
    if (!title.test(await page.textContent('main'))) fail(`${path} is not the page that was asked for`);
    await unseen(path);
  }
  for (const link of await page.locator('nav a').evaluateAll(all => all.map(a => a.getAttribute('href')))) {
    if ((await page.goto(base + link)).status() !== 200) fail(`the navigation leads a technician to ${link}, which is refused`);
    await unseen(link);
  }
  page.expected.push('403'); // asked for on purpose
  for (const path of ['/messages', '/people', '/setup', `/handsets/${process.env.PHONE}/`]) {
    const answer = await page.goto(base + path);
    if (answer.status() !== 403) fail(`${path} answered ${answer.status()} to a technician`);
    if (!/technician|allow|may not|admin|permission/i.test(await page.textContent('body'))) fail(`${path} says nothing to a technician: ${await page.textContent('body')}`);
    if (!path.includes(process.env.PHONE)) await unseen(path);
  }
};
