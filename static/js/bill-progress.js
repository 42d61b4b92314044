// How far an uploaded bill is: asked again every few seconds, in place; the whole page once there is an outcome.
const EVERY_MS = 5_000;
const box = document.getElementById("bill-progress");

async function look() {
  const answer = await fetch(location.href).catch(() => null);
  if (answer?.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("bill-progress");
    if (!fresh) return location.reload();
    if (fresh.textContent !== box.textContent) box.replaceChildren(...fresh.childNodes);
  }
  setTimeout(look, EVERY_MS);
}

if (box) setTimeout(look, EVERY_MS);
