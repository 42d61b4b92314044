"""Keeps the packets of watched vehicles for their connect page; nothing waits for it, and it may lose some."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.db import AsyncDatabase
from vehicles import sql
from vehicles.fixes import NO_PLACE, Fix, Problem
from vehicles.registry import VehicleRef

MAX_RAW_CHARACTERS, MAX_OUTCOMES = 2_000, 20
Shown = dict[str, Any]


class Kept(NamedTuple):
    """One message for the table."""

    vehicle_id: int
    raw: str
    outcome: list[Shown]


class Console:
    """Group commit of packets; a full queue drops them."""

    def __init__(self) -> None:
        self._database = AsyncDatabase()
        self._batcher: Batcher[Kept, None] = Batcher(self._write, name="packets", max_queue=500)

    def note(self, ref: VehicleRef, raw: bytes | str, outcome: Sequence[Shown]) -> None:
        """Keep one message of a watched vehicle."""
        text = raw if isinstance(raw, str) else raw[:MAX_RAW_CHARACTERS].decode("utf-8", "replace")
        self._batcher.offer(
            Kept(ref.vehicle_id, text[:MAX_RAW_CHARACTERS].replace("\0", ""), list(outcome[:MAX_OUTCOMES]))
        )

    async def close(self) -> None:
        """Write what is queued and let go of the connection."""
        await self._batcher.close()
        await self._database.close()

    async def _write(self, packets: Sequence[Kept]) -> list[None]:
        await self._database.fetch(sql.KEEP_PACKETS, [orjson.dumps([list(packet) for packet in packets]).decode()])
        return [None] * len(packets)


def shown(verdict: tuple[int, Fix] | Problem, known: int) -> Shown:
    """What became of one ping; `known` is the outcome of a repeat."""
    if isinstance(verdict, Problem):
        return {"code": verdict.code, "detail": verdict.detail}
    outcome, fix = verdict
    place = {} if fix.flags & NO_PLACE else {"latitude": fix.latitude, "longitude": fix.longitude}
    return {
        "at": datetime.fromtimestamp(fix.at_us / 1e6, UTC).isoformat(), **place, "speed_kmh": fix.speed_kmh,
        "soc_percent": fix.soc_percent, "flags": fix.flags & ~NO_PLACE, "warning": fix.warning,
        "is_repeat": outcome == known,
    }  # fmt: skip
