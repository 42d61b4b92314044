"""Sessions without a stop: which are certainly over, how long we wait, and how they are ended and revised."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from billing.events import SessionDoubted
from billing.models import ChargingSession
from billing.models.sessions import ChargingSessionQuerySet
from billing.services import ending
from fleetcharge.lib.events import publish
from fleetcharge.lib.sweeps import survived

SUPERSEDED, LEFT, REBOOTED, SILENT, NOT_ONGOING = "superseded", "left", "rebooted", "silent", "not_ongoing"
GRACE = {
    SUPERSEDED: timedelta(minutes=10),  # a replay may deliver the next start before this stop
    LEFT: timedelta(minutes=10),
    REBOOTED: timedelta(minutes=15),
    NOT_ONGOING: timedelta(minutes=2),
    SILENT: timedelta(0),  # has been silent for long enough already
}
SILENT_AFTER = timedelta(hours=24)
BELIEVED_FOR = timedelta(hours=1)
ASK_AFTER = timedelta(minutes=1)  # a plug may say free for a moment; a next session is no mistake
REVISE_UNTIL = timedelta(days=7)
AT_ONCE = 500  # of each kind of work that goes row by row

# One pass over the running sessions of our own chargers, served by active_sessions_by_connector,
# sessions_of_a_connector and primary keys. A plug that says it is free, a boot, and silence only count from the last
# sample on.
_SUSPECTS = """
SELECT * FROM (
    SELECT s.id, s.organisation_id, s.charger_id, s.transaction_ref, CASE
             WHEN s.suspect_reason = 'not_ongoing' AND (s.metered_at IS NULL OR s.metered_at <= s.suspect_since)
                  THEN 'not_ongoing'
             WHEN n.started_at IS NOT NULL THEN 'superseded'
             WHEN c.reported_status = 'available' AND c.status_at > GREATEST(s.started_at, s.metered_at) THEN 'left'
             WHEN h.is_online AND h.last_boot_at > GREATEST(s.created_at, s.started_at, s.metered_at)
                  AND NOT (c.status_at > h.last_boot_at
                           AND c.raw_status IN ('Charging', 'SuspendedEV', 'SuspendedEVSE')) THEN 'rebooted'
             WHEN NOT h.is_online AND GREATEST(h.last_seen_at, s.created_at) < %s THEN 'silent'
           END AS why, s.suspect_reason, s.suspect_since,
           n.started_at AS next_start_at, c.status_at, h.last_boot_at, h.last_seen_at
    FROM billing_chargingsession s
    JOIN stations_connector c ON c.id = s.connector_id
    JOIN stations_charger h ON h.id = s.charger_id
    LEFT JOIN LATERAL (
        SELECT min(o.started_at) AS started_at FROM stations_connector oc
        JOIN billing_chargingsession o ON o.connector_id = oc.id
        WHERE oc.evse_id = c.evse_id AND o.started_at > s.started_at AND o.id <> s.id AND o.state <> 'invalid'
    ) n ON true
    WHERE s.state = 'active'
) q WHERE why IS NOT NULL ORDER BY suspect_since NULLS LAST, id
"""

# Samples are still coming in (a replay, or a clock that is behind); served by meter_values_of_a_session.
_SPEAKING = """
SELECT asked.id
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[]) AS asked (id, charger, ref, since)
WHERE EXISTS (SELECT FROM billing_metervalue m WHERE m.charger_id = asked.charger AND m.transaction_ref = asked.ref
                                                 AND m.received_at > asked.since)
"""


@dataclass(frozen=True)
class Suspect:
    session_id: int
    organisation_id: int
    charger_id: int
    transaction_ref: str
    why: str
    known_reason: str
    since: datetime | None
    next_start_at: datetime | None
    status_at: datetime | None
    last_boot_at: datetime | None
    last_seen_at: datetime | None

    @property
    def is_new(self) -> bool:
        """Not doubted yet, or for another reason."""
        return self.known_reason != self.why or self.since is None

    @property
    def not_after(self) -> datetime | None:
        """By when it was over; None: no sample is too late."""
        moments = {
            SUPERSEDED: self.next_start_at, LEFT: self.status_at, REBOOTED: self.last_boot_at,
            SILENT: None, NOT_ONGOING: None,
        }  # fmt: skip
        return moments[self.why]

    def has_waited(self, now: datetime) -> timedelta:
        return timedelta(0) if self.is_new or self.since is None else now - self.since


def sweep(*, now: datetime) -> int:
    """Doubt, wait, end: returns how many sessions were ended as estimated. May run twice, on several nodes.

    It waits for no lock: what a message is working on is left to that message. So many are ended, and so many asked
    about, in one pass; one that cannot be ended goes behind the others.
    """
    suspects = _suspects(now)
    _clear({suspect.session_id for suspect in suspects})
    _doubt_together([suspect for suspect in suspects if suspect.is_new], now)
    overdue = [suspect for suspect in suspects if suspect.has_waited(now) >= GRACE[suspect.why]]
    speaking = _speaking(overdue, now)
    quiet = [suspect for suspect in overdue if suspect.session_id not in speaking]
    _ask_some([suspect for suspect in suspects if _is_worth_asking(suspect, now)], {*quiet}, now)
    return sum(_end(suspect, now) for suspect in quiet[:AT_ONCE])


def revise_ended(*, now: datetime) -> int:
    """Compute ended sessions again when samples or messages of them arrived after that; returns how many.

    Served by sessions_to_revise. What arrives a week after the figures were computed is kept and changes nothing.
    """
    overtaken = ChargingSession.objects.filter(
        state=ChargingSession.State.ENDED, needs_revision=True, revised_at__gt=now - REVISE_UNTIL
    )
    ids = list(overtaken.order_by("ended_at").values_list("pk", flat=True)[:AT_ONCE])
    revised = 0
    for session_id in ids:
        with survived("session", session_id):
            revised += ending.revise(session_id=session_id, now=now)
    return revised


def transaction_status(*, charger_id: int, transaction_ref: str, is_ongoing: bool, now: datetime) -> bool:
    """What the station answers about a transaction (OCPP 2.x GetTransactionStatus); True when a session is doubted now.

    A transaction that is not ongoing, whose messages are not in the station's queue, will never be ended by it. One
    that goes on is believed for an hour.
    """
    session = ChargingSession.objects.active().filter(charger_id=charger_id, transaction_ref=transaction_ref).first()
    if session is None:
        return False
    if is_ongoing:
        doubted = ChargingSession.objects.active().filter(pk=session.pk).exclude(suspect_reason="")
        doubted.update(suspect_since=now + BELIEVED_FOR)
        return False
    return _doubt(session.pk, NOT_ONGOING, now)


def _suspects(now: datetime) -> list[Suspect]:
    with connection.cursor() as cursor:
        cursor.execute(_SUSPECTS, [now - SILENT_AFTER])
        return [Suspect(*row) for row in cursor.fetchall()]


def _clear(suspected: set[int]) -> None:
    """Doubts that have gone: the connector was busy after all, samples went on."""
    doubted = ChargingSession.objects.active().exclude(suspect_reason="")
    gone = [pk for pk in doubted.order_by("pk").values_list("pk", flat=True) if pk not in suspected]
    _write(gone, doubted, reason="", since=None)


def _doubt(session_id: int, why: str, now: datetime) -> bool:
    """Begin to wait."""
    fresh = ChargingSession.objects.active().filter(~Q(suspect_reason=why), pk=session_id)
    return bool(fresh.update(suspect_reason=why, suspect_since=now))


def _doubt_together(suspects: list[Suspect], now: datetime) -> None:
    """A reason at a time: however many sessions an outage leaves behind, all of them begin to wait now."""
    for why in GRACE:
        ids = sorted(suspect.session_id for suspect in suspects if suspect.why == why)
        _write(ids, ChargingSession.objects.active().filter(~Q(suspect_reason=why)), reason=why, since=now)


def _write(ids: list[int], rows: ChargingSessionQuerySet, *, reason: str, since: datetime | None) -> None:
    """A few at a time, and none that somebody else has locked: a stop that holds one of them may wait for another."""
    for first in range(0, len(ids), AT_ONCE):
        with transaction.atomic():
            free = (
                rows.filter(pk__in=ids[first : first + AT_ONCE])
                .order_by("pk")
                .select_for_update(skip_locked=True, no_key=True)
            )
            ChargingSession.objects.filter(pk__in=list(free.values_list("pk", flat=True))).update(
                suspect_reason=reason, suspect_since=since
            )


def _end(suspect: Suspect, now: datetime) -> bool:
    """One that cannot be ended waits anew, so that it does not stand before the others every time."""
    with survived("session", suspect.session_id):
        return ending.end_as_estimated(
            session_id=suspect.session_id, why=suspect.why, not_after=suspect.not_after, now=now
        )
    rows = ChargingSession.objects.active().filter(suspect_reason=suspect.why)
    _write([suspect.session_id], rows, reason=suspect.why, since=now)
    return False


def _is_worth_asking(suspect: Suspect, now: datetime) -> bool:
    """The doubt has lasted: a 2.x station can be asked."""
    waited = suspect.has_waited(now)
    return suspect.why == SUPERSEDED or (suspect.why != NOT_ONGOING and waited >= ASK_AFTER)


def _ask_some(suspects: list[Suspect], ending_now: set[Suspect], now: datetime) -> None:
    """All of them in turn, over as many minutes as that takes. Who listens asks once."""
    waiting = [suspect for suspect in suspects if suspect not in ending_now]
    turns = -(-len(waiting) // AT_ONCE) or 1
    for suspect in waiting[int(now.timestamp() // 60) % turns :: turns]:
        publish(
            SessionDoubted(
                suspect.session_id, suspect.organisation_id, suspect.charger_id, suspect.transaction_ref, suspect.why,
                now,
            )
        )  # fmt: skip


def _speaking(suspects: list[Suspect], now: datetime) -> set[int]:
    """Those to wait for."""
    columns = [(each.session_id, each.charger_id, each.transaction_ref, now - GRACE[each.why]) for each in suspects]
    if not columns:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_SPEAKING, [list(column) for column in zip(*columns, strict=True)])
        return {session_id for (session_id,) in cursor.fetchall()}
