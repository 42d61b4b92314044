// Reserving a bay for a vehicle: from the drawer, by R, or by a sentence in the palette.
import { boot, t } from "fc/boot";
import { serverNow } from "fc/clock";
import { followHold } from "fc/deeds";
import { fragment } from "fc/fragment";
import { tellRefusal } from "fc/late";
import { say, sayWithUndo } from "fc/toast";

const UNDO_MS = 10_000;

export class Reserver {
  constructor({ store, actions, pickFromPalette, currentVehicle, onChange }) {
    Object.assign(this, { store, actions, pickFromPalette, currentVehicle, onChange });
  }

  /** Do it for the selected vehicle; ask for one when none is selected. */
  forVehicle(act) {
    const vehicle = this.currentVehicle();
    if (vehicle) act(vehicle);
    else this.pickFromPalette(act);
  }

  plate(vehicleId) { return this.store.vehicleNames.get(vehicleId)?.registration ?? ""; }

  /** Reserve that connector from now on; `way` "soft": its network takes no reservations. */
  reserve(connectorId, bay, way) {
    this.forVehicle((vehicle) => this.#send(vehicle, connectorId, bay, way));
  }

  /** `{station, nearestBelow?}` as the palette says it. */
  async byWish({ station, nearestBelow }) {
    const name = this.store.stationNames.get(station);
    let bay;
    try {
      bay = await this.#freeBay(name.public_id);
    } catch (error) {
      say(t(error instanceof TypeError ? "refused.no_line" : "loadFailed")); // fetch throws TypeError without a line
      return;
    }
    if (!bay) { say(t("noneFree", { name: name.name })); return; }
    if (!nearestBelow) { this.reserve(bay.id, bay.bay, bay.way); return; }
    const vehicle = this.#nearest(name, nearestBelow);
    if (vehicle === null) say(t("noNearest", { percent: nearestBelow }));
    else this.#send(vehicle, bay.id, bay.bay, bay.way);
  }

  /** What the drawer would offer: the server knows which bay is best. */
  async #freeBay(publicId) {
    const text = await fragment(boot.urls.station.replace("ID", encodeURIComponent(publicId)));
    const html = new DOMParser().parseFromString(text, "text/html");
    const button = html.querySelector("[data-reserve]");
    return button && { id: Number(button.dataset.reserve), bay: button.dataset.bay, way: button.dataset.way };
  }

  #nearest(place, below) {
    let best = null;
    let nearest = Infinity;
    const { count, id, latitude, longitude, c, d } = this.store.vehicles;
    for (let n = 0; n < count; n++) {
      const isTaken = (d[n] & 0x0f) >= 2 || d[n] & 0x80; // charging, silent, or already on its way
      const far = (latitude[n] - place.latitude) ** 2 + (longitude[n] - place.longitude) ** 2;
      if (!isTaken && c[n] < below && far < nearest) { nearest = far; best = id[n]; }
    }
    return best;
  }

  async #send(vehicleId, connectorId, bay, way) {
    const plate = this.plate(vehicleId);
    const what = t("late.reserve", { bay, plate });
    try {
      const made = await this.actions.post("reservations/", { vehicle_id: vehicleId, connector_id: connectorId }, what);
      sayWithUndo(t(way === "soft" ? "holding" : "reserved", { bay, plate }), serverNow() + UNDO_MS, () => this.#undo(made.number));
      this.onChange();
      followHold(made, { bay, plate }, this.onChange);
    } catch (error) {
      if (error.code === "vehicle_has_place") this.onElsewhere({ connector: connectorId, bay, way }, vehicleId);
      else tellRefusal(what, error);
    }
  }

  async #undo(number) {
    const what = t("late.giveUp");
    try {
      await this.actions.post(`reservations/${number}/cancel/`, { reason: "taken back at once" }, what);
      say(t("undone"));
    } catch (error) {
      tellRefusal(what, error);
    }
    this.onChange();
  }
}
