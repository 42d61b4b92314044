"""From the list that is there to the list that should be: any two lists, any message size."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.list_pushes import TOP_VERSION, Push, after, digest, pushes

UIDS = st.text("abcdefgh", min_size=1, max_size=2)


def entry(uid: str, group: str = "") -> dict[str, Any]:
    return {"id_token": uid, "token_type": "RFID", "status": "accepted", "expires_at": None, "group_id": group}


def listed(*uids: str) -> dict[str, dict[str, Any]]:
    return {uid.lower(): entry(uid) for uid in uids}


LISTS = st.dictionaries(UIDS, st.sampled_from(["", "V1", "V2"])).map(
    lambda groups: {uid: entry(uid, group) for uid, group in groups.items()}
)


@given(LISTS, st.none() | LISTS, st.integers(0, 1_000), st.integers(1, 7))
def test_the_charger_ends_with_the_wanted_list(wanted: Any, there: Any, version: int, limit: int) -> None:
    sent = pushes(wanted, there, version=version, limit=limit)
    known = there
    for push in sent:
        known = after(known, push)
        assert len(push.entries) <= limit
    assert known == wanted
    versions = [push.version for push in sent]
    assert versions == list(range(version + 1, version + 1 + len(sent)))
    assert all(push.update == "differential" for push in sent[1:])
    if sent and not there:
        assert sent[0].update == "full"


def test_a_difference_to_an_unknown_list_leaves_it_unknown() -> None:
    assert after(None, Push(2, "differential", [entry("A")])) is None


def test_nothing_is_sent_when_nothing_is_missing() -> None:
    assert pushes(listed("A", "B"), listed("B", "A"), version=4, limit=20) == []


def test_an_unknown_list_is_replaced_even_by_an_empty_one() -> None:
    assert pushes({}, None, version=4, limit=20) == [Push(5, "full", [])]


def test_a_difference_says_what_goes_and_what_comes() -> None:
    sent = pushes(listed("B", "C", "D", "E"), listed("A", "B", "C", "D"), version=4, limit=20)
    assert sent == [Push(5, "differential", [{"id_token": "A", "token_type": "RFID"}, entry("E")])]


def test_a_long_list_goes_in_parts_with_versions_of_their_own() -> None:
    sent = pushes(listed("A", "B", "C"), None, version=0, limit=2)
    assert [(push.version, push.update, len(push.entries)) for push in sent] == [(1, "full", 2), (2, "differential", 1)]


def test_the_full_list_goes_when_it_is_shorter_than_the_difference() -> None:
    there = listed("A", "B", "C", "D", "E", "F")
    assert pushes(listed("X"), there, version=9, limit=2) == [Push(10, "full", [entry("X")])]


def test_versions_begin_anew_before_they_overflow() -> None:
    assert pushes(listed("A"), None, version=TOP_VERSION, limit=2)[0].version == 1


@pytest.mark.parametrize("change", [entry("A", "V1"), entry("a"), {**entry("A"), "expires_at": "2030-01-01T00:00:00Z"}])
def test_the_fingerprint_sees_every_change_and_no_order(change: dict[str, Any]) -> None:
    assert digest(listed("A", "B")) == digest(dict(reversed(listed("A", "B").items())))
    assert digest({**listed("B"), "a": change}) != digest(listed("A", "B"))
