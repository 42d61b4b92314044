"""The best plug of those where the vehicle's token will be let charge when it gets there."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from billing.entitlement import LIMIT, NETWORK_NOT_AUTHORISED, SITE_NOT_ALLOWED
from billing.services import authorisation
from dispatch.candidates import Question
from dispatch.core import choose

MAY_NOT_CHARGE = "may_not_charge"
OF_THE_PLACE = {NETWORK_NOT_AUTHORISED, SITE_NOT_ALLOWED, f"{LIMIT}site", f"{LIMIT}tariff"}
"""Refusals that another site may not have; any other one stands everywhere."""
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
        refusal, site = said, choice.best.location_id
        candidates = [one for one in candidates if said in OF_THE_PLACE and one.location_id != site]
    return Permitted([], choose.choose(question.facts, rules, []), refusal)


def _refusal(question: Question, plug: choose.Verdict) -> str:
    if question.token_uid is None:
        return ""
    decision = authorisation.decide(
        id_token=question.token_uid, connector_id=plug.connector_id, charger_id=None,
        at=question.now + timedelta(seconds=plug.drive_seconds + plug.wait_seconds),
    )  # fmt: skip
    return "" if decision.is_accepted else decision.reason
