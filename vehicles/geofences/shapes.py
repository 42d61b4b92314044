"""What a fleet draws, read from GeoJSON: a circle or polygons, in metres around its own middle; no Django.

Longitude and latitude are stretched by one factor each, so what is inside stays inside to the last digit, and
distances are right to a per mille for areas of the size we take.
"""

from collections.abc import Iterator
from math import cos, isfinite, radians
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from fleetcharge.lib.geo import EARTH_RADIUS_M, is_coordinate

Floats = NDArray[np.float64]
Ring = list[tuple[float, float]]

METRES_PER_DEGREE = EARTH_RADIUS_M * radians(1)
RADIUS_M = range(20, 50_001)
MOST_POSITIONS = 1_000
LARGEST_M, SMALLEST_M2 = 200_000, 400
INDIA_LATITUDES, INDIA_LONGITUDES = (6.0, 38.0), (68.0, 98.0)


class BadShape(Exception):
    """Why nothing can be made of it: a code for machines, a sentence for people, and the field that it is about."""

    def __init__(self, code: str, detail: str, field: str = "geometry") -> None:
        super().__init__(detail)
        self.code, self.field = code, field


class Shape:
    """A circle (a middle and metres) or polygons, ready to be measured against."""

    def __init__(self, geometry: dict[str, Any], radius_m: int | None) -> None:
        self.geometry, self.radius_m = geometry, radius_m
        west, south, east, north = _bounds(geometry)
        self._middle = (west + east) / 2, (south + north) / 2
        self._scale = METRES_PER_DEGREE * cos(radians(self._middle[1])), METRES_PER_DEGREE
        self._area = self._drawn()
        shapely.prepare(self._area)
        self._edge = self._area.boundary
        self.bounds = self._widened(west, south, east, north, radius_m or 0)

    def distance_m(self, longitudes: Floats, latitudes: Floats) -> Floats:
        """Metres to the edge of each place, below 0 inside."""
        x, y = self._metres(longitudes, latitudes)
        if self.radius_m is not None:
            return np.asarray(np.hypot(x, y) - self.radius_m, dtype=np.float64)
        away = shapely.distance(shapely.points(x, y), self._edge)
        is_inside = shapely.contains_xy(self._area, x, y)
        return np.asarray(np.where(is_inside, -away, away), dtype=np.float64)

    @property
    def area_m2(self) -> float:
        return float(self._area.area)

    @property
    def extent_m(self) -> float:
        west, south, east, north = self._area.bounds
        return float(max(east - west, north - south))

    def _metres(self, longitudes: Any, latitudes: Any) -> tuple[Any, Any]:
        return (longitudes - self._middle[0]) * self._scale[0], (latitudes - self._middle[1]) * self._scale[1]

    def _drawn(self) -> Any:
        if self.radius_m is not None:
            return shapely.Point(0, 0).buffer(self.radius_m)
        return shapely.transform(shapely.geometry.shape(self.geometry), self._moved)

    def _moved(self, places: Floats) -> Floats:
        return np.column_stack(self._metres(places[:, 0], places[:, 1]))

    def _widened(self, west: float, south: float, east: float, north: float, metres: float) -> tuple[float, ...]:
        wide, high = metres / self._scale[0], metres / self._scale[1]
        return west - wide, south - high, east + wide, north + high


def read(geometry: Any, radius_m: int | None) -> Shape:
    """The shape that was sent; raises BadShape. A Feature stands for its geometry."""
    found = _geometry(geometry)
    if found["type"] == "Point":
        return _circle(found, radius_m)
    if radius_m is not None:
        raise BadShape("radius_of_a_polygon", "Only a circle (a Point) has a radius.", "radius_m")
    return _polygons(found)


def _geometry(sent: Any) -> dict[str, Any]:
    while isinstance(sent, dict) and sent.get("type") in ("Feature", "FeatureCollection"):
        sent = _only_feature(sent) if sent["type"] == "FeatureCollection" else sent.get("geometry")
    if not isinstance(sent, dict) or sent.get("type") not in ("Point", "Polygon", "MultiPolygon"):
        raise BadShape("no_geometry", "A GeoJSON Polygon or MultiPolygon is needed, or a Point with a radius.")
    return sent


def _only_feature(collection: dict[str, Any]) -> Any:
    features = collection.get("features")
    if not isinstance(features, list) or len(features) != 1:
        raise BadShape("several_features", "The collection must hold one feature: draw one geofence of each.")
    return features[0]


def _circle(point: dict[str, Any], radius_m: int | None) -> Shape:
    longitude, latitude = _position(point.get("coordinates"))
    _check_order([(longitude, latitude)])
    if not is_coordinate(latitude, longitude):
        raise BadShape("coordinates", f"({latitude}, {longitude}) is no place a vehicle can be.")
    if radius_m is None or radius_m not in RADIUS_M:
        told = f"{RADIUS_M[0]} to {RADIUS_M[-1]:,} m"
        raise BadShape("radius", f"A circle needs a radius of {told}.", "radius_m")
    return Shape({"type": "Point", "coordinates": [longitude, latitude]}, radius_m)


def _polygons(sent: dict[str, Any]) -> Shape:
    is_one = sent["type"] == "Polygon"
    polygons = [_rings(part) for part in ([sent.get("coordinates")] if is_one else _list(sent.get("coordinates")))]
    every = [place for rings in polygons for ring in rings for place in ring]
    if len(every) > MOST_POSITIONS:
        raise BadShape("too_many_positions", f"{len(every):,} positions; at most {MOST_POSITIONS:,} are taken.")
    _check_order(every)
    drawn = [[[list(place) for place in ring] for ring in rings] for rings in polygons]
    geometry = {"type": sent["type"], "coordinates": drawn[0] if is_one else drawn}
    _check_crossings(geometry)
    return _within_limits(Shape(geometry, None))


def _rings(sent: Any) -> list[Ring]:
    rings = [[_position(place) for place in _list(ring)] for ring in _list(sent)]
    for ring in rings:
        if len(ring) < 4:
            raise BadShape(
                "too_few_positions", "A ring has at least four positions, the last one the same as the first."
            )
        if ring[0] != ring[-1]:
            raise BadShape("not_closed", "The ring is not closed: repeat its first position at the end.")
    return rings


def _list(sent: Any) -> list[Any]:
    if not isinstance(sent, list) or not sent:
        raise BadShape("no_geometry", "`coordinates` must be nested lists of positions, as GeoJSON has them.")
    return sent


def _position(sent: Any) -> tuple[float, float]:
    """Longitude first; a height behind them is not kept."""
    if not isinstance(sent, list) or not 2 <= len(sent) <= 4 or not all(_is_number(value) for value in sent):
        raise BadShape("no_position", "A position is [longitude, latitude], both numbers.")
    return float(sent[0]), float(sent[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and isfinite(value)


def _check_order(places: list[tuple[float, float]]) -> None:
    """GeoJSON has the longitude first; most maps, and people, say the latitude first."""
    if any(_is_india(*place) for place in places):
        pass
    elif all(_is_india(latitude, longitude) for longitude, latitude in places):
        raise BadShape("swapped", "Longitude comes first in GeoJSON; the other way round this place is in India.")
    for longitude, latitude in places:
        if not -90 <= latitude <= 90 or not -180 <= longitude <= 180:
            raise BadShape("off_the_globe", f"[{longitude}, {latitude}] is off the globe; the longitude comes first.")


def _is_india(longitude: float, latitude: float) -> bool:
    return (
        INDIA_LATITUDES[0] <= latitude <= INDIA_LATITUDES[1] and INDIA_LONGITUDES[0] <= longitude <= INDIA_LONGITUDES[1]
    )


def _check_crossings(geometry: dict[str, Any]) -> None:
    area = shapely.geometry.shape(geometry)
    if not area.is_valid:
        reason = shapely.is_valid_reason(area)  # "Self-intersection[77.6 12.9]"
        what, _, place = reason.partition("[")
        where = f" at longitude and latitude {place.rstrip(']')}" if place else ""
        raise BadShape("crosses_itself", f"The boundary crosses or touches itself ({what.lower()}){where}.")


def _within_limits(shape: Shape) -> Shape:
    if shape.extent_m > LARGEST_M:
        raise BadShape(
            "too_large", f"It is {shape.extent_m / 1000:,.0f} km across; at most {LARGEST_M // 1000} km are taken."
        )
    if shape.area_m2 < SMALLEST_M2:
        raise BadShape(
            "too_small", f"{shape.area_m2:,.0f} m² is less than a receiver can tell; at least {SMALLEST_M2} m²."
        )
    return shape


def _bounds(geometry: dict[str, Any]) -> tuple[float, float, float, float]:
    places = list(_places(geometry["coordinates"]))
    longitudes, latitudes = [place[0] for place in places], [place[1] for place in places]
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def _places(nested: Any) -> Iterator[list[float]]:
    if isinstance(nested[0], int | float):
        yield nested
    else:
        for part in nested:
            yield from _places(part)
