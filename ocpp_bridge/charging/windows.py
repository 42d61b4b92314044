"""The limit of a site over the coming hours, from daily windows in local time: no Django, no clock."""

from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo


def parse_window(window: Mapping[str, Any]) -> tuple[time, time, int]:
    """(from, to, watts); raises ValueError. A window that ends before it begins goes over midnight."""
    try:
        begin, end = time.fromisoformat(str(window["from"])), time.fromisoformat(str(window["to"]))
        watts = window["limit_w"]
    except KeyError as error:
        raise ValueError(f"a window needs {error.args[0]}") from None
    if begin.tzinfo or end.tzinfo or begin == end:
        raise ValueError("a window has two different local times")
    if not isinstance(watts, int) or isinstance(watts, bool) or not 0 <= watts <= 2**31 - 1:
        raise ValueError("limit_w is a whole number of watts")
    return begin, end, watts


def limits_over(
    *,
    limit_w: int,
    windows: Iterable[Mapping[str, Any]],
    other_load_w: int,
    time_zone: str,
    now: datetime,
    hours: int,
) -> list[tuple[int, int]]:
    """(Unix second from which, watts for the chargers), rising, the first at `now`; the lowest window decides."""
    spans = [
        (begin.timestamp(), end.timestamp(), watts)
        for window in windows
        for begin, end, watts in _spans(parse_window(window), ZoneInfo(time_zone), now, hours)
    ]
    start, horizon = int(now.timestamp()), int(now.timestamp()) + hours * 3600
    edges = {int(edge) for begin, end, _ in spans for edge in (begin, end) if start < edge < horizon}
    limits: list[tuple[int, int]] = []
    for moment in sorted({start} | edges):
        lowest = min([limit_w, *(watts for begin, end, watts in spans if begin <= moment < end)])
        left = max(0, lowest - other_load_w)
        if not limits or limits[-1][1] != left:
            limits.append((moment, left))
    return limits


def _spans(
    window: tuple[time, time, int], zone: ZoneInfo, now: datetime, hours: int
) -> Iterable[tuple[datetime, datetime, int]]:
    begin, end, watts = window
    today = now.astimezone(zone).date()
    for days in range(-1, hours // 24 + 2):
        day = today + timedelta(days=days)
        last = day + timedelta(days=1) if end < begin else day
        yield datetime.combine(day, begin, zone), datetime.combine(last, end, zone), watts
