"""Ask, approve, decline, withdraw, let expire; each kind of wish registers the deed that follows a yes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from billing.approvals import people, thresholds
from billing.approvals.models import Approval
from billing.events import ApprovalAsked, ApprovalDecided
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish
from fleetcharge.lib.sweeps import survived

State = Approval.State


@dataclass(frozen=True)
class Kind:
    """`deed(approval, decided_by, now)` runs in the deciding transaction and returns what it left behind.

    It may raise Conflict or ValueError: then nothing is decided. `label` is lazy text. `is_ours`: it moves our own
    money, so that nobody of a fleet decides it, but only who keeps our books (superusers). `undone(approval, by, now)`
    runs when it was declined, withdrawn or has expired (`by` None). `shown` tells what would change: (what, before,
    after).
    """

    name: str
    label: Any
    deed: Callable[[Approval, User, datetime], str]
    is_ours: bool = False
    undone: Callable[[Approval, User | None, datetime], None] | None = None
    shown: Callable[[Approval], Sequence[tuple[Any, str, str]]] | None = None


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Called while the apps are loaded; the same name again replaces (tests, reloading)."""
    _kinds[kind.name] = kind
    return kind


def kinds() -> dict[str, Kind]:
    return dict(_kinds)


def ours() -> list[str]:
    """Names of the kinds that only who keeps our books sees and decides."""
    return [kind.name for kind in _kinds.values() if kind.is_ours]


def changes(approval: Approval) -> list[tuple[str, str, str]]:
    """What it would change, in words: (what, before, after)."""
    kind = _kinds.get(approval.kind)
    rows = kind.shown(approval) if kind is not None and kind.shown is not None else ()
    return [(str(what), before, after) for what, before, after in rows]


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
    may_be_free: bool = True,
) -> Approval:
    """Nothing happens before another person approves, but for what is small (`thresholds`): that is done at once.

    Raises ValueError without a reason or for a negative amount, Conflict when the same thing waits already, or when
    what is small cannot be done.
    """
    if kind not in _kinds:
        raise ValueError(f"Nothing is known to follow {kind!r}.")
    if not reason.strip():
        raise ValueError("A wish needs a reason.")
    if amount_paise < 0:
        raise ValueError("An amount below zero cannot be asked for.")
    free = thresholds.free_up_to(kind, organisation_id) if may_be_free else 0
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                organisation_id=organisation_id, kind=kind, subject=subject[:120], title=title[:200], facts=facts or {},
                amount_paise=amount_paise, reason=reason[:500], asked_by=asked_by, asked_at=now,
                expires_at=thresholds.expires_at(now), free_up_to_paise=free,
            )  # fmt: skip
    except IntegrityError as error:
        raise Conflict("The same thing waits for a decision already.", code="already_asked") from error
    if thresholds.is_free(approval, now=now):
        approval.outcome = _kinds[kind].deed(approval, asked_by, now)[:200]
        return _decide(approval, State.FREE, asked_by, now, reason)
    _audit("ask", approval, asked_by, reason)
    publish(ApprovalAsked(approval.pk, organisation_id, kind, amount_paise, asked_by.pk, now))
    return approval


@transaction.atomic
def approve(*, approval_id: int, decided_by: User, now: datetime, reason: str = "") -> Approval:
    """The second person's yes: the deed is done in the same transaction.

    Raises Conflict when it was decided already, has expired, or the deed cannot be done any more; ValueError for who
    asked and for who has no say.
    """
    approval = _undecided(approval_id)
    _other_person(approval, decided_by)
    if approval.expires_at is not None and approval.expires_at <= now:
        raise Conflict("It has expired: it must be asked for again.", code="expired")
    approval.outcome = _kinds[approval.kind].deed(approval, decided_by, now)[:200]
    return _decide(approval, State.APPROVED, decided_by, now, reason)


@transaction.atomic
def decline(*, approval_id: int, decided_by: User, now: datetime, reason: str) -> Approval:
    """Raises ValueError without a reason and for who asked (who may withdraw), Conflict when it was decided."""
    if not reason.strip():
        raise ValueError("A refusal needs a reason.")
    approval = _undecided(approval_id)
    _other_person(approval, decided_by)
    return _undo(approval, State.DECLINED, decided_by, now, reason)


@transaction.atomic
def withdraw(*, approval_id: int, by: User, now: datetime, reason: str) -> Approval:
    """Who asked may think better of it; ValueError for anybody else."""
    approval = _undecided(approval_id)
    if approval.asked_by_id != by.pk:
        raise ValueError("Only who asked may withdraw it.")
    return _undo(approval, State.WITHDRAWN, by, now, reason)


def expire(*, now: datetime, chunk: int = 200) -> int:
    """End what waited too long, one transaction each; returns how many. One that cannot be ended keeps no other."""
    ended, last_id = 0, 0
    late = Approval.objects.open().filter(expires_at__lte=now).order_by("pk").values_list("pk", flat=True)
    while ids := list(late.filter(pk__gt=last_id)[:chunk]):
        for approval_id in ids:
            with survived("approval", approval_id):
                ended += _expire(approval_id, now)
        last_id = ids[-1]
    return ended


@transaction.atomic
def _expire(approval_id: int, now: datetime) -> bool:
    rows = Approval.objects.open().filter(pk=approval_id, expires_at__lte=now)
    approval = rows.select_for_update(of=("self",), skip_locked=True).select_related("organisation").first()
    if approval is None:
        return False
    _undo(approval, State.EXPIRED, None, now, "Nobody decided in time.")
    return True


def _undecided(approval_id: int) -> Approval:
    approval = Approval.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=approval_id)
    if approval.state != State.ASKED:
        raise Conflict("This was decided already.", code="already_decided")
    return approval


def may_decide(approval: Approval, user: User) -> bool:
    """Another person than who asked, and of the side whose money it is; False for a kind that is gone."""
    kind = _kinds.get(approval.kind)
    return kind is not None and approval.asked_by_id != user.pk and people.have_a_say(approval, user, kind.is_ours)


def _other_person(approval: Approval, decided_by: User) -> None:
    if approval.kind not in _kinds:
        raise Conflict("Nothing is known any more to follow it.", code="unknown_kind")
    is_ours = _kinds[approval.kind].is_ours
    if is_ours and not decided_by.is_superuser:
        raise ValueError("Only who keeps our own books decides this.")
    if not people.have_a_say(approval, decided_by, is_ours):
        raise ValueError("Only owners and finance of this fleet decide this.")
    if approval.asked_by_id == decided_by.pk:
        raise ValueError("Another person has to decide.")


def _undo(approval: Approval, state: str, by: User | None, now: datetime, reason: str) -> Approval:
    kind = _kinds.get(approval.kind)
    if kind is not None and kind.undone is not None:
        kind.undone(approval, by, now)
    return _decide(approval, state, by, now, reason)


def _decide(approval: Approval, state: str, by: User | None, now: datetime, reason: str) -> Approval:
    approval.state, approval.decided_by, approval.decided_at = state, by, now
    approval.decided_because = reason[:500]
    approval.save(update_fields=["state", "decided_by", "decided_at", "decided_because", "outcome"])
    _audit(state, approval, by, reason or approval.reason)
    publish(ApprovalDecided(approval.pk, approval.organisation_id, approval.kind, state, now))
    return approval


def _audit(action: str, approval: Approval, actor: User | None, reason: str) -> None:
    facts = dict(approval.facts)
    before = facts.pop("before", {})
    audit(
        action=f"{action}_{approval.kind}"[:40], target=approval, actor=actor, reason=reason, before=before,
        organisation=approval.organisation, is_internal=approval.kind in ours(),
        after={"subject": approval.subject, "amount_paise": approval.amount_paise, "facts": facts,
               "organisation_id": approval.organisation_id},
    )  # fmt: skip
