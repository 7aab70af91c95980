// Receives webhooks: takes what the gateway signed, and each event once.
//
//   export WEBHOOK_SECRET=whsec_…     # while it is being changed both, with a space between
//   node receive.mjs 3000
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const tolerance = 300; // seconds; an older request may be somebody who repeats what they have overheard
const largest = 1 << 20;

function genuine(headers, body, secrets, now) {
  const id = headers["webhook-id"] ?? "";
  const at = headers["webhook-timestamp"] ?? "";
  if (id === "" || !/^\d{1,12}$/.test(at) || Math.abs(now - Number(at)) > tolerance) return false;
  let fits = false;
  for (const secret of secrets) {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    const want = Buffer.from("v1," + createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest("base64"));
    // The gateway signs with both secrets while one is being changed.
    for (const signature of (headers["webhook-signature"] ?? "").split(" ")) {
      const got = Buffer.from(signature);
      // Comparing takes as long whatever differs.
      if (got.length === want.length && timingSafeEqual(got, want)) fits = true;
    }
  }
  return fits;
}

// Events may come again, after an answer that got lost. Keep their ids where you
// keep what you make of them, in one transaction; here they are in memory.
const seen = new Set();

function dealWith(id, event) {
  if (seen.has(id)) return;
  console.log(event.type, id);
  seen.add(id);
  if (seen.size > 10_000) seen.delete(seen.values().next().value);
}

const secrets = process.env.WEBHOOK_SECRET.split(" ");

const server = createServer(async (req, res) => {
  const end = (status) => res.writeHead(status).end();
  try {
    if (req.method !== "POST") return end(405);
    const chunks = [];
    let length = 0;
    for await (const chunk of req) {
      chunks.push(chunk);
      if ((length += chunk.length) > largest) return end(413);
    }
    const body = Buffer.concat(chunks);
    if (!genuine(req.headers, body, secrets, Date.now() / 1000)) return end(401);
    dealWith(req.headers["webhook-id"], JSON.parse(body));
    end(204); // only now: before, the gateway would think that it is dealt with
  } catch (e) {
    console.error(e.message);
    end(500); // the gateway comes again
  }
});
server.requestTimeout = 15_000;
server.listen(Number(process.argv[2]), "127.0.0.1");
