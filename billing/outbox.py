"""What integrators are told of sessions, their price, and the wallet."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.events import CDRCaptured, SessionEnded, SessionMetered, SessionStarted, WalletChanged
from billing.models import CDR, ChargingSession, Wallet
from billing.notices import writing
from billing.notices.models import Letter
from billing.services.low_wallets import became_low
from fleetcharge.lib.events import record, record_many
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.outbox import Fact, tell, tell_many


@record(SessionStarted)
def tell_of_a_start(event: SessionStarted) -> None:
    _tell_of_session(catalogue.SESSION_STARTED, event)


@record(SessionEnded)
def tell_of_an_end(event: SessionEnded) -> None:
    _tell_of_session(catalogue.SESSION_ENDED, event)


def _tell_of_session(event_type: str, event: SessionStarted | SessionEnded) -> None:
    tell(
        event_type,
        organisation_id=event.organisation_id,
        fact=lambda: Fact(event.organisation_id, event.session_id, event.at, session_data(_session(event.session_id))),
    )


@record(SessionMetered)
def tell_how_it_goes(event: SessionMetered) -> None:
    """After the batch of meter values was committed; what a crash loses here, the next minute says."""
    asked = listeners.of(catalogue.SESSION_UPDATED)
    if asked and (fresh := _pace.take(reading[0] for reading in event.readings)):
        tell_many(catalogue.SESSION_UPDATED, facts=lambda: _running(fresh, asked))


@record_many(CDRCaptured)
def tell_of_prices(events: tuple[CDRCaptured, ...]) -> None:
    asked = listeners.of(catalogue.CDR_CREATED)
    if heard := [event for event in events if event.organisation_id in asked]:
        tell_many(catalogue.CDR_CREATED, facts=lambda: _priced(heard))


@record(WalletChanged)
def tell_of_little_money(event: WalletChanged) -> None:
    """Integrators, owners and finance: once, until there was enough again."""
    if not event.may_warn:
        return
    now = timezone.now()
    low = became_low(organisation_id=event.organisation_id, available_paise=event.available_paise, now=now)
    if low is None:
        return
    data = {
        "available_paise": event.available_paise, "posted_paise": event.posted_paise, "held_paise": event.held_paise,
        "low_threshold_paise": low.low_threshold_paise,
    }  # fmt: skip
    key = low.since.isoformat()
    with transaction.atomic():
        writing.write(organisation_id=event.organisation_id, kind=Letter.Kind.WALLET_LOW, key=key, facts=data, now=now)
        tell(
            catalogue.WALLET_LOW, organisation_id=event.organisation_id,
            fact=lambda: Fact(event.organisation_id, key, now, {**data, "currency": _currency(event)}),
        )  # fmt: skip


# --- what is said -------------------------------------------------------------------------------------------------


def session_data(session: ChargingSession) -> dict[str, Any]:
    location, vehicle = session.connector.evse.location, session.vehicle
    return {
        "id": session.pk,
        "transaction_ref": session.transaction_ref,
        "state": session.state,
        "quality": session.quality,
        "connector": session.connector.public_id,
        "location": location.public_id,
        "location_name": location.name,
        "vehicle": {"id": vehicle.pk, "registration": vehicle.registration} if vehicle else None,
        "driver": session.driver.name if session.driver else None,
        "id_token": session.id_token_uid,
        "authorisation_reason": session.authorisation_reason,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "stop_reason": session.stop_reason,
        "energy_wh": session.energy_wh,
        "power_w": session.power_w,
        "soc_percent": session.soc_percent,
    }


_SESSIONS = ChargingSession.objects.select_related("vehicle", "driver", "connector__evse__location")


def _session(session_id: int) -> ChargingSession:
    return _SESSIONS.get(pk=session_id)


def _running(session_ids: list[int], asked: frozenset[int]) -> Iterator[Fact]:
    for session in _SESSIONS.filter(pk__in=session_ids, organisation_id__in=asked).order_by("pk"):
        at = session.metered_at or session.started_at
        yield Fact(session.organisation_id, f"{session.pk}:{_pace.interval()}", at, session_data(session))


class _Pace:
    """At most one message per session and interval; the outbox's unique key has the last word between processes."""

    def __init__(self) -> None:
        self._interval, self._said = 0, set[int]()

    def interval(self) -> int:
        return int(time.time() // max(1, settings.WEBHOOK_SESSION_SECONDS))

    def take(self, session_ids: Iterable[int]) -> list[int]:
        """Those that nobody was told of in this interval."""
        if self._interval != (now := self.interval()):
            self._interval, self._said = now, set()
        fresh = [session_id for session_id in session_ids if session_id not in self._said]
        self._said.update(fresh)
        return fresh


_pace = _Pace()


def _priced(events: Sequence[CDRCaptured]) -> Iterator[Fact]:
    cdrs = CDR.objects.in_bulk([event.cdr_id for event in events])
    for event in events:
        yield _price_of(cdrs[event.cdr_id], event)


def _price_of(cdr: CDR, event: CDRCaptured) -> Fact:
    data = {
        "id": cdr.pk,
        "session": cdr.session_id,
        "started_at": cdr.started_at,
        "ended_at": cdr.ended_at,
        "energy_wh": cdr.energy_wh,
        "charging_seconds": cdr.charging_seconds,
        "idle_seconds": cdr.idle_seconds,
        "currency": cdr.currency,
        "taxable_paise": cdr.taxable_paise,
        "cgst_paise": cdr.cgst_paise,
        "sgst_paise": cdr.sgst_paise,
        "igst_paise": cdr.igst_paise,
        "tax_paise": cdr.tax_paise,
        "total_paise": cdr.total_paise,
        "receivable_paise": event.receivable_paise,
        "explanation": cdr.explanation,
    }
    return Fact(event.organisation_id, cdr.pk, cdr.captured_at or cdr.ended_at, data)


def _currency(event: WalletChanged) -> str:
    return Wallet.objects.values_list("account__currency", flat=True).get(organisation_id=event.organisation_id)
