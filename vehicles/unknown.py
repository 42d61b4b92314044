"""Devices that report and belong to nobody: counted and shown, so that claiming one is a click."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.db import AsyncDatabase
from vehicles import sql

MAX_MESSAGE_CHARACTERS = 2_000


class Sighting(NamedTuple):
    """One message of an unknown device; `organisation_id` None when no API key came with it."""

    organisation_id: int | None
    device: str
    message: str


class UnknownDevices:
    """Group commit of sightings, one row per device and organisation."""

    def __init__(self) -> None:
        self._database = AsyncDatabase()
        self._batcher: Batcher[Sighting, None] = Batcher(self._write, name="unknown-devices", max_queue=1_000)

    async def remember(self, organisation_id: int | None, devices: Iterable[str], raw: bytes) -> None:
        """Count a message of each device; returns once it is stored."""
        message = raw[:MAX_MESSAGE_CHARACTERS].decode("utf-8", "replace").replace("\0", "")
        for device in devices:
            await self._batcher.submit(Sighting(organisation_id, device.replace("\0", ""), message))

    async def close(self) -> None:
        """Write what is queued and let go of the connection."""
        await self._batcher.close()
        await self._database.close()

    async def _write(self, sightings: Sequence[Sighting]) -> list[None]:
        merged: dict[tuple[int | None, str], list[int | str | None]] = {}
        for organisation_id, device, message in sightings:
            row = merged.setdefault((organisation_id, device), [organisation_id, device, 0, ""])
            row[2], row[3] = int(row[2] or 0) + 1, message
        await self._database.fetch(sql.REMEMBER_UNKNOWN, [orjson.dumps(list(merged.values())).decode()])
        return [None] * len(sightings)
