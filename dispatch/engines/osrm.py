"""An OSRM server: `GET /table/v1/driving/...` and `/route/v1/driving/...`, https://project-osrm.org/docs/."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from dispatch.engines.base import EngineFailed, Line, Matrix, Place, Points
from dispatch.engines.calls import TableEngine, believable, line_of, plain
from dispatch.engines.lines import thinned

PROFILE = "driving"
NO_WAY = {"NoSegment", "NoRoute", "NoTable"}


class OsrmEngine(TableEngine):
    name = "osrm"

    def route(self, origin: Place, destination: Place, *, seconds: float) -> Line:
        path = f"/route/v1/{PROFILE}/{_places([origin, destination])}?overview=full&geometries=geojson"
        try:
            answer = self._good(*self._caller.ask("GET", path, seconds=seconds)) or {}
            points = answer["routes"][0]["geometry"]["coordinates"]
        except (KeyError, IndexError, TypeError):
            raise EngineFailed("no_way", "no route with a geometry") from None
        return thinned(np.vstack([origin, line_of(points, is_longitude_first=True), destination]))

    def _table(self, origins: Points, destinations: Points, seconds: float) -> Matrix | None:
        sources, targets = range(len(origins)), range(len(origins), len(origins) + len(destinations))
        places = _places([*origins.tolist(), *destinations.tolist()])
        wish = f"sources={_joined(sources)}&destinations={_joined(targets)}&annotations=duration,distance"
        path = f"/table/v1/{PROFILE}/{places}?{wish}"
        answer = self._good(*self._caller.ask("GET", path, seconds=seconds))
        if answer is None:
            return None
        return believable(answer.get("distances"), answer.get("durations"), origins, destinations)

    def _good(self, status: int, answer: Any) -> Any:
        """None: some pair of the question has no way."""
        code = answer.get("code") if isinstance(answer, dict) else None
        if code in NO_WAY:
            return None
        if status != 200 or code != "Ok":
            raise EngineFailed(f"status_{status}", f"status {status}: {str(answer)[:200]}")
        if isinstance(version := answer.get("data_version"), str):
            self.version = plain(version, 20)
        return answer


def _places(places: Iterable[Any]) -> str:
    return ";".join(f"{longitude:.6f},{latitude:.6f}" for latitude, longitude in places)


def _joined(numbers: Iterable[int]) -> str:
    return ";".join(map(str, numbers))
