// A screen on the wall: nobody touches it, and it comes back by itself when its page has grown old.
import { byId } from "fc/dom";

const RELOAD_MS = 6 * 3600 * 1000; // new scripts and the sign-in are looked after, whoever watches

// Nothing takes the focus; `inert` would hide it all from screen readers, too.
for (const element of byId("app").querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")) element.tabIndex = -1;
setTimeout(() => location.reload(), RELOAD_MS);
