// What happens shows on an open page by itself, and the page says so when it can't.
module.exports = async ({ browser, base, open, signIn, settle, api, fail, desk, say }) => {
  const page = await open(browser, { viewport: desk });
  await signIn(page);
  await settle('the page is live', async () => (await page.textContent('#live')).trim() === 'Live');

  const { id } = await api('POST', '/v1/messages', { to: process.env.PHONE, text: 'Seen on an open page' });
  const shown = page.locator(`#messages [data-key="${id}"]`);
  say('a message shows after', await settle('the new message shows', () => shown.isVisible()), 'ms');
  await settle('and becomes delivered', async () => /delivered/.test(await shown.textContent()));

  const card = page.locator('#modems [data-key="modem2"]');
  if (!/ready/i.test(await card.textContent())) fail('modem2 is not ready to begin with');
  await api('PATCH', '/handsets/modems/modem2', { present: false });
  say('a pulled modem shows after', await settle('the pulled modem shows', async () => /not plugged in/i.test(await card.textContent())), 'ms');
  await settle('and the summary says it', async () => /not by every modem/.test(await page.textContent('#summary')));
  await api('PATCH', '/handsets/modems/modem2', { present: true });
  await settle('it is back', async () => /ready/i.test(await card.textContent()), 30_000);

  // What somebody writes stays where it is while the page changes around it.
  await page.fill('#send textarea', 'half a senten');
  await api('POST', '/v1/messages', { to: process.env.PHONE, text: 'Another one' });
  await settle('the other shows', async () => /Another one/.test(await page.textContent('#messages')));
  if (await page.inputValue('#send textarea') !== 'half a senten') fail('the live page threw away what was being written');
};
