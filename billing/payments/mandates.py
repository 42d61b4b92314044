"""Mandates: asked for by a link, followed, paused and ended; the whole life but the debits."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from billing.events import MandateChanged, PaymentWorkWaiting
from billing.gateways import choice
from billing.gateways.base import Entity, PaymentGateway
from billing.gateways.errors import GatewayFailure, NotFound, OutcomeUnknown, Refused, Unavailable
from billing.models import Mandate, PaymentRule
from billing.payments import calls, mandate_news, mandate_states, rules
from billing.payments.intents import new_key
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish

State, Call = Mandate.State, Mandate.Call
LINK_LIVES = timedelta(days=7)
LOOK_EVERY = timedelta(hours=12)
LONGEST_YEARS = 30


@transaction.atomic
def start(
    *, organisation_id: int, kind: str, max_amount_paise: int, expires_at: datetime, payer_name: str, payer_email: str,
    payer_contact: str, now: datetime, total_limit_paise: int | None = None, asked_by: User | None = None,
    key: str = "",
) -> Mandate:  # fmt: skip
    """Write down a mandate that the payer shall be asked for; the same `key` again is the same mandate.

    Raises ValueError for what no scheme allows.
    """
    most = rules.value_of(PaymentRule.Name.MANDATE_MAX, kind=kind, on=rules.day_of(now))
    if not max_amount_paise >= 1_00 or (most is not None and max_amount_paise > most):
        raise ValueError("The amount is above what such a mandate may allow.")
    if not now + timedelta(days=2) < expires_at < now + timedelta(days=366 * LONGEST_YEARS):
        raise ValueError("A mandate ends between two days and thirty years from now.")
    mandate, is_new = Mandate.objects.get_or_create(
        key=key or new_key("MD"),
        defaults={
            "organisation_id": organisation_id, "kind": kind, "max_amount_paise": max_amount_paise,
            "total_limit_paise": total_limit_paise, "payer_name": payer_name, "payer_email": payer_email,
            "payer_contact": payer_contact, "expires_at": expires_at, "created_at": now, "next_try_at": now,
            "asked_by": asked_by,
        },
    )  # fmt: skip
    if mandate.organisation_id != organisation_id:
        raise ValueError("This key was used for another mandate.")
    if not is_new:
        return mandate
    audit(
        action="start_mandate", target=mandate, actor=asked_by, organisation=mandate.organisation,
        after={"max_amount_paise": max_amount_paise, "kind": kind},
    )  # fmt: skip
    publish(PaymentWorkWaiting("mandate", mandate.pk))
    return mandate


def work(*, mandate_id: int, now: datetime, gateway: PaymentGateway) -> Mandate:
    """Ask the payer, find out whether we did, or look how the mandate is. Not inside a transaction."""
    rows = Mandate.objects.filter(pk=mandate_id).exclude(state__in=Mandate.FINAL)
    if calls.claim(rows.filter(cancel_asked_at__isnull=False), now=now):
        _end_there(Mandate.objects.get(pk=mandate_id), now, gateway)
    elif calls.claim(rows.filter(call=Call.CREATED), now=now, call=Call.SENT, sent_at=now):
        _send(Mandate.objects.select_related("organisation").get(pk=mandate_id), now, gateway)
    elif calls.claim(rows.filter(call__in=[Call.SENT, Call.UNKNOWN]), now=now):
        _find(Mandate.objects.get(pk=mandate_id), now, gateway)
    elif calls.claim(rows.filter(call=Call.DONE), now=now):
        _refresh(Mandate.objects.get(pk=mandate_id), now, gateway)
    return Mandate.objects.get(pk=mandate_id)


def due(*, now: datetime, limit: int) -> list[int]:
    rows = Mandate.objects.exclude(state__in=Mandate.FINAL).exclude(call=Call.FAILED)
    return list(calls.due(rows, now=now, limit=limit))


def _send(mandate: Mandate, now: datetime, gateway: PaymentGateway) -> None:
    again = now + calls.wait(mandate.attempts)
    try:
        if not mandate.customer_id:
            mandate.customer_id = str(_customer(mandate, gateway)["id"])
            Mandate.objects.filter(pk=mandate.pk).update(customer_id=mandate.customer_id)
        link = gateway.create_registration_link(data=_wanted(mandate, now))
    except Refused as refusal:
        if refusal.said.field == "receipt":  # it is there from an earlier time
            return _set(mandate, call=Call.UNKNOWN, error=calls.words(refusal), next_try_at=now)
        return _set(mandate, call=Call.FAILED, error=calls.words(refusal), next_try_at=None)
    except Unavailable as failure:
        return _set(mandate, call=Call.CREATED, error=calls.words(failure), next_try_at=again)
    except OutcomeUnknown as failure:
        return _set(mandate, call=Call.UNKNOWN, error=calls.words(failure), next_try_at=again)
    return _has_link(mandate, link, now)


def _customer(mandate: Mandate, gateway: PaymentGateway) -> Entity:
    return gateway.create_customer(
        name=mandate.payer_name, email=mandate.payer_email, contact=mandate.payer_contact,
        notes={"organisation": str(mandate.organisation_id)},
    )  # fmt: skip


def _wanted(mandate: Mandate, now: datetime) -> dict[str, Any]:
    """UPI: no amount now. A monthly mandate would allow one debit a month, so it is `as_presented`."""
    registration: dict[str, Any] = {
        "method": mandate.kind, "max_amount": mandate.max_amount_paise,
        "expire_at": int(mandate.expires_at.timestamp()),
    }  # fmt: skip
    if mandate.kind == Mandate.Kind.UPI:
        registration["frequency"] = mandate.frequency
    else:
        registration["auth_type"] = "physical" if mandate.kind == Mandate.Kind.NACH else "netbanking"
    return {
        "customer": {
            "name": mandate.payer_name, "email": mandate.payer_email, "contact": mandate.payer_contact,
        },
        "type": "link", "amount": 0 if mandate.kind != Mandate.Kind.UPI else 100, "currency": "INR",
        "description": f"FleetCharge top-ups of {mandate.organisation.name}"[:100], "receipt": mandate.key,
        "subscription_registration": registration, "email_notify": True, "sms_notify": True,
        "expire_by": int((now + LINK_LIVES).timestamp()), "notes": {"reference": mandate.key},
    }  # fmt: skip


def _find(mandate: Mandate, now: datetime, gateway: PaymentGateway) -> None:
    again = now + calls.wait(mandate.attempts)
    try:
        link = gateway.find_registration_link(receipt=mandate.key)
    except GatewayFailure as failure:
        return _set(mandate, error=calls.words(failure), next_try_at=again)
    if link is None:
        return _set(mandate, call=Call.CREATED, next_try_at=again)  # the receipt is unique there
    return _has_link(mandate, link, now)


@transaction.atomic
def _has_link(mandate: Mandate, link: Entity, now: datetime) -> None:
    fresh = Mandate.objects.select_for_update().get(pk=mandate.pk)
    fresh.call, fresh.error, fresh.leased_until = Call.DONE, {}, None
    fresh.link_id, fresh.link_url = str(link.get("id") or ""), choice.absolute(str(link.get("short_url") or ""))[:300]
    fresh.customer_id = str(link.get("customer_id") or fresh.customer_id)
    fresh.next_try_at = now + LOOK_EVERY
    if fresh.state == State.DRAFT:
        fresh.state = State.LINK_SENT
        publish(MandateChanged(fresh.pk, fresh.organisation_id, fresh.state, False, "", now))
    fresh.save()


def _refresh(mandate: Mandate, now: datetime, gateway: PaymentGateway) -> None:
    """What webhooks may have missed: the token as it is now; and time, which needs no gateway."""
    try:
        token = _token(mandate, gateway)
    except GatewayFailure as failure:
        _set(mandate, error=calls.words(failure), next_try_at=now + LOOK_EVERY)
    else:
        _set(mandate, error={}, next_try_at=now + LOOK_EVERY)
        if token is not None:
            mandate_news.apply_token(entity=token, said_at=now, now=now)
    end_if_over(mandate_id=mandate.pk, now=now)


def _token(mandate: Mandate, gateway: PaymentGateway) -> Entity | None:
    if mandate.token_id:
        try:
            return gateway.fetch_token(customer_id=mandate.customer_id, token_id=mandate.token_id)
        except NotFound:  # the gateway forgets cancelled ones
            return {"id": mandate.token_id, "recurring_details": {"status": "cancelled"}}
    tokens = gateway.tokens_of(customer_id=mandate.customer_id) if mandate.customer_id else []
    return next((each for each in tokens if each.get("invoice_id") == mandate.link_id), None)


@transaction.atomic
def end_if_over(*, mandate_id: int, now: datetime) -> bool:
    """Time ends a mandate, and a link that nobody followed."""
    mandate = Mandate.objects.select_for_update().get(pk=mandate_id)
    is_unused = mandate.token_id is None and mandate.state in {State.DRAFT, State.LINK_SENT}
    is_stale = is_unused and mandate.created_at + LINK_LIVES < now
    if mandate.is_over or not (mandate.expires_at <= now or is_stale):
        return False
    mandate_news.move(mandate, State.EXPIRED, reason="Its time is over." if not is_stale else "Never allowed.", now=now)
    mandate.next_try_at = mandate.leased_until = None
    mandate.save()
    return True


@transaction.atomic
def cancel(*, mandate_id: int, actor: User | None, reason: str, now: datetime, actor_label: str = "") -> Mandate:
    """No debit begins any more; the worker ends it at the gateway and then here. Raises Conflict when it is over."""
    mandate = Mandate.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=mandate_id)
    if mandate.is_over:
        raise Conflict("This mandate is over already.", code="mandate_over")
    if mandate.cancel_asked_at is None:
        mandate.cancel_asked_at, mandate.end_reason = now, reason[:160]
        mandate.next_try_at = now
        mandate.save(update_fields=["cancel_asked_at", "end_reason", "next_try_at"])
        audit(
            action="cancel_mandate", target=mandate, actor=actor, actor_label=actor_label, reason=reason,
            organisation=mandate.organisation,
        )  # fmt: skip
        publish(PaymentWorkWaiting("mandate", mandate.pk))
    return mandate


@transaction.atomic
def rest(
    *, mandate_id: int, is_resting: bool, actor: User | None, reason: str, now: datetime, actor_label: str = ""
) -> Mandate:
    """Begin no debits until it is resumed, or resume it; the payer's bank hears nothing. Twice is once.

    Raises Conflict when it is over.
    """
    mandate = Mandate.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=mandate_id)
    if mandate.is_over:
        raise Conflict("This mandate is over already.", code="mandate_over")
    if (mandate.rests_since is not None) != is_resting:
        mandate.rests_since = now if is_resting else None
        mandate.save(update_fields=["rests_since"])
        audit(
            action="pause_mandate" if is_resting else "resume_mandate", target=mandate, actor=actor,
            actor_label=actor_label, reason=reason, organisation=mandate.organisation,
        )  # fmt: skip
    return mandate


def _end_there(mandate: Mandate, now: datetime, gateway: PaymentGateway) -> None:
    """Asking twice is harmless: what is cancelled there is refused or not found, and over here."""
    try:
        if mandate.token_id:
            _cancel_token(mandate, gateway)
    except GatewayFailure as failure:
        return _set(mandate, error=calls.words(failure), next_try_at=now + calls.wait(mandate.attempts))
    return _is_cancelled(mandate, now)


def _cancel_token(mandate: Mandate, gateway: PaymentGateway) -> None:
    """Raises Refused when it is refused and the token is in force all the same."""
    try:
        gateway.cancel_token(customer_id=mandate.customer_id, token_id=mandate.token_id or "")
    except NotFound:
        return
    except Refused:
        details = (_token(mandate, gateway) or {}).get("recurring_details") or {}
        if mandate_states.after(mandate.state, str(details.get("status") or "")) not in mandate_states.FINAL:
            raise


@transaction.atomic
def _is_cancelled(mandate: Mandate, now: datetime) -> None:
    fresh = Mandate.objects.select_for_update().get(pk=mandate.pk)
    if not fresh.is_over:
        fresh.state, fresh.ended_at, fresh.error = State.CANCELLED, now, {}
        publish(MandateChanged(fresh.pk, fresh.organisation_id, fresh.state, False, fresh.end_reason, now))
    fresh.next_try_at = fresh.leased_until = None
    fresh.save()


def _set(mandate: Mandate, **changes: Any) -> None:
    Mandate.objects.filter(pk=mandate.pk).update(leased_until=None, **changes)
