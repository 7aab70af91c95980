// Uses the gateway as a program written for Twilio does: with the npm package
// twilio as it is, and one line that says where. The test that runs it plays the
// phone: it is asked to text when this prints "say". Ends with "done".
const assert = require("node:assert/strict");
const http = require("node:http");
const twilio = require("twilio");

const { BASE, ACCOUNT_SID, AUTH_TOKEN, LISTEN, FROM, TO } = process.env;

const client = twilio(ACCOUNT_SID, AUTH_TOKEN);
client.api.baseUrl = BASE; // the one line

// Everything that came to our callbacks, by path, each checked as Twilio says.
const came = [];
let wake = () => {};
const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const params = Object.fromEntries(new URLSearchParams(body));
    const url = `http://${LISTEN}${request.url}`;
    const signature = request.headers["x-twilio-signature"];
    const valid = twilio.validateRequest(AUTH_TOKEN, signature, url, params);
    const forged = twilio.validateRequest(AUTH_TOKEN, signature, url, { ...params, To: "+49" });
    came.push({ path: request.url, params, valid: valid && !forged });
    const answer = new twilio.twiml.MessagingResponse();
    if (request.url.startsWith("/sms")) {
      answer.message("Reply 1 from <Node> & co: é 👍");
      answer.message({ action: "/reply-status" }).body("Reply 2 from Node");
      answer.redirect("/more?x=1");
    } else if (request.url.startsWith("/more")) {
      answer.message("Reply 3 from Node");
    } else {
      return response.writeHead(204).end(wake());
    }
    response.writeHead(200, { "Content-Type": "text/xml" }).end(answer.toString());
    wake();
  });
});

// until waits for callbacks that satisfy ok; the test ends it if it takes too long.
async function until(ok) {
  while (!ok()) await new Promise((resolve) => (wake = resolve));
}

const of = (sid) => came.filter((c) => c.params.MessageSid === sid).map((c) => c.params.MessageStatus);

async function refused(promise, status, code) {
  await assert.rejects(promise, (e) => {
    assert.deepEqual([e.status, e.code], [status, code], e.message);
    assert.ok(e.moreInfo.endsWith(`/${code}`));
    return true;
  });
}

async function main() {
  await new Promise((resolve) => server.listen(LISTEN.split(":")[1], "127.0.0.1", resolve));

  const first = await client.messages.create({ to: TO, from: FROM, body: "Hello from Node: é 👍", statusCallback: `http://${LISTEN}/status?a=1&b=2` });
  assert.match(first.sid, /^SM[0-9a-f]{32}$/);
  assert.equal(first.status, "queued");
  assert.equal(first.direction, "outbound-api");
  assert.equal(first.numSegments, "1");
  assert.equal(first.errorCode, null);
  assert.ok(first.dateCreated instanceof Date && !Number.isNaN(first.dateCreated.getTime()));

  const later = await client.messages.create({
    to: TO, messagingServiceSid: "MG" + "0".repeat(32), body: "later", scheduleType: "fixed", sendAt: new Date(Date.now() + 7200e3),
  });
  assert.equal(later.status, "scheduled");
  assert.equal((await client.messages(later.sid).update({ status: "canceled" })).status, "canceled");
  await refused(client.messages(later.sid).update({ status: "canceled" }), 409, 30409);

  const sids = [later.sid, first.sid];
  for (let i = 0; i < 3; i++) sids.unshift((await client.messages.create({ to: TO, from: FROM, body: `page ${i}` })).sid);
  assert.deepEqual((await client.messages.list({ to: TO, pageSize: 2 })).map((m) => m.sid), sids);
  let page = await client.messages.page({ to: TO, pageSize: 2 });
  page = await (await page.nextPage()).nextPage();
  assert.deepEqual(page.instances.map((m) => m.sid), sids.slice(4));
  assert.equal(page.nextPage(), undefined);
  assert.deepEqual((await page.previousPage()).instances.map((m) => m.sid), sids.slice(2, 4));

  await until(() => of(first.sid).includes("delivered"));
  assert.deepEqual(of(first.sid), ["queued", "sent", "delivered"]);
  const sent = await client.messages(first.sid).fetch();
  assert.equal(sent.status, "delivered");
  assert.ok(sent.dateSent instanceof Date);
  const has = async (filter) => (await client.messages.list({ to: TO, ...filter })).some((m) => m.sid === first.sid);
  assert.ok(await has({ dateSentAfter: new Date(sent.dateSent - 60e3) }));
  assert.ok(await has({ dateSent: sent.dateSent }));
  assert.ok(!(await has({ dateSentBefore: new Date(sent.dateSent - 60e3) })));
  assert.ok(!(await has({ dateSentAfter: new Date(+sent.dateSent + 60e3) })));

  assert.deepEqual(await client.messages(first.sid).media.list(), []);
  assert.equal((await client.messages(first.sid).update({ body: "" })).body, "");
  assert.equal(await client.messages(first.sid).remove(), true);
  await refused(client.messages(first.sid).fetch(), 404, 20404);

  await refused(client.messages.create({ to: "+49", from: FROM, body: "x" }), 400, 21211);
  await refused(client.messages.create({ to: TO, from: "+15005550006", body: "x" }), 400, 21606);
  await refused(client.messages.create({ to: TO, from: FROM, body: "" }), 400, 21602);
  await refused(client.messages.create({ to: TO, from: FROM, mediaUrl: ["https://example.org/x.png"] }), 400, 21620);
  const stranger = twilio(ACCOUNT_SID, "0".repeat(32));
  stranger.api.baseUrl = BASE;
  await refused(stranger.messages.list(), 401, 20003);
  const key = twilio("SK" + "0".repeat(32), AUTH_TOKEN, { accountSid: ACCOUNT_SID });
  key.api.baseUrl = BASE;
  await refused(key.messages.list(), 401, 20003);

  console.log("say");
  await until(() => came.some((c) => c.path.startsWith("/more")));
  const text = came.find((c) => c.path.startsWith("/sms"));
  assert.deepEqual([text.params.From, text.params.Body, text.params.NumMedia, text.params.SmsStatus], [TO, "Hi Node: é 👍", "0", "received"]);
  await until(() => came.some((c) => c.path === "/reply-status" && c.params.MessageStatus === "delivered"));
  const replies = (await client.messages.list({ to: TO, limit: 3 })).filter((m) => m.direction === "outbound-reply");
  assert.equal(replies.length, 3);
  assert.deepEqual(came.filter((c) => !c.valid), []);
  console.log("done");
  server.close();
  server.closeAllConnections();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
