// The live channel where WebSockets are closed: the same messages as Server-Sent Events, or asked for again and again.
// Both look like a WebSocket; what the page says goes into the address, so a new word means a new stream.
const OPEN = 1;
const CLOSED = 3;
const SAY_AFTER_MS = 100;
const WELCOME_MS = 6000; // some proxies keep a stream to themselves
const ANSWER_MS = 15_000; // a whole picture takes longer than a greeting
const POLL_MS = 4000;
const SAID = new Set(["hello", "view", "focus", "details"]); // acknowledgements and pauses mean nothing here

class OneWay {
  constructor(url) {
    this.url = url.replace(/^ws/, "http");
    this.readyState = OPEN;
    this.said = new Map();
    this.repeated = new Set();
    queueMicrotask(() => this.onopen?.());
  }

  send(text) {
    const { type } = JSON.parse(text);
    if (!SAID.has(type)) return;
    const isKnown = this.said.get(type) === text && this.repeated.delete(type);
    this.said.set(type, text);
    if (isKnown) return; // the page answers each welcome with what the address says already
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.begin(), SAY_AFTER_MS);
  }

  address(more = []) {
    return `${this.url}?${new URLSearchParams([...[...this.said.values()].map((text) => ["say", text]), ...more])}`;
  }

  wait(longest) {
    clearTimeout(this.late);
    this.late = setTimeout(() => this.over(0), longest);
  }

  hearText(data) {
    const { type, code } = JSON.parse(data);
    if (type === "welcome") {
      clearTimeout(this.late);
      this.repeated = new Set(this.said.keys());
    }
    this.onmessage?.({ data });
    if (type === "bye") this.ended(code);
  }

  hearFrame(base64) {
    this.onmessage?.({ data: Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer });
  }

  ended(code) { this.over(code); }

  over(code) {
    if (this.readyState === CLOSED) return;
    this.close();
    this.onclose?.({ code });
  }

  close() {
    this.readyState = CLOSED;
    clearTimeout(this.soon);
    clearTimeout(this.late);
    this.stop();
  }
}

export class EventLine extends OneWay {
  begin() {
    this.stop();
    this.wait(WELCOME_MS);
    const source = new EventSource(this.address(), { withCredentials: true });
    this.source = source;
    source.onmessage = (event) => { if (source === this.source) this.hearText(event.data); };
    source.addEventListener("frame", (event) => { if (source === this.source) this.hearFrame(event.data); });
    source.onerror = () => { if (source === this.source) this.over(0); };
  }

  stop() {
    this.source?.close();
    this.source = null;
  }
}

export class PollLine extends OneWay {
  async begin() {
    this.stop();
    this.wait(ANSWER_MS);
    const mine = new AbortController();
    this.asking = mine;
    try {
      const answer = await fetch(this.address([["once", "1"]]), { credentials: "include", signal: mine.signal });
      const text = await answer.text();
      if (mine === this.asking) this.#hear(text);
    } catch {
      if (mine === this.asking) this.over(0);
    }
  }

  #hear(text) {
    for (const event of text.split("\n\n")) {
      const data = event.slice(event.indexOf("data: ") + 6);
      if (event.startsWith("event: frame")) this.hearFrame(data);
      else if (event) this.hearText(data);
    }
  }

  /** A whole picture was told: the next one in a while. */
  ended(code) {
    if (code === 1000) this.next = setTimeout(() => this.begin(), POLL_MS);
    else this.over(code);
  }

  stop() {
    clearTimeout(this.next);
    this.asking?.abort();
    this.asking = null;
  }
}
