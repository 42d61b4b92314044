"""Statuses by the thousand, as networks push them: one lock, one look, one conditional update, one word each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import OperationalError, transaction
from django.utils import timezone

from fleetcharge.lib.db import fetch_prepared, in_one_line
from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish_together
from stations.deciding import Plug, Transition, Unit, decide_again, hear
from stations.events import ConnectorStatusChanged
from stations.models import EVSE
from stations.services.statuses import MOST_LOOKS, StatusReport, locked_with_site, show_removed, take_word

APPLIED, UNCHANGED, STALE, UNKNOWN_EVSE = "applied", "unchanged", "stale", "unknown_evse"

# What a report may change, and its type.
COLUMNS = {
    "status": "text", "status_reason": "text", "status_since": "timestamptz", "status_at": "timestamptz",
    "heard_at": "timestamptz", "raw_status": "text", "reported_status": "text", "error_code": "text",
    "error_info": "text", "swings": "float8", "swung_at": "timestamptz", "is_flapping": "bool",
}  # fmt: skip
_KINDS = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
# Every connector behind each key, locked in the order that everybody locks them in.
LOCK = in_one_line(f"""
SELECT v.number, e.id, l.id, e.is_shared, e.is_removed, l.is_removed, h.id IS NOT NULL,
       h.is_faulted, h.is_inoperative, h.is_online, h.disconnected_at, h.silent_shown_at,
       c.id, {", ".join(f"c.{field.name}" for field in fields(Plug)[1:])}
FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS v(source_id, external_key, number)
JOIN stations_externalref r
  ON r.source_id = v.source_id AND r.kind = 'evse' AND lower(r.external_key) = v.external_key
JOIN stations_evse e ON e.id = r.object_id
JOIN stations_location l ON l.id = e.location_id
JOIN stations_connector c ON c.evse_id = e.id
LEFT JOIN stations_charger h ON h.id = e.charger_id
ORDER BY c.id FOR NO KEY UPDATE OF c
""")  # noqa: S608 (names of our own columns)
# Who waited for the lock has only the plugs as they are now, all else as it was before: where the keys lead by now.
LOOK = in_one_line("""
SELECT v.number, e.id, e.is_shared, e.is_removed, l.is_removed
FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS v(source_id, external_key, number)
JOIN stations_externalref r
  ON r.source_id = v.source_id AND r.kind = 'evse' AND lower(r.external_key) = v.external_key
JOIN stations_evse e ON e.id = r.object_id
JOIN stations_location l ON l.id = e.location_id
""")
# The condition holds by the lock as well; written down, so that no other road can let an older word win. The ids are
# named once more, because nobody knows how many rows there are in a JSON: the plan would be one for a great many.
UPDATE = f"""
UPDATE stations_connector AS c SET {", ".join(f"{name} = v.{name}" for name in COLUMNS)}
FROM jsonb_to_recordset(%s::jsonb) AS v(pk bigint, {_KINDS})
WHERE c.id = ANY(%s::bigint[]) AND c.id = v.pk AND (c.status_at IS NULL OR c.status_at <= v.status_at)
"""  # noqa: S608
WRITE = in_one_line(f"""
WITH shown AS ({UPDATE})
INSERT INTO stations_statuschange (connector_id, old, new, raw_status, reason, at, received_at)
SELECT t.connector_id, t.old, t.new, t.raw_status, t.reason, t.at, %s::timestamptz
FROM ROWS FROM (jsonb_to_recordset(%s::jsonb) AS (
    connector_id bigint, old text, new text, raw_status text, reason text, at timestamptz
)) WITH ORDINALITY AS t ORDER BY t.ordinality
RETURNING id
""")  # noqa: S608
FIND = in_one_line("""
SELECT v.number - 1, r.object_id
FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS v(source_id, external_key, number)
JOIN stations_externalref r
  ON r.source_id = v.source_id AND r.kind = 'evse' AND lower(r.external_key) = v.external_key
""")


@dataclass(frozen=True, slots=True)
class EvseReport:
    """What a source says of one EVSE by its own key. `status` is a Connector.Status value."""

    source_id: int
    external_key: str
    raw_status: str
    status: str
    at: datetime
    received_at: datetime
    error_code: str = ""
    error_info: str = ""


class Held(NamedTuple):
    """An EVSE that a key leads to, and its locked plugs."""

    pk: int
    location_id: int
    is_shared: bool
    is_removed: bool
    is_site_removed: bool
    unit: Unit | None
    plugs: list[Plug]


@again_after_deadlock
@transaction.atomic(savepoint=False)
def report_evses(reports: Sequence[EvseReport]) -> list[str]:
    """What became of each: applied, unchanged, stale or unknown_evse. The same again, in any order, changes nothing.

    Every transition enters the history; everybody is told once per connector, of the last one.
    """
    keys = [(report.source_id, report.external_key.lower()) for report in reports]
    held = _locked(keys)
    outcomes = [UNKNOWN_EVSE] * len(reports)
    changes: list[Transition] = []
    for number in sorted(range(len(reports)), key=lambda n: reports[n].at):
        if evse := held.get(keys[number]):
            outcomes[number] = (
                _take_one_of_many(reports[number], evse.pk) if evse.is_shared else _take(reports[number], evse, changes)
            )
    ours = {evse.pk: evse for evse in held.values() if not evse.is_shared}
    _save(ours, changes)
    _show_removed(reports, [held.get(key) for key in keys], outcomes)
    return outcomes


Key = tuple[int, str]


def _locked(keys: Sequence[Key]) -> dict[Key, Held]:
    """The EVSE behind each (source, its key in lower case), with at least one plug; two queries.

    Two more whenever one was merged, split or taken down while we waited for its plugs.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    names: list[list[Any]] = [[source_id for source_id, _ in wanted], [name for _, name in wanted]]
    for _ in range(MOST_LOOKS):
        found = _lock(wanted, names)
        if not found:
            return found
        now = {wanted[number - 1]: tuple(facts) for number, *facts in fetch_prepared(LOOK, names)}
        if all(now.get(key) == (evse.pk, *evse[2:5]) for key, evse in found.items()):
            return found
    raise OperationalError("These EVSEs are merged faster than they can be locked.")


def _lock(wanted: Sequence[Key], names: list[list[Any]]) -> dict[Key, Held]:
    evses: dict[int, Held] = {}
    plugs: dict[int, Plug] = {}
    found: dict[Key, Held] = {}
    for number, pk, location_id, is_shared, is_removed, is_site_removed, is_ours, *row in fetch_prepared(LOCK, names):
        evse = evses.get(pk)
        if evse is None:
            unit = Unit(*row[:5]) if is_ours else None
            evse = evses[pk] = Held(pk, location_id, is_shared, is_removed, is_site_removed, unit, [])
        if row[5] not in plugs:  # an EVSE may go by two keys
            plugs[row[5]] = plug = Plug(*row[5:])
            evse.plugs.append(plug)
        found[wanted[number - 1]] = evse
    return found


def find_evses(keys: Iterable[tuple[int, str]]) -> list[int | None]:
    """Our EVSE (primary key) for each source's own key, None where we do not know it; one query."""
    pairs = list(keys)
    found: list[int | None] = [None] * len(pairs)
    if pairs:
        names = [[source for source, _ in pairs], [name.lower() for _, name in pairs]]
        for number, object_id in fetch_prepared(FIND, names):
            found[number] = object_id
    return found


def _take(report: EvseReport, evse: Held, changes: list[Transition]) -> str:
    """One report onto the locked rows of its EVSE, still in memory."""
    before = [(plug.status_at, plug.raw_status) for plug in evse.plugs]
    is_news = [hear(plug, report) for plug in evse.plugs]
    for plug, is_new in zip(evse.plugs, is_news, strict=True):
        if is_new and (change := decide_again(plug, evse.unit, plug.status_at or report.at)):
            changes.append(change)
    if not any(is_news):
        return STALE
    return UNCHANGED if before == [(plug.status_at, plug.raw_status) for plug in evse.plugs] else APPLIED


def _take_one_of_many(report: EvseReport, evse_id: int) -> str:
    """Of an EVSE that several sources speak of, the best word is shown; those are few."""
    word = StatusReport(0, None, 1, report.raw_status, report.status, report.at, report.received_at)
    return APPLIED if take_word(list(locked_with_site(evse_id=evse_id)), report.source_id, word) else STALE


def _save(evses: dict[int, Held], changes: list[Transition]) -> None:
    """The rows and their history in one statement; what everybody is told of it."""
    plugs = {plug.pk: (plug, evse) for evse in evses.values() for plug in evse.plugs}
    if not plugs:
        return
    rows = orjson.dumps([plug for plug, _ in plugs.values()]).decode()
    written = fetch_prepared(WRITE, [rows, list(plugs), timezone.now(), orjson.dumps(changes).decode()])
    publish_together(_facts(changes, [pk for (pk,) in written], {pk: evse for pk, (_, evse) in plugs.items()}))


def _facts(
    changes: Sequence[Transition], change_ids: Sequence[int], evses: dict[int, Held]
) -> list[ConnectorStatusChanged]:
    """One of each plug, of its last change; there and back again within one push is history, not news."""
    last = dict(zip((change.connector_id for change in changes), zip(changes, change_ids, strict=True), strict=True))
    first = {change.connector_id: change.old for change in reversed(changes)}
    return [
        ConnectorStatusChanged(pk, evses[pk].location_id, first[pk], change.new, change.reason, change.at, change_id)
        for pk, (change, change_id) in last.items()
        if first[pk] != change.new
    ]


def _show_removed(reports: Sequence[EvseReport], held: Sequence[Held | None], outcomes: Sequence[str]) -> None:
    """The last word on each EVSE takes it down (OCPI REMOVED), or puts it up again."""
    spoken: dict[int, tuple[Held, datetime]] = {}
    for report, evse, outcome in zip(reports, held, outcomes, strict=True):
        if evse and not evse.is_shared and outcome == APPLIED:
            spoken[evse.pk] = (evse, report.received_at)
    for pk, (evse, at) in spoken.items():
        is_removed = evse.plugs[0].raw_status == "REMOVED"
        if is_removed != evse.is_removed or (evse.is_site_removed and not is_removed):
            show_removed(EVSE.objects.select_related("location").get(pk=pk), is_removed=is_removed, at=at)
