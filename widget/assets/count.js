// How many text messages a text takes, as the networks count it (3GPP TS 23.038) and the
// gateway does: a test compares the two.
const plain = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const escaped = "\f^{}\\[~]|€";

export function count(text) {
  const all = [...text], forcedBy = all.find((c) => !plain.includes(c) && !escaped.includes(c)) ?? "";
  const size = forcedBy ? (c) => c.length : (c) => (escaped.includes(c) ? 2 : 1); // UTF-16, or septets
  const units = all.reduce((sum, c) => sum + size(c), 0), [one, more] = forcedBy ? [70, 67] : [160, 153];
  let parts = 1, used = 0;
  if (units > one) for (const c of all) { // nothing is cut in two: neither an escape from its character nor a pair
    if (used + size(c) > more) { parts++; used = 0; }
    used += size(c);
  }
  return { characters: all.length, units, forcedBy, parts };
}
