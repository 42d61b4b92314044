// Decisions sent to the API: each has a key, so a retry after a lost answer changes nothing twice; offline they wait.
import { boot } from "fc/boot";

const RETRY_MS = 3000;
const SERVER_TRIES = 5; // a line that is down is waited for; a server that keeps failing is not

const newKey = () => crypto.randomUUID?.() ?? `${performance.timeOrigin + performance.now()}-${Math.random()}`;

export class Refused extends Error {
  constructor(status, body) {
    super(body?.detail || String(status));
    this.status = status;
    this.code = body?.code || "error";
  }
}

export class Actions {
  constructor({ fetcher = (...all) => fetch(...all), onChange = () => {} } = {}) {
    this.fetcher = fetcher;
    this.onChange = onChange;
    this.waiting = [];
    this.isBusy = false;
    addEventListener("online", () => this.flush());
  }

  /** POST `path` (below /api/v1/); resolves with the answer, rejects with Refused. Waits for the line if there is none. */
  post(path, body = {}) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ path, body, key: newKey(), resolve, reject });
      this.flush();
    });
  }

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
      headers: { "Content-Type": "application/json", "X-CSRFToken": boot.csrfToken, "Idempotency-Key": key },
    });
  }

  /** Paths that were tried and could not be sent yet. */
  queued() { return this.waiting.filter((action) => action.wasTried).map((action) => action.path); }

  async flush() {
    if (this.isBusy) return;
    this.isBusy = true;
    clearTimeout(this.timer);
    while (this.waiting.length) {
      const action = this.waiting[0];
      const isSettled = await this.#send(action);
      if (!isSettled) break;
      this.waiting.shift();
      this.onChange();
    }
    this.isBusy = false;
    if (this.waiting.length) this.timer = setTimeout(() => this.flush(), RETRY_MS);
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
    action.wasTried = false;
    const data = await answer.json().catch(() => null);
    if (answer.ok) action.resolve(data);
    else action.reject(new Refused(answer.status, data));
    return true;
  }

  #later(action) {
    action.wasTried = true;
    this.onChange();
    return false;
  }
}
