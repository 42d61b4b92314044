// A screen on the wall: nobody touches it, and it comes back by itself when its page has grown old.
import { byId } from "fc/dom";

const RELOAD_MS = 6 * 3600 * 1000; // new scripts and the sign-in are looked after, whoever watches

byId("app").inert = true;
setTimeout(() => location.reload(), RELOAD_MS);
