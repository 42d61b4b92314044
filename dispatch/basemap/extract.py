"""What a base map shows of an OpenStreetMap extract: roads by class, water, green, buildings, names of places."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import osmium

from dispatch.basemap.geometry import EXTENT, THIN, unit_square
from dispatch.basemap.mvt import Shape, Value

KEYS = ("highway", "natural", "landuse", "leisure", "waterway", "place", "building")
ROADS = {
    "motorway": (0, 6), "trunk": (0, 6), "primary": (1, 8), "secondary": (2, 10), "tertiary": (3, 11),
    "unclassified": (4, 13), "residential": (4, 13), "living_street": (4, 13), "service": (5, 14), "road": (4, 13),
}  # fmt: skip
"""Class (0 is drawn widest) and the first zoom that shows it; a link is of the class of its road."""
PLACES = {
    "city": (0, 6), "town": (1, 9), "suburb": (2, 11), "village": (2, 11), "quarter": (3, 12),
    "neighbourhood": (3, 13), "hamlet": (3, 13),
}  # fmt: skip
WATER = {("natural", "water"), ("waterway", "riverbank"), ("landuse", "reservoir"), ("landuse", "basin")}
GREEN = {
    ("leisure", "park"), ("leisure", "garden"), ("leisure", "golf_course"), ("leisure", "nature_reserve"),
    ("landuse", "forest"), ("landuse", "grass"), ("landuse", "recreation_ground"), ("natural", "wood"),
}  # fmt: skip
FIRST_ZOOM_OF_AREAS = 8
FIRST_ZOOM_OF_BUILDINGS = 14
LEAST_BUILDING = 2 * THIN / (EXTENT << FIRST_ZOOM_OF_BUILDINGS)
"""Of the unit square, some 14 m: a city has a million that nobody would see, and everything is held in memory."""
LONGEST_NAME = 80


class NoBasemap(Exception):
    """The file cannot be used; the message is for people."""


@dataclass(frozen=True)
class Thing:
    """Something to draw from a zoom on; its parts on the unit Mercator square."""

    layer: str
    shape: Shape
    parts: list[npt.NDArray[np.float64]]
    values: dict[str, Value]
    first_zoom: int


def read(path: Path) -> list[Thing]:
    """Raises NoBasemap for a file that is no extract, or has nothing to draw."""
    if not path.is_file():
        raise NoBasemap(f"{path} cannot be read: there is no such file.")
    try:
        things = list(_things(path))
    except (RuntimeError, OSError) as error:
        raise NoBasemap(f"{path} is no OpenStreetMap file: {error}") from error
    if not things:
        raise NoBasemap(f"{path} has no roads, water, green, buildings or places.")
    return things


def _things(path: Path) -> Iterator[Thing]:
    wanted = osmium.filter.KeyFilter(*KEYS)
    for each in osmium.FileProcessor(str(path)).with_areas(wanted).with_filter(wanted):
        tags = {tag.k: tag.v for tag in each.tags}
        if each.is_area():
            thing = _area(each, tags)
        elif each.is_way():
            thing = _way(each, tags)
        else:
            thing = _place(each, tags) if each.is_node() else None
        if thing is not None:
            yield thing


def _way(way: Any, tags: Mapping[str, str]) -> Thing | None:
    road = ROADS.get(tags.get("highway", "").removesuffix("_link"))
    places = [(node.lat, node.lon) for node in way.nodes if node.location.valid()]  # an extract is cut through ways
    if road is None or tags.get("area") == "yes" or len(places) < 2:
        return None
    return Thing("roads", Shape.LINE, [unit_square(places)], {"class": road[0]}, road[1])


def _area(area: Any, tags: Mapping[str, str]) -> Thing | None:
    layer = _layer(tags)
    if not layer:
        return None
    rings = [ring for outer in area.outer_rings() for ring in (outer, *area.inner_rings(outer))]
    parts = [unit_square((node.lat, node.lon) for node in ring) for ring in rings]
    if layer != "buildings":
        return Thing(layer, Shape.AREA, parts, {}, FIRST_ZOOM_OF_AREAS)
    parts = [part for part in parts if np.ptp(part, axis=0).max() > LEAST_BUILDING]
    return Thing(layer, Shape.AREA, parts, {}, FIRST_ZOOM_OF_BUILDINGS) if parts else None


def _layer(tags: Mapping[str, str]) -> str:
    if WATER & tags.items():
        return "water"
    if GREEN & tags.items():
        return "green"
    return "buildings" if tags.get("building", "no") != "no" else ""


def _place(node: Any, tags: Mapping[str, str]) -> Thing | None:
    place, name = PLACES.get(tags.get("place", "")), tags.get("name:en") or tags.get("name", "")
    if place is None or not name:
        return None
    spot = unit_square([(node.location.lat, node.location.lon)])
    values: dict[str, Value] = {"name": name[:LONGEST_NAME], "rank": place[0]}
    if hindi := tags.get("name:hi"):
        values["name:hi"] = hindi[:LONGEST_NAME]
    return Thing("places", Shape.POINT, [spot], values, place[1])
