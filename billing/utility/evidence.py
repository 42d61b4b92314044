"""What a bill's division rests on: the sessions of the site by block, and the utility's own readings."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from billing.models import ChargingSession
from billing.utility.allocation import Use
from billing.utility.clock import Grid
from billing.utility.models import UtilityBill, UtilitySupply
from billing.utility.sharing import spread, total

Mark = tuple[datetime, int]

# the last register of each block is enough to say what was drawn in it
_MARKS = """
SELECT charger_id, transaction_ref, max(at), max(energy_wh) FROM billing_metervalue
WHERE charger_id = ANY(%(chargers)s) AND transaction_ref = ANY(%(refs)s) AND at >= %(since)s AND at <= %(until)s
  AND energy_wh IS NOT NULL AND context <> 'Sample.Clock'
GROUP BY charger_id, transaction_ref, date_bin(%(width)s, at, %(since)s) ORDER BY 1, 2, 3
"""


class Evidence(NamedTuple):
    """`sessions` and `uses` belong together, in order."""

    grid: Grid
    sessions: Sequence[ChargingSession]
    uses: Sequence[Use]
    meter: dict[int, int]


def grid_of(bill: UtilityBill, supply: UtilitySupply) -> Grid:
    zone = ZoneInfo(supply.location.time_zone)
    first, last = bill.starts_on, bill.ends_on + timedelta(days=1)
    begin, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, last))
    return Grid(begin, end, supply.block_minutes, zone)


def gather(bill: UtilityBill) -> Evidence:
    """Four queries, whatever the number of sessions. `bill` with `supply__location` at hand."""
    grid = grid_of(bill, bill.supply)
    found = [(session, _owned(use, session, bill)) for session, use in uses_of(bill.supply, grid)]
    return Evidence(
        grid, [session for session, _ in found], [use for _, use in found], _metered(bill.supply, grid)
    )  # fmt: skip


def uses_of(supply: UtilitySupply, grid: Grid) -> list[tuple[ChargingSession, Use]]:
    """Sessions of the site's own chargers with energy in the period, by the blocks in which they drew it."""
    sessions = list(
        ChargingSession.objects.filter(
            connector__evse__location=supply.location, charger__isnull=False, state=ChargingSession.State.ENDED,
            energy_wh__gt=0, started_at__lt=grid.ended_at, ended_at__gte=grid.started_at,
        ).select_related("vehicle").order_by("started_at", "pk")
    )  # fmt: skip
    marks = _marks(sessions, grid)
    found = []
    for session in sessions:
        drawn = spread(session.energy_wh, _of(session, marks), grid)
        blocks = {block: wh for block, wh in drawn.items() if grid.is_inside(block)}
        if blocks:
            found.append((session, Use(session.pk, blocks, session.vehicle_id)))
    return found


def _owned(use: Use, session: ChargingSession, bill: UtilityBill) -> Use:
    """Another fleet's vehicle stays unnamed."""
    is_ours = session.organisation_id == bill.organisation_id
    return use if is_ours else Use(use.session_id, use.blocks)


def _of(session: ChargingSession, marks: dict[tuple[int, str], list[Mark]]) -> list[Mark]:
    """Start, the samples in between, stop."""
    key = (session.charger_id or 0, session.transaction_ref)
    ended_at = session.ended_at or session.started_at
    inside = [mark for mark in marks.get(key, []) if session.started_at < mark[0] < ended_at]
    first = session.meter_start_wh if session.meter_start_wh is not None else inside[0][1] if inside else 0
    last = session.meter_stop_wh if session.meter_stop_wh is not None else inside[-1][1] if inside else first
    return [(session.started_at, first), *inside, (ended_at, last)]


def _marks(sessions: Sequence[ChargingSession], grid: Grid) -> dict[tuple[int, str], list[Mark]]:
    if not sessions:
        return {}
    found: dict[tuple[int, str], list[Mark]] = defaultdict(list)
    width = timedelta(minutes=grid.minutes)
    periods = (min(s.started_at for s in sessions), max(s.ended_at or s.started_at for s in sessions))
    since = grid.started_at - -((periods[0] - grid.started_at) // width) * width  # in step with the blocks
    facts: dict[str, Any] = {
        "chargers": sorted({s.charger_id for s in sessions if s.charger_id}),
        "refs": [s.transaction_ref for s in sessions],
        "since": since, "until": periods[1], "width": width,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_MARKS, facts)
        for charger_id, ref, at, register in cursor.fetchall():
            found[charger_id, ref].append((at, register))
    return found


def _metered(supply: UtilitySupply, grid: Grid) -> dict[int, int]:
    """The utility's readings by block; a longer interval is spread over its blocks."""
    rows = supply.readings.filter(starts_at__lt=grid.ended_at, ends_at__gt=grid.started_at)
    parts = (
        spread(energy_wh, [(since, 0), (until, energy_wh)], grid)
        for since, until, energy_wh in rows.values_list("starts_at", "ends_at", "energy_wh").iterator(5_000)
    )
    return {block: wh for block, wh in total(parts).items() if grid.is_inside(block)}
