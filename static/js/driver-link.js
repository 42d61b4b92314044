// The driver's link: made by the server, handed to whatever the dispatcher writes messages with.
import { t } from "fc/boot";
import { hourMinute } from "fc/format";
import { say } from "fc/toast";

/** Every button with `data-driver-link="PLAN"` shares the plan's link, or copies it. */
export function handLinks(actions) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-driver-link]");
    if (button) hand(actions, button);
  });
}

async function hand(actions, button) {
  button.disabled = true;
  try {
    const made = await actions.postNow(`plans/${button.dataset.driverLink}/driver-link/`);
    const said = t("linkCopied", { plate: button.dataset.plate, time: hourMinute(made.expires_at) });
    say(await isCopied(made.url) ? said : made.url);
  } catch (error) {
    say(t("failed", { detail: error.message }));
  } finally {
    button.disabled = false;
  }
}

/** False where neither is allowed: then the link itself is shown. */
async function isCopied(url) {
  try {
    if (matchMedia("(pointer: coarse)").matches && navigator.share) await navigator.share({ url });
    else await navigator.clipboard.writeText(url);
    return true;
  } catch {
    return false;
  }
}
