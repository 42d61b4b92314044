// What the server said once, in the page: addresses, rights, texts, open alerts.
const element = document.getElementById("boot");
export const boot = element ? JSON.parse(element.textContent) : { texts: {}, urls: {}, alerts: [] };

/** A translated sentence with its `{names}` filled in. */
export function t(key, values = {}) {
  return (boot.texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
