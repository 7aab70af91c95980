// Leaves the empty fields of the search out of the address, so that a link to
// what was found can be read, and shows the times of a message's life as the
// reader's clock has them, to the millisecond. Without this both work the same.

document.querySelector('form.search')?.addEventListener('formdata', event => {
  for (const [name, value] of [...event.formData]) if (value === '') event.formData.delete(name);
});

for (const t of document.querySelectorAll('time[data-exact]')) {
  const at = new Date(t.dateTime);
  const exact = document.createElement('span');
  exact.title = t.dateTime;
  exact.textContent = at.toLocaleString([], {
    year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
  });
  t.replaceWith(exact); // page.js would round it
}
