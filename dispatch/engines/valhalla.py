"""A Valhalla server: `POST /sources_to_targets` and `/route`, https://valhalla.github.io/valhalla/api/matrix/."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from dispatch.engines.base import EngineFailed, Line, Matrix, Place, Points
from dispatch.engines.calls import TableEngine, believable, line_of, plain
from dispatch.engines.lines import thinned

COSTING = "auto"
NO_WAY = {154, 170, 171, 442}
"""Too far, regions without a link, no road near a place, no path: said of the whole question for one pair of it."""
VERSION_SECONDS = 600.0
POLYLINE_UNITS = 1e-6


class ValhallaEngine(TableEngine):
    name = "valhalla"

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(url, transport)
        self._version_at_s = -VERSION_SECONDS

    def route(self, origin: Place, destination: Place, *, seconds: float) -> Line:
        body = {"locations": [_place(origin), _place(destination)], "costing": COSTING, "directions_type": "none"}
        try:
            answer = _good(*self._caller.ask("POST", "/route", seconds=seconds, json=body)) or {}
            shape = answer["trip"]["legs"][0]["shape"]
        except (KeyError, IndexError, TypeError):
            raise EngineFailed("no_way", "no leg with a shape") from None
        return thinned(np.vstack([origin, line_of(decoded(shape)), destination]))

    def _table(self, origins: Points, destinations: Points, seconds: float) -> Matrix | None:
        body = {"sources": [*map(_place, origins.tolist())], "targets": [*map(_place, destinations.tolist())],
                "costing": COSTING, "units": "kilometers"}  # fmt: skip
        answer = _good(*self._caller.ask("POST", "/sources_to_targets", seconds=seconds, json=body))
        if answer is None:
            return None
        self._ask_version()
        return believable(*_tables(answer), origins, destinations, unit_m=1_000.0)

    def _ask_version(self) -> None:
        if time.monotonic() - self._version_at_s >= VERSION_SECONDS:
            self._version_at_s = time.monotonic()
            self._caller.ask_later("/status", self._note_version)

    def _note_version(self, status: Any) -> None:
        """Program and the day its tiles were made."""
        if isinstance(status, dict) and isinstance(version := status.get("version"), str):
            made_at = status.get("tileset_last_modified")
            day = time.strftime(" tiles %Y-%m-%d", time.gmtime(made_at)) if type(made_at) is int else ""
            self.version = plain(version, 12) + day


def _place(place: Sequence[float]) -> dict[str, float]:
    return {"lat": round(place[0], 6), "lon": round(place[1], 6)}


def _good(status: int, answer: Any) -> Any:
    """None: some pair of the question has no way."""
    if status == 200 and isinstance(answer, dict):
        return answer
    if isinstance(answer, dict) and answer.get("error_code") in NO_WAY:
        return None
    raise EngineFailed(f"status_{status}", f"status {status}: {str(answer)[:200]}")


def _tables(answer: Any) -> tuple[Any, Any]:
    """Kilometres and seconds, from the form with an object for each pair, and from the short one."""
    told = answer.get("sources_to_targets")
    if isinstance(told, dict):
        return told.get("distances"), told.get("durations")
    try:
        return tuple([[pair[key] for pair in row] for row in told] for key in ("distance", "time"))  # type: ignore[return-value]
    except (KeyError, TypeError):
        raise EngineFailed("wrong_shape", "no sources_to_targets as Valhalla has it") from None


def decoded(shape: Any) -> list[tuple[float, float]]:
    """Google's encoded polyline with six digits. Raises EngineFailed."""
    if not isinstance(shape, str):
        raise EngineFailed("wrong_shape", "no encoded line")
    steps = _steps(shape)
    latitude = itertools.accumulate(steps[0::2])
    longitude = itertools.accumulate(steps[1::2])
    return [(lat * POLYLINE_UNITS, lon * POLYLINE_UNITS) for lat, lon in zip(latitude, longitude, strict=False)]


def _steps(shape: str) -> list[int]:
    """Five bits a character, the lowest first; the lowest bit of a number is its sign."""
    steps, value, shift = list[int](), 0, 0
    for character in shape:
        bits = ord(character) - 63
        if not 0 <= bits < 64 or shift > 30:
            raise EngineFailed("wrong_shape", "no encoded line")
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            steps.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return steps
