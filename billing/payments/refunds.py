"""Unspent money back to where it came from: one person asks, another approves, the ledger moves first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext_lazy as _

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.events import PaymentReturned, PaymentWorkWaiting
from billing.gateways.base import Entity, PaymentGateway
from billing.gateways.errors import GatewayFailure, OutcomeUnknown, Refused, Unavailable
from billing.models import BillingException, GatewayPayment, Refund, Wallet
from billing.payments import calls, taking_back
from billing.payments.applying import CLEARING
from billing.payments.intents import new_key
from billing.services import ledger
from billing.services.exceptions import open_exception
from billing.services.ledger import Dimensions, Leg
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish
from fleetcharge.lib.money import format_inr

State = Refund.State
PAYABLE = "refunds_payable"
KIND = "refund"
LIVE = (State.ASKED, State.CREATED, State.SENT, State.UNKNOWN, State.CONFIRMED)


@transaction.atomic
def ask(*, payment_id: int, amount_paise: int, asked_by: User, reason: str, now: datetime) -> Refund:
    """Ask for a refund of unspent money; nothing moves before another person approves.

    Raises ValueError without a reason, or for more than is left of the payment or unspent in the wallet.
    """
    if not reason.strip():
        raise ValueError("A refund needs a reason.")
    payment = GatewayPayment.objects.select_for_update(of=("self",)).get(pk=payment_id)
    if payment.credited_at is None or payment.organisation_id is None:
        raise ValueError("Nothing of this payment is in a wallet.")
    asked = payment.refunds.filter(state__in=LIVE).aggregate(total=Sum("amount_paise"))["total"] or 0
    left = payment.amount_paise - max(asked, payment.refunded_paise)
    if not 0 < amount_paise <= left:
        raise ValueError("More than is left of this payment.")
    refund = Refund.objects.create(
        key=new_key("RF"), organisation_id=payment.organisation_id, payment=payment, amount_paise=amount_paise,
        asked_by=asked_by, reason=reason[:200], created_at=now,
    )  # fmt: skip
    approvals.ask(
        kind=KIND, organisation_id=refund.organisation_id, subject=_subject(refund), asked_by=asked_by, now=now,
        title=f"Refund {format_inr(amount_paise)} of {payment.payment_id}", reason=reason, amount_paise=amount_paise,
        may_be_free=False, facts={
            "refund_id": refund.pk, "before": {"left_paise": left}, "after": {"left_paise": left - amount_paise},
        },
    )  # fmt: skip
    return refund


def approve(*, refund_id: int, decided_by: User, now: datetime, reason: str = "") -> Refund:
    """The second person's yes. Raises Conflict when it was decided already or the money is spent, ValueError for the
    person who asked and for who has no say."""
    approvals.approve(approval_id=_waiting(refund_id), decided_by=decided_by, now=now, reason=reason)
    return Refund.objects.select_related("payment", "asked_by", "decided_by").get(pk=refund_id)


def decline(*, refund_id: int, decided_by: User, reason: str, now: datetime) -> Refund:
    """Raises as `approve`, and ValueError without a reason."""
    approvals.decline(approval_id=_waiting(refund_id), decided_by=decided_by, reason=reason, now=now)
    return Refund.objects.select_related("payment", "asked_by", "decided_by").get(pk=refund_id)


def _subject(refund: Refund) -> str:
    return f"refund:{refund.key}"


def _waiting(refund_id: int) -> int:
    """The open wish of a refund; Conflict when there is none any more."""
    refund = Refund.objects.get(pk=refund_id)
    found = Approval.objects.open().filter(kind=KIND, subject=_subject(refund)).values_list("pk", flat=True).first()
    if found is None:
        raise Conflict("This refund was decided already.", code="already_decided")
    return found


def _give_back(approval: Approval, decided_by: User, now: datetime) -> str:
    """Takes the money out of the wallet at once, so that it cannot be spent meanwhile; the gateway hears after the
    commit. Raises Conflict when the money is spent or the payment was given back by others."""
    refund = _locked(approval)
    payment = refund.payment
    others = payment.refunds.filter(state__in=LIVE).exclude(pk=refund.pk).aggregate(total=Sum("amount_paise"))["total"]
    if refund.amount_paise > payment.amount_paise - max(others or 0, payment.refunded_paise):
        raise Conflict("Less than that is left of this payment by now.", code="not_left")
    wallet = Wallet.objects.select_for_update().get(organisation_id=refund.organisation_id)
    if wallet.posted_paise - wallet.held_paise < refund.amount_paise:  # a credit limit is not money to give back
        raise Conflict("The money is spent or held for running sessions.", code="insufficient")
    leg = Leg(ledger.wallet_code(refund.organisation_id), PAYABLE, refund.amount_paise, "refund", refund.reason)
    _post(refund, f"refund:{refund.key}", leg, now, str(decided_by))
    refund.state, refund.decided_by, refund.decided_at, refund.next_try_at = State.CREATED, decided_by, now, now
    refund.save()
    publish(PaymentWorkWaiting("refund", refund.pk))
    taking_back.announce(refund.organisation_id)
    return refund.key


def _give_up(approval: Approval, by: User | None, now: datetime) -> None:
    """Declined, withdrawn or expired: the approval's row says which."""
    refund = _locked(approval)
    refund.state, refund.decided_at = State.DECLINED, now
    refund.decided_by = None if by is not None and by.pk == refund.asked_by_id else by
    refund.save()


def _locked(approval: Approval) -> Refund:
    refund = Refund.objects.select_for_update(of=("self",)).select_related("payment").get(
        pk=approval.facts["refund_id"]
    )  # fmt: skip
    if refund.state != State.ASKED:
        raise Conflict("This refund was decided already.", code="already_decided")
    return refund


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    left = int(approval.facts.get("before", {}).get("left_paise", approval.amount_paise))
    return [(_("Left of the payment"), format_inr(left), format_inr(left - approval.amount_paise))]


approvals.register(approvals.Kind(KIND, _("Refund"), _give_back, undone=_give_up, shown=_shown))


def work(*, refund_id: int, now: datetime, gateway: PaymentGateway) -> Refund:
    """Send it, or look what became of it. Not inside a transaction."""
    rows = Refund.objects.filter(pk=refund_id)
    if calls.claim(rows.filter(state=State.CREATED), now=now, state=State.SENT, sent_at=now):
        _send(rows.select_related("payment").get(), now, gateway)
    elif calls.claim(rows.filter(state__in=[State.SENT, State.UNKNOWN]), now=now):
        _look(rows.select_related("payment").get(), now, gateway)
    return rows.get()


def due(*, now: datetime, limit: int) -> list[int]:
    rows = Refund.objects.filter(state__in=[State.CREATED, State.SENT, State.UNKNOWN])
    return list(calls.due(rows, now=now, limit=limit))


def _send(refund: Refund, now: datetime, gateway: PaymentGateway) -> None:
    notes = {"reference": refund.key, "organisation": str(refund.organisation_id)}
    again = now + calls.wait(refund.attempts)
    try:
        made = gateway.refund(
            payment_id=refund.payment.payment_id, amount_paise=refund.amount_paise, key=refund.key, notes=notes
        )
    except Refused as refusal:
        _fail(refund.pk, calls.words(refusal), now)
    except Unavailable as failure:
        _release(refund, state=State.CREATED, error=calls.words(failure), next_try_at=again)
    except OutcomeUnknown as failure:
        _release(refund, state=State.UNKNOWN, error=calls.words(failure), next_try_at=again)
    else:
        _release(refund, refund_id=str(made.get("id") or "") or None, error={}, next_try_at=again)
        apply_refund(entity=made, now=now)


def _look(refund: Refund, now: datetime, gateway: PaymentGateway) -> None:
    again = now + calls.wait(refund.attempts)
    try:
        found = gateway.payment_refunds(payment_id=refund.payment.payment_id)
    except GatewayFailure as failure:
        return _release(refund, error=calls.words(failure), next_try_at=again)
    mine = next((each for each in found if each.get("receipt") == refund.key), None)
    if mine is None:  # sent again with the same key, under which there can only be one
        return _release(refund, state=State.CREATED, next_try_at=again)
    _release(refund, state=State.SENT, refund_id=str(mine["id"]), next_try_at=again)
    apply_refund(entity=mine, now=now)
    return None


def _release(refund: Refund, **changes: Any) -> None:
    open_rows = Refund.objects.filter(pk=refund.pk, state__in=[State.CREATED, State.SENT, State.UNKNOWN])
    open_rows.update(leased_until=None, **changes)


@transaction.atomic
def apply_refund(*, entity: Entity, now: datetime) -> bool:
    """News of a refund, ours (by its receipt) or one made on the gateway's own pages; False for nobody's payment."""
    key, status = str(entity.get("receipt") or ""), str(entity.get("status") or "")
    refund = Refund.objects.select_for_update(of=("self",)).filter(key=key).first() if key else None
    if refund is None:
        return taking_back.foreign_refund(entity=entity, now=now)
    if refund.state not in {State.CREATED, State.SENT, State.UNKNOWN}:
        return True
    refund.refund_id = str(entity.get("id") or "") or refund.refund_id
    refund.save(update_fields=["refund_id"])
    if status == "failed":
        _fail(refund.pk, {"reason": "failed", "refund": refund.refund_id}, now)
    elif status == "processed":
        _confirm(refund, now)
    return True


def _confirm(refund: Refund, now: datetime) -> None:
    _post(refund, f"refunded:{refund.key}", Leg(PAYABLE, CLEARING, refund.amount_paise, "refund"), now)
    _end(refund, State.CONFIRMED, now)
    publish(
        PaymentReturned(refund.payment_id, refund.organisation_id, refund.amount_paise, f"refund:{refund.key}", now)
    )


@transaction.atomic
def _fail(refund_id: int, error: dict[str, Any], now: datetime) -> None:
    """The money goes back into the wallet, and somebody has to see to it."""
    refund = Refund.objects.select_for_update(of=("self",)).get(pk=refund_id)
    if refund.state not in {State.CREATED, State.SENT, State.UNKNOWN}:
        return
    leg = Leg(PAYABLE, ledger.wallet_code(refund.organisation_id), refund.amount_paise, "refund_failed")
    _post(refund, f"refund-failed:{refund.key}", leg, now)
    refund.error = error
    _end(refund, State.FAILED, now)
    open_exception(
        organisation_id=refund.organisation_id, kind=BillingException.Kind.REFUND_FAILED, reference=refund.key,
        title="A refund did not go through", details=error, amount_paise=refund.amount_paise, at=now,
    )  # fmt: skip
    taking_back.announce(refund.organisation_id)


def _end(refund: Refund, state: str, now: datetime) -> None:
    refund.state, refund.settled_at, refund.next_try_at, refund.leased_until = state, now, None, None
    refund.save()


def _post(refund: Refund, key: str, leg: Leg, now: datetime, actor: str = "system") -> None:
    about = Dimensions(organisation_id=refund.organisation_id)
    ledger.post(entry_key=key, legs=[leg], occurred_at=now, about=about, actor=actor)
