"""What may be drawn: every refusal says what is wrong, and distances are those on the ground."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetcharge.lib.geo import distance_m
from vehicles.geofences.shapes import BadShape, Shape, read

HERE = (77.6, 12.9)


def ring(*places: tuple[float, float]) -> list[list[float]]:
    return [list(place) for place in (*places, places[0])]


def polygon(*places: tuple[float, float]) -> dict:
    return {"type": "Polygon", "coordinates": [ring(*places)]}


SQUARE = polygon((77.59, 12.89), (77.61, 12.89), (77.61, 12.91), (77.59, 12.91))
CIRCLE = {"type": "Point", "coordinates": list(HERE)}


def away(shape: Shape, longitude: float, latitude: float) -> float:
    return float(shape.distance_m(np.array([longitude]), np.array([latitude]))[0])


@pytest.mark.parametrize(
    ("geometry", "radius_m", "code"),
    [
        (None, None, "no_geometry"),
        ("Polygon", None, "no_geometry"),
        ({"type": "LineString", "coordinates": [[77.6, 12.9], [77.7, 12.9]]}, None, "no_geometry"),
        ({"type": "Polygon", "coordinates": []}, None, "no_geometry"),
        ({"type": "Polygon"}, None, "no_geometry"),
        ({"type": "FeatureCollection", "features": []}, None, "several_features"),
        ({"type": "Polygon", "coordinates": [[[77.6, "12.9"]] * 4]}, None, "no_position"),
        ({"type": "Polygon", "coordinates": [[[77.6, True]] * 4]}, None, "no_position"),
        ({"type": "Polygon", "coordinates": [[77.6, 12.9]]}, None, "no_position"),
        ({"type": "Polygon", "coordinates": [[[77.6, 12.9], [77.7, 12.9], [77.6, 12.9]]]}, None, "too_few_positions"),
        ({"type": "Polygon", "coordinates": [SQUARE["coordinates"][0][:-1]]}, None, "not_closed"),
        (polygon((12.89, 77.59), (12.89, 77.61), (12.91, 77.61), (12.91, 77.59)), None, "swapped"),
        (polygon((77.59, 12.89), (77.61, 12.89), (77.61, 100.0)), None, "off_the_globe"),
        (polygon((77.59, 12.89), (77.61, 12.91), (77.61, 12.89), (77.59, 12.91)), None, "crosses_itself"),
        (polygon((77.6, 12.9), (77.6, 12.9), (77.6, 12.9)), None, "crosses_itself"),
        (polygon((70.0, 10.0), (77.0, 10.0), (77.0, 17.0)), None, "too_large"),
        (polygon((77.6, 12.9), (77.60005, 12.9), (77.60005, 12.90005)), None, "too_small"),
        (polygon(*[(77.6 + n / 1e5, 12.9 + (n % 2) / 1e3) for n in range(1_001)]), None, "too_many_positions"),
        (SQUARE, 200, "radius_of_a_polygon"),
        (CIRCLE, None, "radius"),
        (CIRCLE, 10, "radius"),
        (CIRCLE, 50_001, "radius"),
        ({"type": "Point", "coordinates": [12.9, 77.6]}, 200, "swapped"),
        ({"type": "Point", "coordinates": [0, 12.9]}, 200, "coordinates"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_its_name(geometry, radius_m, code) -> None:
    with pytest.raises(BadShape) as refusal:
        read(geometry, radius_m)
    assert refusal.value.code == code


def test_a_crossing_is_told_with_its_place() -> None:
    with pytest.raises(BadShape, match=r"self-intersection.* longitude and latitude 77\.6 12\.9"):
        read(polygon((77.59, 12.89), (77.61, 12.91), (77.61, 12.89), (77.59, 12.91)), None)


def test_a_feature_and_a_collection_of_one_stand_for_their_geometry() -> None:
    feature = {"type": "Feature", "properties": {}, "geometry": SQUARE}
    for sent in (SQUARE, feature, {"type": "FeatureCollection", "features": [feature]}):
        assert read(sent, None).geometry == SQUARE


def test_a_height_is_not_kept() -> None:
    high = {"type": "Polygon", "coordinates": [[[*place, 920.0] for place in SQUARE["coordinates"][0]]]}
    assert read(high, None).geometry == SQUARE


def test_inside_is_below_zero_and_a_hole_is_outside() -> None:
    hole = ring((77.599, 12.899), (77.601, 12.899), (77.601, 12.901), (77.599, 12.901))
    holed = read({"type": "Polygon", "coordinates": [*SQUARE["coordinates"], hole]}, None)
    assert away(read(SQUARE, None), *HERE) == pytest.approx(-distance_m(12.9, 77.6, 12.9, 77.61), rel=1e-3)
    assert away(holed, *HERE) == pytest.approx(distance_m(12.9, 77.6, 12.9, 77.601), rel=2e-3)
    assert away(holed, 77.605, 12.9) < 0
    assert away(holed, 77.62, 12.9) == pytest.approx(distance_m(12.9, 77.61, 12.9, 77.62), rel=1e-3)


@given(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05), st.integers(20, 5_000))
def test_a_circle_measures_as_the_earth_does(east: float, north: float, radius_m: int) -> None:
    circle = read(CIRCLE, radius_m)
    true_m = distance_m(12.9, 77.6, 12.9 + north, 77.6 + east) - radius_m
    assert away(circle, 77.6 + east, 12.9 + north) == pytest.approx(true_m, abs=0.002 * abs(true_m + radius_m) + 0.1)


@given(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03))
def test_who_is_inside_is_in_the_box_that_the_tree_looks_at(east: float, north: float) -> None:
    for shape in (read(SQUARE, None), read(CIRCLE, 1_500)):
        west, south, right, top = shape.bounds
        if away(shape, 77.6 + east, 12.9 + north) <= 0:
            assert west <= 77.6 + east <= right
            assert south <= 12.9 + north <= top
