// The page that stands in while the gateway does not answer: it goes on by itself.

let waiting = 0;
try {
  for (const name of Object.keys(localStorage)) if (/^chat \S* outbox$/.test(name)) waiting += JSON.parse(localStorage.getItem(name)).length;
} catch { /* it may not be asked */ }
if (waiting) {
  const p = document.getElementById('waiting');
  p.textContent = waiting === 1 ? 'One text that was not sent is kept in this browser.' : `${waiting} texts that were not sent are kept in this browser.`;
  p.hidden = false;
}

async function look() {
  try {
    if ((await fetch('/healthz', { cache: 'no-store' })).ok) location.reload();
  } catch { /* still away */ }
}
document.getElementById('again').addEventListener('click', () => location.reload());
addEventListener('online', look);
setInterval(look, 5000);
