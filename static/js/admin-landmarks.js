// The finance admin for screen readers: its main part is a landmark, and each scrolling part has a name of its own.
// Classic script: it must run before the admin's own code gives every scrolling part the same name.
document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("main")?.setAttribute("role", "main");
  document.querySelectorAll("[data-simplebar]").forEach((part, place) => {
    const name = part.closest("#nav-sidebar-apps") ? "Menu" : part.querySelector("table") ? "Table" : "Content";
    part.setAttribute("data-simplebar-aria-label", place > 1 ? `${name} ${place}` : name);
  });
});

// Signed out here too: no decision waits in this browser any more (kept-actions.js).
document.addEventListener("submit", (event) => {
  if (!event.target.action?.endsWith("/logout/")) return;
  for (const name of Object.keys(localStorage)) if (name.startsWith("fleetcharge.waiting.")) localStorage.removeItem(name);
});
