// The code on a plug was scanned with the phone's own camera: on to the driver's page this phone had open last.
const code = document.getElementById("at-plug").dataset.code;
const path = (() => { try { return localStorage.getItem("fleetcharge.drive"); } catch { return null; } })();
if (path?.startsWith("/go/")) location.replace(`${path}?code=${encodeURIComponent(code)}`);
