"""The write path of pings: many requests, one transaction, then the news; the steps are the body of `write`."""

import time
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
import psycopg
from numpy.typing import NDArray

from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.db import AsyncDatabase
from vehicles import sql
from vehicles.announcements import Announcements
from vehicles.fixes import CENTISECOND, LATE, NO_PLACE, SUSPECT_POSITION, SUSPECT_SOC, Fix
from vehicles.registry import Holders, Registry, VehicleRef
from vehicles.soc import Crossings
from vehicles.trips.days import begin_of, day_number

ROWS_PER_STATEMENT = 1000  # measured: 100 to 1,000 rows a statement is where PostgreSQL is fastest
MARK_SECONDS = 600  # a day that was marked is not marked again for so long
MAX_MARKS = 400_000
ACCEPTED, DUPLICATE, UNKNOWN = 0, 1, 2
_by_vehicle_and_time = attrgetter("vehicle_id", "at_us")


class Delivery(NamedTuple):
    """The pings of one request; `organisation_id` None when the device's id is the credential."""

    organisation_id: int | None
    received_us: int
    fixes: list[Fix]


class Row(msgspec.Struct, gc=False):
    """One ping on its way into the table."""

    vehicle_id: int
    at_us: int
    received_us: int
    ref: VehicleRef
    fix: Fix
    outcomes: list[int]  # where its outcome goes, at `index`
    index: int


class News:
    """What a batch says about one vehicle's latest state."""

    __slots__ = ("crossings", "is_charging", "odometer_m", "position", "received_us", "soc")

    def __init__(self) -> None:
        self.position: tuple[int, Fix] | None = None
        self.received_us = 0
        self.soc: tuple[int, float] | None = None
        self.odometer_m: int | None = None
        self.is_charging: bool | None = None
        self.crossings = Crossings()

    def hear(self, row: Row) -> None:
        """Take in one ping; they come in time order. The clock of a device ahead of ours is held back to ours."""
        fix, at_us = row.fix, row.at_us
        if at_us > row.received_us:
            at_us = row.received_us
        if not fix.flags & (SUSPECT_POSITION | NO_PLACE):
            self.position, self.received_us = (at_us, fix), row.received_us
            if fix.odometer_m is not None:
                self.odometer_m = fix.odometer_m
            if fix.is_charging is not None:
                self.is_charging = fix.is_charging
        if fix.soc_percent is None or fix.flags & SUSPECT_SOC:
            return
        self.soc = (at_us, fix.soc_percent)
        if not (fix.flags & LATE and fix.soc_percent < row.ref.limits.low_percent):  # late pings never raise an alert
            self.crossings.see(fix.soc_percent, at_us, row.ref.limits)


class Telemetry:
    """One per process: its batcher is the only writer, its registry the only memory."""

    def __init__(self) -> None:
        self._database = AsyncDatabase()
        self.registry = Registry(self._database)
        self.announcements = Announcements()
        self._marks: dict[tuple[int, int], float] = {}
        self.batcher: Batcher[Delivery, list[int]] = Batcher(
            self.write,
            name="pings",
            max_rows=ROWS_PER_STATEMENT,
            max_queue=5_000,
            weigh=_weight,
            bisect_on=(psycopg.DataError,),
            in_halves=True,
            in_pairs=True,
        )

    async def submit(self, delivery: Delivery) -> list[int]:
        """One outcome per ping (ACCEPTED, DUPLICATE, UNKNOWN) once all of them are durable."""
        return await self.batcher.submit(delivery)

    async def write(self, deliveries: Sequence[Delivery]) -> list[list[int]]:
        """Find the vehicles, judge each ping, store rows and latest states together, tell who listens."""
        holders = await self.registry.find(fix.device for delivery in deliveries for fix in delivery.fixes)
        outcomes = [[UNKNOWN] * len(delivery.fixes) for delivery in deliveries]
        rows = sorted(_rows(deliveries, holders, outcomes), key=_by_vehicle_and_time)  # stable: then by arrival
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            await self._store(rows[start : start + ROWS_PER_STATEMENT])
        return outcomes

    async def close(self) -> None:
        """Write what is queued and let go of the connection."""
        await self.batcher.close()
        await self._database.close()
        self._marks.clear()
        await self.announcements.close()

    async def _store(self, rows: list[Row]) -> None:
        unique = _without_repeats(rows)
        for row in unique:
            row.ref.track.judge(row.fix, row.ref.max_speed_kmh)
        await self._mark_days(unique)
        placed = [row for row in unique if not row.fix.flags & NO_PLACE]
        answer = await self._database.fetch(sql.STORE, [*_position_columns(placed), *_state_columns(_news(unique))])
        known = {(row[0], row[1]) for row in answer if row[2] is None}
        for row in unique:
            row.outcomes[row.index] = DUPLICATE if known and (row.vehicle_id, row.at_us) in known else ACCEPTED
        await self._fill_missing_soc([row for row in unique if known and (row.vehicle_id, row.at_us) in known])
        refs = {row.vehicle_id: row.ref for row in unique}
        self.announcements.add([row for row in answer if row[2] is not None], refs)

    async def _mark_days(self, rows: list[Row]) -> None:
        """Before their pings: a day that is marked for nothing costs a look, one that is forgotten its trips."""
        marks, now, vehicle_id, until_us = self._marks, time.monotonic(), 0, 0
        fresh: list[tuple[int, int]] = []
        for row in rows:
            if row.vehicle_id == vehicle_id and row.at_us < until_us:
                continue  # of the day of the one before
            key = vehicle_id, day = row.vehicle_id, day_number(row.at_us)
            until_us = begin_of(day + 1)
            if marks.get(key, 0.0) <= now:
                fresh.append(key)
                marks[key] = now + MARK_SECONDS
        if not fresh:
            return
        try:
            await self._database.fetch(sql.MARK_DAYS, [_array([v for v, _ in fresh]), _array([d for _, d in fresh])])
        except BaseException:
            for key in fresh:
                marks.pop(key, None)
            raise
        if len(marks) > MAX_MARKS:
            marks.clear()

    async def _fill_missing_soc(self, repeats: list[Row]) -> None:
        """A repeated ping may know the charge that the stored one did not."""
        charged = [row for row in repeats if row.fix.soc_percent is not None]
        if charged:
            await self._database.fetch(
                sql.FILL_SOC,
                [
                    _array([row.vehicle_id for row in charged]),
                    _array([row.at_us for row in charged]),
                    _array(_whole([row.fix.soc_percent for row in charged], 10)),
                ],
            )


def _weight(delivery: Delivery) -> int:
    return len(delivery.fixes)


def _rows(deliveries: Sequence[Delivery], holders: dict[str, Holders], outcomes: list[list[int]]) -> Iterator[Row]:
    """A row for each ping whose device was, at that instant, on a vehicle that the sender may report for."""
    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        for index, fix in enumerate(delivery.fixes):
            ref = holders[fix.device].at(fix.at_us)
            if ref is not None and delivery.organisation_id in (None, ref.organisation_id):
                yield Row(ref.vehicle_id, fix.at_us, delivery.received_us, ref, fix, outcome, index)


def _without_repeats(rows: list[Row]) -> list[Row]:
    """The first ping of each vehicle and instant; it learns the charge from a repeat when it has none."""
    unique: list[Row] = []
    for row in rows:
        if unique and unique[-1].at_us == row.at_us and unique[-1].vehicle_id == row.vehicle_id:
            first = unique[-1].fix
            if first.soc_percent is None:
                first.soc_percent = row.fix.soc_percent
            row.outcomes[row.index] = DUPLICATE
        else:
            unique.append(row)
    return unique


def _news(rows: list[Row]) -> dict[int, News]:
    """Per vehicle, in the order of the rows (by vehicle id, so that two writers lock in the same order)."""
    news: dict[int, News] = {}
    for row in rows:
        one = news.get(row.vehicle_id)
        if one is None:
            one = news[row.vehicle_id] = News()
        one.hear(row)
    return news


def _position_columns(rows: list[Row]) -> list[str]:
    fixes = [row.fix for row in rows]
    return [
        _array([row.vehicle_id for row in rows]),
        _array([row.at_us for row in rows]),
        _array([(row.received_us - row.at_us) // CENTISECOND for row in rows]),
        _array(_whole([fix.latitude for fix in fixes], 1e7)),
        _array(_whole([fix.longitude for fix in fixes], 1e7)),
        _array([fix.odometer_m if fix.odometer_m is None or fix.odometer_m < 1 << 31 else None for fix in fixes]),
        _array(_whole([fix.speed_kmh for fix in fixes], 10)),
        _array(_whole([fix.heading_deg for fix in fixes])),
        _array(_whole([fix.accuracy_m for fix in fixes])),
        _array(_whole([fix.soc_percent for fix in fixes], 10)),
        _array([fix.flags for fix in fixes]),
    ]


def _state_columns(news: dict[int, News]) -> list[str]:
    latest = list(news.values())
    fixes = [item.position[1] if item.position else None for item in latest]
    return [
        _array(list(news)),
        _array([item.position[0] if item.position else None for item in latest]),
        _array([item.received_us if item.position else None for item in latest]),
        _array([fix.latitude if fix else None for fix in fixes]),
        _array([fix.longitude if fix else None for fix in fixes]),
        _array([fix.speed_kmh if fix else None for fix in fixes]),
        _array([fix.heading_deg if fix else None for fix in fixes]),
        _array([item.odometer_m for item in latest]),
        _array([item.is_charging for item in latest]),
        _array([item.soc[1] if item.soc else None for item in latest]),
        _array([item.soc[0] if item.soc else None for item in latest]),
        _array([item.crossings.below_at for item in latest]),
        _array([item.crossings.clear_at for item in latest]),
    ]


def _whole(values: Sequence[float | None], times: float = 1) -> list[int | None] | NDArray[np.int64]:
    """Each so many times, rounded; all at once where all are told, as in nearly every batch."""
    if None in values:
        return [None if value is None else round(value * times) for value in values]
    return np.rint(np.array(values, np.float64) * times).astype(np.int64)


def _array(values: list[Any] | NDArray[np.int64]) -> str:
    """A PostgreSQL array literal; JSON's null, true and numbers are spelled the same, and orjson writes them in C."""
    return "{" + orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode() + "}"
