// What every page has: the theme switch, menus that close themselves, and a sign-out that leaves nothing behind.
import { forgetAll } from "fc/kept-actions";
import { switchTheme } from "fc/theme";

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-switch]")) switchTheme();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("submit", (event) => { if (event.target.matches("[data-sign-out]")) forgetAll(); });
if (document.querySelector("[data-signed-out]")) forgetAll();
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});
