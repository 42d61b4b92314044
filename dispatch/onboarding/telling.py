"""Demo vehicles report by the same write path as real ones, and the plugs of their stations say how they are."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from dispatch.models import SampleRow
from dispatch.onboarding.samples import Kind, device_of, lines_of, told_since
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.geo import distance_m
from stations.models import Source
from stations.services.bulk import EvseReport, report_evses
from vehicles.decoders import pings
from vehicles.fixes import Fix
from vehicles.telemetry import Delivery, Telemetry

BEFORE = 10
"""Minutes of the past that they tell when they are loaded."""
LONGEST = timedelta(days=1)


class Track(NamedTuple):
    """Where a vehicle drives to and fro, a point a minute, and how its charge moves from when it was loaded."""

    registration: str
    soc_percent: float
    soc_percent_in_the_end: float
    soc_percent_per_minute: float
    points: list[tuple[float, float]]

    def ping(self, minute: int, minutes_told: int) -> dict[str, object]:
        """`minute` of Unix time: loaded again, it goes on from where it is."""
        here, before, soc = self._place(minute), self._place(minute - 1), self._soc(minutes_told)
        return {
            "ts": minute * 60, "lat": here[0], "lon": here[1], "soc": round(soc, 1),
            "speed_kmh": round(distance_m(*before, *here) * 60 / 1000, 1),
            "charging": self.soc_percent_per_minute > 0 and soc < self.soc_percent_in_the_end,
        }  # fmt: skip

    def _place(self, minute: int) -> tuple[float, float]:
        last = len(self.points) - 1
        step = minute % (2 * last) if last else 0
        return self.points[min(step, 2 * last - step)]

    def _soc(self, minute: int) -> float:
        moved = self.soc_percent + self.soc_percent_per_minute * minute
        bounds = sorted((self.soc_percent, self.soc_percent_in_the_end))
        return min(max(moved, bounds[0]), bounds[1])


def tracks() -> list[Track]:
    return [
        Track(
            line["registration"], float(line["soc_percent"]), float(line["soc_percent_in_the_end"]),
            float(line["soc_percent_per_minute"]), [_point(text) for text in line["points"].split()],
        )
        for line in lines_of("tracks.csv")
    ]  # fmt: skip


def _point(text: str) -> tuple[float, float]:
    latitude, longitude = text.split(",")
    return float(latitude), float(longitude)


def tell(organisation: Organisation, *, now: datetime, is_first: bool = False) -> int:
    """What they have to say this minute (`is_first`: and the ten before); how many pings. After a day: nothing.

    The minute is in each ping's own instant, so telling it twice tells it once.
    """
    since = told_since(organisation)
    if since is None or now - since > LONGEST:
        return 0
    latest = int(now.timestamp()) // 60
    minutes = range(latest - BEFORE if is_first else latest, latest + 1)
    found = [fix for track in tracks() for fix in _fixes(organisation, track, minutes, since)]
    _tell_plugs(organisation, now)
    with ThreadPoolExecutor(1) as own_thread:  # the caller's may have a loop of its own
        own_thread.submit(asyncio.run, _submit(organisation.pk, found)).result()
    return len(found)


def _fixes(organisation: Organisation, track: Track, minutes: range, since: datetime) -> list[Fix]:
    device, begun = device_of(organisation, track.registration), int(since.timestamp()) // 60 - BEFORE
    told = [track.ping(minute, minute - begun) for minute in minutes]
    return [one for one in pings.decode(orjson.dumps({"device": device, "pings": told})) if isinstance(one, Fix)]


async def _submit(organisation_id: int, fixes: list[Fix]) -> list[int]:
    telemetry = Telemetry()
    try:
        return await telemetry.submit(Delivery(organisation_id, time.time_ns() // 1000, fixes))
    finally:
        await telemetry.close()


def _tell_plugs(organisation: Organisation, now: datetime) -> None:
    for source in Source.objects.filter(pk__in=SampleRow.objects.ids(organisation, Kind.SOURCE)):
        words = [
            EvseReport(source.pk, f"{line['station']}*{line['unit']}", line["status"], line["status"], now, now)
            for line in lines_of("statuses.csv")
        ]
        report_evses(words)
