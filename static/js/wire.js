// The binary frames of the live channel (docs/live.md): 16-byte header, records of fixed size, little-endian.
export const KIND = { SNAPSHOT: 1, DELTA: 2, REMOVE: 3, GRID: 4, STATIONS: 5, STATUS: 6 };
export const FLAG = { LAST_PART: 1, STATION_IDS: 2, FIRST_PART: 4 };
const LEVEL_SHIFT = 4; // in the flags of a grid
export const OVERVIEW_ZOOM = 9; // below, the server may tell cells in place of records; as it has it
export const STATE = { IDLE: 0, DRIVING: 1, CHARGING: 2, OFFLINE: 3 };
export const MARK = { LOW: 0x10, STALE: 0x20, EXCEPTION: 0x40, REROUTED: 0x80 };
export const SOC_UNKNOWN = 255;
export const FLAG_AGES = { STALE_SECONDS: 120, OFFLINE_SECONDS: 600 }; // after so long without a position, as the server has it
const MAGIC = 0xfc;
const VERSION = 1;
export const HEADER_BYTES = 16;
export const RECORD_BYTES = 16;
const STATUS_BYTES = 8;
const CELL_BYTES = 24;
const CELL_BITS = 2; // 64 px of the 256 of a tile
const ID_BYTES = 4;

export class BadFrame extends Error {}

/** The header of a frame and a DataView over all of it. Throws BadFrame for anything that is not ours, or is cut off. */
export function readFrame(buffer) {
  if (buffer.byteLength < HEADER_BYTES) throw new BadFrame("shorter than a header");
  const view = new DataView(buffer);
  if (view.getUint8(0) !== MAGIC || view.getUint8(1) !== VERSION) throw new BadFrame("not our magic or version");
  const frame = {
    kind: view.getUint8(2), flags: view.getUint8(3), seq: view.getUint32(4, true), rev: view.getUint32(8, true),
    count: view.getUint32(12, true), view,
  };
  const size = { [KIND.REMOVE]: ID_BYTES, [KIND.STATUS]: STATUS_BYTES, [KIND.GRID]: CELL_BYTES }[frame.kind] ?? RECORD_BYTES;
  if (buffer.byteLength < HEADER_BYTES + frame.count * size) throw new BadFrame("cut off");
  return frame;
}

/** Calls `each(id, latitude, longitude, a, b, c, d)` per record; a..d are the last four bytes as they stand. */
export function eachRecord({ view, count }, each) {
  for (let n = 0, at = HEADER_BYTES; n < count; n++, at += RECORD_BYTES) {
    each(
      view.getUint32(at, true), view.getInt32(at + 4, true) / 1e6, view.getInt32(at + 8, true) / 1e6,
      view.getUint8(at + 12), view.getUint8(at + 13), view.getUint8(at + 14), view.getUint8(at + 15),
    );
  }
}

/** Calls `each(id, c, d)` per vehicle: charge and state as the last two bytes of its record have them. */
export function eachStatus({ view, count }, each) {
  for (let n = 0, at = HEADER_BYTES; n < count; n++, at += STATUS_BYTES) each(view.getUint32(at, true), view.getUint8(at + 4), view.getUint8(at + 5));
}

/** Calls `each(key, cell)` per cell; `x`, `y` and `size` are of the unit Mercator square, `at` says where in it things are (0 to 1). */
export function eachCell({ view, count, flags }, each) {
  const size = 0.5 ** ((flags >> LEVEL_SHIFT) + CELL_BITS);
  for (let n = 0, at = HEADER_BYTES; n < count; n++, at += CELL_BYTES) {
    const [x, y, place, worst] = [view.getUint16(at, true), view.getUint16(at + 2, true), view.getUint8(at + 22), view.getUint8(at + 23)];
    each(x * 65536 + y, {
      x: x * size, y: y * size, size, at: [((place >> 4) + 0.5) / 16, ((place & 15) + 0.5) / 16],
      vehicles: view.getUint32(at + 4, true), needing: view.getUint32(at + 8, true), free: view.getUint32(at + 12, true),
      plugs: view.getUint32(at + 16, true), sites: view.getUint16(at + 20, true),
      worst: worst & 15, worstSite: (worst >> 4) & 7, isLive: worst < 128,
    });
  }
}

export function removedIds({ view, count }) {
  return Array.from({ length: count }, (_, n) => view.getUint32(HEADER_BYTES + n * 4, true));
}
