// Decisions sent to the API: each has a key, so a retry after a lost answer changes nothing twice; offline they wait.
import { ask } from "fc/ask";
import { boot } from "fc/boot";
import { serverNow } from "fc/clock";
import { KeptActions } from "fc/kept-actions";

const RETRY_MS = 3000;
const SERVER_TRIES = 5; // a line that is down is waited for; a server that keeps failing is not
const SIGNED_OUT = 401;
const CONFLICT = 409;
const STILL_AT_WORK = "in_progress"; // what was sent when the line died; its answer comes with the next try

const newKey = () => crypto.randomUUID?.() ?? `${performance.timeOrigin + performance.now()}-${Math.random()}`;

export class Refused extends Error {
  constructor(status, body) {
    super(body?.detail || String(status));
    this.status = status;
    this.code = body?.code || "error";
  }
}

export class Actions {
  constructor({ fetcher = ask, onChange = () => {}, onLate = () => {}, leave = leaveFor, kept = new KeptActions({ who: boot.who, now: serverNow }) } = {}) {
    Object.assign(this, { fetcher, onChange, onLate, leave, kept });
    this.waiting = [];
    this.isBusy = false;
    this.hasLeft = false;
    this.lastAt = 0;
    addEventListener("online", () => this.flush());
  }

  /** POST `path` (below /api/v1/); resolves with the answer, rejects with Refused. Waits for the line if there is none.
   * `what` says in words what was decided, for a page that finds it waiting later. */
  post(path, body = {}, what = "") {
    return new Promise((resolve, reject) => {
      const action = { path, body, key: newKey(), what, saidAt: this.#now() };
      this.#wait({ ...action, isKept: this.kept.keep(action), resolve, reject });
    });
  }

  /** What pages before this one could not send: once more, with the same keys; `onLate` tells what became of it. */
  async takeUp() {
    for (const action of await this.kept.takeUp()) {
      const told = (error) => this.onLate(action, error);
      this.#wait({ ...action, isKept: true, wasTried: true, resolve: () => told(null), reject: told });
    }
    this.onChange();
  }

  #wait(action) {
    this.waiting.push(action);
    this.flush();
  }

  /** Two decisions of one millisecond keep their order. */
  #now() { return (this.lastAt = Math.max(this.lastAt + 0.01, this.kept.now())); }

  /** POST now or never: nobody wants a charger to start when the line comes back half an hour later. */
  async postNow(path, body = {}, method = "POST") {
    let answer;
    try {
      answer = await this.#request({ path, body, key: newKey(), method });
    } catch {
      throw new Refused(0, { code: "no_line", detail: "no connection" });
    }
    const data = await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(answer.status, data);
    return data;
  }

  #request({ path, body, key, method = "POST" }) {
    return this.fetcher(`${boot.urls.api}${path}`, {
      method, credentials: "same-origin", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-CSRFToken": boot.csrfToken, "Idempotency-Key": key, ...(boot.who && { "X-Decided-By": boot.who }) },
    });
  }

  /** Paths that were tried and could not be sent yet. */
  queued() { return this.waiting.filter((action) => action.wasTried).map((action) => action.path); }

  async flush() {
    if (this.isBusy || this.hasLeft) return;
    this.isBusy = true;
    clearTimeout(this.timer);
    while (this.waiting.length) {
      const action = this.waiting[0];
      const isSettled = await this.#settle(action);
      if (!isSettled) break;
      this.waiting.shift();
      this.kept.forget(action.key);
      this.onChange();
    }
    this.isBusy = false;
    if (this.waiting.length && !this.hasLeft) this.timer = setTimeout(() => this.flush(), RETRY_MS);
  }

  #settle(action) {
    if (action.isKept && !this.kept.has(action.key)) return true; // another page did it, or its person signed out
    if (!this.kept.isTooOld(action)) return this.#send(action);
    action.wasTried = false;
    action.reject(new Refused(0, { code: "too_old", detail: "it had waited for too long" }));
    return true;
  }

  async #send(action) {
    let answer;
    try {
      answer = await this.#request(action);
    } catch {
      return this.#later(action);
    }
    action.failures = answer.status >= 500 || answer.status === 429 ? (action.failures ?? 0) + 1 : SERVER_TRIES;
    if (action.failures < SERVER_TRIES) return this.#later(action);
    const data = await answer.json().catch(() => null);
    if (data?.code === STILL_AT_WORK) return this.#later(action);
    if (this.#isOfAnotherSignIn(action, answer, data)) return this.#later(action);
    action.wasTried = false;
    if (answer.ok) action.resolve(data);
    else action.reject(new Refused(answer.status, data));
    return true;
  }

  /** Signed out, in anew or for another fleet since: it waits in the browser for a page of whoever decided it. */
  #isOfAnotherSignIn(action, answer, data) {
    const isAnew = answer.status === 403 && data?.detail?.startsWith("CSRF") && !action.isAgain; // the page's token is of before
    const isOther = answer.status === CONFLICT && data?.code === "decided_by_another";
    if (!action.isKept || !(answer.status === SIGNED_OUT || isAnew || isOther)) return false;
    if (isAnew) this.kept.keep({ ...action, isAgain: true });
    this.hasLeft = true;
    this.leave(answer.status === SIGNED_OUT);
    return true;
  }

  #later(action) {
    action.wasTried = true;
    this.onChange();
    return false;
  }
}

/** To the sign-in, or to the page as it is for who is signed in now. */
function leaveFor(isSignedOut) {
  if (isSignedOut) location.href = boot.urls.login;
  else location.reload();
}
