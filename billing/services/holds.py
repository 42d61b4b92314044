"""Holds while charging: enough money set aside for what is being drawn, and nobody charges for ever unseen."""

from datetime import datetime

from django.db import connection

from billing.models import BillingException, ChargingSession, Hold
from billing.services import tariffs, wallets
from billing.services.exceptions import open_exception
from billing.services.wallets import hold_key
from stations.models import Connector

EXTEND_AT_PERCENT = 80
EXTEND_BY_PERCENT = 150
_SETTLED = """
SELECT h.session_key FROM billing_hold h
JOIN billing_cdr c ON c.captured_at IS NOT NULL
    AND c.session_id = CASE WHEN h.session_key ~ '^session:[0-9]{1,18}$' THEN substr(h.session_key, 9)::bigint END
WHERE h.state = 'active'
"""


def extend_running(*, now: datetime, chunk: int = 1_000) -> int:
    """Raise the holds of all running sessions that used up most of theirs; returns how many were raised.

    A refusal is no reason to stop the vehicle here: the capture books the shortfall and finance sees it.
    """
    raised, last_id = 0, 0
    active = ChargingSession.objects.active().select_related("connector__tariff", "connector__evse__location")
    while sessions := list(active.filter(pk__gt=last_id).order_by("pk")[:chunk]):
        raised += _extend(sessions, now)
        last_id = sessions[-1].pk
    return raised


def _extend(sessions: list[ChargingSession], now: datetime) -> int:
    running = {hold_key(session.pk): session for session in sessions}
    raised = 0
    for hold in Hold.objects.filter(session_key__in=running, state=Hold.State.ACTIVE):
        missing = _missing_paise(running[hold.session_key], hold, now)
        raised += missing > 0 and wallets.extend(session_key=hold.session_key, extra_paise=missing, now=now)
    return raised


def release_settled(*, now: datetime) -> int:
    """Give back what is held for sessions that are charged already: a start may come again at that very moment."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLED)
        keys = [key for (key,) in cursor.fetchall()]
    return sum(wallets.release(session_key=key, now=now) for key in keys)


def report_never_ended(*, now: datetime) -> int:
    """Held money is never released silently: a session past its hold's life goes to finance, and keeps the hold."""
    expired = Hold.objects.filter(state=Hold.State.ACTIVE, expires_at__lt=now).values_list("session_key", flat=True)
    ids = [int(key.partition(":")[2]) for key in expired[:1_000] if key.startswith("session:")]
    stuck = list(ChargingSession.objects.active().filter(pk__in=ids))
    for session in stuck:
        open_exception(
            organisation_id=session.organisation_id,
            kind=BillingException.Kind.NEVER_ENDED,
            session_id=session.pk,
            title="No stop was ever reported for this session",
            details={"started_at": session.started_at.isoformat(), "energy_wh": session.energy_wh},
            at=now,
        )
    return len(stuck)


def _missing_paise(session: ChargingSession, hold: Hold, now: datetime) -> int:
    connector: Connector = session.connector
    price = tariffs.quote_at(
        connector=connector,
        energy_wh=session.energy_wh,
        duration_s=max(0, int((now - session.started_at).total_seconds())),
        at=session.started_at,
        organisation_id=session.organisation_id,
        vehicle_id=session.vehicle_id,
    )
    if price is None or price * 100 < hold.amount_paise * EXTEND_AT_PERCENT:
        return 0
    return price * EXTEND_BY_PERCENT // 100 - hold.amount_paise
