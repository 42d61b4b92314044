"""When a site is open: OCPI Hours as stretches of seconds. Pure; hours of which nothing can be read close nothing."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?")
DAY = timedelta(days=1)
Window = tuple[float, float]


def windows(opening_times: Any, *, zone: ZoneInfo, since: datetime, until: datetime) -> tuple[Window, ...] | None:
    """Between these instants, in seconds after `since`, in order and apart; None: always open, as far as anybody says.

    Days and times of day are the site's own. A time that ends no later than it begins goes over midnight. Exceptional
    openings come on top of the regular hours, exceptional closings count more than both.
    """
    if not isinstance(opening_times, dict):
        return None
    lines, openings = list(_read(opening_times)), list(_exceptions(opening_times, "exceptional_openings"))
    closed = list(_exceptions(opening_times, "exceptional_closings"))
    is_limited = opening_times.get("twentyfourseven") is not True and bool(lines or openings)
    if not is_limited and not closed:
        return None
    opened = [*_regular(lines, zone, since, until), *openings] if is_limited else [(since, until)]
    merged = _joined(_clipped(opened, since, until))
    return tuple(_without(merged, _joined(_clipped(closed, since, until))))


def _regular(
    lines: Iterable[tuple[int, int, int]], zone: ZoneInfo, since: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    first, last = since.astimezone(zone).date() - DAY, until.astimezone(zone).date()
    for weekday, begins, ends in lines:
        day = first + timedelta(days=(weekday - first.isoweekday()) % 7)
        while day <= last:
            end = ends if ends > begins else ends + 24 * 60
            yield _instant(day, begins, zone), _instant(day, end, zone)
            day += timedelta(days=7)


def _read(times: Any) -> Iterator[tuple[int, int, int]]:
    """(ISO weekday, minutes of the day it opens and closes) of every line that can be read."""
    for line in _dicts(times.get("regular_hours")):
        weekday = str(line.get("weekday"))
        begins, ends = _minutes(line.get("period_begin")), _minutes(line.get("period_end"))
        if weekday in set("1234567") and begins is not None and ends is not None:
            yield int(weekday), begins, ends


def _minutes(clock: Any) -> int | None:
    found = CLOCK.fullmatch(str(clock).strip())
    if found is None:
        return None
    minutes = int(found[1]) * 60 + int(found[2])
    return minutes if minutes <= 24 * 60 and int(found[2]) < 60 else None


def _instant(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """That time by the clock on the wall, which may be one of the next day."""
    local = datetime.combine(day, time()) + timedelta(minutes=minutes)
    return local.replace(tzinfo=zone).astimezone(UTC)


def _exceptions(times: Any, name: str) -> Iterator[tuple[datetime, datetime]]:
    for line in _dicts(times.get(name)):
        begins, ends = (_moment(line.get(key)) for key in ("period_begin", "period_end"))
        if begins is not None and ends is not None and begins < ends:
            yield begins, ends


def _moment(value: Any) -> datetime | None:
    """OCPI instants are UTC also where they do not say so."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _clipped(spans: Iterable[tuple[datetime, datetime]], since: datetime, until: datetime) -> Iterator[Window]:
    for begins, ends in spans:
        window = (max(begins, since) - since).total_seconds(), (min(ends, until) - since).total_seconds()
        if window[0] < window[1]:
            yield window


def _joined(spans: Iterable[Window]) -> list[Window]:
    joined: list[Window] = []
    for begins, ends in sorted(spans):
        if joined and begins <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], ends)
        else:
            joined.append((begins, ends))
    return joined


def _without(spans: Iterable[Window], closed: Iterable[Window]) -> list[Window]:
    left = list(spans)
    for shut, opens in closed:
        parts = [part for begins, ends in left for part in ((begins, min(ends, shut)), (max(begins, opens), ends))]
        left = [(begins, ends) for begins, ends in parts if begins < ends]
    return left


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [line for line in value if isinstance(line, dict)] if isinstance(value, list) else []
