"""Rupees read as India reads them; distances agree with known pairs."""

import pytest

from fleetcharge.lib import geo, money


@pytest.mark.parametrize(
    ("paise", "text"),
    [(0, "₹0.00"), (5, "₹0.05"), (99_999, "₹999.99"),
     (34_120_850, "₹3,41,208.50"), (-1_00_00_000_00, "-₹1,00,00,000.00")],
)  # fmt: skip
def test_rupees_are_grouped_as_in_india(paise: int, text: str) -> None:
    assert money.format_inr(paise) == text


def test_bengaluru_to_mysuru_is_about_128_km() -> None:
    assert geo.distance_m(12.9716, 77.5946, 12.2958, 76.6394) == pytest.approx(128_000, rel=0.01)


@pytest.mark.parametrize("point", [(0.0, 77.6), (12.9, 0.0), (91.0, 77.0), (12.0, 181.0)])
def test_broken_fixes_are_no_coordinates(point: tuple[float, float]) -> None:
    assert not geo.is_coordinate(*point)


def test_bearing_to_the_east_is_90() -> None:
    assert geo.bearing_deg(0.0, 77.0, 0.0, 78.0) == pytest.approx(90)
