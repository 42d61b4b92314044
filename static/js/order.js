// The order of the fleet's list, in numbers: tens of thousands of vehicles sort in some milliseconds.
import { GROUPS, groupOf } from "fc/store";
import { SOC_UNKNOWN } from "fc/wire";

const PLACES = 2 ** 20; // more vehicles than any page shows
const CHARGES = 128;
const NOT_TOLD = CHARGES - 1; // after all others

/** Ids by plate; figures count by their value. */
export function byPlate(names) {
  const keys = [...names.values()].map(({ id, registration }) => [registration.toLowerCase().replace(/\d+/g, (figures) => figures.padStart(8, "0")), id]);
  return keys.sort(([one], [two]) => (one < two ? -1 : Number(one > two))).map(([, id]) => id);
}

/** `[id, group]` of those that match, by urgency, charge ("soc") or as they come ("plate"); and how many each group has. */
export function inOrder(store, ids, by, isShown) {
  const counts = Object.fromEntries(GROUPS.map((group) => [group, 0]));
  const keys = new Float64Array(ids.length);
  let shown = 0;
  ids.forEach((id, place) => {
    const code = store.code(id);
    const group = code < 0 ? silentGroup(store, id) : groupOf(code & 0xff);
    counts[group]++;
    if (isShown(id, group)) keys[shown++] = keyOf(store, id, group, code, by) * PLACES + place;
  });
  const order = Array.from(keys.subarray(0, shown).sort(), (key) => {
    const id = ids[key % PLACES];
    return [id, by === "urgency" ? GROUPS[Math.floor(key / PLACES / CHARGES / 2)] : null];
  });
  return { order, counts };
}

/** One that never reported: a charger may tell of it. */
export const silentGroup = (store, id) => (store.isInSession(id) ? "charging" : "offline");

function keyOf(store, id, group, code, by) {
  if (by === "plate") return 0;
  const soc = code < 0 ? SOC_UNKNOWN : code >> 8;
  const charge = soc === SOC_UNKNOWN ? NOT_TOLD : Math.min(soc, NOT_TOLD - 1);
  if (by === "soc") return charge;
  const isDecided = store.planOf(id)?.state === "proposed" ? 0 : 1;
  return (GROUPS.indexOf(group) * 2 + isDecided) * CHARGES + charge;
}
