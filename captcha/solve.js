// Solves the puzzles of package captcha: it looks for the number that gives a hash.
// All of it is plain arithmetic, for WebCrypto is not there on plain http, and short
// texts are hashed faster so. It works in slices, so the page goes on meanwhile.

const K = new Uint32Array(64);
const BEGIN = new Uint32Array(8);

// The constants of SHA-256 are the first bits of roots of primes (FIPS 180-4).
(function constants() {
  const fraction = (x) => ((x - Math.floor(x)) * 4294967296) >>> 0;
  let found = 0;
  for (let n = 2; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) {
      if (n % d === 0) { prime = false; break; }
    }
    if (!prime) continue;
    if (found < 8) BEGIN[found] = fraction(Math.sqrt(n));
    K[found++] = fraction(Math.cbrt(n));
  }
})();

const W = new Uint32Array(64);

// block hashes 64 bytes of data from at on into h.
function block(h, data, at) {
  for (let i = 0; i < 16; i++, at += 4) {
    W[i] = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
  }
  for (let i = 16; i < 64; i++) {
    const a = W[i - 15], b = W[i - 2];
    const s0 = ((a >>> 7) | (a << 25)) ^ ((a >>> 18) | (a << 14)) ^ (a >>> 3);
    const s1 = ((b >>> 17) | (b << 15)) ^ ((b >>> 19) | (b << 13)) ^ (b >>> 10);
    W[i] = (W[i - 16] + s0 + W[i - 7] + s1) | 0;
  }
  let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (k + s1 + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    k = g; g = f; f = e; e = (d + t1) | 0;
    d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k;
}

// hasher gives a function of a number n that hashes text and n behind it. The whole
// blocks of the text are hashed once.
function hasher(text) {
  const whole = Math.floor(text.length / 64) * 64;
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const begun = new Uint32Array(BEGIN);
  for (let at = 0; at < whole; at += 64) block(begun, bytes, at);
  const rest = bytes.subarray(whole);
  const tail = new Uint8Array(128);
  const h = new Uint32Array(8);
  return (n) => {
    tail.fill(0);
    tail.set(rest);
    let at = rest.length;
    for (const digit of String(n)) tail[at++] = digit.charCodeAt(0);
    const bits = (whole + at) * 8;
    tail[at] = 0x80;
    const end = at + 9 > 64 ? 128 : 64;
    tail[end - 4] = bits >>> 24; tail[end - 3] = bits >>> 16; tail[end - 2] = bits >>> 8; tail[end - 1] = bits;
    h.set(begun);
    for (let b = 0; b < end; b += 64) block(h, tail, b);
    return h;
  };
}

// solve is a Promise of the solution, to be handed in as it is. progress hears from 0
// to 1 how much was tried; it may be left out.
export function solve(challenge, progress) {
  return new Promise((done, failed) => {
    if (challenge.algorithm !== "SHA-256") {
      failed(new Error("unknown algorithm " + challenge.algorithm));
      return;
    }
    const want = new Uint32Array(8);
    for (let i = 0; i < 8; i++) want[i] = parseInt(challenge.challenge.slice(i * 8, i * 8 + 8), 16);
    const hash = hasher(challenge.salt);
    const max = challenge.maxNumber;
    let n = 0;
    const slice = () => {
      const until = Date.now() + 30;
      do {
        for (let i = 0; i < 500 && n <= max; i++, n++) {
          const h = hash(n);
          if (h[0] !== want[0] || h[1] !== want[1] || h[2] !== want[2] || h[3] !== want[3]) continue;
          if (h[4] !== want[4] || h[5] !== want[5] || h[6] !== want[6] || h[7] !== want[7]) continue;
          done(btoa(JSON.stringify({
            algorithm: challenge.algorithm, challenge: challenge.challenge, number: n, salt: challenge.salt, signature: challenge.signature,
          })));
          return;
        }
      } while (n <= max && Date.now() < until);
      if (n > max) {
        failed(new Error("no number solves the puzzle"));
        return;
      }
      if (progress) progress(n / max);
      setTimeout(slice, 0);
    };
    slice();
  });
}
