// The code, and the name of who is invited, come behind the # of the address, which
// no browser sends to a server. They go into the fields, and out of the address.
const form = document.getElementById('welcome');
const [code, name] = location.hash.slice(1).split('/');
if (form && code) {
	const read = (text) => { try { return decodeURIComponent(text); } catch { return ''; } };
	form.elements.code.value = read(code);
	if (name) form.elements.name.value = read(name);
	form.elements[name ? 'password' : 'name'].focus();
	history.replaceState(null, '', location.pathname);
}
// What differs is told before anything is sent.
form?.addEventListener('input', () => {
	const { password, again } = form.elements;
	again.setCustomValidity(again.value && again.value !== password.value ? 'The two passwords are not the same.' : '');
});
