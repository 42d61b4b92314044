"""Questions to a routing server by HTTP: answered in time, whole and believable, or a named failure."""

import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from types import NoneType
from typing import Any, NamedTuple

import httpx
import numpy as np
import orjson

from dispatch.engines.base import EngineFailed, Matrix, Points, Table, are_places
from dispatch.engines.crow import crow_metres
from fleetcharge.lib import exchanges

MOST_SECONDS = 1.0
"""How long an exchange that nobody waits for any more may still take."""
THREADS = 4
MOST_BYTES = 4_000_000
BLOCK = 50
"""Rows and columns in one question: OSRM takes 100 places, Valhalla 2,500 pairs unless it is told otherwise."""
LONGEST_WAY_S, LONGEST_WAY_M = 1_000_000.0, 10_000_000.0
SHORTCUT_M = 2_000.0
"""A way shorter than the straight line by more than this was measured from some other place, far away."""


class Answer(NamedTuple):
    status: int
    content: bytes


class Caller:
    """One server. An exchange runs in a thread of its own, so that not even a name server that hangs is waited for."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url, self._transport = url.rstrip("/"), transport
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="road-engine")
        self._of_thread = threading.local()

    def ask(self, method: str, path: str, *, seconds: float, json: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer that came in time. Raises EngineFailed."""
        pending = self._threads.submit(self._exchange, method, path, json)
        try:
            status, content = pending.result(timeout=max(0.0, seconds))
        except TimeoutError:
            pending.cancel()
            raise EngineFailed("timeout", f"no whole answer within {seconds:.3f} s") from None
        except httpx.TimeoutException as error:
            raise EngineFailed("timeout", f"no whole answer: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise EngineFailed("unreachable", f"it cannot be asked: {error}") from error
        return status, _json(status, content)

    def ask_later(self, path: str, then: Any) -> None:
        """For what may be known or not: hand the JSON to `then` when it is there."""
        self._threads.submit(self._tell, path, then)

    def _tell(self, path: str, then: Any) -> None:
        try:
            then(_json(*self._exchange("GET", path, None)))
        except (httpx.HTTPError, EngineFailed, OSError, ValueError):
            return

    def _exchange(self, method: str, path: str, json: Any) -> Answer:
        if not hasattr(self._of_thread, "client"):
            self._of_thread.client = exchanges.client(seconds=MOST_SECONDS, transport=self._transport)
        with self._of_thread.client.stream(method, self._url + path, json=json) as response:
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise EngineFailed("too_large", f"it says more than {MOST_BYTES} bytes")
            return Answer(response.status_code, bytes(content))


def _json(status: int, content: bytes) -> Any:
    """Servers say 400 with JSON when a pair has no way; what is no JSON is named by its status."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        code = "not_json" if status == 200 else f"status_{status}"
        raise EngineFailed(code, f"status {status} and no JSON") from None


class TableEngine:
    """What both servers have in common. Below it, `_table` asks one question: None when some pair of it has no way, for
    which such servers refuse all of it; then halves are asked, as long as there is time."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self.version = ""
        self._caller = Caller(url, transport)

    def matrix(self, origins: Points, destinations: Points, *, seconds: float) -> Matrix:
        ends = time.monotonic() + seconds
        shape = (len(origins), len(destinations))
        made = Matrix(np.full(shape, np.nan), np.full(shape, np.nan))
        rows, columns = np.flatnonzero(are_places(origins)), np.flatnonzero(are_places(destinations))
        try:
            for a, b in product(range(0, len(rows), BLOCK), range(0, len(columns), BLOCK)):
                self._ask(made, origins, destinations, rows[a : a + BLOCK], columns[b : b + BLOCK], ends)
        except EngineFailed:
            if np.isnan(made.seconds).all():
                raise
        return made

    def _ask(self, made: Matrix, origins: Points, destinations: Points, rows: Any, columns: Any, ends: float) -> None:
        found = self._table(origins[rows], destinations[columns], ends - time.monotonic())
        if found is not None:
            made.metres[np.ix_(rows, columns)], made.seconds[np.ix_(rows, columns)] = found.metres, found.seconds
        elif len(rows) > 1 and len(rows) >= len(columns):
            for half in np.array_split(rows, 2):
                self._ask(made, origins, destinations, half, columns, ends)
        elif len(columns) > 1:
            for half in np.array_split(columns, 2):
                self._ask(made, origins, destinations, rows, half, ends)

    def _table(self, origins: Points, destinations: Points, seconds: float) -> Matrix | None:
        raise NotImplementedError


def believable(ways: Any, seconds: Any, origins: Points, destinations: Points, *, unit_m: float = 1.0) -> Matrix:
    """Rows of numbers and nulls as a matrix. Raises EngineFailed for what no server in its right mind would say."""
    shape = (len(origins), len(destinations))
    way, duration = _numbers(ways, shape, LONGEST_WAY_M) * unit_m, _numbers(seconds, shape, LONGEST_WAY_S)
    unknown = np.isnan(way) | np.isnan(duration) | (way < crow_metres(origins, destinations) - SHORTCUT_M)
    way[unknown] = duration[unknown] = np.nan
    return Matrix(way, duration)


def _numbers(rows: Any, shape: tuple[int, int], most: float) -> Table:
    if not _is_table(rows, shape):
        raise EngineFailed("wrong_shape", f"no table of {shape[0]} x {shape[1]}")
    values = [value for row in rows for value in row]
    if not all(type(value) in (int, float, NoneType) for value in values):
        raise EngineFailed("wrong_shape", "something in the table is no number")
    table: Table = np.array(values, dtype=np.float64).reshape(shape)
    if ((table < 0) | (table > most)).any():
        raise EngineFailed("bad_number", "a way of the table is negative or endless")
    return table


def _is_table(rows: Any, shape: tuple[int, int]) -> bool:
    return isinstance(rows, list) and len(rows) == shape[0] and all(_is_row(row, shape[1]) for row in rows)


def _is_row(row: Any, length: int) -> bool:
    return isinstance(row, list) and len(row) == length


def plain(version: str, most: int) -> str:
    """A server's word for its version, fit for a row and a page."""
    return re.sub(r"[^A-Za-z0-9._:+-]", "", version)[:most]


def line_of(points: Any, *, is_longitude_first: bool = False) -> Points:
    """[latitude, longitude] of each point of a line. Raises EngineFailed."""
    if not isinstance(points, Sequence) or not 2 <= len(points) <= 100_000:
        raise EngineFailed("wrong_shape", "no line")
    try:
        pairs = np.array(points, dtype=np.float64).reshape(len(points), 2)
    except (TypeError, ValueError):
        raise EngineFailed("wrong_shape", "no line of points") from None
    line: Points = pairs[:, ::-1] if is_longitude_first else pairs
    if not are_places(line).all():
        raise EngineFailed("bad_number", "a line that leaves the earth")
    return line
