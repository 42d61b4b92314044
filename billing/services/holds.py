"""Holds while charging: enough money set aside for what is being drawn, and nobody charges for ever unseen."""

from datetime import datetime

from django.db import connection
from django.db.models import Q

from billing.limits import shortfalls
from billing.models import BillingException, ChargingSession, Hold
from billing.services import holding, tariffs, wallets
from billing.services.exceptions import open_exception
from billing.services.wallets import hold_key
from fleetcharge.lib.sweeps import survived

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

    What cannot be raised is the fleet's to decide about (`shortfalls`); the capture books what is missing in the end.
    """
    raised, last_id = 0, 0
    active = ChargingSession.objects.active().select_related("connector__tariff", "connector__evse__location")
    while sessions := list(active.filter(pk__gt=last_id).order_by("pk")[:chunk]):
        raised += _extend(sessions, now)
        last_id = sessions[-1].pk
    return raised


def _extend(sessions: list[ChargingSession], now: datetime) -> int:
    running = {hold_key(session.pk): session for session in sessions}
    grown = []
    for hold in Hold.objects.filter(session_key__in=running, state=Hold.State.ACTIVE).select_related("wallet"):
        session = running[hold.session_key]
        with survived("session", session.pk):
            if _has_grown(session, hold, now):
                grown.append(session.pk)
    shortfalls.withdraw(session_ids=grown, now=now)
    return len(grown)


def _has_grown(session: ChargingSession, hold: Hold, now: datetime) -> bool:
    price = _price_paise(session, now)
    more = _missing(price, hold.amount_paise), _missing(session.energy_wh, hold.energy_wh) if hold.limits else 0
    if not any(more):
        return False
    has_grown = _grow(hold, *more, now)
    if not has_grown:
        shortfalls.report(session=session, hold=hold, price_paise=price or 0, now=now)
    return has_grown


def _grow(hold: Hold, paise: int, wh: int, now: datetime) -> bool:
    """Both in full; else as much of each as there is, and False."""
    if wallets.extend(session_key=hold.session_key, extra_paise=paise, extra_wh=wh, now=now):
        return True
    left_paise, left_wh = holding.room(hold)
    least_wh = wh if left_wh is None else min(wh, left_wh)
    wallets.extend(session_key=hold.session_key, extra_paise=min(paise, left_paise), extra_wh=least_wh, now=now)
    return False


def _missing(used: int | None, held: int) -> int:
    """How much more to hold when 80 % are used: half as much again as is used."""
    if used is None or used * 100 < held * EXTEND_AT_PERCENT:
        return 0
    return max(0, used * EXTEND_BY_PERCENT // 100 - held)


def release_settled(*, now: datetime) -> int:
    """Give back what is held for sessions that are charged already: a start may come again at that very moment."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLED)
        keys = [key for (key,) in cursor.fetchall()]
    return sum(wallets.release(session_key=key, now=now) for key in keys)


def report_never_ended(*, now: datetime) -> int:
    """Held money is never released silently: a session past its hold's life goes to finance, and keeps the hold.

    It charges for ever, or its network has sent no record since it ended.
    """
    expired = Hold.objects.filter(state=Hold.State.ACTIVE, expires_at__lt=now).values_list("session_key", flat=True)
    ids = [int(key.partition(":")[2]) for key in expired if key.startswith("session:")]
    without_record = Q(state=ChargingSession.State.ENDED, cdr=None)
    stuck = list(ChargingSession.objects.filter(Q(state=ChargingSession.State.ACTIVE) | without_record, pk__in=ids))
    for session in stuck:
        _report_stuck(session, now)
    return len(stuck)


def _report_stuck(session: ChargingSession, now: datetime) -> None:
    is_running = session.state == ChargingSession.State.ACTIVE
    open_exception(
        organisation_id=session.organisation_id,
        kind=BillingException.Kind.NEVER_ENDED,
        session_id=session.pk,
        title="No stop was ever reported for this session" if is_running else "The network has sent no record of it",
        details={"started_at": session.started_at.isoformat(), "energy_wh": session.energy_wh},
        at=now,
    )


def _price_paise(session: ChargingSession, now: datetime) -> int | None:
    return tariffs.quote_at(
        connector=session.connector,
        energy_wh=session.energy_wh,
        duration_s=max(0, int((now - session.started_at).total_seconds())),
        at=session.started_at,
        organisation_id=session.organisation_id,
        vehicle_id=session.vehicle_id,
    )
