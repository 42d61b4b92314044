"""What is read all the same, and leads to trouble sooner or later: habits of a CPO that its own lists show.

Pure: raw objects as they were sent, a finding per habit.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from stations.cpo.ocpi.finding import Finding

Raw = dict[str, Any]
HOUR = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
OLDEST = "2010-01-01"
PLACEHOLDER = "#NA"


def of_locations(objects: Iterable[Raw], now: datetime) -> Iterator[Finding]:
    """Opening times, statuses without a meaning, statuses where none belongs."""
    sites = list(objects)
    hours = [f"{each.get('id')}: {why}" for each in sites if (why := _odd_hours(each))]
    yield Finding("locations: opening times can be read", not hours, "; ".join(hours[:3]), 13)
    words = [str(evse.get("status", "")).upper() for site in sites for evse in _evses(site)]
    says = any(word not in {"UNKNOWN", ""} for word in words)
    yield Finding("locations: statuses say something", says if words else None, f"{words.count('UNKNOWN')} UNKNOWN", 14)
    yield _closed(sites, now)
    plugs = [plug for site in sites for evse in _evses(site) for plug in _dicts(evse.get("connectors"))]
    astray = [str(plug.get("id")) for plug in plugs if "status" in plug]
    told = f"connector {astray[0]} has one, as its EVSE should" if astray else ""
    yield Finding("locations: a status is the EVSE's", not astray if plugs else None, told, 7)


def of_sessions(objects: Iterable[Raw]) -> Iterator[Finding]:
    """Which unit a session is at."""
    sessions = list(objects)
    running = [each for each in sessions if str(each.get("status", "")).upper() not in {"RESERVATION", "RESERVED"}]
    lost = [str(each.get("id")) for each in running if each.get("evse_uid") == PLACEHOLDER]
    known = not lost if any("evse_uid" in each for each in running) else None
    yield Finding("sessions: say where they charge", known, ", ".join(lost[:3]), 18)


def of_cdrs(objects: Iterable[Raw], sessions: set[str] | None) -> Iterator[Finding]:
    """`sessions`: the ids of all that the CPO lists, None when its list was not read to the end."""
    cdrs = list(objects)
    bare = [str(each.get("id")) for each in cdrs if not _names_a_price(each)]
    told = f"{', '.join(bare[:3])}: priced by what was in force at the start" if bare else ""
    yield Finding("cdrs: name the prices they were made with", not bare if cdrs else None, told, 17)
    named = {str(each["session_id"]).lower() for each in cdrs if each.get("session_id")}
    strange = sorted(named - sessions) if sessions is not None else []
    is_known = not strange if named and sessions is not None else None
    yield Finding("cdrs: their sessions are listed too", is_known, ", ".join(strange[:3]), 19)


def of_times(module: str, objects: Iterable[Raw]) -> Finding:
    """1970 means that a clock was never set, unless it was agreed."""
    times = {str(each.get(name)) for each in objects for name in _INSTANTS if isinstance(each.get(name), str)}
    old = sorted(text for text in times if text[:4].isdecimal() and text < OLDEST)
    return Finding(f"{module}: times are of our days", not old if times else None, ", ".join(old[:2]), 21)


_INSTANTS = ("last_updated", "start_date_time", "start_datetime", "end_date_time", "end_datetime", "stop_date_time")


def addresses_in(objects: Iterable[Raw], refused: Callable[[str], str], most: int = 10) -> Finding:
    """Images and websites that we would be led to; `refused` says why we would not call one."""
    found = list(dict.fromkeys(url for each in objects for url in _urls(each)))[:most]
    bad = [why for url in found if (why := refused(url))]
    return Finding("locations: addresses of images may be called", not bad if found else None, "; ".join(bad[:2]), 25)


def _closed(sites: list[Raw], now: datetime) -> Finding:
    """INOPERATIVE is for what is broken: a site that is only shut keeps its status."""
    shut = [site for site in sites if _is_shut(site, now)]
    misused = [str(site.get("id")) for site in shut if _all_are(site, "INOPERATIVE")]
    known = bool(shut) or None
    return Finding("locations: INOPERATIVE does not mean closed", known and not misused, ", ".join(misused[:3]), 15)


def _all_are(site: Raw, word: str) -> bool:
    words = {str(evse.get("status", "")).upper() for evse in _evses(site)}
    return words == {word}


def _is_shut(site: Raw, now: datetime) -> bool:
    """By its regular hours, in its own time; sites without readable hours are open."""
    hours = _hours(site)
    if not hours or _odd_hours(site):
        return False
    try:
        local = now.astimezone(ZoneInfo(str(site.get("time_zone") or "Asia/Kolkata")))
    except (ValueError, OSError):
        return False
    clock = f"{local:%H:%M}"
    today = [each for each in hours if str(each.get("weekday")) == str(local.isoweekday())]
    return not any(str(each["period_begin"]) <= clock < str(each["period_end"]) for each in today)


def _odd_hours(site: Raw) -> str:
    for each in _hours(site):
        begin, end = str(each.get("period_begin")), str(each.get("period_end"))
        if not HOUR.fullmatch(begin) or not HOUR.fullmatch(end):
            return f"{begin} to {end} is no time of day"
        if end <= begin:
            return f"{begin} to {end} ends before it begins"
    return ""


def _hours(site: Raw) -> list[Raw]:
    times = site.get("opening_times")
    return _dicts(times.get("regular_hours")) if isinstance(times, dict) else []


def _names_a_price(cdr: Raw) -> bool:
    return bool(cdr.get("tariffs")) or any(each.get("tariff_id") for each in _dicts(cdr.get("charging_periods")))


def _urls(site: Raw) -> Iterator[str]:
    people = [site.get(name) for name in ("operator", "suboperator", "owner")]
    for each in [*_dicts(site.get("images")), *(person for person in people if isinstance(person, dict))]:
        yield from (str(each[name]) for name in ("url", "thumbnail", "website") if isinstance(each.get(name), str))


def _evses(site: Raw) -> list[Raw]:
    return _dicts(site.get("evses"))


def _dicts(value: Any) -> list[Raw]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
