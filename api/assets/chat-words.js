// What the page says of states, times and errors.

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat([], { weekday: 'short' });
const date = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short' });
const dated = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short', year: 'numeric' });
const whole = new Intl.DateTimeFormat([], { dateStyle: 'full' });
const exact = new Intl.DateTimeFormat([], { dateStyle: 'medium', timeStyle: 'medium' });

export const at = time => new Date(time);
// moment is a time for comparing: as texts, 1.5 s would come after 1.512 s.
export const moment = time => new Date(time).getTime();
export const hour = time => clock.format(at(time));
export const precisely = time => exact.format(at(time));
export const dayOf = time => at(time).toDateString();

const days = time => Math.round((new Date(new Date().toDateString()) - new Date(at(time).toDateString())) / 864e5);

// day is a separator's words.
export function day(time) {
  const n = days(time);
  return n === 0 ? 'Today' : n === 1 ? 'Yesterday' : whole.format(at(time));
}

// brief is a time as a list has it.
export function brief(time) {
  const n = days(time);
  if (n === 0) return hour(time);
  if (n === 1) return 'Yesterday';
  if (n > 1 && n < 7) return weekday.format(at(time));
  return (at(time).getFullYear() === new Date().getFullYear() ? date : dated).format(at(time));
}

export const soon = time => (dayOf(time) === new Date().toDateString() ? hour(time) : `${brief(time)}, ${hour(time)}`);

// marks are what a phone draws beside a message, with the words for it.
const marks = {
  scheduled: ['timer', 'Scheduled'], queued: ['clock', 'Waiting to be sent'], sending: ['clock', 'Being sent'], sent: ['tick', 'Sent'],
  delivered: ['ticks', 'Delivered'], undelivered: ['bang', 'Not delivered'], failed: ['bang', 'Not sent'], expired: ['bang', 'Not sent in time'],
  canceled: ['off', 'Canceled'], unconfirmed: ['what', 'Nobody knows yet whether it went out'], received: ['', ''],
  saving: ['clock', 'On its way to the gateway'], waiting: ['timer', 'Goes out when the phone says YES'], unsaved: ['bang', 'Not sent'],
};
export const mark = (status, via) => (via === 'internet' && byInternet[status]) || (marks[status] ?? ['', status]);
const byInternet = { queued: ['clock', 'On its way, or waiting for the link'], sent: ['tick', 'Sent: it is in the inbox'], delivered: ['ticks', 'Read'], failed: ['bang', 'Not delivered'] };

// tag is the way that a message took, and how its copy by internet stands.
const copies = { 'not-sent': 'internet copy: not sent', sent: 'internet copy: sent', 'no-inbox': 'internet copy: no inbox', 'opted-out': 'internet copy: not sent, after STOP' };
const ends = { queued: 'waits for the link', sent: 'sent', delivered: 'read' };
export function tag(m, up) {
  if (m.via === 'internet') return ['Internet', m.direction === 'inbound' ? '' : up && m.status === 'queued' ? 'on its way' : ends[m.status] ?? ''];
  return m.mode || m.internet_copy ? ['SMS', copies[m.internet_copy] ?? ''] : ['', ''];
}

export const bytes = n => (n >= 1e6 ? `${(n / 1048576).toFixed(n >= 1e7 ? 0 : 1)} MB` : n >= 1000 ? `${Math.round(n / 1024)} KB` : `${n} bytes`);
export const failed = status => ['undelivered', 'failed', 'expired', 'unsaved'].includes(status);

// advice is what to do about a message that did not go; what happened, the gateway says.
const advices = {
  'opted-out': 'The number said STOP. Only its owner can change that, by texting START to this number.',
  'not-opted-in': 'The phone was asked and has not said YES. Invite it again.',
  'blocked-number': 'The number is blocked. An admin can unblock it.',
  'blocked-sender': 'An admin can let you send again.',
  keyword: 'Write it with other words.',
  destination: 'This gateway does not send there. An admin can allow it.',
  closed: 'Reopen the conversation first.',
  limit: 'Wait a little, and try again.',
  'too-long': 'Make it shorter, or send it as two texts.',
  unconfirmed: 'Ask on another way whether it arrived, before you write it again.',
  expired: 'Write it again if it still matters.',
  'queue-full': 'Try again in a while.',
  'link-down': 'Send it as SMS now, or when the link is back.',
  'no-inbox': 'Send it as SMS.',
  'no-link': 'Send it by internet, or without files.',
};
export function advice(code, status) {
  if (advices[code]) return advices[code];
  if (status === 'undelivered') return 'The phone may be off or out of reach for long, or the number is not in use. Try again later, or another number.';
  if (status === 'expired') return advices.expired;
  return 'Check the number. If others fail too, the Status page tells what is wrong.';
}

// decided is what the log of consent says.
export function decided({ decision, reason, wording }) {
  const said = reason === 'word' && wording ? `The phone said ${wording.trim().slice(0, 40)}` : '';
  switch (decision) {
    case 'asked': return 'The phone was asked whether it wants to chat';
    case 'opt-in': return said || (reason === 'stated' ? 'Somebody here says that the phone has agreed' : 'Consent was entered');
    case 'opt-out': return `${said || { silence: 'Nothing was said for long', blocked: 'It was blocked', admin: 'An admin stopped it', import: 'It came with an imported list' }[reason] || 'It was stopped'}: nothing is sent to this number`;
    case 'ended': return { idle: 'Nothing was said for a while: the consent ended', 'used-up': 'One YES is used up', closed: 'Closed: the consent ended', blocked: 'Blocked: the consent ended', silence: 'Nothing was said for long: the consent ended' }[reason] ?? 'The consent ended';
    case 'help': return 'The phone asked who this is';
    default: return decision;
  }
}

// states of conversations, with how much they want to be seen.
export const states = {
  new: ['new', 'warn', 'The phone began, and nobody has answered yet.'],
  invited: ['invited', 'idle', 'The phone was asked, and has not said YES. Nothing else is sent until then.'],
  open: ['', '', ''],
  idle: ['idle', 'idle', 'Nothing was said for a while.'],
  closed: ['closed', 'idle', 'This conversation is closed. A new text from the phone begins another one.'],
  blocked: ['blocked', 'bad', 'This conversation is blocked. Nothing is sent.'],
};

// asks says whether the phone has to say YES before a text goes out.
export const asks = c => c?.mode === 'invite' && !(c.opt_in?.state === 'given' && (!c.opt_in.of || c.opt_in.used < c.opt_in.of));

// stopped says why nothing is sent to a number, by the reason that the stop list has of it.
const stops = {
  word: 'This number said STOP. Nothing is sent to it until it texts START.',
  blocked: 'A conversation with this number was blocked, and it gets no more texts from here, though it did not say STOP.',
  admin: 'Somebody here recorded that this number wants no more texts. It did not say STOP itself.',
  import: 'This number came with an imported list of those who want no more texts. It did not say STOP itself.',
};
export const stopped = reason => stops[reason] ?? 'This number is on the stop list: nothing is sent to it.';

export const nameOf = c => c.name || c.number;

// bare is a text without what an SMS of it has around it: name, subject, and links to
// the files, which stand in places of their own here. our is a name that it may begin with.
export function bare(m, our) {
  let text = m.text ?? '';
  if (!m.mode || m.via === 'internet') return text;
  const name = [our, m.author?.name].find(n => n && text.startsWith(`${n}: `));
  if (name) text = text.slice(name.length + 2);
  if (m.subject && text.startsWith(`[${m.subject}] `)) text = text.slice(m.subject.length + 3);
  for (const f of (m.files ?? []).toReversed()) {
    const at = text.lastIndexOf('\n') + 1;
    if (text.slice(at).endsWith(`/f/${f.id}`)) text = text.slice(0, Math.max(at - 1, 0));
  }
  return text;
}

// said is a message in one line.
export function said(m, our) {
  if (!m) return '';
  if (m.redacted) return 'The text was erased';
  if (m.text !== null && m.text !== undefined) return bare(m, our) || (m.files?.length ? m.files.map(f => f.name).join(', ') : '');
  if (m.mms) return 'A picture message (MMS)';
  return 'Data';
}
