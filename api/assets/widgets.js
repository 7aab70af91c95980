// Edits a widget, or what all have, and shows the real frame as it would be.

const editor = document.getElementById('editor');
const $ = id => document.getElementById(id);

async function ask(method, path, body) {
  const r = await fetch(path, { method, headers: body ? { 'Content-Type': 'application/json' } : {}, body: body && JSON.stringify(body) });
  if (r.status === 204) return null;
  const answer = await r.json();
  if (!r.ok) throw answer;
  return answer;
}

// settings is what the form says, as the API takes it.
function settings() {
  const all = {};
  for (const field of document.querySelectorAll('[data-field]')) {
    const path = field.dataset.field.split('.');
    let into = all;
    for (const name of path.slice(0, -1)) into = into[name] ??= {};
    let value = field.type === 'checkbox' ? field.checked : field.value;
    if (field.type === 'number') value = field.value === '' ? null : Number(field.value);
    if (field.dataset.field === 'origins') value = field.value.split(/[\s,]+/).filter(Boolean);
    into[path.at(-1)] = value;
  }
  return all;
}

function tell(problem) {
  for (const field of document.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  $('fault').textContent = problem ? problem.detail ?? 'The gateway can’t be reached. Try again.' : '';
  const first = (problem?.errors ?? []).map(e => document.querySelector(`[data-field="${CSS.escape(e.field)}"]`)).filter(Boolean);
  for (const field of first) field.setAttribute('aria-invalid', 'true');
  first[0]?.focus();
}

// preview sends the form to a new frame, which takes the old one's place once it is
// there: no flicker, and nothing in the browser's history.
let frames = 0, timer;
function preview() {
  const next = document.createElement('iframe');
  next.name = `preview-${++frames}`;
  next.className = 'next';
  next.title = 'Preview of the widget';
  next.setAttribute('sandbox', 'allow-scripts allow-popups');
  $('preview').append(next);
  const form = $('preview-form');
  form.target = next.name;
  form.elements.settings.value = JSON.stringify(settings());
  next.addEventListener('load', () => {
    for (const old of [...$('preview').children]) if (old !== next && Number(old.name.slice(8)) < Number(next.name.slice(8))) old.remove();
    next.classList.remove('next');
  });
  form.submit();
}
function soon() {
  clearTimeout(timer);
  timer = setTimeout(preview, 300);
}

const colours = [...document.querySelectorAll('[data-of]')].map(pick => [pick, document.querySelector(`[data-field="${pick.dataset.of}"]`)]);
function swatches() {
  for (const [pick, field] of colours) if (/^#[0-9a-f]{6}$/i.test(field.value)) pick.value = field.value;
}

if (editor) {
  const { widget, common } = editor.dataset;
  const path = common ? '/v1/widgets/common' : `/v1/widgets/${widget}`;
  for (const [pick, field] of colours) pick.addEventListener('input', () => { field.value = pick.value; soon(); });
  $('settings').addEventListener('input', () => { swatches(); soon(); });
  $('preset').addEventListener('change', e => {
    const chosen = e.target.selectedOptions[0].dataset;
    for (const name of ['accent', 'background', 'text', 'bubble', 'font', 'corners']) if (name in chosen) document.querySelector(`[data-field="theme.${name}"]`).value = chosen[name];
    swatches();
    soon();
  });
  $('upload').addEventListener('change', async e => {
    const file = e.target.files[0];
    if (!file) return;
    tell();
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      let binary = '';
      for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
      const image = await ask('POST', '/v1/widgets/images', { name: file.name, data: btoa(binary) });
      for (const select of document.querySelectorAll('select.picture'))
        if (![...select.options].some(o => o.value === image.id)) select.add(new Option(`${image.name} (${image.width} × ${image.height})`, image.id));
      $('saved').textContent = `${image.name} can be chosen now.`;
    } catch (problem) { tell(problem); }
    e.target.value = '';
  });
  $('settings').addEventListener('submit', async e => {
    e.preventDefault();
    tell();
    $('save').disabled = true;
    try {
      if (!widget && !common) {
        const made = await ask('POST', '/v1/widgets', settings());
        location.assign(`/widgets?widget=${made.id}`);
        return;
      }
      const now = await ask('PATCH', path, settings());
      $('saved').textContent = `Saved: version ${now.version}`;
    } catch (problem) { tell(problem); }
    $('save').disabled = false;
  });
  for (const button of document.querySelectorAll('[data-restore]')) {
    button.addEventListener('click', async () => {
      try {
        await ask('POST', `${path}/versions/${button.dataset.restore}/restore`);
        location.reload();
      } catch (problem) { tell(problem); }
    });
  }
  $('copy')?.addEventListener('click', async () => {
    const line = $('embed');
    try { await navigator.clipboard.writeText(line.value); } catch { line.select(); document.execCommand('copy'); }
    $('copied').textContent = 'Copied.';
  });
  $('rotate')?.addEventListener('click', async () => {
    try {
      $('embed').value = (await ask('POST', `${path}/rotate`)).embed;
      $('copied').textContent = 'The pages need the new line within 24 hours.';
    } catch (problem) { tell(problem); }
  });
  $('delete')?.addEventListener('click', async () => {
    try {
      await ask('DELETE', path);
      location.assign('/widgets');
    } catch (problem) { tell(problem); }
  });
  swatches();
  preview();
}
