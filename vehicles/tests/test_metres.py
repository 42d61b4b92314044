"""Metres between neighbouring pings of many vehicles, against the same rules walked one ping after the other."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetcharge.lib.geo import distance_m
from vehicles.metres import Pings, driven

maybe = st.one_of(st.just(-1), st.integers(0, 900))
steps = st.tuples(
    st.integers(0, 2), st.integers(1, 4_000), st.integers(-40_000, 40_000), st.integers(-40_000, 40_000),
    st.one_of(st.just(-1), st.integers(1_000_000, 1_030_000)), maybe, maybe,
)  # fmt: skip


def walked(rows: list[tuple[int, ...]], line: int) -> tuple[float, float, float]:
    own, odometer, gps, gap = [row for row in rows if row[0] == line], 0.0, 0.0, 0.0
    for before, after in pairwise(own):
        seconds, turned = (after[1] - before[1]) / 1e6, after[4] - before[4]
        metres = distance_m(before[2] / 1e7, before[3] / 1e7, after[2] / 1e7, after[3] / 1e7)
        speed, earlier, accuracy = after[5], before[5], after[6]
        if min(before[4], after[4]) >= 0 and 0 <= turned <= 1_000 + seconds * 50:
            odometer += turned
        elif seconds <= 120:
            gps += metres if (metres > 30 + max(accuracy, 0) if speed < 0 else max(speed, earlier) >= 30) else 0
        elif metres > 100:
            kept_moving = min(speed, earlier) >= 30 and seconds <= 1_800
            gap += max(metres * 1.3, (metres + seconds * (speed + earlier) / 72) / 2 if kept_moving else 0)
    return odometer, gps, gap


@given(st.lists(steps, max_size=40), st.randoms())
def test_all_vehicles_at_once_are_each_vehicle_by_itself_in_whatever_order(steps, random) -> None:
    rows, at_us = list[tuple[int, ...]](), 0
    for line, tenths, latitude, longitude, *rest in steps:
        at_us += tenths * 100_000
        rows.append((line, at_us, 129_700_000 + latitude, 775_900_000 + longitude, *rest))
    expected = [walked(rows, line) for line in range(3)]
    random.shuffle(rows)
    columns = np.array(rows, dtype=np.int64).reshape(-1, 7).T
    found = driven(Pings(*columns), 3)
    np.testing.assert_allclose(np.array(found).T, expected, rtol=1e-4, atol=0.01)
