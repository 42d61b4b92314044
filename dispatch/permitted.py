"""The best plug of those where the vehicle's token will be let charge when it gets there."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from billing.entitlement import EXPIRED_TOKEN, LIMIT, NETWORK_NOT_AUTHORISED, NOT_ON_SHIFT, SITE_NOT_ALLOWED
from billing.services import authorisation
from dispatch.candidates import SOON_SECONDS, Question
from dispatch.core import choose

MAY_NOT_CHARGE = "may_not_charge"
OF_THE_PLACE = {NETWORK_NOT_AUTHORISED, SITE_NOT_ALLOWED, f"{LIMIT}site", f"{LIMIT}tariff"}
"""Refusals that another site may not have."""
OF_THE_HOUR = (EXPIRED_TOKEN, NOT_ON_SHIFT, LIMIT)
"""Beginnings of refusals that may not stand earlier or later; any other one stands everywhere."""
MOST_REFUSALS = 8


class Permitted(NamedTuple):
    """What may be chosen from, and what was chosen. `refusal`: why nothing was, or why not the plugs left out."""

    candidates: Sequence[choose.Candidate]
    choice: choose.Choice
    refusal: str


def best(question: Question, rules: choose.Rules, candidates: Sequence[choose.Candidate]) -> Permitted:
    """A vehicle without any token is not asked about: we do not start its sessions."""
    refusal = ""
    for _ in range(MOST_REFUSALS):
        choice = choose.choose(question.facts, rules, candidates)
        said = _refusal(question, choice.best) if choice.best else ""
        if choice.best is None or not said:
            return Permitted(candidates, choice, refusal)
        refusal, candidates = said, _left(question, candidates, choice.best, said)
    return Permitted([], choose.choose(question.facts, rules, []), refusal)


def _left(
    question: Question, candidates: Sequence[choose.Candidate], refused: choose.Verdict, said: str
) -> list[choose.Candidate]:
    """Those that need not be refused for the same reason; what could be mended now is not waited for till tomorrow."""
    if said in OF_THE_PLACE:
        return [one for one in candidates if one.location_id != refused.location_id]
    if not said.startswith(OF_THE_HOUR):
        return []
    at = _begins(refused)
    if _refusal(question, min(candidates, key=_begins)) != said:
        return [one for one in candidates if _begins(one) < at]
    later = [one for one in candidates if _begins(one) > at and one.wait_seconds < SOON_SECONDS]
    return later if later and _refusal(question, max(later, key=_begins)) != said else []


def _begins(plug: choose.Candidate | choose.Verdict) -> int:
    """Seconds from now."""
    return round(plug.drive_seconds) + round(plug.wait_seconds)


def _refusal(question: Question, plug: choose.Candidate | choose.Verdict) -> str:
    if question.token_uid is None:
        return ""
    decision = authorisation.decide(
        id_token=question.token_uid, connector_id=plug.connector_id, charger_id=None,
        at=question.now + timedelta(seconds=_begins(plug)),
    )  # fmt: skip
    return "" if decision.is_accepted else decision.reason
