// One box beside the deeds chooses every row of the page, and tells when some are.
import { h } from "fc/dom";

const place = document.querySelector("[data-choose-all]");
const rows = [...document.querySelectorAll(".pick input[name=row]")];
const all = h("input", { type: "checkbox" });
place.before(h("label", { class: "pick" }, all, place.dataset.chooseAll));

function draw() {
  const chosen = rows.filter((row) => row.checked).length;
  all.checked = chosen === rows.length;
  all.indeterminate = chosen > 0 && !all.checked;
}

all.addEventListener("change", () => { for (const row of rows) row.checked = all.checked; });
for (const row of rows) row.addEventListener("change", draw);
draw();
