"""May this token charge here, now, and who pays? One decision with its reason, the same for every door."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from billing.entitlement import (
    ACCEPTED,
    BLOCKED_TOKEN,
    CONCURRENT_TX,
    EXPIRED_TOKEN,
    INSUFFICIENT,
    NETWORK_NOT_AUTHORISED,
    NO_WALLET,
    UNKNOWN_TOKEN,
    WALLET_FROZEN,
    Facts,
    Limit,
    judge,
)
from billing.models import AuthorisationDecision
from billing.services.authorisation_facts import Question, read_facts, read_limits
from billing.services.wallets import FLOOR_HOLD_PAISE
from stations.models import Charger

__all__ = [
    "ACCEPTED", "BLOCKED_TOKEN", "CONCURRENT_TX", "EXPIRED_TOKEN", "INSUFFICIENT", "NETWORK_NOT_AUTHORISED",
    "NO_WALLET", "UNKNOWN_TOKEN", "WALLET_FROZEN", "Decision", "authorise", "decide", "group_of", "is_late", "prune",
    "record",
]  # fmt: skip

LATE_AFTER = timedelta(minutes=2)
"""A start we hear of this much later began without us: the charger was offline and decided by itself."""
PRUNED_AT_ONCE = 10_000
Door = AuthorisationDecision.Door


@dataclass(frozen=True)
class Decision:
    """`organisation_id` is who would pay: the token's fleet, or the station owner's when the token is unknown.

    `max_energy_wh`, `max_paise`: what the session may draw and cost at most; None: no bound.
    """

    is_accepted: bool
    reason: str
    organisation_id: int | None
    vehicle_id: int | None = None
    driver_id: int | None = None
    id_token_id: int | None = None
    expires_at: datetime | None = None
    max_energy_wh: int | None = None
    max_paise: int | None = None
    question: Question | None = field(default=None, compare=False)
    inputs: dict[str, Any] = field(default_factory=dict, compare=False)
    duration_us: int = field(default=0, compare=False)
    limits: tuple[Limit, ...] = field(default=(), compare=False)

    @property
    def group_id(self) -> str:
        """parentIdTag (OCPP 1.6), groupIdToken (2.x): one group per vehicle, at most 20 characters; '' for none."""
        return group_of(self.vehicle_id)


def group_of(vehicle_id: int | None) -> str:
    """Every token of one vehicle and of whoever drives it may use what was promised to one of them."""
    return f"VEHICLE-{vehicle_id}" if vehicle_id else ""


def authorise(*, id_token: str, connector_id: int | None, charger_id: int | None, at: datetime) -> Decision:
    """Answer somebody who asks before charging, and keep the answer. Two queries, three where limits are set."""
    decision = decide(id_token=id_token, connector_id=connector_id, charger_id=charger_id, at=at)
    record(decision, door=Door.AUTHORIZE, now=at)
    return decision


def decide(
    *, id_token: str, connector_id: int | None, charger_id: int | None, at: datetime, is_start: bool = False
) -> Decision:
    """Decide for the station's clock `at`; holds no money and writes nothing. One query, two where limits are set.

    What has a date (expiry, shift, other sessions) is judged at `at`; what has none (a blocked card, the wallet) as it
    is now. `is_start`: a token that runs another session is refused (OCPP 1.6 section 7.2, ConcurrentTx is only for
    starts: people authorise to stop, too).
    """
    began = time.perf_counter()
    question = Question(id_token, connector_id, charger_id, at, is_start)
    facts = read_facts(question)
    limits = read_limits(facts, question)
    verdict = judge(facts, limits, at=at, floor_paise=FLOOR_HOLD_PAISE)
    return Decision(
        verdict.reason == ACCEPTED, verdict.reason, _payer(facts, charger_id), facts.vehicle_id, facts.driver_id,
        facts.token_id, facts.valid_until, verdict.max_energy_wh, verdict.max_paise, question, _inputs(facts, limits),
        round((time.perf_counter() - began) * 1e6), tuple(limits),
    )  # fmt: skip


def record(decision: Decision, *, door: str, now: datetime, session_id: int | None = None, reason: str = "") -> None:
    """Keep a decision, with what became of it: `reason` when somebody later in the chain had the last word."""
    question = decision.question
    if question is None:  # a repeated start: its decision was kept the first time
        return
    final = replace(decision, reason=reason or decision.reason)
    AuthorisationDecision.objects.create(
        organisation_id=final.organisation_id,
        id_token_uid=question.id_token.replace("\0", "")[:36],
        id_token_id=final.id_token_id,
        vehicle_id=final.vehicle_id,
        driver_id=final.driver_id,
        charger_id=question.charger_id,
        connector_id=question.connector_id,
        session_id=session_id,
        door=door,
        is_accepted=final.reason == ACCEPTED,
        reason=final.reason,
        max_energy_wh=final.max_energy_wh,
        max_paise=final.max_paise,
        inputs=final.inputs,
        duration_us=final.duration_us,
        at=question.at,
        decided_at=now,
    )


def is_late(*, started_at: datetime, received_at: datetime) -> bool:
    return received_at - started_at > LATE_AFTER


def prune(*, now: datetime) -> int:
    """Forget decisions older than AUTHORISATION_RETENTION_DAYS, a bounded number at a time; returns how many."""
    old = AuthorisationDecision.objects.filter(
        decided_at__lt=now - timedelta(days=settings.AUTHORISATION_RETENTION_DAYS)
    )
    ids = list(old.order_by("decided_at").values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return AuthorisationDecision.objects.filter(pk__in=ids).delete()[0] if ids else 0


def _payer(facts: Facts, charger_id: int | None) -> int | None:
    """An unknown token is the charger owner's trouble."""
    if facts.token_id is not None:
        return facts.organisation_id
    if owner := facts.site_owner_id or facts.network_owner_id:
        return owner
    charger = Charger.objects.filter(pk=charger_id) if charger_id is not None else Charger.objects.none()
    return charger.values_list("organisation_id", flat=True).first()


def _inputs(facts: Facts, limits: Sequence[Limit]) -> dict[str, Any]:
    """What people need to understand the reason, as JSON keeps it."""
    known = facts._asdict() | {"valid_until": facts.valid_until.isoformat() if facts.valid_until else None}
    kept = {name: value for name, value in known.items() if name not in {"time_zone", "has_limits"}}
    return {**kept, "limits": [_told(limit) for limit in limits]}


def _told(limit: Limit) -> dict[str, Any]:
    return limit._asdict() | {"period_start": limit.period_start.isoformat() if limit.period_start else None}
