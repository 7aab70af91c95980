// Leaves the empty fields of the search out of the address, so that a link to
// what was found can be read, and shows the times of a message's life as the
// reader's clock has them, to the millisecond. Without this both work the same.

document.querySelector('form.search')?.addEventListener('formdata', event => {
  for (const [name, value] of [...event.formData]) if (value === '') event.formData.delete(name);
});

const form = new Intl.DateTimeFormat([], {
  year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
});

function localise() {
  for (const at of document.querySelectorAll('[data-at]')) {
    const words = form.format(new Date(at.dataset.at));
    if (at.textContent !== words) at.textContent = words;
  }
}

localise();
const life = document.getElementById('life');
// page.js takes over what is new, with the times as the server writes them.
if (life) new MutationObserver(localise).observe(life, { subtree: true, childList: true, characterData: true });
