// Phone and tablet show one of map, fleet, alerts at a time; the tab is in the address.
import { byId } from "fc/dom";

const TABS = ["map", "fleet", "alerts"];

export function startTabs() {
  const app = byId("app");
  const fromHash = () => { const name = location.hash.slice(1); if (TABS.includes(name)) show(name); };

  function show(name) {
    app.dataset.tab = name;
    for (const link of document.querySelectorAll(".tabs [data-tab]")) {
      if (link.dataset.tab === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  document.querySelector(".tabs").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-tab]");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", `#${link.dataset.tab}`);
    show(link.dataset.tab);
  });
  addEventListener("hashchange", fromHash);
  fromHash();
  return { show, current: () => app.dataset.tab };
}
