"""UPI QR codes and bank account numbers of an organisation: opened once, paid into for as long as they live."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from billing.events import PaymentWorkWaiting
from billing.gateways.base import Entity, PaymentGateway
from billing.gateways.errors import GatewayFailure, OutcomeUnknown, Refused, Unavailable
from billing.models import PaymentReceiver
from billing.payments import applying, calls
from billing.payments.intents import LEAST_PAISE, MOST_PAISE, new_key
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish

State, Kind = PaymentReceiver.State, PaymentReceiver.Kind
CODE_LIVES = timedelta(hours=2)
POLL_EVERY = timedelta(hours=6)  # webhooks are quicker; this finds what they missed


@transaction.atomic
def open_qr(*, organisation_id: int, amount_paise: int | None, now: datetime, key: str = "") -> PaymentReceiver:
    """A code for one payment of this amount, or (None) for any amount, any number of times.

    The same `key` again is the same code. Raises ValueError for an amount that no gateway takes.
    """
    if amount_paise is not None and not LEAST_PAISE <= amount_paise <= MOST_PAISE:
        raise ValueError("A top-up is between ₹1 and ₹5 crore.")
    closes_at = now + CODE_LIVES if amount_paise else None
    receiver, is_new = PaymentReceiver.objects.get_or_create(
        key=key or new_key("QR"),
        defaults={
            "organisation_id": organisation_id, "kind": Kind.QR, "amount_paise": amount_paise, "created_at": now,
            "closes_at": closes_at, "next_try_at": now,
        },
    )  # fmt: skip
    if (receiver.organisation_id, receiver.kind, receiver.amount_paise) != (organisation_id, Kind.QR, amount_paise):
        raise ValueError("This key was used for something else.")
    if is_new:
        publish(PaymentWorkWaiting("receiver", receiver.pk))
    return receiver


def open_virtual_account(
    *, organisation_id: int, now: datetime, allowed_payers: Sequence[dict[str, str]] = ()
) -> PaymentReceiver:
    """An account number for NEFT, RTGS and IMPS; from `allowed_payers` ({account_number, ifsc}) only, or anybody.

    Raises Conflict when there is one already.
    """
    try:
        with transaction.atomic():
            receiver = PaymentReceiver.objects.create(
                key=new_key("VA"), organisation_id=organisation_id, kind=Kind.VIRTUAL_ACCOUNT, created_at=now,
                allowed_payers=list(allowed_payers), next_try_at=now,
            )  # fmt: skip
            publish(PaymentWorkWaiting("receiver", receiver.pk))
            return receiver
    except IntegrityError as error:
        raise Conflict("There is an account for bank transfers already.", code="already_open") from error


def work(*, receiver_id: int, now: datetime, gateway: PaymentGateway) -> PaymentReceiver:
    """Open it, find out whether it is open, or look what was paid into it. Not inside a transaction."""
    rows = PaymentReceiver.objects.filter(pk=receiver_id)
    if calls.claim(rows.filter(state=State.CREATED), now=now, state=State.SENT, sent_at=now):
        _open(rows.get(), now, gateway)
    elif calls.claim(rows.filter(state__in=[State.SENT, State.UNKNOWN]), now=now):
        _find(rows.get(), now, gateway)
    elif calls.claim(rows.filter(state=State.ACTIVE), now=now):
        _poll(rows.get(), now, gateway)
    return rows.get()


def due(*, now: datetime, limit: int) -> list[int]:
    rows = PaymentReceiver.objects.exclude(state__in=[State.CLOSED, State.FAILED])
    return list(calls.due(rows, now=now, limit=limit))


def closed(*, gateway_id: str, now: datetime) -> None:
    """The gateway says that it takes no more money; what is on its way is still credited."""
    rows = PaymentReceiver.objects.filter(gateway_id=gateway_id, state=State.ACTIVE)
    rows.update(state=State.CLOSED, closed_at=now, next_try_at=None, leased_until=None)


def _open(receiver: PaymentReceiver, now: datetime, gateway: PaymentGateway) -> None:
    organisation = Organisation.objects.get(pk=receiver.organisation_id)
    notes = {"reference": receiver.key, "organisation": str(organisation.pk)}
    try:
        if receiver.kind == Kind.QR:
            closes = int(receiver.closes_at.timestamp()) if receiver.closes_at else None
            made = gateway.create_qr(
                name=organisation.name[:40], amount_paise=receiver.amount_paise, close_by=closes, notes=notes
            )
        else:
            made = gateway.create_virtual_account(
                name=organisation.name[:40], notes=notes, allowed_payers=receiver.allowed_payers
            )
    except Refused as refusal:
        _set(receiver, state=State.FAILED, error=calls.words(refusal), next_try_at=None)
    except Unavailable as failure:
        again = now + calls.wait(receiver.attempts)
        _set(receiver, state=State.CREATED, error=calls.words(failure), next_try_at=again)
    except OutcomeUnknown as failure:
        again = now + calls.wait(receiver.attempts)
        _set(receiver, state=State.UNKNOWN, error=calls.words(failure), next_try_at=again)
    else:
        _is_open(receiver, made, now)


def _find(receiver: PaymentReceiver, now: datetime, gateway: PaymentGateway) -> None:
    look = gateway.find_qr if receiver.kind == Kind.QR else gateway.find_virtual_account
    again = now + calls.wait(receiver.attempts)
    try:
        made = look(reference=receiver.key)
    except GatewayFailure as failure:
        return _set(receiver, error=calls.words(failure), next_try_at=again)
    if made is None:  # a second empty one would hurt nobody: money is only moved by the payer
        return _set(receiver, state=State.CREATED, next_try_at=again)
    return _is_open(receiver, made, now)


def _poll(receiver: PaymentReceiver, now: datetime, gateway: PaymentGateway) -> None:
    gateway_id = receiver.gateway_id or ""
    try:
        if receiver.kind == Kind.QR:
            found = gateway.qr_payments(qr_id=gateway_id)
        else:
            found = gateway.virtual_account_payments(account_id=gateway_id)
    except GatewayFailure as failure:
        return _set(receiver, error=calls.words(failure), next_try_at=now + POLL_EVERY)
    for payment in found:
        applying.apply_payment(entity=payment, now=now, receiver=gateway_id)
    is_over = receiver.closes_at is not None and now > receiver.closes_at
    state = State.CLOSED if is_over else State.ACTIVE
    return _set(
        receiver, state=state, error={}, closed_at=now if is_over else None,
        next_try_at=None if is_over else _next_poll(receiver, now),
    )  # fmt: skip


def _is_open(receiver: PaymentReceiver, made: Entity, now: datetime) -> None:
    _set(
        receiver, state=State.ACTIVE, gateway_id=str(made["id"]), details=_details(made), error={},
        next_try_at=_next_poll(receiver, now),
    )  # fmt: skip


def _next_poll(receiver: PaymentReceiver, now: datetime) -> datetime:
    soon = now + POLL_EVERY
    return min(soon, receiver.closes_at + timedelta(minutes=5)) if receiver.closes_at else soon


def _details(made: Entity) -> dict[str, Any]:
    accounts = [each for each in made.get("receivers") or [] if isinstance(each, dict)]
    if accounts:
        return {name: accounts[0].get(name) for name in ("account_number", "ifsc", "name")}
    return {name: made.get(name) for name in ("image_url", "image_content") if made.get(name)}


def _set(receiver: PaymentReceiver, **changes: Any) -> None:
    """Written by whoever has the lease; a code closed meanwhile stays closed."""
    rows = PaymentReceiver.objects.filter(pk=receiver.pk).exclude(state=State.CLOSED)
    rows.update(leased_until=None, **changes)
