"""Stops without an id may be matched to the wrong one of two sessions at a plug; the later start puts them right."""

from datetime import datetime

from billing.models import BillingException, ChargingSession
from billing.reconstruction import CLOCK_TOLERANCE
from billing.services import corrections, ending, energy, figures
from billing.services.exceptions import withdraw_one
from billing.services.orphans import Stop, stop_in

WHY = "Its stop belongs to the next session at the plug."


def put_right(session: ChargingSession, *, now: datetime, cause: str) -> bool:
    """A session began while another one at its plug seems to have gone on: that one has somebody else's stop.

    When the stop had no id and fits the new session, it moves there, and the older session ends by the stop that was
    refused meanwhile, or as estimated. Otherwise both figures stay and finance is asked. True when a stop moved.
    """
    older = ending.locked().filter(connector_id=session.connector_id, state=ChargingSession.State.ENDED)
    overlapping = older.filter(
        started_at__lt=session.started_at, ended_at__gt=session.started_at + CLOCK_TOLERANCE
    ).order_by("-started_at").first()  # fmt: skip
    if overlapping is None:
        return False
    stop = _stop_of(overlapping)
    has_moved = stop is not None and _is_for(stop, session)
    if has_moved:
        _end_earlier(overlapping, session.started_at, now, cause)
    figures.settle(overlapping, now=now, reason=WHY, cause=cause)
    if stop is not None and has_moved:
        ending.apply_stop(session, stop, received_at=now, cause=cause)
    return has_moved


def _is_for(stop: Stop, session: ChargingSession) -> bool:
    return stop.id_token.lower() == session.id_token_uid.lower() and stop.fits(session)


def _stop_of(session: ChargingSession) -> Stop | None:
    """The stop that ended it, when it had been matched without an id."""
    assert session.ended_at is not None  # noqa: S101 (only ended sessions overlap)
    matched = session.corrections.filter(field="transaction_ref").last()
    if matched is None or session.is_stop_estimated:
        return None
    return Stop(
        session.charger_id or 0, str(matched.before), session.ended_at, session.meter_stop_wh, session.stop_reason,
        session.id_token_uid, None,
    )  # fmt: skip


def _end_earlier(session: ChargingSession, not_after: datetime, now: datetime, cause: str) -> None:
    refused = BillingException.objects.open().filter(
        session=session, kind=BillingException.Kind.CONFLICTING_STOP
    ).first()  # fmt: skip
    stop = stop_in(refused.details) if refused else None
    if refused and stop and stop.ended_at <= not_after:
        withdraw_one(refused, resolution=WHY, at=now)
        values = {"ended_at": stop.ended_at, "meter_stop_wh": stop.meter_stop_wh, "stop_reason": stop.reason}
    else:
        _, last_at = energy.first_and_last_sample_at(session, not_after=not_after)
        ended_at = max(last_at or session.started_at, session.started_at)
        values = {"ended_at": ended_at, "meter_stop_wh": None, "stop_reason": ending.BY_US, "is_stop_estimated": True}
    corrections.apply(session, values, reason=WHY, cause=cause, at=now)
