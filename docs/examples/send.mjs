// Sends a text, so that it is sent once whatever happens on the way.
//
//   export GATEWAYD_URL=http://127.0.0.1:8080 GATEWAYD_KEY=gw_…
//   node send.mjs +491701234567 "Your parcel is here."
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

export async function send(url, key, message, attempts = 8) {
  const once = randomUUID(); // one key for all attempts: the gateway takes the message once
  let why;
  for (let attempt = 0; attempt < attempts; attempt++) {
    let wait = 2 ** attempt;
    try {
      const answer = await fetch(url + "/v1/messages", {
        method: "POST",
        headers: {
          Authorization: `Bearer ${key}`,
          "Content-Type": "application/json",
          "Idempotency-Key": once,
        },
        body: JSON.stringify(message),
        signal: AbortSignal.timeout(30_000),
      });
      const text = await answer.text();
      if (answer.status === 202) return JSON.parse(text); // it is on the gateway's disk
      if (![429, 502, 503, 504].includes(answer.status)) {
        // The answer says what is wrong; the same again would be refused again.
        throw Object.assign(new Error(text), { refused: true });
      }
      wait = Number(answer.headers.get("retry-after")) || wait;
      why = `${answer.status}`;
    } catch (e) {
      if (e.refused) throw e;
      why = e.cause?.message ?? e.message; // no answer, or half of one
    }
    console.error(`attempt ${attempt + 1}: ${why}; again in ${wait} s`);
    await sleep(wait * 1000);
  }
  throw new Error(`no success in ${attempts} attempts: ${why}`);
}

const [to, text] = process.argv.slice(2);
if (text === undefined) {
  console.error("usage: node send.mjs NUMBER TEXT");
  process.exit(2);
}
try {
  const m = await send(process.env.GATEWAYD_URL, process.env.GATEWAYD_KEY, { to, text });
  console.log(m.id, m.status);
} catch (e) {
  console.error(e.message);
  process.exitCode = 1;
}
