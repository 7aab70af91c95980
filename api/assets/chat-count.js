// Counts a text as the network does: in septets of the GSM 7-bit default alphabet and
// its extension (3GPP TS 23.038, 6.2.1), else in UTF-16 units; alone or in parts
// that leave room for the header that joins them (TS 23.040, 9.2.3.24.1). The
// gateway counts the same way, and a test compares the two.

const plain = new Set('@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?'
  + '¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà');
const escaped = new Set('\f^{}\\[~]|€'); // an escape in front: two septets

const point = character => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;

// count tells the alphabet of a text, its units and parts, how many units its last
// part has left, and what keeps it from being GSM 7-bit; unsendable is a character
// that no SMS can carry.
export function count(text) {
  const characters = [...text];
  let units = 0;
  let forced = null;
  let unsendable = null;
  for (const [i, c] of characters.entries()) {
    const n = c.codePointAt(0);
    if ((n < 0x20 && !'\n\r\t\f'.includes(c)) || (n >= 0x7F && n < 0xA0)) unsendable ??= { codePoint: point(c), position: i + 1 };
    if (plain.has(c)) units += 1;
    else if (escaped.has(c)) units += 2;
    else forced ??= { character: c, codePoint: point(c), position: i + 1 };
  }
  const size = forced ? c => c.length : c => (escaped.has(c) ? 2 : 1);
  if (forced) units = text.length;
  const [alone, joined] = forced ? [70, 67] : [160, 153];
  let parts = units ? 1 : 0;
  let used = units;
  if (units > alone) {
    used = 0;
    for (const c of characters) { // nothing is cut in two: neither an escape from its character nor a pair
      if (used + size(c) > joined) {
        parts += 1;
        used = 0;
      }
      used += size(c);
    }
  }
  return { encoding: forced ? 'ucs2' : 'gsm7', characters: characters.length, units, parts, left: (parts > 1 ? joined : alone) - used, forced, unsendable };
}
