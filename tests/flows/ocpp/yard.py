"""Hundreds of simulated chargers with a car each, on real sockets; they know what was really drawn."""

import asyncio
import contextlib
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fleetcharge.demo.bays import PLUGGED, Bay, Visit
from fleetcharge.demo.calls import Dialect
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.connection import ChargerConnection
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.dialect16 import Dialect16
from fleetcharge.demo.dialect21 import Dialect21
from fleetcharge.demo.dialect201 import Dialect201
from fleetcharge.demo.quirks import Quirk

DIALECTS: tuple[type[Dialect], ...] = (Dialect16, Dialect201, Dialect21)
ODDITIES = (
    (), (Quirk.NUMERIC_IDS,), (Quirk.DUPLICATE_FRAMES,), (Quirk.REPEATS_ON_NEW_SOCKET,), (Quirk.SEQ_NO_ZERO,),
    (Quirk.MIXED_UNITS, Quirk.TOTAL_AND_PHASES), (Quirk.BOOT_MID_SESSION,),
)  # fmt: skip
TICK_SECONDS = 0.2
POWER_W = 60_000


@dataclass(frozen=True)
class Place:
    """One charger of a yard, and the tag of the car that comes to it."""

    identity: str
    key: str
    tag: str
    dialect: type[Dialect]
    quirks: frozenset[Quirk] = frozenset()


def mixed(keys: Iterable[tuple[str, str, str]]) -> list[Place]:
    """(identity, key, tag) as places of every version and oddity in turn."""
    return [
        Place(*key, DIALECTS[number % 3], frozenset(ODDITIES[number % len(ODDITIES)]))
        for number, key in enumerate(keys)
    ]


class Yard:
    """`facts()` is the truth: every session that ran, with the energy its meter counted."""

    def __init__(self, places: Iterable[Place], *urls: str, meter_every_seconds: float = 2.0) -> None:
        """`urls` are the nodes of one system: every loss of the line sends a charger to the next one."""
        self.tags: dict[str, str] = {}
        self.chargers: list[SimCharger] = []
        self.lines: list[ChargerConnection] = []
        for number, place in enumerate(places):
            bay = Bay(f"{place.identity}/1", 1, "yard", 0.0, 0.0, "ccs2", POWER_W, meter_wh=1000.0 * number)
            charger = SimCharger(
                place.identity, place.key, "Yard 60", place.dialect(), [bay], random.Random(number),
                set(place.quirks), meter_every=timedelta(seconds=meter_every_seconds), finished=deque(maxlen=5000),
            )  # fmt: skip
            start = number % len(urls)
            nodes = (*urls[start:], *urls[:start])
            self.chargers.append(charger)
            self.lines.append(ChargerConnection(charger, *nodes, longest_pause_seconds=2.0))
            self.tags[place.identity] = place.tag
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self._tasks = [asyncio.create_task(line.run(index / 200)) for index, line in enumerate(self.lines)]
        self._tasks.append(asyncio.create_task(self._live()))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, seconds = datetime.now(UTC), loop.time() - last
            last = loop.time()
            for charger, line in zip(self.chargers, self.lines, strict=True):
                charger.bays[0].deliver(seconds, 20)
                charger.tick(now)
                line.wake()

    # --- what drivers do ------------------------------------------------------------------------------------------
    def plug_in(self, charger: SimCharger) -> None:
        pack = Pack(400_000, 10.0, 3_300, 50_000)
        visit = Visit(str(uuid.uuid4()), "", self.tags[charger.identity], pack, 100.0, datetime.now(UTC))
        charger.plug_in(charger.bays[0], visit, datetime.now(UTC))

    def leave(self, charger: SimCharger) -> None:
        charger.leave(charger.bays[0], datetime.now(UTC))

    async def cut(self, first: int, share: int) -> None:
        """Every `share`-th line breaks without a word, and comes back at another node."""
        for line in self.lines[first::share]:
            await line.drop()

    def swap(self, first: int, share: int) -> None:
        """At every `share`-th charger one car goes and the next one comes, whether anybody is listening or not."""
        for charger in self.chargers[first::share]:
            visit = charger.bays[0].visit
            if visit is not None and visit.state != PLUGGED:
                self.leave(charger)
                self.plug_in(charger)

    # --- what is true ---------------------------------------------------------------------------------------------
    @property
    def running(self) -> int:
        return sum(bool(one.bays[0].visit and one.bays[0].visit.is_running) for one in self.chargers)

    @property
    def answered(self) -> int:
        return sum(charger.answered for charger in self.chargers)

    @property
    def is_settled(self) -> bool:
        """Everybody is connected and has told everything."""
        return all(charger.is_connected and not charger.unanswered() for charger in self.chargers)

    def facts(self) -> dict[str, list[int]]:
        """Watt-hours of the ended sessions of every charger, in their order."""
        return {charger.identity: [facts["energy_wh"] for facts in charger.finished] for charger in self.chargers}

    def waiting(self) -> list[Any]:
        """For a message: who has not settled, and why."""
        return [
            (one.identity, one.is_connected, len(one.unanswered())) for one in self.chargers
            if not one.is_connected or one.unanswered()
        ][:5]  # fmt: skip


async def reach(condition: Callable[[], Any], what: str | Callable[[], Any], seconds: float) -> None:
    """Wait for a condition; says what was missing (`what`, or what it tells then)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.1)
            return
    raise AssertionError(f"waited {seconds:.0f} s for {what if isinstance(what, str) else what()}")
