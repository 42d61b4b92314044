"""Statuses by the thousand, as networks push them: one lock, one conditional update, one history, one word each."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from fleetcharge.lib.events import publish
from stations.models import EVSE, Connector, ExternalRef, StatusChange
from stations.services.statuses import (
    StatusReport,
    decided,
    fact_of,
    hear,
    locked_with_site,
    report_from_source,
    show_removed,
)

APPLIED, UNCHANGED, STALE, UNKNOWN_EVSE = "applied", "unchanged", "stale", "unknown_evse"

# What a report may change, and the type of the array it comes in.
COLUMNS = {
    "status": "text", "status_reason": "text", "status_since": "timestamptz", "status_at": "timestamptz",
    "heard_at": "timestamptz", "raw_status": "text", "reported_status": "text", "error_code": "text",
    "error_info": "text", "swings": "float8", "swung_at": "timestamptz", "is_flapping": "bool",
}  # fmt: skip
# The condition holds by the lock as well; written down, so that no other road can let an older word win.
UPDATE = f"""
UPDATE stations_connector AS c SET {", ".join(f"{name} = v.{name}" for name in COLUMNS)}
FROM unnest(%s::bigint[], {", ".join(f"%s::{kind}[]" for kind in COLUMNS.values())}) AS v(id, {", ".join(COLUMNS)})
WHERE c.id = v.id AND (c.status_at IS NULL OR c.status_at <= v.status_at)
"""  # noqa: S608 (names of our own columns)
FIND = """
SELECT v.number, r.object_id
FROM unnest(%s::int[], %s::bigint[], %s::text[]) AS v(number, source_id, external_key)
JOIN stations_externalref r
  ON r.source_id = v.source_id AND r.kind = %s AND lower(r.external_key) = v.external_key
"""


@dataclass(frozen=True)
class EvseReport:
    """What a source says of one EVSE by its own key. `status` is a Connector.Status value."""

    source_id: int
    external_key: str
    raw_status: str
    status: str
    at: datetime
    received_at: datetime


@transaction.atomic(savepoint=False)
def report_evses(reports: Sequence[EvseReport]) -> list[str]:
    """What became of each: applied, unchanged, stale or unknown_evse. The same again, in any order, changes nothing.

    Every transition enters the history; everybody is told once per connector, of the last one.
    """
    evse_ids = find_evses((report.source_id, report.external_key) for report in reports)
    connectors: dict[int, list[Connector]] = defaultdict(list)
    for connector in locked_with_site(evse_id__in={pk for pk in evse_ids if pk}):
        connectors[connector.evse_id].append(connector)
    changes: list[StatusChange] = []
    outcomes = [UNKNOWN_EVSE] * len(reports)
    for number in sorted(range(len(reports)), key=lambda n: (reports[n].at, n)):
        if pk := evse_ids[number]:
            is_shared = bool(connectors[pk]) and connectors[pk][0].evse.is_shared
            outcomes[number] = (
                _take_one_of_many(reports[number], pk) if is_shared else _take(reports[number], connectors[pk], changes)
            )
    connectors = {pk: rows for pk, rows in connectors.items() if rows and not rows[0].evse.is_shared}
    _save([connector for rows in connectors.values() for connector in rows], changes)
    _show_removed(reports, evse_ids, outcomes, connectors)
    return outcomes


def find_evses(keys: Iterable[tuple[int, str]]) -> list[int | None]:
    """Our EVSE (primary key) for each source's own key, None where we do not know it; one query."""
    pairs = list(keys)
    found: list[int | None] = [None] * len(pairs)
    if not pairs:
        return found
    with connection.cursor() as cursor:
        cursor.execute(
            FIND,
            [
                list(range(len(pairs))), [source for source, _ in pairs], [name.lower() for _, name in pairs],
                ExternalRef.Kind.EVSE.value,
            ],
        )  # fmt: skip
        for number, object_id in cursor.fetchall():
            found[number] = object_id
    return found


def _take(report: EvseReport, connectors: list[Connector], changes: list[StatusChange]) -> str:
    """One report onto the locked rows of its EVSE, still in memory."""
    heard = StatusReport(0, None, 1, report.raw_status, report.status, report.at, report.received_at)
    before = [(row.status_at, row.raw_status) for row in connectors]
    is_news = [hear(row, heard) for row in connectors]
    for row, is_new in zip(connectors, is_news, strict=True):
        if is_new and (change := decided(row, row.status_at or report.at)):
            changes.append(change)
    if not any(is_news):
        return STALE if connectors else UNKNOWN_EVSE
    return UNCHANGED if before == [(row.status_at, row.raw_status) for row in connectors] else APPLIED


def _take_one_of_many(report: EvseReport, evse_id: int) -> str:
    """Of an EVSE that several sources speak of, the best word is shown; those are few."""
    is_news = report_from_source(
        evse_id=evse_id, raw_status=report.raw_status, status=report.status, at=report.at,
        received_at=report.received_at, source_id=report.source_id,
    )  # fmt: skip
    return APPLIED if is_news else STALE


def _save(connectors: list[Connector], changes: list[StatusChange]) -> None:
    if not connectors:
        return
    columns = [[getattr(row, name) for row in connectors] for name in COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(UPDATE, [[row.pk for row in connectors], *columns])
    last = {change.connector_id: change for change in StatusChange.objects.bulk_create(changes)}
    first = {change.connector_id: change.old for change in reversed(changes)}
    for pk, change in last.items():
        if first[pk] != change.new:  # there and back again within one push is history, not news
            publish(fact_of(change, old=first[pk]))


def _show_removed(
    reports: Sequence[EvseReport], evse_ids: list[int | None], outcomes: list[str],
    connectors: dict[int, list[Connector]],
) -> None:  # fmt: skip
    """The last word on each EVSE takes it down (OCPI REMOVED), or puts it up again."""
    evses: dict[int, tuple[EVSE, datetime]] = {}
    for report, pk, outcome in zip(reports, evse_ids, outcomes, strict=True):
        if pk in connectors and outcome == APPLIED:
            evses[pk] = (connectors[pk][0].evse, report.received_at)
    for pk, (evse, at) in evses.items():
        show_removed(evse, is_removed=connectors[pk][0].raw_status == "REMOVED", at=at)
