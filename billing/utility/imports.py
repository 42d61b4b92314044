"""A Green Button file taken into a supply: all of its readings and bills, or nothing."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.db import transaction

from billing.utility import allocation as a
from billing.utility.bills import record_bill
from billing.utility.facts import KINDS, BadBill, BillFacts, ChargeFacts
from billing.utility.green_button.reading import read
from billing.utility.green_button.words import BadFeed, Feed, Reading, Summary
from billing.utility.models import UtilityBill, UtilityReading, UtilitySupply
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

NOT_YET = timedelta(minutes=5)


@dataclass(frozen=True)
class Taken:
    """How much of the file is new; what was there already, with the same content, is passed over."""

    readings: int
    known_readings: int
    bills: int
    bills_entered: int
    energy_wh: int
    first_at: datetime | None
    last_at: datetime | None


def take(*, supply_id: int, data: bytes, actor: User | None, now: datetime, is_trial: bool = False) -> Taken:
    """Raises BadFeed (with its code) or Conflict for a bill; nothing is kept then, nor with `is_trial`."""
    feed = read(data)
    with transaction.atomic():
        supply = UtilitySupply.objects.select_related("location", "organisation").select_for_update(of=("self",)).get(
            pk=supply_id
        )  # fmt: skip
        _same_clock(feed, supply, now)
        fresh = _fresh(supply, feed.readings, now)
        UtilityReading.objects.bulk_create(fresh, batch_size=5_000)
        entered = [summary for summary in feed.summaries if _is_entered(supply, summary)]
        bills = sum(_bill(supply, summary, actor, now) for summary in feed.summaries if summary not in entered)
        audit(
            action="import_green_button", target=supply, actor=actor, organisation=supply.organisation,
            after={"readings": len(fresh), "bills": bills, "title": feed.title},
        )  # fmt: skip
        transaction.set_rollback(is_trial)
    rows = feed.readings
    return Taken(
        len(fresh), len(rows) - len(fresh), bills, len(entered), sum(row.energy_wh for row in rows),
        rows[0].starts_at if rows else None, rows[-1].starts_at + timedelta(seconds=rows[-1].seconds) if rows else None,
    )  # fmt: skip


def _same_clock(feed: Feed, supply: UtilitySupply, now: datetime) -> None:
    """A file written for another zone has its days, and often its instants, shifted."""
    if feed.tz_offset_s is None:
        return
    zone = ZoneInfo(supply.location.time_zone)
    year = (feed.readings[0].starts_at if feed.readings else now).year
    offsets = {datetime(year, month, 1, tzinfo=UTC).astimezone(zone).utcoffset() for month in (1, 7)}
    standard = min(offset for offset in offsets if offset is not None)
    if standard != timedelta(seconds=feed.tz_offset_s):
        raise BadFeed(
            "time_zone", f"The file is of {feed.tz_offset_s // 60} minutes from UTC, the depot of {standard}."
        )


def _fresh(supply: UtilitySupply, readings: tuple[Reading, ...], now: datetime) -> list[UtilityReading]:
    if not readings:
        return []
    rows = [
        UtilityReading(
            supply=supply, starts_at=row.starts_at, ends_at=row.starts_at + timedelta(seconds=row.seconds),
            energy_wh=row.energy_wh, quality=row.quality,
        )
        for row in readings
    ]  # fmt: skip
    if rows[-1].ends_at > now + NOT_YET:
        raise BadFeed("in_the_future", f"There are readings until {rows[-1].ends_at:%Y-%m-%d %H:%M} UTC.")
    known = list(supply.readings.filter(starts_at__lt=rows[-1].ends_at, ends_at__gt=rows[0].starts_at))
    by_start = {row.starts_at: row for row in known}
    same = {
        row.starts_at for row in rows
        if (old := by_start.get(row.starts_at)) and (old.ends_at, old.energy_wh) == (row.ends_at, row.energy_wh)
    }  # fmt: skip
    fresh = [row for row in rows if row.starts_at not in same]
    others = [row for row in known if row.starts_at not in same]
    if at := _clash(fresh, others):
        raise BadFeed("differs", f"At {at:%Y-%m-%d %H:%M} UTC we have another reading already.")
    return fresh


def _clash(fresh: list[UtilityReading], known: list[UtilityReading]) -> datetime | None:
    """The first overlap of two rows of spans in time order."""
    spans = sorted([(row.starts_at, row.ends_at) for row in [*fresh, *known]])
    for (_, until), (since, _) in pairwise(spans):
        if since < until:
            return since
    return None


def _days(supply: UtilitySupply, summary: Summary) -> tuple[date, date]:
    zone = ZoneInfo(supply.location.time_zone)
    ends_at = summary.starts_at + timedelta(seconds=summary.seconds - 1)
    return summary.starts_at.astimezone(zone).date(), ends_at.astimezone(zone).date()


def _is_entered(supply: UtilitySupply, summary: Summary) -> bool:
    """Bills say more than the summary of them: what was entered or read from a sheet for all of its days stays."""
    starts_on, ends_on = _days(supply, summary)
    bills = UtilityBill.objects.filter(supply=supply, withdrawn_at=None, starts_on__lte=ends_on, ends_on__gte=starts_on)
    entered = bills.exclude(origin=UtilityBill.Origin.GREEN_BUTTON).values_list("starts_on", "ends_on")
    covered = sum((min(until, ends_on) - max(since, starts_on)).days + 1 for since, until in entered)
    return covered == (ends_on - starts_on).days + 1  # bills in force do not overlap


def _bill(supply: UtilitySupply, summary: Summary, actor: User | None, now: datetime) -> bool:
    """True for a new one. The notes we write ourselves say kind and slot; others are taken as they add up."""
    starts_on, ends_on = _days(supply, summary)
    facts = BillFacts(f"GB-{starts_on:%Y%m%d}-{ends_on:%Y%m%d}", starts_on, ends_on, _charges(summary, supply))
    try:
        _, is_new = record_bill(
            supply_id=supply.pk, facts=facts, origin=UtilityBill.Origin.GREEN_BUTTON, actor=actor, now=now
        )
    except BadBill as error:
        raise BadFeed("bad_bill", f"{error.column} {error}", str(starts_on)) from error
    except Conflict as error:
        raise BadFeed("bill_differs", str(error.detail), str(starts_on)) from error
    return is_new


def _charges(summary: Summary, supply: UtilitySupply) -> tuple[ChargeFacts, ...]:
    names = {str(slot.get("name")) for slot in supply.slots}
    charges = []
    for note, paise in summary.items:
        kind, _, slot = note.partition(":")
        if kind not in KINDS or (slot and slot not in names):
            kind, slot = a.OTHER, ""
        charges.append(ChargeFacts(kind, paise, slot))
    charges = charges or [ChargeFacts(a.ENERGY, summary.paise)]
    if summary.energy_wh is not None and [c.kind for c in charges].count(a.ENERGY) == 1:
        charges = [
            ChargeFacts(c.kind, c.amount_paise, c.slot, summary.energy_wh) if c.kind == a.ENERGY else c
            for c in charges
        ]  # fmt: skip
    return tuple(charges)
