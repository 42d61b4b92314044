"""What dispatch asks of a routing engine. Metres and seconds; NaN where there is no way."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""(n, 2): latitude, longitude in degrees."""
Table = npt.NDArray[np.float64]
Place = tuple[float, float]
Line = list[Place]


@dataclass(frozen=True)
class Matrix:
    """Rows are origins, columns are destinations; NaN marks a pair without a way, never the whole request."""

    metres: Table
    seconds: Table


class RoutingEngine(Protocol):
    """Thread-safe, and always with an answer; what planning sees."""

    @property
    def name(self) -> str:
        """What answered so far, with the version of its data: read it behind the questions."""
        ...

    def matrix(self, origins: Points, destinations: Points) -> Matrix: ...

    def route(self, origin: Place, destination: Place) -> Line:
        """A line to draw, both ends included."""
        ...


class RoadEngine(Protocol):
    """Knows roads, and may fail: by pair (NaN), or as a whole (EngineFailed). Thread-safe; ends within `seconds`."""

    name: str
    version: str

    def matrix(self, origins: Points, destinations: Points, *, seconds: float) -> Matrix: ...

    def route(self, origin: Place, destination: Place, *, seconds: float) -> Line: ...


class EngineFailed(Exception):
    """No answer that could be used; `code` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def are_places(points: Points) -> npt.NDArray[np.bool_]:
    """Which rows are coordinates at all."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(points) <= (90.0, 180.0)).all(axis=1))
