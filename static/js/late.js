// What became of a decision that had to wait: told so that somebody who looks later still reads it.
import { boot, t } from "fc/boot";
import { reasonOf } from "fc/deeds";
import { say, sayUntilRead } from "fc/toast";

/** Of a page before this one. `error` is null when it was done. */
export function tellLate({ what, path }, error) {
  if (error) sayUntilRead(t("late.refused", { what: what || path, why: why(path, error) }));
  else say(t("late.done", { what: what || path }));
}

/** Of this page: only what waited too long needs to be kept in sight. */
export function tellRefusal(what, error) {
  if (error.code === "too_old") tellLate({ what }, error);
  else say(reasonOf(error));
}

function why(path, error) {
  const isChanged = path?.startsWith("plans/") && [404, 409].includes(error.status);
  return isChanged && !boot.texts[`refused.${error.code}`] ? t("late.changed") : reasonOf(error);
}
