"""The best plug of those where the vehicle's token will be let charge when it gets there."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar

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
ANY_TIME = float("inf")


class Begins(NamedTuple):
    """Where a plan charges first, and when: seconds from now."""

    connector_id: int
    location_id: int
    seconds: int


class Choice(Protocol):
    @property
    def first(self) -> Begins | None:
        """None: it charges nowhere."""
        ...


C = TypeVar("C", bound=Choice)


class Permitted(NamedTuple, Generic[C]):
    """What was chosen. `refusal`: why nothing was, or why not the plugs left out."""

    choice: C
    refusal: str


def best(
    question: Question, choose_from: Callable[[Sequence[choose.Candidate], float], C],
    candidates: Sequence[choose.Candidate],
) -> Permitted[C]:  # fmt: skip
    """`choose_from` some candidates a choice that begins before so many seconds from now.

    A vehicle without any token is not asked about: we do not start its sessions.
    """
    refusal, before = "", ANY_TIME
    for _ in range(MOST_REFUSALS):
        choice = choose_from(candidates, before)
        first = choice.first
        said = _refusal(question, first.connector_id, first.seconds) if first else ""
        if first is None or not said:
            return Permitted(choice, refusal)
        refusal = said
        if _is_of_later(question, candidates, said):
            before = min(before, first.seconds)
            candidates = [one for one in candidates if _begins(one) < before]
        else:
            candidates = _left(question, candidates, first, said)
    return Permitted(choose_from([], ANY_TIME), refusal)


def is_permitted(question: Question, begins: Begins) -> bool:
    return not _refusal(question, begins.connector_id, begins.seconds)


def _left(
    question: Question, candidates: Sequence[choose.Candidate], refused: Begins, said: str
) -> list[choose.Candidate]:
    """Those that need not be refused for the same reason; what could be mended now is not waited for till tomorrow."""
    if said in OF_THE_PLACE:
        return [one for one in candidates if one.location_id != refused.location_id]
    if not said.startswith(OF_THE_HOUR):
        return []
    at = refused.seconds
    later = [one for one in candidates if _begins(one) > at and one.wait_seconds < SOON_SECONDS]
    return later if later and _refused(question, max(later, key=_begins)) != said else []


def _is_of_later(question: Question, candidates: Sequence[choose.Candidate], said: str) -> bool:
    """Who charges at once is not refused for it, who charges later on the way is."""
    if said in OF_THE_PLACE or not said.startswith(OF_THE_HOUR):
        return False
    return _refused(question, min(candidates, key=_begins)) != said


def _begins(plug: choose.Candidate) -> int:
    """Seconds from now."""
    return round(plug.drive_seconds) + round(plug.wait_seconds)


def _refused(question: Question, plug: choose.Candidate) -> str:
    return _refusal(question, plug.connector_id, _begins(plug))


def _refusal(question: Question, connector_id: int, seconds: int) -> str:
    if question.token_uid is None:
        return ""
    decision = authorisation.decide(
        id_token=question.token_uid, connector_id=connector_id, charger_id=None,
        at=question.now + timedelta(seconds=seconds),
    )  # fmt: skip
    return "" if decision.is_accepted else decision.reason
