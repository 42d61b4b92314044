"""From things to an archive: the tiles of each zoom, written as PMTiles v3, in use at once when all are there."""

import gzip
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from dispatch.basemap.extract import NoBasemap, Thing, read
from dispatch.basemap.geometry import EXTENT, THIN, Line, Tile, at_zoom, cut_line, cut_ring, degrees, tiles_of, within
from dispatch.basemap.mvt import Feature, Shape, tile

FIRST_ZOOM, LAST_ZOOM = 6, 14
LAYERS = ("green", "water", "buildings", "roads", "places")
ATTRIBUTION = "© OpenStreetMap contributors"
Layers = dict[str, list[Feature]]


def build(source: Path, archive: Path) -> int:
    """Write the archive of an extract; the number of its tiles. Raises NoBasemap; then the old archive stays."""
    things = read(source)
    archive.parent.mkdir(parents=True, exist_ok=True)
    fresh = archive.with_suffix(f".{os.getpid()}")
    try:
        count = _write(things, fresh)
        fresh.replace(archive)  # who reads the old one has it open
    except OSError as error:
        raise NoBasemap(f"{archive} cannot be written: {error.strerror}.") from error
    finally:
        fresh.unlink(missing_ok=True)
    return count


def _write(things: Sequence[Thing], path: Path) -> int:
    with path.open("wb") as file:
        writer = Writer(file)
        digest, count = hashlib.sha256(), 0
        for zoom in range(FIRST_ZOOM, LAST_ZOOM + 1):
            for number, packed in _packed(things, zoom):
                writer.write_tile(number, packed)
                digest.update(packed)
                count += 1
        header = {"tile_type": TileType.MVT, "tile_compression": Compression.GZIP, **_bounds(things)}
        metadata = {"attribution": ATTRIBUTION, "version": digest.hexdigest()[:12], "vector_layers": _described()}
        if not count:
            raise NoBasemap("Everything in the extract is too small to draw.")
        writer.finalize(header, metadata)
    return count


def _packed(things: Sequence[Thing], zoom: int) -> Iterator[tuple[int, bytes]]:
    tiles = cut(things, zoom)
    for number, place in sorted((zxy_to_tileid(zoom, *place), place) for place in tiles):
        yield number, gzip.compress(tile({layer: tiles[place][layer] for layer in LAYERS}), mtime=0)


def cut(things: Sequence[Thing], zoom: int) -> dict[Tile, Layers]:
    """What each tile of a zoom shows."""
    tiles: dict[Tile, Layers] = defaultdict(lambda: {layer: [] for layer in LAYERS})
    for thing in things:
        if zoom >= thing.first_zoom:
            for place, parts in _cut_thing(thing, zoom):
                tiles[place][thing.layer].append(Feature(thing.shape, parts, thing.values))
    return tiles


def _cut_thing(thing: Thing, zoom: int) -> Iterator[tuple[Tile, list[Line]]]:
    if thing.shape is Shape.POINT:
        x, y = at_zoom(thing.parts[0], zoom)[0]
        place = int(x // EXTENT), int(y // EXTENT)  # one tile only: no name is written twice
        yield place, [within([(x, y)], place)]
        return
    lines = [line for part in thing.parts if _is_seen(line := at_zoom(part, zoom), thing.shape)]
    for place in sorted({place for line in lines for place in tiles_of(line, zoom)}):
        if parts := [part for line in lines for part in _cut(within(line, place), thing.shape)]:
            yield place, parts


def _is_seen(line: Line, shape: Shape) -> bool:
    """Areas of less than a pixel are left out; of roads nothing is, for they go on."""
    spread: float = max(max(values) - min(values) for values in zip(*line, strict=True))
    return spread > 2 * THIN if shape is Shape.AREA else spread > 0


def _cut(line: Line, shape: Shape) -> list[Line]:
    if shape is Shape.LINE:
        return cut_line(line)
    ring = cut_ring(line[:-1])
    return [ring] if len(ring) > 2 else []


def _bounds(things: Sequence[Thing]) -> dict[str, int]:
    """Of everything there is, as the header has them: degrees by 10,000,000."""
    boxes = [(*part.min(axis=0), *part.max(axis=0)) for thing in things for part in thing.parts]
    wests, norths, easts, souths = zip(*boxes, strict=True)
    (north, west), (south, east) = degrees(min(wests), min(norths)), degrees(max(easts), max(souths))
    edges = {"min_lon_e7": west, "min_lat_e7": south, "max_lon_e7": east, "max_lat_e7": north}
    centre = {"center_lon_e7": (west + east) / 2, "center_lat_e7": (south + north) / 2}
    return {"center_zoom": 12, **{name: round(value * 1e7) for name, value in (edges | centre).items()}}


def _described() -> list[dict[str, object]]:
    fields = {"roads": {"class": "Number"}, "places": {"name": "String", "name:hi": "String", "rank": "Number"}}
    return [{"id": layer, "fields": fields.get(layer, {})} for layer in LAYERS]
