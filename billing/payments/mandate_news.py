"""News of a token moves its mandate: the newest word counts, an end is final, whatever order they come in."""

from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from billing.events import MandateChanged
from billing.gateways.base import Entity
from billing.models import Mandate
from billing.payments import mandate_states, outcomes
from fleetcharge.lib.events import publish


@transaction.atomic
def apply_token(*, entity: Entity, said_at: datetime, now: datetime) -> bool:
    """True when it is a token of ours. `said_at`: the gateway's clock; of two words the later one is believed."""
    mandate = _mandate_of(entity)
    if mandate is None:
        return False
    details = entity.get("recurring_details") or {}
    word = str(details.get("status") or "")
    is_end = mandate_states.after(mandate.state, word) in mandate_states.FINAL
    if mandate.news_at is not None and said_at < mandate.news_at and not is_end:
        return True  # an older word; an end stays an end however late it comes
    _learn(mandate, entity)
    mandate.news_at = max(said_at, mandate.news_at or said_at)
    move(mandate, mandate_states.after(mandate.state, word), reason=str(details.get("failure_reason") or ""), now=now)
    mandate.save()
    return True


def move(mandate: Mandate, state: str, *, reason: str, now: datetime) -> None:
    """Set the state with its dates and tell of it; the caller saves."""
    if state == mandate.state:
        return
    was, mandate.state = mandate.state, Mandate.State(state)
    if state == mandate_states.CONFIRMED:
        mandate.confirmed_at = mandate.confirmed_at or now
    if state in mandate_states.FINAL:
        mandate.ended_at, mandate.end_reason = now, reason[:160]
    is_failing = state in mandate_states.FINAL or (state, was) == (mandate_states.PAUSED, mandate_states.CONFIRMED)
    if is_failing and was in {mandate_states.CONFIRMED, mandate_states.PAUSED}:
        outcomes.alarm(mandate, reason or state, now)  # it was relied on
    else:
        publish(MandateChanged(mandate.pk, mandate.organisation_id, state, False, reason, now))


def _mandate_of(entity: Entity) -> Mandate | None:
    """By its token; the first time by the link that it was made with, or as the only one of its customer."""
    rows = Mandate.objects.select_for_update(of=("self",))
    known = rows.filter(token_id=str(entity.get("id") or "-")).first()
    if known:
        return known
    fresh = rows.filter(token_id=None).exclude(state__in=mandate_states.FINAL)
    link, customer = str(entity.get("invoice_id") or ""), str(entity.get("customer_id") or "")
    if link and (found := fresh.filter(link_id=link).first()):
        return found
    notes = entity.get("notes")
    reference = str(notes.get("reference") or "") if isinstance(notes, dict) else ""
    if reference and (found := fresh.filter(key=reference).first()):
        return found
    of_customer = list(fresh.filter(customer_id=customer)[:2]) if customer else []
    return of_customer[0] if len(of_customer) == 1 else None


def _learn(mandate: Mandate, entity: Entity) -> None:
    mandate.token_id = mandate.token_id or str(entity.get("id") or "") or None
    mandate.customer_id = mandate.customer_id or str(entity.get("customer_id") or "")
    mandate.payer_account = _shortened(entity) or mandate.payer_account
    amount, expires = entity.get("max_amount"), entity.get("expired_at")
    if isinstance(amount, int) and 0 < amount < mandate.max_amount_paise:  # the payer allowed less
        mandate.max_amount_paise = amount
    if isinstance(expires, int) and 0 < expires < 1 << 33:
        mandate.expires_at = datetime.fromtimestamp(expires, UTC)


def _shortened(entity: Entity) -> str:
    vpa: Any = entity.get("vpa")
    if isinstance(vpa, dict) and vpa.get("handle"):
        return f"{str(vpa.get('username') or '')[:3]}...@{vpa['handle']}"[:80]
    return str(entity.get("bank") or "")[:80]
