"""Roads hang together, paths follow them, batteries fill as batteries do."""

from itertools import pairwise

import pytest

from fleetcharge.demo.curves import Pack, power_at
from fleetcharge.demo.geography import LOCALITIES
from fleetcharge.demo.roads import Path
from fleetcharge.demo.tests.factories import ROADS
from fleetcharge.lib.geo import distance_m


def test_every_place_can_be_reached_by_road() -> None:
    assert ROADS.is_connected()
    start = LOCALITIES["Majestic"]
    for place in LOCALITIES.values():
        path = ROADS.path(start, place)
        assert path.points[0] == start and path.points[-1] == place
        assert path.length_m >= distance_m(*start, *place) - 1


def test_a_path_is_never_longer_than_the_way_over_a_third_place() -> None:
    a, b, c = (ROADS.nodes[ROADS.nearest(LOCALITIES[name])] for name in ("Hebbal", "Koramangala", "Majestic"))
    assert ROADS.path(a, b).length_m <= ROADS.path(a, c).length_m + ROADS.path(c, b).length_m + 1


def test_steps_are_short_enough_to_look_like_driving() -> None:
    path = ROADS.path(LOCALITIES["Hebbal"], LOCALITIES["Electronic City"])
    assert all(distance_m(*a, *b) < 700 for a, b in pairwise(path.points[1:-1]))


def test_a_place_along_a_path() -> None:
    path = Path(((12.9, 77.6), (12.9, 77.7)))
    latitude, longitude, heading = path.at(path.length_m / 2)
    assert (latitude, longitude) == (pytest.approx(12.9), pytest.approx(77.65))
    assert heading == pytest.approx(90, abs=0.1)
    assert path.at(-5)[:2] == (12.9, 77.6)
    assert path.at(1e9)[:2] == (12.9, 77.7)


def test_power_is_flat_and_then_tapers() -> None:
    assert power_at(20, 15_000) == power_at(80, 15_000) == 15_000
    assert power_at(90, 15_000) == pytest.approx(15_000 * 0.59)
    assert power_at(100, 15_000) == 0


def test_a_measured_curve_is_followed_between_its_points() -> None:
    assert power_at(30, 50_000, [[0, 20_000], [60, 50_000], [100, 5_000]]) == pytest.approx(35_000)


def test_metered_energy_arrives_with_losses() -> None:
    pack = Pack(20_000, 50, 3_300, 15_000)
    pack.fill(2_000, is_dc=True)
    assert pack.soc_percent == pytest.approx(59.4)
    pack.drain(20_000)
    assert pack.soc_percent == 0
