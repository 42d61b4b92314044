"""Which status we show: the worst truth wins, in one fixed order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stations.status import StatusInputs, decide, freshness

WORDS = ["available", "occupied", "charging", "reserved", "unavailable", "faulted", "unknown"]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        (StatusInputs("available"), "available"),
        (StatusInputs("available", is_held=True), "reserved"),
        (StatusInputs("available", has_session=True, is_delivering=True, is_held=True), "charging"),
        (StatusInputs("charging", has_session=True), "charging"),
        (StatusInputs("occupied", has_session=True), "occupied"),
        (StatusInputs("charging", has_session=True, is_delivering=True, is_offline=True), "unknown"),
        (StatusInputs("available", is_switched_off=True, is_offline=True), "unavailable"),
        (StatusInputs("available", is_station_inoperative=True), "unavailable"),
        (StatusInputs("faulted", is_switched_off=True, has_session=True), "faulted"),
        (StatusInputs("available", is_station_faulted=True, is_switched_off=True), "faulted"),
        (StatusInputs("occupied", is_held=True), "occupied"),
        (StatusInputs("unavailable", is_held=True), "unavailable"),
        (StatusInputs("unavailable", is_offline=True), "unknown"),
        (StatusInputs("unavailable", has_session=True, is_delivering=True), "charging"),
        (StatusInputs("faulted", is_offline=True), "faulted"),
    ],
)
def test_the_order_of_precedence(inputs: StatusInputs, shown: str) -> None:
    assert decide(inputs)[0] == shown


FLAGS = st.fixed_dictionaries({
    name: st.booleans()
    for name in ("is_station_faulted", "is_station_inoperative", "is_switched_off", "is_offline", "has_session",
                 "is_delivering", "is_held")
})  # fmt: skip


@given(st.sampled_from(WORDS), FLAGS)
def test_a_connector_is_only_free_when_nothing_speaks_against_it(reported: str, flags: dict[str, bool]) -> None:
    shown, reason = decide(StatusInputs(reported, **flags))
    assert reason
    if shown == "available":
        assert reported == "available"
        assert not any(value for name, value in flags.items() if name != "is_delivering")


@given(st.sampled_from(WORDS), FLAGS)
def test_the_first_truth_of_the_list_decides(reported: str, flags: dict[str, bool]) -> None:
    """OCPP reference 3.1, written a second time as a list instead of as code."""
    in_session = "charging" if flags["is_delivering"] or reported == "charging" else "occupied"
    order = [
        (flags["is_station_faulted"] or reported == "faulted", "faulted"),
        (flags["is_switched_off"] or flags["is_station_inoperative"], "unavailable"),
        (flags["is_offline"], "unknown"),
        (flags["has_session"], in_session),
        (flags["is_held"] and reported in {"available", "reserved", "unknown"}, "reserved"),
        (True, reported),
    ]
    assert decide(StatusInputs(reported, **flags))[0] == next(shown for holds, shown in order if holds)


@pytest.mark.parametrize(
    ("age", "word"),
    [
        (timedelta(seconds=299), "live"),
        (timedelta(seconds=300), "recent"),
        (timedelta(seconds=1800), "stale"),
        (timedelta(days=1), "none"),
    ],
)
def test_news_decays(age: timedelta, word: str) -> None:
    assert freshness(NOW - age, NOW) == word


def test_a_healthy_push_keeps_old_news_live_and_silence_is_never_fresh() -> None:
    assert freshness(NOW - timedelta(hours=3), NOW, is_push_healthy=True) == "live"
    assert freshness(None, NOW, is_push_healthy=True) == "none"
