// A question to the server that ends: a line that died without a word would leave it open for minutes.
const LONGEST_MS = 30_000;

/** As `fetch`; rejects, as without a line, when no answer begins in time. Phones of before 2022 know no AbortSignal.timeout. */
export function ask(url, options = {}, longestMs = LONGEST_MS) {
  const patience = new AbortController();
  const bell = setTimeout(() => patience.abort(), longestMs);
  return fetch(url, { ...options, signal: patience.signal }).finally(() => clearTimeout(bell));
}
