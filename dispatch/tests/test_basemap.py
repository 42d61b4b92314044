"""Street tiles from an OpenStreetMap extract: built, kept and served."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pmtiles.reader import MmapSource, Reader
from pmtiles.tile import Compression, TileType

from dispatch.basemap import geometry, mvt
from dispatch.tests.towns import town

osmium = pytest.importorskip("osmium", reason="the optional road engine is not installed (make roads)")
building = pytest.importorskip("dispatch.basemap.building")
extract = pytest.importorskip("dispatch.basemap.extract")

NORTH_WEST_TILE = (14, 11722, 7596)
"""Holds 12.98 N, 77.58 E: the corner of the town."""


@pytest.fixture
def basemap(tmp_path: Path, settings: Any) -> Path:
    settings.BASEMAP_FILE = tmp_path / "basemap.pmtiles"
    call_command("build_basemap", str(town(tmp_path / "town.osm.pbf")), verbosity=0)
    return Path(settings.BASEMAP_FILE)


def things(tmp_path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for thing in extract.read(town(tmp_path / "town.osm.pbf")):
        found.setdefault(thing.layer, []).append(thing)
    return found


def test_an_extract_gives_roads_by_class_water_green_buildings_and_names(tmp_path: Path) -> None:
    found = things(tmp_path)
    assert sorted(found) == ["buildings", "green", "places", "roads", "water"]
    assert sorted(road.values["class"] for road in found["roads"]) == [0, 4]
    assert [place.values for place in found["places"]] == [{"name": "Cubbon Town", "name:hi": "कब्बन", "rank": 0}]
    assert [len(area.parts) for area in found["buildings"]] == [1]  # no shed, and nothing that is no building
    assert [len(area.parts) for area in found["water"]] == [1]


def test_small_roads_wait_until_there_is_room_for_them(tmp_path: Path) -> None:
    everything = [thing for some in things(tmp_path).values() for thing in some]
    classes = {
        zoom: {f.values["class"] for tile in building.cut(everything, zoom).values() for f in tile["roads"]}
        for zoom in (6, 12, 13)
    }
    assert classes == {6: {0}, 12: {0}, 13: {0, 4}}


def test_a_road_across_two_tiles_is_in_both_and_a_name_in_one(tmp_path: Path) -> None:
    everything = [thing for some in things(tmp_path).values() for thing in some]
    tiles = building.cut(everything, 14)
    holding = [place for place, layers in tiles.items() if any(f.values["class"] == 0 for f in layers["roads"])]
    assert len(holding) > 1
    assert sum(len(layers["places"]) for layers in tiles.values()) == 1


def test_lines_and_areas_end_a_little_beyond_their_tile() -> None:
    far, edge = 9000.0, geometry.EXTENT + geometry.MARGIN
    assert geometry.cut_line([(100.0, 50.0), (far, 50.0)]) == [[(100.0, 50.0), (edge, 50.0)]]
    assert geometry.cut_line([(-far, -far), (far, -far)]) == []
    away_and_back = [(100.0, 50.0), (far, 50.0), (far, 90.0), (100.0, 90.0)]
    assert [len(part) for part in geometry.cut_line(away_and_back)] == [2, 2]
    ring = geometry.cut_ring([(-far, -far), (far, -far), (far, far), (-far, far)])
    assert sorted(ring) == [(-96.0, -96.0), (-96.0, edge), (edge, -96.0), (edge, edge)]


def test_the_pen_moves_as_the_format_says() -> None:
    """The example of the specification, 4.3.5.2 and 4.3.5.3."""
    assert mvt.commands(mvt.Shape.LINE, [[(2, 2), (2, 10), (10, 10)]]) == [9, 4, 4, 18, 0, 16, 16, 0]
    area = mvt.commands(mvt.Shape.AREA, [[(3, 6), (8, 12), (20, 34)]])
    assert area == [9, 6, 12, 18, 10, 12, 24, 44, 15]


def test_the_archive_is_pmtiles_that_others_read(basemap: Path) -> None:
    with basemap.open("rb") as file:
        reader = Reader(MmapSource(file))
    header = reader.header()
    assert (header["version"], header["tile_type"], header["tile_compression"]) == (3, TileType.MVT, Compression.GZIP)
    assert (header["min_zoom"], header["max_zoom"]) == (6, 14)
    assert header["min_lon_e7"] / 1e7 == pytest.approx(77.55, abs=1e-6)
    assert header["max_lat_e7"] / 1e7 == pytest.approx(12.99, abs=1e-6)
    assert reader.metadata()["attribution"] == "© OpenStreetMap contributors"


def test_the_same_extract_makes_the_same_archive(basemap: Path, tmp_path: Path) -> None:
    before = basemap.read_bytes()
    call_command("build_basemap", str(town(tmp_path / "again.osm.pbf")), verbosity=0)
    assert basemap.read_bytes() == before


@pytest.mark.parametrize("content", [b"no map at all", b""])
def test_a_bad_extract_says_so_and_the_old_tiles_stay(basemap: Path, tmp_path: Path, content: bytes) -> None:
    before = basemap.read_bytes()
    (tmp_path / "bad.osm.pbf").write_bytes(content)
    with pytest.raises(CommandError, match=r"bad\.osm\.pbf (is no OpenStreetMap file|has no roads)"):
        call_command("build_basemap", str(tmp_path / "bad.osm.pbf"))
    with pytest.raises(CommandError, match="there is no such file"):
        call_command("build_basemap", str(tmp_path / "none.osm.pbf"))
    assert basemap.read_bytes() == before
    assert [path.name for path in basemap.parent.glob("basemap.*")] == ["basemap.pmtiles"]


def test_anybody_may_have_a_tile_and_keeps_it(basemap: Path, client: Client) -> None:
    about = client.get("/basemap/").json()
    assert (about["first_zoom"], about["last_zoom"]) == (6, 14)
    address = "/basemap/{}/{}/{}/{}.mvt".format(about["version"], *NORTH_WEST_TILE)
    packed = client.get(address, headers={"accept-encoding": "gzip"})
    assert (packed.status_code, packed["Content-Encoding"]) == (200, "gzip")
    assert "immutable" in packed["Cache-Control"]
    plain = client.get(address)
    assert gzip.decompress(packed.content) == plain.content
    assert b"Cubbon Town" in plain.content
    again = client.get(address, headers={"if-none-match": packed["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_page_of_before_gets_the_new_tiles_but_does_not_keep_them(basemap: Path, client: Client) -> None:
    answer = client.get("/basemap/older/{}/{}/{}.mvt".format(*NORTH_WEST_TILE))
    assert (answer.status_code, answer["Cache-Control"]) == (200, "public, max-age=60")


@pytest.mark.parametrize(
    ("path", "status"),
    [("14/0/0", 204), ("15/0/0", 404), ("5/0/0", 404), ("6/64/0", 404), ("6/0/99999999999999999999", 404)],
)
def test_where_there_is_nothing_to_draw_and_where_no_tile_can_be(
    basemap: Path, client: Client, path: str, status: int
) -> None:
    assert client.get(f"/basemap/x/{path}.mvt").status_code == status


def test_without_an_archive_or_with_a_broken_one_the_page_draws_its_own_ground(
    tmp_path, settings, client: Client
) -> None:
    settings.BASEMAP_FILE = tmp_path / "basemap.pmtiles"
    assert client.get("/basemap/").json() == {"version": None}
    settings.BASEMAP_FILE.write_bytes(b"PMTiles of another kind")
    assert client.get("/basemap/").json() == {"version": None}
    assert client.get("/basemap/x/14/0/0.mvt").status_code == 404


def test_removing_the_tiles(basemap: Path) -> None:
    call_command("build_basemap", remove=True, verbosity=0)
    assert not basemap.exists()
    with pytest.raises(CommandError, match="Name an extract"):
        call_command("build_basemap")
