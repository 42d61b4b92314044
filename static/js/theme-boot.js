// Runs before the first paint: the remembered theme, else the system's. Classic script on purpose.
(() => {
  const remembered = (() => { try { return localStorage.getItem("fleetcharge.theme"); } catch { return null; } })();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = remembered || (dark ? "dark" : "light");
})();
