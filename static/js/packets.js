// The packets of one vehicle's sender, as they come.
const EVERY_MS = 3000;
const box = document.getElementById("packets");

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(box.dataset.url);
      if (answer.ok && !answer.redirected) {
        const drawn = await answer.text();
        if (drawn !== box.dataset.drawn) { box.innerHTML = drawn; box.dataset.drawn = drawn; }
      }
    } catch { /* the line is down; the next look is soon */ }
  }
  setTimeout(look, EVERY_MS);
}
setTimeout(look, EVERY_MS);
