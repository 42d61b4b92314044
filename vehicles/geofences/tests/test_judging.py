"""Who came in and who left: jitter at the edge tells nothing, and neither do cuts between batches."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vehicles.geofences.judging import Drawn, Fences, Standing, Track, step
from vehicles.geofences.shapes import METRES_PER_DEGREE, read

YARD, CITY = 1, 2
FENCES = Fences(
    [
        Drawn(YARD, 3, read({"type": "Point", "coordinates": [77.6, 12.9]}, 200)),
        Drawn(CITY, 3, read({"type": "Point", "coordinates": [77.6, 12.9]}, 5_000)),
    ]
)
OUT, EDGE_OUT, EDGE_IN, IN, FAR = 260.0, 205.0, 195.0, 0.0, 20_000.0


def track(*metres: float, revision: int | None = 3, accuracy_m: float = -1, first: int = 0) -> Track:
    """North of the middle by so many metres, a position in ten seconds."""
    count = len(metres)
    return Track(
        7, revision, np.arange(first, first + count) * 10_000_000, np.full(count, 77.6),
        12.9 + np.array(metres) / METRES_PER_DEGREE, np.full(count, accuracy_m),
    )  # fmt: skip


def crossings(*metres: float, before: Standing | None = None, **of_track) -> list[tuple[bool, int]]:
    """At the yard: whether it came in, and by which position."""
    known = {(7, YARD): before} if before else {}
    judged = FENCES.judge([track(*metres, **of_track)], known)
    return [(one.is_entry, one.number) for one in judged.crossings if one.geofence_id == YARD]


INSIDE = Standing(is_inside=True)


@pytest.mark.parametrize(
    ("metres", "before", "expected"),
    [
        ([OUT, IN, IN], None, [(True, 1)]),  # deep inside is enough
        ([OUT, EDGE_IN, OUT], None, []),  # jitter
        ([OUT, EDGE_IN, EDGE_IN], None, [(True, 2)]),
        ([OUT, EDGE_IN, EDGE_OUT, EDGE_IN, EDGE_OUT], None, []),
        ([EDGE_OUT, EDGE_OUT, EDGE_OUT], INSIDE, []),  # not clearly outside
        ([OUT, IN, OUT, EDGE_IN, OUT], INSIDE, []),  # one position at a time
        ([OUT, OUT], INSIDE, [(False, 1)]),
        ([FAR, FAR], INSIDE, [(False, 1)]),
        ([IN, OUT, OUT, IN], INSIDE, [(False, 2), (True, 3)]),
    ],
)
def test_the_edge_is_crossed_when_it_is_sure(metres, before, expected) -> None:
    assert crossings(*metres, before=before) == expected


def test_an_unsure_receiver_has_a_wider_edge() -> None:
    assert crossings(OUT, 150.0, OUT, accuracy_m=80) == []
    assert crossings(OUT, 150.0, OUT, accuracy_m=20) == [(True, 1)]
    assert crossings(OUT, OUT, before=INSIDE, accuracy_m=80) == []
    assert crossings(290.0, 290.0, before=INSIDE, accuracy_m=80) == [(False, 1)]
    assert crossings(310.0, 310.0, before=INSIDE, accuracy_m=9_999) == [(False, 1)]


@pytest.mark.parametrize("revision", [None, 2])
def test_the_first_look_at_a_fence_tells_nothing(revision) -> None:
    judged = FENCES.judge([track(IN, IN, revision=revision)], {})
    assert (judged.crossings, judged.standings) == ([], {(7, YARD): INSIDE, (7, CITY): INSIDE})
    assert crossings(IN, OUT, OUT, revision=revision) == [(False, 2)]
    assert crossings(OUT, IN, revision=revision) == [(True, 1)]


def test_who_passes_through_between_two_looks_came_and_left() -> None:
    assert crossings(FAR, IN, FAR, FAR) == [(True, 1), (False, 3)]


@given(
    st.lists(st.floats(0, 400), min_size=2, max_size=30),
    st.lists(st.integers(1, 29), max_size=5),
)
def test_batches_of_any_size_tell_the_same(metres: list[float], cuts: list[int]) -> None:
    whole = FENCES.judge([track(*metres)], {})
    standings: dict[tuple[int, int], Standing] = {}
    found: list[tuple[int, bool, int]] = []
    edges = sorted({0, len(metres), *(cut for cut in cuts if cut < len(metres))})
    for start, end in pairwise(edges):
        judged = FENCES.judge([track(*metres[start:end], first=start)], standings)
        found += [(one.geofence_id, one.is_entry, one.number + start) for one in judged.crossings]
        standings |= judged.standings
        standings = {key: value for key, value in standings.items() if value != Standing()}
    assert sorted(found) == sorted((one.geofence_id, one.is_entry, one.number) for one in whole.crossings)


@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(10, 100)), max_size=60))
def test_entries_and_exits_take_turns(steps: list[tuple[float, float]]) -> None:
    standing, last = Standing(), False
    for away_m, margin_m in steps:
        before, standing = standing, step(standing, away_m, margin_m)
        if standing.is_inside != before.is_inside:
            assert standing.is_inside is not last
            assert (away_m <= 0) is standing.is_inside
            last = standing.is_inside
        assert not (standing.is_inside and standing.is_doubted and away_m <= 0)
