"""Readings and bills of a depot as a Green Button file, piece by piece. Pure."""

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from billing.utility.green_button.words import (
    ATOM,
    ESPI,
    FORWARD,
    INR,
    MONEY_UNITS_PER_PAISA,
    WATT_HOURS,
    Reading,
    Summary,
)

BASE = "/espi/1_1/resource"
NAMESPACE = uuid.UUID("6f1f0c1e-2f0f-5d7a-9c53-2b7a7f7d4d10")


def feed(
    *, key: str, title: str, zone: tzinfo, readings: Iterable[Reading], summaries: Iterable[Summary], at: datetime
) -> Iterator[str]:
    """Blocks of a local day each; the same depot (`key`) has the same ids in every file."""
    point, stamp = f"{BASE}/UsagePoint/{key}", at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    clock, kind, meter = f"{BASE}/LocalTimeParameters/{key}", f"{BASE}/ReadingType/{key}", f"{point}/MeterReading/1"
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="{ATOM}" xmlns:espi="{ESPI}">'
        f"<id>urn:uuid:{_id(key, 'feed')}</id><title>{escape(title)}</title><updated>{stamp}</updated>"
    )
    links = [("self", point), ("related", clock)]
    links += [("related", f"{point}/{name}") for name in ("MeterReading", "UsageSummary")]
    electricity = _tag("ServiceCategory", _fields(kind=0))
    yield _entry(key, "point", title, stamp, links, _tag("UsagePoint", electricity))
    yield _entry(key, "clock", "Local time", stamp, [("self", clock)], _clock(zone, at))
    links = [("self", meter), ("related", f"{meter}/IntervalBlock"), ("related", kind)]
    yield _entry(key, "meter", "Energy", stamp, links, "<espi:MeterReading/>")
    described = _fields(commodity=1, currency=INR, flowDirection=FORWARD, powerOfTenMultiplier=0, uom=WATT_HOURS)
    yield _entry(key, "kind", "Energy delivered", stamp, [("self", kind)], _tag("ReadingType", described))
    for day, rows in groupby(readings, key=lambda reading: reading.starts_at.astimezone(zone).date()):
        yield _day(key, meter, stamp, day, list(rows))
    for number, summary in enumerate(summaries, start=1):
        links = [("self", f"{point}/UsageSummary/{number}"), ("up", f"{point}/UsageSummary")]
        yield _entry(key, f"summary {summary.starts_at}", "Bill", stamp, links, _summary(summary))
    yield "</feed>\n"


def _day(key: str, meter: str, stamp: str, day: date, rows: list[Reading]) -> str:
    first, last = rows[0], rows[-1]
    length = int((last.starts_at - first.starts_at).total_seconds()) + last.seconds
    body = [_tag("interval", _fields(duration=length, start=_epoch(first.starts_at)))]
    for row in rows:
        quality = _tag("ReadingQuality", _fields(quality=row.quality)) if row.quality else ""
        period = _tag("timePeriod", _fields(duration=row.seconds, start=_epoch(row.starts_at)))
        body.append(_tag("IntervalReading", quality + period + _fields(value=row.energy_wh)))
    links = [("self", f"{meter}/IntervalBlock/{day:%Y%m%d}"), ("up", f"{meter}/IntervalBlock")]
    return _entry(key, f"day {day}", f"{day}", stamp, links, _tag("IntervalBlock", "".join(body)))


def _summary(summary: Summary) -> str:
    body = _tag("billingPeriod", _fields(duration=summary.seconds, start=_epoch(summary.starts_at)))
    body += _fields(billLastPeriod=summary.paise * MONEY_UNITS_PER_PAISA)
    for note, paise in summary.items:
        amount = _fields(amount=paise * MONEY_UNITS_PER_PAISA)
        body += _tag("costAdditionalDetailLastPeriod", f"{amount}<espi:note>{escape(note)}</espi:note>")
    body += _fields(currency=INR)
    if summary.energy_wh is not None:
        overall = _fields(powerOfTenMultiplier=0, uom=WATT_HOURS, value=summary.energy_wh)
        body += _tag("overallConsumptionLastPeriod", overall)
    return _tag("UsageSummary", body)


def _clock(zone: tzinfo, at: datetime) -> str:
    """Standard time, and when this year's change of clocks begins and ends (a date each), where there is one."""
    offsets = [(datetime(at.year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)) for hour in range(366 * 24)]
    changes, before = [], offsets[0].astimezone(zone).utcoffset()
    for instant in offsets:
        now = instant.astimezone(zone).utcoffset()
        if now != before:
            changes.append((instant, before, now))
            before = now
    standard = min((zone_now for _, old, new in changes for zone_now in (old, new) if zone_now), default=before)
    start = next((c for c in changes if c[2] != standard), None)
    end = next((c for c in changes if c[2] == standard), None)
    jump = int((start[2] - standard).total_seconds()) if start and start[2] and standard else 0
    return _tag("LocalTimeParameters", (
        f"<espi:dstEndRule>{_rule(end)}</espi:dstEndRule>{_fields(dstOffset=jump)}"
        f"<espi:dstStartRule>{_rule(start)}</espi:dstStartRule>"
        f"{_fields(tzOffset=int(standard.total_seconds()) if standard else 0)}"
    ))  # fmt: skip


def _rule(change: tuple[datetime, timedelta | None, timedelta | None] | None) -> str:
    """DstRuleType: month, day of month, hour of the clock before the change; 0 where there is none."""
    if change is None or change[1] is None:
        return "00000000"
    local = change[0] + change[1]
    return f"{local.month << 28 | local.day << 20 | local.hour << 12 | local.minute * 60:08X}"


def _entry(key: str, name: str, title: str, stamp: str, links: list[tuple[str, str]], content: str) -> str:
    told = "".join(f'<link rel="{relation}" href={quoteattr(href)}/>' for relation, href in links)
    return (
        f"<entry><id>urn:uuid:{_id(key, name)}</id>{told}<title>{escape(title)}</title>"
        f"<content>{content}</content><published>{stamp}</published><updated>{stamp}</updated></entry>\n"
    )


def _tag(name: str, body: str) -> str:
    return f"<espi:{name}>{body}</espi:{name}>"


def _fields(**values: int) -> str:
    return "".join(_tag(name, str(value)) for name, value in values.items())


def _epoch(at: datetime) -> int:
    return int(at.timestamp())


def _id(key: str, name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{key} {name}")
