// How one vehicle is told in words: the same line in the list, on the map and in the palette.
import { t } from "fc/boot";
import { hourMinute, percent } from "fc/format";

export const LOOKS = {
  low: ["warn", "bad"], charging: ["bolt", "chg"], driving: ["truck", "ok"], parked: ["parked", "ok"], offline: ["slash", "off"],
};

/** Title, charge and note of a vehicle. */
export function describe(store, vehicle) {
  if (!vehicle) return { title: "", soc: "–", note: "" };
  return {
    title: vehicle.name?.registration ?? `#${vehicle.id}`,
    soc: percent(vehicle.soc),
    note: note(store, vehicle),
  };
}

function note(store, vehicle) {
  const plan = store.planOf(vehicle.id);
  if (vehicle.state === 2) return chargingNote(store, vehicle);
  if (plan?.state === "proposed") return t("note.waiting");
  if (vehicle.isRerouted) return plan?.plug_in_at ? t("note.arrives", { time: hourMinute(plan.plug_in_at) }) : t("note.rerouted");
  if (vehicle.state === 3) return t("note.offline");
  if (vehicle.name?.next_stop) return t("note.next", { name: vehicle.name.next_stop.name });
  return t(`note.${vehicle.group}`);
}

function chargingNote(store, vehicle) {
  const session = store.sessions.get(vehicle.id);
  return session?.power_w ? t("note.chargingPower", { kw: Math.round(session.power_w / 1000) }) : t("note.charging");
}
