// For go run ./bench: how long the list of conversations takes to open, and when a text
// is seen in the window of one of them. It prints what it measures, a line each.
module.exports = async ({ browser, base, signIn, settle, say, desk }) => {
  const rounds = Number(process.env.ROUNDS);
  const page = await (await browser.newContext({ viewport: desk })).newPage();
  page.setDefaultTimeout(60_000);
  // A row counts once a frame with it was drawn.
  await page.addInitScript(() => {
    const look = () => document.querySelector('#list li') ? requestAnimationFrame(() => setTimeout(() => { window.listed = performance.now(); })) : requestAnimationFrame(look);
    look();
  });
  await signIn(page);
  for (let i = 0; i <= rounds; i++) { // the first fills the browser's cache
    await page.goto(`${base}/chat/about`);
    const floor = await page.evaluate(() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now())))));
    await page.goto(`${base}/chat`);
    await page.waitForFunction(() => window.listed);
    if (i) say('list', await page.evaluate(() => window.listed), floor);
  }
  const rows = () => page.locator('#list li').count();
  const begun = Date.now();
  while (await rows() < Number(process.env.OPEN)) {
    const before = await rows();
    await page.evaluate(() => { const s = document.getElementById('list-scroll'); s.scrollTop = s.scrollHeight; });
    await settle('more conversations are listed', async () => (await rows()) > before, 60_000);
  }
  const { JSHeapUsedSize: heap } = Object.fromEntries((await (async () => {
    const dev = await page.context().newCDPSession(page);
    await dev.send('Performance.enable');
    return (await dev.send('Performance.getMetrics')).metrics;
  })()).map(m => [m.name, m.value]));
  say('rows', await rows(), Date.now() - begun, heap / 1e6);

  // The phone begins; its conversation is opened, and what comes next is seen there.
  const row = page.locator('#list li', { hasText: process.env.PHONE }).first();
  await settle('the phone has begun', () => row.count(), 60_000);
  await row.locator('a').click();
  await settle('it is open', () => page.locator('#messages .bubble').count(), 60_000);
  await page.exposeFunction('seen', at => say('seen', at));
  await page.evaluate(() => {
    const count = () => document.querySelectorAll('#messages .bubble').length;
    let had = count();
    new MutationObserver(() => {
      if (count() <= had) return;
      had = count();
      requestAnimationFrame(() => setTimeout(() => window.seen(performance.timeOrigin + performance.now())));
    }).observe(document.getElementById('messages'), { childList: true, subtree: true });
  });
  say('ready');
  await new Promise(done => process.stdin.on('end', done).resume());
};
