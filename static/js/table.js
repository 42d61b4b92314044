// Rows by id in typed arrays: position (and its place on the unit Mercator square) and four small figures.
const START = 256;

export const mercatorX = (longitude) => (longitude + 180) / 360;
export function mercatorY(latitude) {
  const sine = Math.sin((Math.max(-85.0511, Math.min(85.0511, latitude)) * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

export class Table {
  constructor() {
    this.count = 0;
    this.index = new Map();
    this.#allocate(START);
    this.staging = null;
  }

  #allocate(size) {
    const old = this;
    const grown = (Type, from) => { const fresh = new Type(size); if (from) fresh.set(from); return fresh; };
    this.id = grown(Uint32Array, old.id);
    this.latitude = grown(Float64Array, old.latitude);
    this.longitude = grown(Float64Array, old.longitude);
    this.x = grown(Float64Array, old.x);
    this.y = grown(Float64Array, old.y);
    this.a = grown(Uint8Array, old.a);
    this.b = grown(Uint8Array, old.b);
    this.c = grown(Uint8Array, old.c);
    this.d = grown(Uint8Array, old.d);
  }

  put(id, latitude, longitude, a, b, c, d) {
    let at = this.index.get(id);
    if (at === undefined) {
      at = this.count++;
      if (at === this.id.length) this.#allocate(at * 2);
      this.index.set(id, at);
      this.id[at] = id;
    }
    this.latitude[at] = latitude;
    this.longitude[at] = longitude;
    this.x[at] = mercatorX(longitude);
    this.y[at] = mercatorY(latitude);
    this.a[at] = a; this.b[at] = b; this.c[at] = c; this.d[at] = d;
    this.staging?.add(id);
  }

  remove(id) {
    const at = this.index.get(id);
    if (at === undefined) return;
    const last = --this.count;
    this.index.delete(id);
    if (at === last) return;
    for (const column of ["id", "latitude", "longitude", "x", "y", "a", "b", "c", "d"]) this[column][at] = this[column][last];
    this.index.set(this.id[at], at);
  }

  /** A snapshot begins: whatever it does not name by its last part is gone then. Nothing flickers meanwhile. */
  beginSnapshot() { this.staging = new Set(); }

  endSnapshot() {
    if (!this.staging) return;
    const gone = Array.from(this.id.subarray(0, this.count)).filter((id) => !this.staging.has(id));
    this.staging = null;
    for (const id of gone) this.remove(id);
  }
}
