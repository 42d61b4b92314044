"""OCPI 2.2.1 with a real peer over HTTP: handshake both ways, pull, push, commands, and its pitfalls."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from stations import tasks
from stations.cpo.base import CPOError, CPOUnavailable, ReserveRequest
from stations.cpo.guard import check_url
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.adapter import OCPIAdapter
from stations.cpo.ocpi.client import OCPIClient
from stations.events import ReservationAnswered
from stations.models import EVSE, Connector, CPOCommand, Location, Source, Tariff
from stations.tasks import poll_source
from stations.tests.cpo_peer import EARLIER, LATER, CPOPeer, evse, location, url
from stations.tests.factories import make_charger
from stations.tests.serving import serve
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


# --- handshake -------------------------------------------------------------------------------------------------------
def test_registration_survives_the_call_back_and_keeps_token_c(source: Source, peer: CPOPeer) -> None:
    registration.register(source, at=timezone.now())
    source.refresh_from_db()
    assert (source.state, source.peer_token) == ("connected", "TOKEN_C")
    assert set(source.endpoints) == {"credentials", "locations", "tariffs", "commands"}
    assert source.parties.get().party_id == "VLT"
    assert "TOKEN_C" not in source.peer_token_encrypted


def test_the_cpo_may_start_the_handshake_and_rotate(source: Source, peer: CPOPeer, ours: str) -> None:
    peer.their_credentials = {"token": registration.new_token_for(source)}
    mine = {"token": "TOKEN_A", "url": f"{peer.base_url}/versions", "roles": []}
    answer = peer.push("POST", f"{ours}/ocpi/2.2.1/credentials", mine).json()
    assert answer["status_code"] == 1000
    assert peer.push("POST", f"{ours}/ocpi/2.2.1/credentials", mine).status_code == 405  # registered already
    old, peer.their_credentials = peer.their_credentials, {"token": answer["data"]["token"]}
    assert peer.push("GET", f"{ours}/ocpi/versions", None).status_code == 200
    peer.their_credentials = old
    assert peer.push("GET", f"{ours}/ocpi/versions", None).status_code == 401  # dead once the new one was used


def test_a_peer_that_cannot_be_called_back_gets_3001(source: Source, peer: CPOPeer, ours: str) -> None:
    peer.their_credentials = {"token": registration.new_token_for(source)}
    mine = {"token": "wrong", "url": f"{peer.base_url}/versions", "roles": []}
    assert peer.push("POST", f"{ours}/ocpi/2.2.1/credentials", mine).json()["status_code"] == 3001


def test_tokens_come_raw_or_encoded_and_a_wrong_one_is_401(source: Source, ours: str) -> None:
    token = registration.new_token_for(source)
    for shown, status in ((f"Token {token}", 200), (f"Token {token}\n".strip(), 200), ("Token nope", 401), ("", 401)):
        assert httpx.get(f"{ours}/ocpi/versions", headers={"Authorization": shown}).status_code == status


# --- pull ------------------------------------------------------------------------------------------------------------
def test_a_pull_follows_the_pages_and_keeps_everything(connected: Source) -> None:
    assert list(Location.objects.order_by("name").values_list("name", flat=True)) == ["Volt 1", "Volt 2", "Volt 3"]
    connector = Connector.objects.get(evse__uid="E1-1")
    assert (connector.plug, connector.max_power_w, connector.status) == ("ccs2", 60_000, "available")
    assert Connector.objects.get(evse__uid="E1-2").status == "charging"
    assert connector.tariff is not None
    assert connector.tariff.elements[0]["price_components"][0]["price"] == "19.5"


def test_a_second_pull_keeps_our_ids_and_changes_nothing(connected: Source) -> None:
    before = list(Location.objects.order_by("pk").values_list("pk", "public_id"))
    poll_source(connected.pk)
    assert list(Location.objects.order_by("pk").values_list("pk", "public_id")) == before
    assert Tariff.objects.count() == 1


def test_one_bad_object_never_stops_a_page(source: Source, peer: CPOPeer) -> None:
    peer.locations = [
        {"id": "broken"},
        "not even an object",
        location(7, coordinates={"latitude": "77.7", "longitude": "12.9"}),
    ]
    registration.register(source, at=timezone.now())
    reports = list(OCPIAdapter().poll(source))
    assert sum(len(report.rejected) for report in reports) == 2
    assert (Location.objects.get().latitude, Location.objects.get().longitude) == (12.9, 77.7)  # swapped, put right


def test_an_unknown_plug_is_kept_in_its_own_words(source: Source, peer: CPOPeer) -> None:
    odd = evse("E9")
    odd["connectors"][0] |= {"standard": "IS_17017_2_42", "brand_new_field": {"x": 1}}
    peer.locations = [location(9, evses=[odd])]
    registration.register(source, at=timezone.now())
    poll_source(source.pk)
    assert list(Connector.objects.values_list("plug", "raw_plug")) == [("unknown", "IS_17017_2_42")]


def test_an_evse_that_vanished_is_a_tombstone(connected: Source, peer: CPOPeer) -> None:
    peer.locations = [location(1, evses=[evse("E1-2")], last_updated=LATER)]
    poll_source(connected.pk)
    assert EVSE.objects.get(uid="E1-1").is_removed
    assert not EVSE.objects.get(uid="E1-2").is_removed


def test_failures_are_counted_shown_and_healed(connected: Source, peer: CPOPeer) -> None:
    peer.accepted = "another"
    for _ in range(3):
        poll_source(connected.pk)
    connected.refresh_from_db()
    assert (connected.state, connected.failures_in_row) == ("failing", 3)
    assert "401" in connected.last_error
    assert connected.next_poll_at > timezone.now() + timedelta(seconds=30)
    peer.accepted = "TOKEN_C"
    poll_source(connected.pk)
    connected.refresh_from_db()
    assert (connected.state, connected.failures_in_row, connected.last_error) == ("connected", 0, "")


def test_a_peer_that_speaks_html_is_a_named_error(connected: Source) -> None:
    page = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(CPOError, match="does not answer in OCPI"), OCPIClient(connected, transport=page) as client:
        client.call("GET", connected.endpoints["locations"])


def test_http_200_with_an_ocpi_error_is_a_failure(connected: Source) -> None:
    refusal = httpx.MockTransport(lambda r: httpx.Response(200, json={"status_code": 2001, "status_message": "no"}))
    with pytest.raises(CPOError, match="2001 no"), OCPIClient(connected, transport=refusal) as client:
        client.call("GET", connected.endpoints["locations"])


def test_a_redirect_leads_nowhere(connected: Source) -> None:
    away = httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": "http://169.254.169.254/"}))
    with pytest.raises(CPOError, match="302"), OCPIClient(connected, transport=away) as client:
        client.call("GET", connected.endpoints["locations"])


@pytest.mark.parametrize(
    "hostile",
    ["http://example.com/", "https://127.0.0.1/", "https://10.0.0.8/x", "https://[::1]/", "file:///etc/passwd",
     "https://user:pw@8.8.8.8/", "https://169.254.169.254/latest"],
)  # fmt: skip
def test_hostile_addresses_are_refused(hostile: str, settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False
    with pytest.raises(CPOError):
        check_url(hostile)


# --- push ------------------------------------------------------------------------------------------------------------
def test_a_status_push_is_applied_before_it_is_answered(connected: Source, peer: CPOPeer, ours: str) -> None:
    answer = peer.push("PATCH", url(ours, "L1", "E1-1"), {"status": "OUTOFORDER", "last_updated": LATER})
    assert (answer.status_code, answer.json()["status_code"]) == (200, 1000)
    assert answer.headers["x-request-id"] == "r-1"
    connector = Connector.objects.get(evse__uid="E1-1")
    assert (connector.status, connector.raw_status) == ("faulted", "OUTOFORDER")


def test_older_news_is_answered_and_ignored(connected: Source, peer: CPOPeer, ours: str) -> None:
    answer = peer.push("PATCH", url(ours, "L1", "E1-1"), {"status": "OUTOFORDER", "last_updated": EARLIER})
    assert answer.json()["status_code"] == 1000
    assert Connector.objects.get(evse__uid="E1-1").status == "available"


def test_ids_compare_without_case(connected: Source, peer: CPOPeer, ours: str) -> None:
    peer.push("PATCH", url(ours, "l1", "e1-1"), {"status": "RESERVED", "last_updated": LATER})
    assert Connector.objects.get(evse__uid="E1-1").status == "reserved"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (("L1", "E1-1"), {"status": "AVAILABLE"}, 2001),
        (("L1", "E1-1"), {"status": "AVAILABLE", "last_updated": "yesterday"}, 2001),
        (("L1", "NOPE"), {"status": "AVAILABLE", "last_updated": LATER}, 2003),
        (("L1", "E1-1", "1", "x"), {"status": "AVAILABLE", "last_updated": LATER}, 2001),
    ],
)
def test_a_push_we_cannot_use_is_a_named_ocpi_error(
    connected: Source, peer: CPOPeer, ours: str, path: tuple[str, ...], body: Any, code: int
) -> None:
    answer = peer.push("PATCH", url(ours, *path), body)
    assert (answer.status_code, answer.json()["status_code"]) == (200, code)


def test_an_unknown_evse_is_fetched_once(
    connected: Source, peer: CPOPeer, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.fetch_location, "delay", tasks.fetch_location)  # no worker here: fetch it at once
    peer.locations = [location(1, evses=[evse("E1-1"), evse("NEW", "CHARGING")], last_updated=LATER)]
    for _ in range(2):
        answer = peer.push("PATCH", url(ours, "L1", "OTHER"), {"status": "AVAILABLE", "last_updated": LATER})
        assert answer.json()["status_code"] == 2003
    assert Connector.objects.get(evse__uid="NEW").status == "charging"
    assert peer.calls.count("GET /2.2.1/locations/L1") == 1


def test_put_replaces_a_site_and_get_returns_it(connected: Source, peer: CPOPeer, ours: str) -> None:
    body = location(8, name="New Hub")
    assert peer.push("PUT", url(ours, "L8"), body).status_code == 201
    shown = peer.push("GET", url(ours, "L8"), None).json()["data"]
    assert (shown["id"], shown["name"], shown["evses"][0]["uid"]) == ("L8", "New Hub", "E8-1")
    assert peer.push("GET", url(ours, "L99"), None).status_code == 404
    assert peer.push("PUT", url(ours, "L9"), body).json()["status_code"] == 2001  # another id in the body


def test_a_token_for_the_handshake_opens_nothing_else(source: Source, peer: CPOPeer, ours: str) -> None:
    peer.their_credentials = {"token": registration.new_token_for(source)}
    assert peer.push("GET", url(ours, "L1"), None).status_code == 401


def test_a_body_that_is_no_json_or_too_large_is_refused(connected: Source, peer: CPOPeer, ours: str) -> None:
    headers = peer._headers()
    assert httpx.put(url(ours, "L1"), content=b"{nope", headers=headers).status_code == 400
    assert httpx.put(url(ours, "L1"), content=b"x" * (1024 * 1024 + 1), headers=headers).status_code == 413


# --- commands --------------------------------------------------------------------------------------------------------
@pytest.fixture
def answers() -> Iterator[list[ReservationAnswered]]:
    heard: list[ReservationAnswered] = []
    before = list(events._handlers[ReservationAnswered])
    events._handlers[ReservationAnswered] = [heard.append]
    yield heard
    events._handlers[ReservationAnswered] = before


def reserve(key: str = "7d3c") -> Any:
    connector = Connector.objects.select_related("evse__location__source").get(evse__uid="E1-1")
    return OCPIAdapter().reserve(ReserveRequest(connector, key, 41, "TAG1", timezone.now() + timedelta(minutes=30)))


def test_a_reservation_is_answered_by_the_asynchronous_result(
    connected: Source, peer: CPOPeer, answers: list[ReservationAnswered]
) -> None:
    assert reserve().state == "pending"
    heard = wait_for("the result", lambda: answers)
    assert (heard[0].reservation_key, heard[0].state) == ("7d3c", "accepted")
    kind, body = peer.commands[0]
    assert (kind, body["location_id"], body["evse_uid"], body["reservation_id"]) == (
        "RESERVE_NOW", "L1", "E1-1", "7d3c",
    )  # fmt: skip
    assert CPOCommand.objects.get().state == "accepted"


def test_the_cpo_may_take_a_reservation_back_later(
    connected: Source, peer: CPOPeer, answers: list[ReservationAnswered]
) -> None:
    reserve()
    wait_for("the result", lambda: answers)
    for word in ("CANCELED_RESERVATION", "CANCELED_RESERVATION", "ACCEPTED"):
        httpx.post(peer.commands[0][1]["response_url"], json={"result": word})
    assert [answer.state for answer in answers] == ["accepted", "cancelled"]
    assert CPOCommand.objects.get().state == "cancelled"


def test_a_result_after_the_deadline_is_still_taken(
    connected: Source, peer: CPOPeer, answers: list[ReservationAnswered], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.async_result = "ACCEPTED"
    monkeypatch.setattr(peer, "tell", lambda *_: asyncio.sleep(0))
    reserve()
    tasks.expire_cpo_commands(timezone.now() + timedelta(minutes=2))
    httpx.post(peer.commands[0][1]["response_url"], json={"result": "ACCEPTED"})
    assert [answer.state for answer in answers] == ["timed_out", "accepted"]


@pytest.mark.parametrize(
    ("data", "state"),
    [({"result": "ACCEPTED", "timeout": "soon"}, "pending"), ({"result": "ACCEPTED", "timeout": 1e300}, "pending"),
     ({"result": "NOT_SUPPORTED"}, "rejected"), ({}, "rejected")],
)  # fmt: skip
def test_odd_answers_to_a_command_are_understood(
    connected: Source, monkeypatch: pytest.MonkeyPatch, data: Any, state: str
) -> None:
    monkeypatch.setattr(OCPIClient, "call", lambda *_, **__: data)
    assert reserve().state == state


def test_an_answer_that_is_no_command_response_is_a_named_error(
    connected: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OCPIClient, "call", lambda *_, **__: ["what"])
    with pytest.raises(CPOError, match="cannot read"):
        reserve()
    assert CPOCommand.objects.get().state == "failed"


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [(b"<html>Bad day</html>", "not_ocpi", "does not answer in OCPI"), (b"", "not_ocpi", "does not answer in OCPI"),
     (b'{"status_code": 1000, "data": ["what"]}', "not_ocpi", "in a form we cannot read"),
     (b'{"status_code": 3000}', "", "")],
)  # fmt: skip
def test_an_answer_nobody_can_read_counts_on_the_network_and_a_plain_no_does_not(
    connected: Source, body: bytes, code: str, told: str
) -> None:
    async def answers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": body})

    with serve(answers) as base:
        Source.objects.update(endpoints={**connected.endpoints, "commands": f"{base}/commands"})
        with pytest.raises(CPOError):
            reserve()
    connected.refresh_from_db()
    assert (connected.failures_in_row, connected.last_error_code) == (int(bool(code)), code)
    assert told in connected.last_error
    assert CPOCommand.objects.get().state == "failed"
    poll_source(connected.pk)
    connected.refresh_from_db()
    assert (connected.failures_in_row, connected.last_error) == (0, "")


def test_a_network_nobody_reaches_is_asked_no_more_until_its_next_poll(connected: Source, peer: CPOPeer) -> None:
    Source.objects.update(endpoints={**connected.endpoints, "commands": "http://127.0.0.1:9/nothing"})
    for _ in range(3):
        with pytest.raises(CPOUnavailable, match="cannot be reached"):
            reserve()
    with pytest.raises(CPOUnavailable, match="is failing"):
        reserve()
    connected.refresh_from_db()
    assert (connected.state, CPOCommand.objects.count()) == ("failing", 3)
    assert connected.next_poll_at < timezone.now() + timedelta(minutes=2)  # looked at again soon, not in an hour
    poll_source(connected.pk)
    connected.refresh_from_db()
    assert connected.state == "connected"


def test_a_refusal_is_known_at_once(connected: Source, peer: CPOPeer) -> None:
    peer.result = "REJECTED"
    receipt = reserve()
    assert (receipt.state, receipt.reason) == ("rejected", "REJECTED")


def test_a_cpo_that_is_away_is_unavailable(connected: Source, peer: CPOPeer) -> None:
    Source.objects.update(endpoints={**connected.endpoints, "commands": "http://127.0.0.1:9/nothing"})
    with pytest.raises(CPOUnavailable):
        reserve()
    assert CPOCommand.objects.get().state == "failed"


def test_a_result_nobody_waits_for_is_404(ours: str) -> None:
    answer = httpx.post(f"{ours}/ocpi/2.2.1/emsp/commands/RESERVE_NOW/guess", json={"result": "ACCEPTED"})
    assert answer.status_code == 404


def test_our_own_chargers_are_not_reachable_over_a_cpos_token(
    connected: Source, peer: CPOPeer, ours: str, organisation: Organisation
) -> None:
    depot = make_charger(organisation).location
    assert peer.push("GET", url(ours, depot.public_id), None).status_code == 404
