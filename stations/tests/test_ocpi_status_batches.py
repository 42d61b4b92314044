"""Status pushes that arrive together are committed together, and each is answered as if it had come alone."""

from typing import Any

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from stations import webhooks
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.receivers import Answer
from stations.models import Connector, Source, StatusChange
from stations.tests.cpo_peer import EARLIER, LATER, CPOPeer

pytestmark = pytest.mark.django_db(transaction=True)
NEWS = {"status": "OUTOFORDER", "last_updated": LATER}


def push(peer: CPOPeer, *path: str, body: Any = None, raw: bytes | None = None, token: str = "") -> webhooks.Push:
    shown = f"Token {token}" if token else peer._headers()["Authorization"]
    target = "/".join(["/ocpi/2.2.1/emsp/locations/IN/VLT", *path])
    scope = {
        "method": "PATCH", "path": target, "raw_path": target.encode(), "query_string": b"",
        "headers": [(b"authorization", shown.encode())], "client": ("127.0.0.1", 1),
    }  # fmt: skip
    return scope, orjson.dumps(NEWS if body is None else body) if raw is None else raw


def shown(uid: str) -> str:
    return Connector.objects.get(evse__uid=uid).status


def codes(answers: list[Answer]) -> list[tuple[int, int]]:
    return [(answer.http, answer.status_code) for answer in answers]


def test_each_push_gets_its_own_answer(connected: Source, peer: CPOPeer) -> None:
    pushes = [
        push(peer, "L1", "E1-1"),
        push(peer, "L1", "NOPE"),
        push(peer, "L1", "E1-2", token="wrong"),
        push(peer, "L2", "E2-1", raw=b"{nope"),
        push(peer, "L2", "E2-1", body={"status": "OUTOFORDER"}),
        push(peer, "L2", "E2-1", body=[1]),
        push(peer, "l2", "e2-2", body={"status": "brand new", "last_updated": LATER}),
        push(peer, "L3", "E3-1", body={**NEWS, "floor_level": "-1"}),
        push(peer, "L3", "E3-2", body={"status": "AVAILABLE", "last_updated": EARLIER}),
        push(peer, "L3", "E3%002", body=NEWS),
    ]
    answers = webhooks.answer_statuses(pushes)
    assert codes(answers) == [
        (200, 1000), (200, 2003), (401, 2000), (400, 2001), (200, 2001), (200, 2001), (200, 1000), (200, 1000),
        (200, 1000), (200, 2001),
    ]  # fmt: skip
    assert answers[1].fetch == "location:L1"
    assert [shown(uid) for uid in ("E1-1", "E1-2", "E2-1", "E2-2", "E3-1", "E3-2")] == [
        "faulted", "charging", "available", "unknown", "faulted", "charging",
    ]  # fmt: skip


def test_the_newest_word_wins_whatever_the_order_of_arrival(connected: Source, peer: CPOPeer) -> None:
    times = ["2026-11-21T06:30:02Z", "2026-11-21T06:30:03Z", "2026-11-21T06:30:01Z"]
    words = ["CHARGING", "OUTOFORDER", "RESERVED"]
    pushes = [
        push(peer, "L1", "E1-1", body={"status": word, "last_updated": at})
        for word, at in zip(words, times, strict=True)
    ]
    assert codes(webhooks.answer_statuses(pushes)) == [(200, 1000)] * 3
    assert shown("E1-1") == "faulted"
    history = StatusChange.objects.filter(connector__evse__uid="E1-1").order_by("at", "pk")
    told = [change.new for change in history]
    assert told[-3:] == ["reserved", "charging", "faulted"]
    webhooks.answer_statuses(pushes)  # the same again
    assert [change.new for change in history.all()] == told
    assert shown("E1-1") == "faulted"


def test_twenty_pushes_cost_no_more_statements_than_two(connected: Source, peer: CPOPeer) -> None:
    def statements(count: int, at: str) -> int:
        sites = [(f"L{number}", f"E{number}-{plug}") for number in (1, 2, 3) for plug in (1, 2)]
        pushes = [push(peer, *sites[n % 6], body={"status": "BLOCKED", "last_updated": at}) for n in range(count)]
        with CaptureQueriesContext(connection) as captured:
            assert codes(webhooks.answer_statuses(pushes)) == [(200, 1000)] * count
        return len(captured)

    statements(6, "2026-11-21T06:31:00Z")
    statements(1, "2026-11-21T06:31:30Z")  # the push was noted, so the source is read once more
    assert statements(20, "2026-11-21T06:33:00Z") <= statements(2, "2026-11-21T06:32:00Z")


def test_a_network_that_calls_too_often_is_told_so_and_others_are_not(
    connected: Source, peer: CPOPeer, settings: Any
) -> None:
    settings.OCPI_PUSH_RATE = "3/hour"
    assert codes(webhooks.answer_statuses([push(peer, "L1", "E1-1")] * 3)) == [(200, 1000)] * 3
    answers = webhooks.answer_statuses([push(peer, "L1", "E1-2"), push(peer, "L1", "E1-2", token="wrong")])
    assert codes(answers) == [(429, 2000), (401, 2000)]
    assert answers[0].wait_seconds > 0
    assert shown("E1-2") == "charging"


@pytest.mark.usefixtures("one_window")
def test_of_one_batch_only_the_calls_past_the_rate_wait(connected: Source, peer: CPOPeer, settings: Any) -> None:
    settings.OCPI_PUSH_RATE = "3/hour"
    plugs = [(f"L{number}", f"E{number}-{plug}") for number in (1, 2, 3) for plug in (1, 2)]
    answers = webhooks.answer_statuses([push(peer, *plug) for plug in plugs])
    assert codes(answers) == [(200, 1000)] * 3 + [(429, 2000)] * 3
    assert all(answer.wait_seconds > 0 for answer in answers[3:])
    assert [shown(uid) == "faulted" for _, uid in plugs] == [True] * 3 + [False] * 3


def test_a_token_is_looked_up_with_every_batch(connected: Source, peer: CPOPeer) -> None:
    """The old one works until the new one is used, in whatever process; one that was taken back works no more."""
    old = peer._headers()["Authorization"].removeprefix("Token ")
    assert codes(webhooks.answer_statuses([push(peer, "L1", "E1-1", token=old)])) == [(200, 1000)]
    new = registration.new_token_for(Source.objects.get(pk=connected.pk))
    both = [push(peer, "L1", "E1-1", token=token) for token in (old, new)]
    assert codes(webhooks.answer_statuses(both[:1])) == [(200, 1000)]
    assert codes(webhooks.answer_statuses(both)) == [(200, 1000)] * 2  # they came together
    assert codes(webhooks.answer_statuses(both)) == [(401, 2000), (200, 1000)]
    Source.objects.update(endpoints={})
    assert codes(webhooks.answer_statuses(both[1:])) == [(401, 2000)]  # for the handshake only
    registration.forget_peer(connected, at=timezone.now())
    assert webhooks.answer_statuses(both[1:])[0].message == "Unknown token."


@pytest.mark.parametrize(
    ("method", "path", "is_one"),
    [
        ("PATCH", "/ocpi/2.2.1/emsp/locations/IN/VLT/L1/E1", True),
        ("PATCH", "/ocpi/2.1.1/emsp/locations/IN/VLT/L1/E1/", True),
        ("PUT", "/ocpi/2.2.1/emsp/locations/IN/VLT/L1/E1", False),
        ("PATCH", "/ocpi/2.2.1/emsp/locations/IN/VLT/L1", False),
        ("PATCH", "/ocpi/2.2.1/emsp/locations/IN/VLT/L1/E1/1", False),
        ("PATCH", "/ocpi/2.2.1/emsp/sessions/IN/VLT/L1/E1", False),
    ],
)
def test_only_calls_about_one_evse_share_a_commit(method: str, path: str, is_one: bool) -> None:
    assert webhooks._is_of_one_evse({"method": method, "path": path, "raw_path": path.encode()}) is is_one
