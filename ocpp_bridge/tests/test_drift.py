"""What a charger should be set to, and where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.drift import (
    DIFFERS,
    NOT_REPORTED,
    NOT_SUPPORTED,
    Difference,
    Reported,
    Wish,
    differences,
    expected,
    is_same,
)

DEFAULTS = {"HeartbeatInterval": "300", "MeterValueSampleInterval": "60"}


def test_the_highest_priority_that_fits_decides_each_key() -> None:
    wishes = [
        Wish("*", "*", 5, {"HeartbeatInterval": "120"}),
        Wish("Delta*", "DC?0", 9, {"HeartbeatInterval": "60", "LocalAuthListEnabled": "true"}),
        Wish("Other", "*", 99, {"HeartbeatInterval": "1"}),
    ]
    here = expected(DEFAULTS, wishes, vendor="delta India", model="DC60")
    assert here == {"HeartbeatInterval": "60", "MeterValueSampleInterval": "60", "LocalAuthListEnabled": "true"}
    assert expected(DEFAULTS, wishes, vendor="ABB", model="T54")["HeartbeatInterval"] == "120"


def test_a_wish_can_take_a_built_in_key_out() -> None:
    assert "HeartbeatInterval" not in expected(
        DEFAULTS, [Wish("*", "*", 0, {"HeartbeatInterval": None})], vendor="", model=""
    )


def test_differences_say_what_can_be_done_about_them() -> None:
    wanted = {"A": "1", "B": "2", "C": "3", "D": "4", "E": "5"}
    reported = {
        "A": Reported("1.0"), "B": Reported("9"), "C": Reported("9", is_readonly=True),
        "D": Reported(None, is_unknown=True),
    }  # fmt: skip
    assert differences(wanted, reported) == [
        Difference("B", "2", "9", DIFFERS, can_change=True),
        Difference("C", "3", "9", DIFFERS, can_change=False),
        Difference("D", "4", None, NOT_SUPPORTED, can_change=False),
        Difference("E", "5", None, NOT_REPORTED, can_change=True),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("60", "60.0", True), ("true", "True ", True), ("A,B", "b, a", True), ("60", "61", False),
        ("A,B", "A", False), ("", "0", False), ("NaN", "nan", True), ("1e2", "100", True),
    ],
)  # fmt: skip
def test_values_are_compared_as_chargers_write_them(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8)))
def test_a_charger_set_as_wished_does_not_differ(wanted: dict[str, str]) -> None:
    assert differences(wanted, {key: Reported(value) for key, value in wanted.items()}) == []
