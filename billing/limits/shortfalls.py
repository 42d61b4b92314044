"""A running session outgrows what can be held for it: its fleet has said whether it goes on, and who hears of it."""

from collections.abc import Collection, Iterator
from datetime import datetime

from django.db import transaction

from billing.models import BillingException, ChargingSession, Hold, Wallet
from billing.services import exceptions
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit

KIND = BillingException.Kind.LIMIT_REACHED
REFERENCE = "hold"
"""What the references of these questions begin with; each names its session."""
Policy = Wallet.WhenShort


@transaction.atomic
def set_policy(*, organisation_id: int, when_short: str, actor: User | None, reason: str) -> None:
    """Say what happens from now on. Raises Wallet.DoesNotExist, ValueError for another word or without a reason."""
    if when_short not in Policy.values or not reason.strip():
        raise ValueError("Stop, allow credit or alert, and why.")
    wallet = Wallet.objects.select_for_update(of=("self",), no_key=True).get(organisation_id=organisation_id)
    before, wallet.when_short = wallet.when_short, when_short
    wallet.save(update_fields=["when_short"])
    audit(
        action="set_when_short", target=wallet, actor=actor, reason=reason, before={"when_short": before},
        after={"when_short": when_short},
    )  # fmt: skip


@transaction.atomic
def report(*, session: ChargingSession, hold: Hold, price_paise: int, now: datetime) -> None:
    """Finance and dispatch hear of it once, unless the fleet charges on credit or somebody has decided already.

    Nobody hears of a session that has ended since the caller read it; none ends while it is reported.
    """
    is_silent = hold.wallet.when_short == Policy.ALLOW_CREDIT
    if is_silent or exceptions.is_decided(session_id=session.pk, kind=KIND):
        return
    still_runs = ChargingSession.objects.active().filter(pk=session.pk).select_for_update(of=("self",), no_key=True)
    if still_runs.first() is None:
        return
    exceptions.open_exception(
        organisation_id=session.organisation_id, kind=KIND, session_id=session.pk, at=now,
        reference=f"{REFERENCE}:{session.pk}",
        title="No more can be held for a running session",
        details={"held_paise": hold.amount_paise, "price_paise": price_paise, "policy": hold.wallet.when_short},
        amount_paise=max(0, price_paise - hold.amount_paise),
    )  # fmt: skip


def withdraw(*, session_ids: Collection[int], now: datetime) -> None:
    """Of sessions for which more could be held after all, and of those that run no more."""
    asked = BillingException.objects.open().filter(kind=KIND, reference__startswith=REFERENCE)
    over = asked.exclude(session__state=ChargingSession.State.ACTIVE)
    for exception in asked.filter(session__in=session_ids) | over:
        exceptions.withdraw_one(exception, resolution=exceptions.WITHDRAWN, at=now)


def to_stop() -> Iterator[tuple[ChargingSession, Hold]]:
    """Running sessions of fleets that stop at what is held, with their holds; a decision of finance lets one go on."""
    asked = BillingException.objects.open().filter(
        kind=KIND, reference__startswith=REFERENCE, session__state=ChargingSession.State.ACTIVE,
        organisation__wallet__when_short=Policy.STOP,
    )  # fmt: skip
    sessions = ChargingSession.objects.select_related("connector__evse__location__source", "connector__tariff")
    for session in sessions.filter(pk__in=asked.values("session")).order_by("pk"):
        held = Hold.objects.filter(session_key=f"session:{session.pk}", state=Hold.State.ACTIVE).first()
        if held is not None:
            yield session, held
