"""Distances by road from an OpenStreetMap extract, beside Dijkstra's algorithm on the same streets."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from dispatch import candidates, engines, replaying, services
from dispatch.engines import pointer
from dispatch.engines.crow import crow_metres
from dispatch.tests import factories
from vehicles.models import VehicleState

osmium = pytest.importorskip("osmium", reason="the optional road engine is not installed (make roads)")
pytest.importorskip("pyroutingkit", reason="the optional road engine is not installed (make roads)")
cch, maps, osm = (pytest.importorskip(f"dispatch.engines.{name}") for name in ("cch", "maps", "osm"))

BESIDE = Path(__file__).resolve().parents[3] / "shared/data/osm/porto_alegre.osm.pbf"
PORTO_ALEGRE = Path(os.environ.get("OSM_EXTRACT") or BESIDE)
SIDE, STEP = 8, 0.002
SOUTH_WEST = (12.95, 77.58)
RESIDENTIAL_KMH, SECONDARY_KMH = 18.0, 30.0
ISLAND = 900
Street = tuple[list[int], dict[str, str]]


def place(node: int) -> tuple[float, float]:
    """Streets at right angles; the island is far off shore."""
    if node >= ISLAND:
        return (13.4, 77.9 + (node - ISLAND) * STEP)
    return (SOUTH_WEST[0] + node // SIDE * STEP, SOUTH_WEST[1] + node % SIDE * STEP)


def streets(seed: int) -> list[Street]:
    """A small town of residential streets; one in three is one-way, every third row a secondary road."""
    random = np.random.default_rng(seed)
    rows = [[row * SIDE + column for column in range(SIDE)] for row in range(SIDE)]
    columns = [[row * SIDE + column for row in range(SIDE)] for column in range(SIDE)]
    made: list[Street] = []
    for number, nodes in enumerate(rows + columns):
        tags = {"highway": "secondary" if number % 3 == 0 else "residential"}
        if random.random() < 0.3 and number not in {0, SIDE - 1, SIDE, 2 * SIDE - 1}:
            tags["oneway"] = random.choice(["yes", "-1"])
        made.append((nodes, tags))
    return made


def extract(path: Path, made: list[Street]) -> Path:
    nodes = sorted({node for street, _ in made for node in street})
    with osmium.SimpleWriter(str(path), overwrite=True) as writer:
        for node in nodes:
            latitude, longitude = place(node)
            writer.add_node(osmium.osm.mutable.Node(id=node + 1, location=(longitude, latitude)))
        for number, (street, tags) in enumerate(made, start=1):
            writer.add_way(osmium.osm.mutable.Way(id=number, nodes=[node + 1 for node in street], tags=tags))
    return path


def by_dijkstra(made: list[Street]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and metres of the fastest way between all nodes of the town."""
    arcs: dict[tuple[int, int], float] = {}
    for nodes, tags in made:
        speed = SECONDARY_KMH if tags["highway"] == "secondary" else RESIDENTIAL_KMH
        for one, other in itertools.pairwise(nodes):
            metres = float(crow_metres(np.array([place(one)]), np.array([place(other)]))[0, 0])
            if tags.get("oneway") != "-1":
                arcs[one, other] = metres / (speed / 3.6)
            if tags.get("oneway") != "yes":
                arcs[other, one] = metres / (speed / 3.6)
    tail, head = zip(*arcs, strict=True)
    graph = csr_matrix((list(arcs.values()), (tail, head)), shape=(SIDE**2, SIDE**2))
    seconds, before = dijkstra(graph, return_predecessors=True)
    return seconds, np.array([[_metres(before, a, b) for b in range(SIDE**2)] for a in range(SIDE**2)])


def _metres(before: np.ndarray, start: int, goal: int) -> float:
    metres = 0.0
    while goal != start:
        previous = int(before[start, goal])
        metres += float(crow_metres(np.array([place(previous)]), np.array([place(goal)]))[0, 0])
        goal = previous
    return metres


@pytest.fixture
def town(tmp_path: Path) -> "cch.CchEngine":
    return cch.CchEngine(maps.make(extract(tmp_path / "town.osm.pbf", streets(1)), tmp_path / "roads"))


EVERYWHERE = np.array([place(node) for node in range(SIDE**2)])


@pytest.mark.parametrize("seed", range(4))
def test_ways_take_as_long_as_dijkstra_finds(tmp_path, seed):
    made = streets(seed)
    engine = cch.CchEngine(maps.make(extract(tmp_path / "town.osm.pbf", made), tmp_path / "roads"))
    matrix = engine.matrix(EVERYWHERE, EVERYWHERE, seconds=10)
    seconds, metres = by_dijkstra(made)
    assert matrix.seconds == pytest.approx(seconds, abs=0.01)
    ties = np.abs(matrix.metres - metres) > 10  # as fast by another way: then no more than a thousandth slower
    assert ties.mean() < 0.02
    assert (matrix.metres >= crow_metres(EVERYWHERE, EVERYWHERE) - 10).all()


def test_a_map_that_was_kept_gives_the_same_answers(tmp_path, town):
    kept = cch.CchEngine(maps.load(next(path for path in (tmp_path / "roads").iterdir() if path.is_dir())))
    assert kept.version == town.version
    one, other = (engine.matrix(EVERYWHERE, EVERYWHERE, seconds=10) for engine in (town, kept))
    assert (one.seconds == other.seconds).all()
    assert (one.metres == other.metres).all()


def test_pieces_of_a_matrix_fit_together(town, monkeypatch):
    whole = town.matrix(EVERYWHERE, EVERYWHERE[:20], seconds=10)
    monkeypatch.setattr(cch, "CHUNK", 7)
    pieces = town.matrix(EVERYWHERE, EVERYWHERE[:20], seconds=10)
    assert (pieces.seconds == whole.seconds).all()


def test_what_is_not_done_in_time_is_not_known(town):
    assert np.isnan(town.matrix(EVERYWHERE, EVERYWHERE, seconds=0).seconds).all()


def test_several_threads_ask_one_map(town):
    whole = town.matrix(EVERYWHERE, EVERYWHERE, seconds=10)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(town.matrix, EVERYWHERE, EVERYWHERE, seconds=60) for _ in range(60)]
        assert all((each.result().seconds == whole.seconds).all() for each in asked)


def test_a_place_off_the_map_makes_only_its_own_pairs_unknown(town):
    places = np.array([place(0), (12.5, 77.0), (np.nan, 77.5), (95.0, 77.5), place(5)])
    known = ~np.isnan(town.matrix(places, places, seconds=10).seconds)
    assert known.tolist() == [[a in {0, 4} and b in {0, 4} for b in range(5)] for a in range(5)]


def test_an_island_is_reached_from_itself_only(tmp_path):
    island = ([ISLAND, ISLAND + 1], {"highway": "residential"})
    source = extract(tmp_path / "town.osm.pbf", [*streets(1), island])
    engine = cch.CchEngine(maps.make(source, tmp_path / "roads"))
    places = np.array([place(3), place(ISLAND), place(ISLAND + 1)])
    matrix = engine.matrix(places, places, seconds=10)
    assert np.isnan(matrix.seconds).tolist() == [[False, True, True], [True, False, False], [True, False, False]]
    assert np.isnan(matrix.metres).tolist() == np.isnan(matrix.seconds).tolist()
    with pytest.raises(engines.base.EngineFailed, match="no way"):
        engine.route(place(3), place(ISLAND), seconds=10)


def test_a_place_beside_the_road_is_reached_slowly_from_it(town):
    """0.001 degrees north of the highest street."""
    corner, beside = place(SIDE**2 - 1), (place(SIDE**2 - 1)[0] + 0.001, place(SIDE**2 - 1)[1])
    matrix = town.matrix(np.array([corner]), np.array([beside]), seconds=10)
    assert matrix.metres[0, 0] == pytest.approx(111.2, abs=0.5)
    assert matrix.seconds[0, 0] == pytest.approx(111.2 / (12 / 3.6), abs=0.5)


def test_a_place_that_can_be_reached_but_not_left_is_not_on_the_map(tmp_path):
    trap = ([0, ISLAND - 1], {"highway": "residential", "oneway": "yes"})
    source = extract(tmp_path / "town.osm.pbf", [*streets(1), trap])
    graph = osm.read(source)
    assert len(graph.latitude) == SIDE**2


def test_the_line_follows_the_streets(town):
    line = town.route(place(0), place(SIDE**2 - 1), seconds=10)
    assert [line[0], line[-1]] == [pytest.approx(place(0)), pytest.approx(place(SIDE**2 - 1))]
    corners = {(round(a, 6), round(b, 6)) for a, b in EVERYWHERE.tolist()}
    assert {(round(a, 6), round(b, 6)) for a, b in line} <= corners
    assert all(a[0] == pytest.approx(b[0]) or a[1] == pytest.approx(b[1]) for a, b in itertools.pairwise(line))
    assert len(line) < SIDE  # what lies on a straight street is left out


@pytest.mark.parametrize(
    ("tags", "may"),
    [
        ({"highway": "residential"}, True),
        ({"highway": "footway"}, False),
        ({"highway": "service", "access": "private"}, False),
        ({"highway": "service", "access": "private", "motor_vehicle": "yes"}, True),
        ({"highway": "primary", "motorcar": "no", "access": "yes"}, False),
        ({"highway": "service", "access": "destination"}, True),
        ({"highway": "service", "area": "yes"}, False),
        ({}, False),
    ],
)
def test_who_may_drive(tags, may):
    assert osm.may_drive(tags) is may


@pytest.mark.parametrize(
    ("sign", "speed"),
    [
        ("", 36), ("20", 20), ("20 km/h", 20), ("100", 36), ("10 mph", 16.09344), ("walk", 36), ("IN:urban", 36),
        ("0", 36), ("-5", 36), ("٢٠", 36), ("9" * 400, 36), ("50;30", 36),
    ],
)  # fmt: skip
def test_a_sign_only_lowers_the_speed(sign, speed):
    assert osm.speed_kmh({"highway": "primary", "maxspeed": sign}) == pytest.approx(speed)


@pytest.mark.parametrize(
    ("tags", "there_and_back"),
    [
        ({}, (True, True)),
        ({"oneway": "yes"}, (True, False)),
        ({"oneway": "-1"}, (False, True)),
        ({"junction": "roundabout"}, (True, False)),
        ({"junction": "roundabout", "oneway": "no"}, (True, True)),
        ({"highway": "motorway"}, (True, False)),
    ],
)
def test_one_way_streets(tags, there_and_back):
    assert osm.directions({"highway": "primary", **tags}) == there_and_back


@pytest.fixture
def roads(settings, tmp_path: Path) -> Path:
    settings.ROAD_ENGINES, settings.ROADS_DIR = ["cch"], tmp_path / "roads"
    return tmp_path / "roads"


def asked() -> str:
    engine = engines.current()
    engine.matrix(EVERYWHERE[:1], EVERYWHERE[1:9])
    return engine.name


def test_plans_go_by_road_as_soon_as_an_extract_is_loaded(roads, tmp_path, capsys):
    assert asked() == "crow"
    call_command("load_osm", extract(tmp_path / "a.osm.pbf", streets(1)))
    assert "64 places" in capsys.readouterr().out
    first = asked()
    assert first.startswith("cch 0.2.1 rules 1 map ")
    call_command("load_osm", extract(tmp_path / "b.osm.pbf", streets(2)))
    assert asked() != first
    assert len([path for path in roads.iterdir() if path.is_dir()]) == 1
    call_command("load_osm", remove=True)
    assert asked() == "crow"


def test_a_plan_that_leaves_the_map_says_so(roads, tmp_path):
    call_command("load_osm", extract(tmp_path / "a.osm.pbf", streets(1)))
    engine = engines.current()
    matrix = engine.matrix(EVERYWHERE[:1], np.array([place(9), (12.5, 77.5)]))
    assert not np.isnan(matrix.seconds).any()
    assert engine.name.startswith("cch ")
    assert engine.name.endswith(" + crow")


@pytest.mark.parametrize("words", [b"", b"<html>", b"\x00" * 100])
def test_a_file_that_is_no_map_leaves_the_old_one_in_use(roads, tmp_path, words):
    call_command("load_osm", extract(tmp_path / "a.osm.pbf", streets(1)))
    before = asked()
    broken = tmp_path / "broken.osm.pbf"
    broken.write_bytes(words)
    with pytest.raises(CommandError, match=r"broken\.osm\.pbf"):
        call_command("load_osm", broken)
    assert asked() == before


def test_a_file_without_roads_is_refused(roads, tmp_path):
    with pytest.raises(CommandError, match="no roads for cars"):
        call_command("load_osm", extract(tmp_path / "a.osm.pbf", [([1, 2], {"waterway": "river"})]))
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("load_osm", tmp_path / "nowhere.osm.pbf")
    assert asked() == "crow"


def parts(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / pointer.in_use(folder)).rglob("*") if path.is_file())


@pytest.mark.parametrize("what", ["cut off", "another byte", "gone", "nothing"])
def test_a_damaged_map_is_told_once_and_plans_do_without(roads, tmp_path, caplog, what):
    """Of whichever of its files; the program that reads them would die of some."""
    call_command("load_osm", extract(tmp_path / "a.osm.pbf", streets(1)))
    for number in range(len(parts(roads))):
        call_command("load_osm", extract(tmp_path / f"{number}.osm.pbf", streets(number)))
        assert asked().startswith("cch")
        damage(parts(roads)[number], what)
        engines.fitted._cch.cache_clear()  # as in a process that begins
        caplog.clear()
        assert [asked(), asked()] == ["crow", "crow"]
        assert len([record for record in caplog.records if "road map" in record.message]) == 1


def damage(path: Path, what: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    broken = {
        "cut off": content[:middle], "nothing": b"",
        "another byte": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
    }  # fmt: skip
    path.unlink()
    if what != "gone":
        path.write_bytes(broken[what])


def test_a_map_of_other_rules_is_not_used(roads, tmp_path, caplog, monkeypatch):
    call_command("load_osm", extract(tmp_path / "a.osm.pbf", streets(1)))
    monkeypatch.setattr(maps, "PROFILE", 2)
    assert asked() == "crow"
    assert "load the extract again" in caplog.text


def test_without_the_optional_packages_the_command_says_how_to_get_them(roads, tmp_path, monkeypatch):
    for name in ("dispatch.engines.cch", "dispatch.engines.maps"):
        monkeypatch.delitem(sys.modules, name)
    for name in ("cch", "maps"):
        monkeypatch.delattr(engines, name)
    monkeypatch.setitem(sys.modules, "pyroutingkit", None)
    with pytest.raises(CommandError, match="make roads"):
        call_command("load_osm", tmp_path / "a.osm.pbf")


@pytest.mark.skipif(not PORTO_ALEGRE.exists(), reason="no extract of Porto Alegre (OSM_EXTRACT) here")
def test_porto_alegre_as_dijkstra_finds(tmp_path):
    made = maps.make(PORTO_ALEGRE, tmp_path / "roads")
    graph, random = made.graph, np.random.default_rng(5)
    starts, goals = random.integers(0, len(graph.latitude), (2, 60))
    seconds = dijkstra(_fastest(graph), indices=starts)[:, goals]
    places = np.column_stack([graph.latitude, graph.longitude])
    matrix = cch.CchEngine(made).matrix(places[starts], places[goals], seconds=60)
    assert matrix.seconds == pytest.approx(seconds, abs=0.02)


def _fastest(graph: "osm.Graph") -> csr_matrix:
    """Of roads between the same two nodes the faster one: a sparse matrix would add them up."""
    order = np.lexsort((graph.seconds, graph.head, graph.tail))
    tail, head, seconds = graph.tail[order], graph.head[order], graph.seconds[order]
    first = np.r_[True, (tail[1:] != tail[:-1]) | (head[1:] != head[:-1])]
    count = len(graph.latitude)
    return csr_matrix((seconds[first], (tail[first], head[first])), shape=(count, count))


@pytest.mark.django_db
def test_a_plan_goes_by_road_and_says_so(roads, tmp_path, organisation):
    made = streets(1)
    call_command("load_osm", extract(tmp_path / "a.osm.pbf", made))
    candidates.sites.forget()
    candidates.sites._checked_at = float("-inf")
    goal = place(SIDE**2 - 1)
    plug = factories.connector(
        factories.location(factories.public_network(organisation), latitude=goal[0], longitude=goal[1])
    )
    vehicle = factories.vehicle(organisation)
    VehicleState.objects.filter(vehicle=vehicle).update(latitude=place(0)[0], longitude=place(0)[1])
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=factories.NOW)
    plan.refresh_from_db()
    seconds, metres = by_dijkstra(made)
    assert (plan.connector, plan.engine) == (plug, asked())
    assert plan.engine.startswith("cch 0.2.1 rules 1 map ")
    assert plan.drive_seconds == pytest.approx(seconds[0, -1], abs=1)
    assert plan.distance_m == pytest.approx(metres[0, -1], abs=20)
    assert [tuple(point) for point in plan.route["new"]] == engines.current().route(place(0), goal)
    assert replaying.differences(plan, replaying.replay(plan)) == []
