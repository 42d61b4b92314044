"""Samples that named no transaction and came before their session was known become its own when it is."""

from django.db.models import F, Q, QuerySet

from billing.models import ChargingSession, MeterValue
from billing.reconstruction import CLOCK, END, is_possible


def adopt(session: ChargingSession) -> int:
    """Take the samples of its EVSE and time that belong to nobody; returns how many.

    And those that were given to the session before, while that one seemed to go on. The caller saves the session.
    """
    here = _of_its_time(session)
    count = here.filter(transaction_ref="").update(transaction_ref=session.transaction_ref)
    if before := _session_before(session):
        until = before.revised_at  # what came after its end was booked names it on purpose
        misplaced = here.filter(transaction_ref=before.transaction_ref, sequence=None).exclude(context=END)
        moved = misplaced.filter(Q() if until is None else Q(received_at__lte=until)).update(
            transaction_ref=session.transaction_ref
        )
        count += moved
        if moved and before.state == ChargingSession.State.ENDED:
            ChargingSession.objects.filter(pk=before.pk).update(needs_revision=True)
    if count and session.state == ChargingSession.State.ACTIVE:
        _show_newest(session)
    return count


def _of_its_time(session: ChargingSession) -> QuerySet[MeterValue]:
    """Until it ended, or the next session began at its EVSE. Sample.Clock is of the plug, not of a session."""
    evse = session.connector.evse
    rows = MeterValue.objects.filter(
        charger_id=session.charger_id or 0, evse_number=evse.evse_number, at__gte=session.started_at
    )
    later = _at_its_evse(session).filter(started_at__gt=session.started_at)
    next_at = later.order_by("started_at").values_list("started_at", flat=True).first()
    if next_at is not None:
        rows = rows.filter(at__lt=next_at)
    if session.ended_at is not None:
        rows = rows.filter(at__lte=session.ended_at)
    return rows.exclude(context=CLOCK)


def _session_before(session: ChargingSession) -> ChargingSession | None:
    earlier = _at_its_evse(session).filter(charger_id=session.charger_id or 0, started_at__lt=session.started_at)
    return earlier.order_by("-started_at").first()


def _at_its_evse(session: ChargingSession) -> QuerySet[ChargingSession]:
    others = ChargingSession.objects.filter(connector__evse_id=session.connector.evse_id).exclude(pk=session.pk)
    return others.exclude(state=ChargingSession.State.INVALID)


def _show_newest(session: ChargingSession) -> None:
    """The running figures; its end looks at every sample."""
    own = MeterValue.objects.filter(charger_id=session.charger_id or 0, transaction_ref=session.transaction_ref)
    newest = own.filter(energy_wh__isnull=False).order_by(F("at").desc()).first()
    if newest is None or newest.energy_wh is None or session.meter_start_wh is None:
        return
    drawn_wh = newest.energy_wh - session.meter_start_wh
    seconds = (newest.at - session.started_at).total_seconds()
    if drawn_wh > session.energy_wh and is_possible(drawn_wh, seconds, session.connector.max_power_w):
        session.energy_wh, session.meter_last_wh, session.metered_at = drawn_wh, newest.energy_wh, newest.at
