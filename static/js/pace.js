// Pictures that come by themselves leave time for those that somebody waits for: a hand on the map goes first.
const FREE_MS = 25; // what a frame may take without a rest
const REST = 4; // a longer one is followed by so many times its length
const LONGEST_REST_MS = 2000;

export class Pace {
  constructor(draw) {
    this.draw = draw;
    this.isDue = this.isBusy = false;
  }

  /** Draw in the next frame, or after the rest. */
  soon() {
    this.isDue = true;
    if (!this.isBusy) this.#begin();
  }

  #begin() {
    this.isDue = false;
    this.isBusy = true;
    this.draw();
    requestAnimationFrame((begun) => requestAnimationFrame((ended) => this.#rest(ended - begun)));
  }

  /** `taken`: from the frame that drew to the next, so the work of the browser behind our own counts, too. */
  #rest(taken) {
    setTimeout(() => {
      this.isBusy = false;
      if (this.isDue) this.#begin();
    }, taken > FREE_MS ? Math.min(LONGEST_REST_MS, REST * taken) : 0);
  }
}
