// Every page: nothing serious for axe in light and dark, nothing sticks out
// sideways on a phone, and it can be read without script.
module.exports = async ({ browser, base, open, signIn, audit, fail, phone, desk }) => {
  const paths = JSON.parse(process.env.PAGES);
  for (const viewport of [desk, phone]) {
    const page = await open(browser, { viewport });
    for (const path of ['/sign-in', '/docs']) {
      await page.goto(base + path);
      await audit(page, `${path} (not signed in)`);
    }
    await signIn(page);
    for (const path of paths) {
      const answer = await page.goto(base + path);
      if (answer.status() !== 200) fail(`${path} answered ${answer.status()}`);
      await audit(page, path);
    }
    const plain = await open(browser, { viewport, javaScriptEnabled: false, storageState: await page.context().storageState() });
    for (const path of paths) {
      await plain.goto(base + path);
      if (!(await plain.locator('h1, h2').count())) fail(`${path} shows nothing without script`);
    }
  }
};
