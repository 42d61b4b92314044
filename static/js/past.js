// The fleet as it was: hours of tracks and plugs as the server told them, put into tables of their own at any second.
import { Store } from "fc/store";
import { FLAG_AGES, MARK, SOC_UNKNOWN, STATE } from "fc/wire";

const DRIVING_ABOVE_KMH = 3; // as the server has it
const DEGREES = 1e5;
const FIELDS = 7;
const UNKNOWN_SITE = 4;
const NOT_HEARD = 3;
const WALK_SECONDS = 180; // between two points no further apart than this a vehicle goes straight

export class Past extends Store {
  /** `live` lends names; `told` is the answer of live/past/. */
  constructor(live, told, lowPercent) {
    super();
    Object.assign(this, { live, lowPercent });
    this.start = Date.parse(told.from);
    this.seconds = Math.round((Date.parse(told.to) - this.start) / 1000);
    this.isComplete = told.is_complete;
    this.opened = told.alerts;
    this.walk = Math.max(WALK_SECONDS, 3 * told.step_seconds);
    this.tracks = told.vehicles.map(unpack);
    this.sites = new Map(told.stations.map((site) => [site.id, site]));
    this.second = null;
  }

  /** Names come and go with the live page. */
  get vehicleNames() { return this.live?.vehicleNames ?? new Map(); }
  set vehicleNames(_) { /* the live page's */ }
  get stationNames() { return this.live?.stationNames ?? new Map(); }
  set stationNames(_) { /* the live page's */ }

  /** Put everything where it was; true when a pin looks different from before. */
  seek(second) {
    this.second = Math.max(0, Math.min(this.seconds, second));
    for (const track of this.tracks) this.#place(track);
    return this.#plugs();
  }

  #place(track) {
    const at = lastUpTo(track.second, this.second);
    if (at < 0) { this.vehicles.remove(track.id); return; }
    const age = this.second - track.second[at];
    const gap = track.second[at + 1] - track.second[at];
    const part = gap <= this.walk ? age / gap : 0; // NaN <= is false: the last point has no next one
    const between = (column) => column[at] + (part ? (column[at + 1] - column[at]) * part : 0);
    const soc = track.soc[at];
    this.vehicles.put(track.id, between(track.latitude) / DEGREES, between(track.longitude) / DEGREES,
      Math.round((track.heading[at] * 256) / 360) & 0xff, Math.min(255, track.speed[at]), soc < 0 ? SOC_UNKNOWN : soc, this.#state(track, at, age));
  }

  #state(track, at, age) {
    const low = track.soc[at] >= 0 && track.soc[at] < this.lowPercent ? MARK.LOW : 0;
    const stale = age > FLAG_AGES.STALE_SECONDS ? MARK.STALE : 0;
    if (age > FLAG_AGES.OFFLINE_SECONDS) return STATE.OFFLINE | low | stale;
    if (track.charging[at]) return STATE.CHARGING | low | stale;
    return (track.speed[at] > DRIVING_ABOVE_KMH ? STATE.DRIVING : STATE.IDLE) | low | stale;
  }

  /** Every site of the live map, and those told that it shows as cells; of one outside what was told, nothing is known. */
  #plugs() {
    let hasMoved = false;
    const { count, id, latitude, longitude, b, d, index } = this.live.stations;
    for (let n = 0; n < count; n++) if (this.#plug(id[n], latitude[n], longitude[n], b[n], d[n])) hasMoved = true;
    for (const site of this.sites.keys()) if (!index.has(site) && this.#unseen(site)) hasMoved = true;
    return hasMoved;
  }

  #unseen(id) {
    const name = this.live.stationNames.get(id);
    return name && this.#plug(id, name.latitude, name.longitude, name.total, Math.min(255, Math.round((name.max_power_w ?? 0) / 10_000)));
  }

  /** True when its pin looks different from before. */
  #plug(id, latitude, longitude, total, power) {
    const site = this.sites.get(id);
    const [free, worst] = site ? stepAt(site.steps, this.second) : [0, UNKNOWN_SITE];
    const before = this.stations.index.get(id);
    const colour = worst | (site && worst !== UNKNOWN_SITE ? 0 : NOT_HEARD << 4);
    if (before !== undefined && this.stations.a[before] === Math.min(255, free) && this.stations.c[before] === colour) return false;
    this.stations.put(id, latitude, longitude, Math.min(255, free), Math.min(255, site?.total ?? total), colour, power);
    return true;
  }
}

/** The flat numbers of one vehicle as columns. */
function unpack({ id, points }) {
  const count = points.length / FIELDS;
  const track = { id };
  for (const name of ["second", "latitude", "longitude", "speed", "heading", "soc", "charging"]) track[name] = new Int32Array(count);
  const sums = [0, 0, 0];
  for (let n = 0; n < count; n++) {
    const at = n * FIELDS;
    for (let column = 0; column < 3; column++) sums[column] += points[at + column];
    [track.second[n], track.latitude[n], track.longitude[n]] = sums;
    track.speed[n] = points[at + 3];
    track.heading[n] = points[at + 4];
    track.soc[n] = points[at + 5];
    track.charging[n] = points[at + 6];
  }
  return track;
}

/** The last index whose value is not above `wanted`; -1 when all are. */
function lastUpTo(values, wanted) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Free plugs and colour from `[second, free, worst, …]`. */
function stepAt(steps, second) {
  let at = 0;
  while (at + 3 < steps.length && steps[at + 3] <= second) at += 3;
  return [steps[at + 1], steps[at + 2]];
}
