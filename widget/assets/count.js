// How many text messages a text takes, as the networks count it (3GPP TS 23.038).
const plain = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const escaped = "\f^{}\\[~]|€";

export function count(text) {
  let units = 0, forcedBy = "", characters = 0;
  for (const c of text) {
    characters++;
    if (plain.includes(c)) units++;
    else if (escaped.includes(c)) units += 2;
    else forcedBy ||= c;
  }
  if (forcedBy) units = text.length; // UTF-16
  const [one, more] = forcedBy ? [70, 67] : [160, 153];
  return { characters, units, forcedBy, parts: units <= one ? 1 : Math.ceil(units / more) };
}
