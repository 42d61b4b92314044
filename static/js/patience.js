// A server in trouble is left alone, twice as long after each failure and not by all pages at once.
const FIRST_REST_MS = 1000;
const LONGEST_REST_MS = 60_000;

export class Patience {
  constructor() {
    this.failures = 0; // one after the other
    this.isResting = false;
  }

  /** It failed: `resume` after the rest; who fails meanwhile does not make it longer. */
  rest(resume) {
    if (this.isResting) return;
    this.isResting = true;
    const longest = Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** this.failures++);
    setTimeout(() => { this.isResting = false; resume(); }, longest * (0.5 + Math.random() / 2));
  }

  /** It answered. */
  forget() { this.failures = 0; }
}
