// The cells of an overview as the server tells them: a whole picture, then those that changed.
import { FLAG, eachCell } from "fc/wire";

export const WORST = { NOBODY: 0, FINE: 1, SILENT: 2, NEEDED: 3, ALARM: 4 };

export class Cells {
  constructor() {
    this.byKey = new Map();
    this.staging = null;
    this.pictures = 0; // whole ones so far
  }

  get size() { return this.byKey.size; }

  values() { return this.byKey.values(); }

  take(frame) {
    if (frame.flags & FLAG.FIRST_PART) this.staging = new Map();
    const cells = this.staging ?? this.byKey;
    eachCell(frame, (key, cell) => {
      if (cell.vehicles || cell.sites) cells.set(key, cell);
      else cells.delete(key);
    });
    if (this.staging && frame.flags & FLAG.LAST_PART) {
      this.byKey = this.staging;
      this.staging = null;
      this.pictures++;
    }
  }

  /** Nothing is counted any more; a whole picture, too. */
  clear() {
    this.byKey = new Map();
    this.staging = null;
    this.pictures++;
  }

  /** The parts of a picture whose socket died: the rest never comes. */
  forgetParts() { this.staging = null; }
}
