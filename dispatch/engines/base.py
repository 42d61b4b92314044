"""What dispatch asks of a routing engine. Metres and seconds; NaN where there is no way."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""(n, 2): latitude, longitude in degrees."""
Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matrix:
    """Rows are origins, columns are destinations; NaN marks a pair without a way, never the whole request."""

    metres: Table
    seconds: Table


class RoutingEngine(Protocol):
    """Thread-safe. A road engine (CCH, Valhalla, OSRM over HTTP) has the same shape."""

    name: str

    def matrix(self, origins: Points, destinations: Points) -> Matrix: ...

    def route(self, origin: tuple[float, float], destination: tuple[float, float]) -> list[tuple[float, float]]:
        """A line to draw, both ends included."""
        ...
