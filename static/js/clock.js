// What time it is, by the server: the clock of this machine may be hours off, and may be set while we look.
import { boot } from "fc/boot";

const DRIFT_MS = 2000;
let ahead = (Date.parse(boot.serverTime) || Date.now()) - performance.now();

/** Epoch milliseconds; runs with the steady clock of the page. */
export const serverNow = () => performance.now() + ahead;

/** The server has told its time. Small differences are only the way it took; after a sleep they are large. */
export function tellTime(iso) {
  const told = Date.parse(iso) - performance.now();
  if (Math.abs(told - ahead) > DRIFT_MS) ahead = told;
}
