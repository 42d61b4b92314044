// Decisions that wait for the line, kept in the browser: a page that is closed or loaded anew loses none of them.
// One entry of localStorage each, under the name of who decided: nobody else's page ever finds it.
const PREFIX = "fleetcharge.waiting.";
const PAGE = "fleetcharge.page.";
export const LONGEST_WAIT_MS = 15 * 60_000;

/** Signed out: nothing waits here any more, whoever it was of. */
export function forgetAll(storage = storageHere()) {
  for (const name of namesIn(storage, PREFIX)) storage.removeItem(name);
}

export class KeptActions {
  constructor({ who, storage = who ? storageHere() : null, locks = navigator.locks, now = () => performance.timeOrigin + performance.now() }) {
    Object.assign(this, { storage, locks, now });
    this.prefix = `${PREFIX}${who}.`;
    this.page = Math.random().toString(36).slice(2);
    this.locks?.request(PAGE + this.page, () => new Promise(() => {})); // held while this page lives
  }

  /** False where the browser keeps nothing: then it lives as long as the page. */
  keep({ path, body, key, what, saidAt, isAgain }) {
    try {
      this.storage.setItem(this.prefix + key, JSON.stringify({ path, body, key, what, saidAt, isAgain, page: this.page }));
      return true;
    } catch {
      return false;
    }
  }

  forget(key) { this.storage?.removeItem(this.prefix + key); }

  has(key) { return this.storage?.getItem(this.prefix + key) !== null; }

  /** Also where the clock went back that far: nobody knows then how long it was. */
  isTooOld({ saidAt }) { return Math.abs(this.now() - saidAt) > LONGEST_WAIT_MS; }

  /** What pages that are gone have left, in the order in which it was said. Where the browser has locks, one page gets it. */
  async takeUp() {
    if (!this.locks) return this.#takeFrom(new Set());
    return this.locks.request(`${PAGE}takes`, async () => {
      const { held } = await this.locks.query();
      return this.#takeFrom(new Set(held.map(({ name }) => name)));
    });
  }

  #takeFrom(open) {
    const left = namesIn(this.storage, this.prefix).map((name) => this.#read(name))
      .filter((action) => action && action.page !== this.page && !open.has(PAGE + action.page));
    for (const action of left) this.keep(action);
    return left.sort((a, b) => a.saidAt - b.saidAt);
  }

  #read(name) {
    try {
      const action = JSON.parse(this.storage.getItem(name));
      if (typeof action.path === "string" && Number.isFinite(action.saidAt) && name === this.prefix + action.key) return action;
    } catch { /* not one of ours */ }
    this.storage.removeItem(name);
    return null;
  }
}

/** Null where the browser is told to keep nothing. */
function storageHere() {
  try {
    return globalThis.localStorage;
  } catch {
    return null;
  }
}

function namesIn(storage, prefix) {
  return Array.from({ length: storage?.length ?? 0 }, (_, n) => storage.key(n)).filter((name) => name.startsWith(prefix));
}
