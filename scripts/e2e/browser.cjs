// Drives a real browser through one scenario: node browser.cjs SCENARIO, with
// BASE and what the scenario wants in the environment. It ends with 0 when all
// held; else it says what did not.
//
// Whatever a scenario does, these hold on every page: no request leaves the
// host, the browser reports no error and no breach of the content security
// policy, and the policy has no unsafe-inline.
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');

const base = process.env.BASE;
const hosts = [base, process.env.HUB].filter(Boolean).map(at => new URL(at).host);
const faults = [];
const fail = words => faults.push(words);

// settle waits until something holds; its words tell what did not.
async function settle(what, ok, within = 15_000) {
  const start = Date.now();
  for (let last; ; await new Promise(r => setTimeout(r, 25))) {
    try {
      if (await ok()) return Date.now() - start;
    } catch (e) {
      last = e;
    }
    if (Date.now() - start > within) throw new Error(`not within ${within} ms: ${what}${last ? `: ${last.message}` : ''}`);
  }
}

// open is a page that is watched for everything that must never happen.
async function open(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.addInitScript(() => addEventListener('securitypolicyviolation', e => console.error(`content security policy: ${e.violatedDirective} refused ${e.blockedURI}`)));
  page.expected = []; // what the console may say: answers that the scenario asks for
  page.on('console', m => {
    if (m.type() === 'error' && !page.expected.some(words => m.text().includes(words))) fail(`${page.url()}: the console says: ${m.text()}`);
  });
  page.on('pageerror', e => fail(`${page.url()}: ${e.stack ?? e}`));
  context.on('request', r => {
    const url = new URL(r.url());
    if (!hosts.includes(url.host) && !['data:', 'blob:', 'about:'].includes(url.protocol)) fail(`a request left the host: ${r.url()}`);
  });
  page.on('response', r => {
    if (!r.headers()['content-type']?.startsWith('text/html')) return;
    const policy = r.headers()['content-security-policy'] ?? '';
    if (!/default-src '(self|none)'/.test(policy) || policy.includes('unsafe')) fail(`${r.url()}: content security policy is ${JSON.stringify(policy)}`);
  });
  return page;
}

// signIn swaps the key for a session, as a person does.
async function signIn(page, key = process.env.KEY) {
  await page.goto(`${base}/sign-in`);
  const folded = page.locator('details:has(input[name=key]):not([open]) > summary');
  if (await folded.count()) await folded.first().click();
  await page.fill('input[name=key]', key);
  await page.locator('form:has(input[name=key]) button').click();
  await page.waitForURL(url => !url.pathname.startsWith('/sign-in'));
}

const axeSource = fs.readFileSync(path.join(path.dirname(require.resolve('axe-core')), 'axe.min.js'), 'utf8');

// audit asks axe for what is serious or critical, and that nothing sticks out
// sideways. What dark can break is colour alone, so only that is asked twice.
async function audit(page, what) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const { violations } = await page.evaluate(`${colorScheme === 'light' ? axeSource : ''};axe.run(document, { resultTypes: ['violations'], preload: false, // as a debugger does: the policy of the page stays as it is
      ${colorScheme === 'dark' ? "runOnly: ['color-contrast']" : ''} }).then(({ violations }) => ({ violations }))`);
    for (const v of violations.filter(v => ['serious', 'critical'].includes(v.impact))) {
      fail(`${what}, ${colorScheme}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => `${n.html.slice(0, 200)} (${n.any?.[0]?.message ?? ''})`).join(' | ')}`);
    }
    if (process.env.PICTURES) await page.screenshot({ path: path.join(process.env.PICTURES, `${what.replaceAll(/\W+/g, '-')}-${page.viewportSize().width}-${colorScheme}.png`) });
  }
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wider > 0) fail(`${what}: ${wider} px stick out sideways at ${page.viewportSize().width} px`);
}

// api asks the gateway as a program does.
async function api(method, where, body, key = process.env.KEY) {
  const r = await fetch(base + where, {
    method, body: body && JSON.stringify(body),
    headers: { Authorization: `Bearer ${key}`, ...(body && { 'Content-Type': 'application/json' }) },
  });
  const text = await r.text();
  if (!r.ok) throw new Error(`${method} ${where}: ${r.status} ${text}`);
  return r.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text;
}

const phone = { width: 390, height: 844 };
const desk = { width: 1280, height: 900 };

async function main() {
  const [name] = process.argv.slice(2);
  const scenario = require(`./browser/${name}.cjs`);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
  try {
    await scenario({ browser, base, open, signIn, audit, settle, api, fail, phone, desk, say: (...words) => console.log(...words) });
  } finally {
    await browser.close();
  }
  for (const words of faults) console.error(words);
  process.exitCode = faults.length ? 1 : 0;
}

main().catch(e => {
  console.error(e.stack ?? e);
  for (const words of faults) console.error(words);
  process.exitCode = 1;
});
