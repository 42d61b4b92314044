"""A station that counts anew names a new transaction as an old one (OCPP 2.x): the old session gives the name up."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from billing.models import BillingException, ChargingSession, MeterValue, SessionMessage
from billing.reconstruction import CLOCK_TOLERANCE
from billing.services import corrections
from billing.services.exceptions import withdraw_one
from billing.services.orphans import REPEATED_FOR, Stop, stop_in
from stations.models import Charger

if TYPE_CHECKING:
    from billing.services.starting import Start

FIELD = "reused_transaction_ref"
WHY = "The station gave its transaction id to another session."


def is_another(known: ChargingSession, start: "Start", sequence: int | None) -> bool:
    """Is this the start of another session than the one we know by its name? A repeat has the time of the first.

    A running session is only given up for another token, or where the station has begun to count anew since: it has
    booted, or `sequence` (seqNo) is below what came before. Where time proves nothing, token or register have to. A
    start with the register of the first, which has moved on since, is that one for a week, whatever a clock says that
    was set.
    """
    if start.transaction_ref is None or not (start.is_reported and known.is_start_reported):
        return False
    if start.started_at <= (known.ended_at or known.started_at) + CLOCK_TOLERANCE:
        return False
    if start.id_token and known.id_token_uid and start.id_token.lower() != known.id_token_uid.lower():
        return True
    if _has_moved_on_from(known, start):
        return False
    registers = start.meter_start_wh, known.meter_start_wh
    has_other_register = known.is_meter_start_reported and None not in registers and registers[0] != registers[1]
    if known.state == ChargingSession.State.ENDED:
        return not start.is_time_ours or has_other_register
    has_proven_time = not (start.is_time_ours or known.is_time_ours)
    return has_proven_time and (_has_booted_since(known, start) or _counts_anew(known, start, sequence))


def _has_moved_on_from(known: ChargingSession, start: "Start") -> bool:
    """0 proves nothing: many registers count every session from there. Nor does a session that is long known."""
    register_wh = start.meter_start_wh
    if not register_wh or known.created_at <= start.received_at - REPEATED_FOR:
        return False
    is_its_start = known.is_meter_start_reported and known.meter_start_wh == register_wh
    return is_its_start and (known.meter_last_wh or 0) > register_wh


def _has_booted_since(known: ChargingSession, start: "Start") -> bool:
    """By our clock on both sides, as a boot has no time of its own."""
    boots = Charger.objects.filter(pk=start.charger_id, last_boot_at__lte=start.received_at)
    return boots.filter(last_boot_at__gt=known.created_at).exists()


def _counts_anew(known: ChargingSession, start: "Start", sequence: int | None) -> bool:
    """A station that leaves every seqNo at 0 proves nothing."""
    if sequence is None:
        return False
    before = {
        "charger_id": start.charger_id, "transaction_ref": known.transaction_ref, "at__lt": start.started_at,
        "sequence__gt": sequence,
    }  # fmt: skip
    return any(rows.filter(**before).exists() for rows in (SessionMessage.objects, MeterValue.objects))


@transaction.atomic
def make_room(known: ChargingSession, start: "Start", cause: str) -> None:
    """The known session gets a name of our own, with all that was said in its time; audited."""
    session = ChargingSession.objects.select_for_update(no_key=True).get(pk=known.pk)
    said, mark = session.transaction_ref, f"~{session.pk}"
    if said != start.transaction_ref:  # somebody else was first
        return
    session.transaction_ref = said[: 36 - len(mark)] + mark
    session.start_key = session.start_key[: 64 - len(mark)] + mark
    session.save(update_fields=["transaction_ref", "start_key"])
    change = {FIELD: (said, session.transaction_ref)}
    corrections.record(session, change, reason=WHY, cause=cause, at=start.received_at)
    older = {"charger_id": session.charger_id, "transaction_ref": said, "at__lt": start.started_at}
    for rows in (MeterValue.objects, SessionMessage.objects):
        rows.filter(**older).update(transaction_ref=session.transaction_ref)


def named_before(session: ChargingSession, at: datetime) -> int | None:
    """The session that had this one's name at an instant well before its start; None: there was none."""
    if not session.is_start_reported or at >= session.started_at - CLOCK_TOLERANCE:
        return None
    earlier = ChargingSession.objects.filter(
        charger_id=session.charger_id or 0, started_at__lte=at, corrections__field=FIELD,
        corrections__before=session.transaction_ref,
    )  # fmt: skip
    return earlier.order_by("started_at").values_list("pk", flat=True).last()


def give_back(session: ChargingSession) -> None:
    """What came late of the time before it goes to the session that had its name then."""
    late = {
        "charger_id": session.charger_id, "transaction_ref": session.transaction_ref,
        "at__lt": session.started_at - CLOCK_TOLERANCE,
    }  # fmt: skip
    first = MeterValue.objects.filter(**late).order_by("at").values_list("at", flat=True).first()
    older = named_before(session, first + CLOCK_TOLERANCE) if first and session.charger_id else None
    if older is None:
        return
    [name] = ChargingSession.objects.filter(pk=older).values_list("transaction_ref", flat=True)
    for rows in (MeterValue.objects, SessionMessage.objects):
        rows.filter(**late).update(transaction_ref=name)
    ChargingSession.objects.filter(pk=older).update(needs_revision=True)


def take_refused(session: ChargingSession, now: datetime) -> tuple[int, Stop] | None:
    """The stop of this session that came before its start, and was taken for a second one of the old session."""
    refused = BillingException.objects.open().filter(
        kind=BillingException.Kind.CONFLICTING_STOP, session__charger_id=session.charger_id or 0,
        session__corrections__field=FIELD, session__corrections__before=session.transaction_ref,
    )  # fmt: skip
    for exception in refused.order_by("-pk"):
        stop = stop_in(exception.details)
        if exception.session_id is not None and stop.fits(session):
            withdraw_one(exception, resolution=WHY, at=now)
            return exception.session_id, stop
    return None
