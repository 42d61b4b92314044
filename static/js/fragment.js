// A piece of a page, as the server draws it.
import { ask } from "fc/ask";
import { boot } from "fc/boot";

/** Its HTML. Throws when it cannot be had; who is signed out is on the way to the sign-in page then. */
export async function fragment(url) {
  const answer = await ask(url, { headers: { "X-Requested-With": "drawer" } });
  if (answer.redirected) location.href = boot.urls.login;
  if (answer.redirected || !answer.ok) throw new Error(`no fragment: ${answer.status}`);
  return answer.text();
}
