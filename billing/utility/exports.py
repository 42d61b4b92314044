"""What leaves: a depot's readings, its chargers' energy and its bills as Green Button, its divisions as CSV."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from billing.dispute import rupees
from billing.models import ChargingSession
from billing.utility.clock import Grid
from billing.utility.evidence import uses_of
from billing.utility.green_button.words import Reading, Summary
from billing.utility.models import UtilityAllocation, UtilityBill, UtilitySupply
from billing.utility.report import COLUMNS
from billing.utility.sharing import total

PIECE = timedelta(days=31)


def readings_of(supply: UtilitySupply) -> Iterator[Reading]:
    """As they came; read in pieces."""
    rows = supply.readings.order_by("starts_at").values_list("starts_at", "ends_at", "energy_wh", "quality")
    for starts_at, ends_at, energy_wh, quality in rows.iterator(5_000):
        yield Reading(starts_at, int((ends_at - starts_at).total_seconds()), energy_wh, quality)


def sessions_of(supply: UtilitySupply) -> Iterator[Reading]:
    """What the site's own chargers gave out, block by block, a month at a time; blocks without energy are left out."""
    sessions = ChargingSession.objects.filter(
        connector__evse__location=supply.location, charger__isnull=False, state=ChargingSession.State.ENDED
    )
    first = sessions.order_by("started_at").first()
    last = sessions.exclude(ended_at=None).order_by("-ended_at").first()
    if first is None or last is None or last.ended_at is None:
        return
    zone = ZoneInfo(supply.location.time_zone)
    since = datetime.combine(first.started_at.astimezone(zone).date(), time(), zone).astimezone(UTC)
    while since <= last.ended_at:
        grid = Grid(since, since + PIECE, supply.block_minutes, zone)
        drawn = total(use.blocks for _, use in uses_of(supply, grid))
        for block in sorted(drawn):
            yield Reading(grid.start_of(block), supply.block_minutes * 60, drawn[block])
        since += PIECE


def summaries_of(supply: UtilitySupply) -> list[Summary]:
    """Bills in force; the notes say kind and slot, which our own import reads again."""
    zone = ZoneInfo(supply.location.time_zone)
    rows = supply.bills.filter(withdrawn_at=None).prefetch_related("charges").order_by("starts_on")
    return [_summary(bill, zone) for bill in rows]


def _summary(bill: UtilityBill, zone: ZoneInfo) -> Summary:
    begin, end = (
        datetime.combine(day, time(), zone).astimezone(UTC)
        for day in (bill.starts_on, bill.ends_on + timedelta(days=1))
    )
    charges = list(bill.charges.all())
    items = tuple((f"{row.kind}:{row.slot}".rstrip(":"), row.amount_paise) for row in charges)
    energy = [row.energy_wh for row in charges if row.energy_wh is not None]
    seconds = int((end - begin).total_seconds())
    return Summary(begin, seconds, bill.payable_paise, sum(energy) if energy else None, items)


def division_rows(allocation: UtilityAllocation) -> Iterator[tuple[object, ...]]:
    """A line per session and the depot's own, then the sum; one query, read in pieces."""
    yield ("Session", "Charger", "Started", "Ended", "Vehicle", "Cost centre", "kWh", "kWh in the peak", "Energy",
           "Losses", "Demand", "Fixed", "Other", "Total")  # fmt: skip
    rows = allocation.shares.select_related("session__charger", "vehicle").order_by("pk")
    sums = dict.fromkeys(COLUMNS, 0)
    for row in rows.iterator(1_000):
        session = row.session
        who = row.vehicle.registration if row.vehicle else "guest" if row.is_guest else "" if session else "depot"
        for column in COLUMNS:
            sums[column] += getattr(row, column)
        yield (
            session.transaction_ref if session else "", session.charger if session else "",
            session.started_at.isoformat() if session else "",
            session.ended_at.isoformat() if session and session.ended_at else "", who, row.cost_centre,
            f"{row.energy_wh / 1000:.3f}", f"{row.peak_wh / 1000:.3f}",
            *(rupees(getattr(row, column)) for column in COLUMNS),
        )  # fmt: skip
    yield ("Total", "", "", "", "", "", "", "", *(rupees(sums[column]) for column in COLUMNS))
