"""Ask, approve, decline, withdraw; each kind of wish registers the deed that its approval does."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from billing.approvals.models import Approval
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

State = Approval.State


@dataclass(frozen=True)
class Kind:
    """`deed(approval, decided_by, now)` runs in the deciding transaction and returns what it left behind.

    It may raise Conflict or ValueError: then nothing is decided. `label` is lazy text. `is_ours`: it moves our own
    money, so that nobody of a fleet decides it, but only who keeps our books (superusers).
    """

    name: str
    label: Any
    deed: Callable[[Approval, User, datetime], str]
    is_ours: bool = False


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Called while the apps are loaded; the same name again replaces (tests, reloading)."""
    _kinds[kind.name] = kind
    return kind


def kinds() -> dict[str, Kind]:
    return dict(_kinds)


@transaction.atomic
def ask(
    *,
    kind: str,
    organisation_id: int,
    subject: str,
    title: str,
    asked_by: User,
    reason: str,
    now: datetime,
    facts: dict[str, Any] | None = None,
    amount_paise: int = 0,
) -> Approval:
    """Nothing happens before another person approves.

    Raises ValueError without a reason or for a negative amount, Conflict when the same thing waits already.
    """
    if kind not in _kinds:
        raise ValueError(f"Nothing is known to follow {kind!r}.")
    if not reason.strip():
        raise ValueError("A wish needs a reason.")
    if amount_paise < 0:
        raise ValueError("An amount below zero cannot be asked for.")
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                organisation_id=organisation_id, kind=kind, subject=subject, title=title[:200], facts=facts or {},
                amount_paise=amount_paise, reason=reason[:500], asked_by=asked_by, asked_at=now,
            )  # fmt: skip
    except IntegrityError as error:
        raise Conflict("The same thing waits for a decision already.", code="already_asked") from error
    _audit("ask", approval, asked_by, reason)
    return approval


@transaction.atomic
def approve(*, approval_id: int, decided_by: User, now: datetime, reason: str = "") -> Approval:
    """The second person's yes: the deed is done in the same transaction.

    Raises Conflict when it was decided already or the deed cannot be done any more, ValueError for who asked.
    """
    approval = _undecided(approval_id)
    _other_person(approval, decided_by)
    approval.outcome = _kinds[approval.kind].deed(approval, decided_by, now)[:200]
    return _decide(approval, State.APPROVED, decided_by, now, reason)


@transaction.atomic
def decline(*, approval_id: int, decided_by: User, now: datetime, reason: str) -> Approval:
    """Raises ValueError without a reason and for who asked (who may withdraw), Conflict when it was decided."""
    if not reason.strip():
        raise ValueError("A refusal needs a reason.")
    approval = _undecided(approval_id)
    _other_person(approval, decided_by)
    return _decide(approval, State.DECLINED, decided_by, now, reason)


@transaction.atomic
def withdraw(*, approval_id: int, by: User, now: datetime, reason: str) -> Approval:
    """Who asked may think better of it; ValueError for anybody else."""
    approval = _undecided(approval_id)
    if approval.asked_by_id != by.pk:
        raise ValueError("Only who asked may withdraw it.")
    return _decide(approval, State.WITHDRAWN, by, now, reason)


def _undecided(approval_id: int) -> Approval:
    approval = Approval.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=approval_id)
    if approval.state != State.ASKED:
        raise Conflict("This was decided already.", code="already_decided")
    return approval


def may_decide(approval: Approval, user: User) -> bool:
    """Another person than who asked, and of the side whose money it is; False for a kind that is gone."""
    kind = _kinds.get(approval.kind)
    return kind is not None and approval.asked_by_id != user.pk and (user.is_superuser or not kind.is_ours)


def _other_person(approval: Approval, decided_by: User) -> None:
    if _kinds[approval.kind].is_ours and not decided_by.is_superuser:
        raise ValueError("Only who keeps our own books decides this.")
    if approval.asked_by_id == decided_by.pk:
        raise ValueError("Another person has to decide.")


def _decide(approval: Approval, state: str, by: User, now: datetime, reason: str) -> Approval:
    approval.state, approval.decided_by, approval.decided_at = state, by, now
    approval.decided_because = reason[:500]
    approval.save(update_fields=["state", "decided_by", "decided_at", "decided_because", "outcome"])
    _audit(state, approval, by, reason or approval.reason)
    return approval


def _audit(action: str, approval: Approval, actor: User, reason: str) -> None:
    audit(
        action=f"{action}_{approval.kind}"[:40], target=approval, actor=actor, reason=reason,
        organisation=approval.organisation,
        after={"subject": approval.subject, "amount_paise": approval.amount_paise, "facts": approval.facts},
    )  # fmt: skip
