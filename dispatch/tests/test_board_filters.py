"""Figures as pages write them."""

import pytest

from dispatch.templatetags.board import kwh


@pytest.mark.parametrize(
    ("energy_wh", "text"),
    [(None, "–"), (0, "0.0 kWh"), (490, "0.5 kWh"), (999_960, "1,000.0 kWh"), (123_456_700, "1,23,456.7 kWh")],
)
def test_energy_is_grouped_as_india_reads_it(energy_wh: int | None, text: str) -> None:
    assert kwh(energy_wh) == text
