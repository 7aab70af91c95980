// Keeps the page as it is on the server. Without this script a reload does.
'use strict';
const live = document.getElementById('live');
const atEnd = () => live.scrollHeight - live.scrollTop - live.clientHeight < 80;
const toEnd = () => { live.scrollTop = live.scrollHeight; };
toEnd();
new EventSource('events').addEventListener('live', (event) => {
  const follow = atEnd();
  live.innerHTML = event.data;
  if (follow) toEnd();
});
const text = document.getElementById('text');
if (text) {
  text.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      text.form.requestSubmit();
    }
  });
}
