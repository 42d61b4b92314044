"""Sessions end when they have drawn, or cost, what they may: asked of the charger, for as long as they run on."""

import logging
from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q

from billing.entitlement import bounds_of
from billing.limits import periods, shortfalls, using
from billing.models import AuthorisationDecision, ChargingSession, Hold
from billing.services import holding, tariffs
from fleetcharge.lib.sweeps import survived
from stations.cpo import registry
from stations.cpo.base import CPOError, StopRequest

BOUNDED = Q(session__isnull=False) & (Q(max_energy_wh__isnull=False) | Q(max_paise__isnull=False))
ASKED_EVERY_SECONDS = 120
"""A charger that does not stop is asked again after so long."""

logger = logging.getLogger(__name__)


def stop_exhausted(*, now: datetime, chunk: int = 500) -> int:
    """Ask for the end of every running session whose bound is reached, or, where its fleet wants that, what is held
    for it; how many were asked for.

    Chargers that take limits themselves (OCPP 2.1 transactionLimit) are not even there any more. Outside any
    transaction, as the network is called.
    """
    asked = 0
    for decision in _bounded(chunk):
        with survived("session", decision.session_id):
            asked += (
                is_exhausted(decision, now=now) and _is_bounded_still(decision, now) and _stop(decision.session, now)
            )
    for session, held in shortfalls.to_stop():
        with survived("session", session.pk):
            asked += _is_used_up(session, held, now) and _stop(session, now)
    return asked


def _is_used_up(session: ChargingSession, held: Hold, now: datetime) -> bool:
    """It has cost, or drawn, all that is held for it, and no more of that can be held."""
    left_paise, left_wh = holding.room(held)
    price = _price(session, now)
    has_cost_it = price is not None and price >= held.amount_paise and left_paise == 0
    return has_cost_it or (left_wh == 0 and session.energy_wh >= held.energy_wh)


def _bounded(chunk: int) -> Iterator[AuthorisationDecision]:
    """The last bounded decision of every running session, however many run: two queries for each `chunk` of them."""
    bounded = AuthorisationDecision.objects.filter(BOUNDED, session__state=ChargingSession.State.ACTIVE)
    seen = 0
    while True:
        later = bounded.filter(session_id__gt=seen).order_by("session_id")
        ids = list(later.values_list("session_id", flat=True).distinct()[:chunk])
        if not ids:
            return
        rows = bounded.filter(session_id__in=ids).select_related(
            "session__connector__evse__location__source", "session__connector__tariff", "session__organisation"
        )
        yield from {decision.session_id: decision for decision in rows.order_by("pk")}.values()
        seen = ids[-1]


def of_session(*, charger_id: int, transaction_ref: str) -> tuple[int | None, int | None]:
    """(Wh, paise including GST) that a session may draw and cost; None: no bound."""
    decisions = AuthorisationDecision.objects.filter(
        BOUNDED, session__charger_id=charger_id, session__transaction_ref=transaction_ref
    )
    return decisions.order_by("pk").values_list("max_energy_wh", "max_paise").last() or (None, None)


def is_exhausted(decision: AuthorisationDecision, *, now: datetime) -> bool:
    """By the meter, and by what the session costs up to now at its tariff including GST."""
    session = decision.session
    if session is None:
        return False
    if decision.max_energy_wh is not None and session.energy_wh >= decision.max_energy_wh:
        return True
    if decision.max_paise is None:
        return False
    price = _price(session, now)
    return price is not None and price >= decision.max_paise


def _is_bounded_still(decision: AuthorisationDecision, now: datetime) -> bool:
    """Limits may have been raised or removed while it ran: what they leave it now decides."""
    session = decision.session
    if session is None:
        return False
    place = session.connector.evse.location
    limits = using.applicable(
        organisation_id=session.organisation_id, vehicle_id=session.vehicle_id, driver_id=session.driver_id,
        location_id=place.pk, connector_id=session.connector_id, at=session.started_at,
        zone=periods.zone_of(session.organisation.time_zone),
    )  # fmt: skip
    held = Hold.objects.filter(session_key=f"session:{session.pk}", state=Hold.State.ACTIVE).first()
    own = {each["id"] for each in held.limits.get("usages") or ()} if held else set()
    theirs = [
        limit._replace(used_paise=limit.used_paise - held.amount_paise, used_wh=limit.used_wh - held.energy_wh)
        if held is not None and limit.usage_id in own else limit
        for limit in limits
    ]  # fmt: skip
    decision.max_energy_wh, decision.max_paise = bounds_of(theirs)
    return is_exhausted(decision, now=now)


def _price(session: ChargingSession, now: datetime) -> int | None:
    return tariffs.quote_at(
        connector=session.connector,
        energy_wh=session.energy_wh,
        duration_s=max(0, int((now - session.started_at).total_seconds())),
        at=session.started_at,
        organisation_id=session.organisation_id,
        vehicle_id=session.vehicle_id,
    )


def _stop(session: ChargingSession | None, now: datetime) -> bool:
    """False also for one that has ended since the sweep read it: its plug may be somebody else's by now."""
    stopper = session and registry.stopper_for(session.source)
    if session is None or not stopper or not ChargingSession.objects.active().filter(pk=session.pk).exists():
        return False
    key = f"bound:{session.pk}:{int(now.timestamp()) // ASKED_EVERY_SECONDS}"
    try:
        stopper.stop(StopRequest(session.connector, session.transaction_ref, key, session.source))
    except CPOError as error:
        logger.warning("session %s has used up its limit and cannot be stopped: %s", session.pk, error)
        return False
    return True
