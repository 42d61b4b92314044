"""Road engines one after the other, each for the pairs that those before it did not know, then crow."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dispatch.engines.base import EngineFailed, Line, Matrix, Place, Points, RoadEngine, RoutingEngine
from dispatch.engines.breaker import Breaker

LIMIT_SECONDS = 0.3
"""All the time one plan may spend on road engines, however many questions it has."""
LEAST_SECONDS = 0.01
"""With less left nobody is asked any more."""
Index = npt.NDArray[np.intp]
NAME_LENGTH = 120
"""What a plan has room for."""
NO_WAY = "no_way"
T = TypeVar("T")

logger = logging.getLogger(__name__)


class Guarded:
    """A road engine with its breaker; lives as long as the process."""

    def __init__(self, engine: RoadEngine, breaker: Breaker | None = None) -> None:
        self.engine, self.breaker = engine, breaker or Breaker()

    def ask(self, question: Callable[[], T]) -> T | None:
        """None when it is left alone, or failed."""
        if not self.breaker.may_ask():
            return None
        try:
            answer = question()
        except EngineFailed as error:
            logger.info("road engine %s failed (%s): %s", self.engine.name, error.code, error)
            if error.code == NO_WAY:  # it works, and knows
                self.breaker.succeeded()
            elif self.breaker.failed():
                logger.warning("road engine %s is left alone for a while (%s): %s", self.engine.name, error.code, error)
            return None
        self.breaker.succeeded()
        return answer


class Asked:
    """The engines as one plan asks them: what is left of its time, and whose answers it rests on. For one thread."""

    def __init__(
        self, roads: Sequence[Guarded], last: RoutingEngine, *, seconds: float = LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._roads, self._last, self._left_s, self._clock = roads, last, seconds, clock
        self._used: list[str] = []

    @property
    def name(self) -> str:
        """Whose distances were used so far, first come first; two where the first did not know all."""
        return " + ".join(self._used)[:NAME_LENGTH] or self._last.name

    def matrix(self, origins: Points, destinations: Points) -> Matrix:
        shape = (len(origins), len(destinations))
        made = Matrix(np.full(shape, np.nan), np.full(shape, np.nan))
        for road in self._roads:
            if (missing := np.isnan(made.seconds)).any():
                rows, columns = np.flatnonzero(missing.any(axis=1)), np.flatnonzero(missing.any(axis=0))
                if (found := self._by_road(road, origins[rows], destinations[columns])) is not None:
                    self._take(made, found, np.ix_(rows, columns), _label(road.engine))
        if np.isnan(made.seconds).any():
            self._take(made, self._last.matrix(origins, destinations), np.ix_(*map(np.arange, shape)), self._last.name)
        return made

    def route(self, origin: Place, destination: Place) -> Line:
        for road in self._roads:
            if (line := self._line_by_road(road, origin, destination)) is not None:
                return line
        return self._last.route(origin, destination)

    def _by_road(self, road: Guarded, origins: Points, destinations: Points) -> Matrix | None:
        return self._timed(road, lambda left_s: road.engine.matrix(origins, destinations, seconds=left_s))

    def _line_by_road(self, road: Guarded, origin: Place, destination: Place) -> Line | None:
        return self._timed(road, lambda left_s: road.engine.route(origin, destination, seconds=left_s))

    def _timed(self, road: Guarded, question: Callable[[float], T]) -> T | None:
        """Within what is left of the plan's time."""
        began, left_s = self._clock(), self._left_s
        if left_s < LEAST_SECONDS:
            return None
        try:
            return road.ask(lambda: question(left_s))
        finally:
            self._left_s -= self._clock() - began

    def _take(self, made: Matrix, found: Matrix, part: tuple[Index, ...], label: str) -> None:
        """What was missing and is known now."""
        seconds, metres = made.seconds[part], made.metres[part]
        new = np.isnan(seconds) & ~np.isnan(found.seconds) & ~np.isnan(found.metres)
        seconds[new], metres[new] = found.seconds[new], found.metres[new]
        made.seconds[part], made.metres[part] = seconds, metres
        if new.any() and label not in self._used:
            self._used.append(label)


def _label(engine: RoadEngine) -> str:
    return f"{engine.name} {engine.version}".strip()
