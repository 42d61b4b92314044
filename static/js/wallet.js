// The wallet's pages: parts that stay fresh, amounts to tap, numbers to copy, buttons that work once.
function swap(box, text) {
  const fresh = new DOMParser().parseFromString(text, "text/html"); // our own template, escaped by Django
  const part = box.dataset.part ? fresh.getElementById(box.dataset.part) : fresh.body;
  if (!part || part.innerHTML.trim() === box.innerHTML.trim()) return;
  const held = box.contains(document.activeElement) ? document.activeElement : null;
  box.replaceChildren(...part.childNodes);
  if (held) sameAs(held, box)?.focus();
}

/** The link or button of the fresh part that stands where the one before stood. */
function sameAs(held, box) {
  const likes = [...box.querySelectorAll(held.localName)];
  return likes.find((one) => one.getAttribute("href") === held.getAttribute("href") && one.textContent === held.textContent);
}

const isTypedIn = (box) => box.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

/** Ask again and again while the page is seen, until the part says that it is done. */
function keepFresh(box) {
  const again = async () => {
    if (box.querySelector("[data-done]")) return;
    if (!document.hidden && !isTypedIn(box)) {
      try {
        const answer = await fetch(box.dataset.refresh, { headers: { "X-Requested-With": "part" } });
        if (answer.ok && !answer.redirected) swap(box, await answer.text());
      } catch { /* the next one may come through */ }
    }
    setTimeout(again, Number(box.dataset.every));
  };
  setTimeout(again, Number(box.dataset.every));
}

async function copy(button) {
  const said = button.textContent;
  try { await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent); } catch { return; }
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = said; }, 2000);
}

document.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-fill]");
  if (chip) {
    event.preventDefault();
    const field = document.getElementById(chip.dataset.fill);
    field.value = chip.dataset.value;
    field.focus();
  }
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

// A form is sent once: a second click waits for the first. The server knows its key anyway.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.isSent) { event.preventDefault(); return; }
  event.target.dataset.isSent = "yes";
});
addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.isSent; });

for (const box of document.querySelectorAll("[data-refresh]")) keepFresh(box);
