"""Pulling from CPOs that are large, slow, broken or hostile."""

import socket
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from stations.cpo.base import CPOError, CPOUnavailable
from stations.cpo.guard import check_url
from stations.cpo.ocpi import client as wire_client
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.client import OCPIClient
from stations.models import Connector, Location, Source
from stations.tasks import poll_source
from stations.tests.cpo_peer import LATER, STAMP, CPOPeer, evse, location, url
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "bad",
    [
        {"coordinates": {"latitude": "0", "longitude": "0"}},
        {"coordinates": {"latitude": "nan", "longitude": "77"}},
        {"coordinates": {"latitude": "99", "longitude": "200"}},
        {"id": "x" * 300},
        {"party_id": "TOOLONG"},
        {"evses": [{**evse("E"), "connectors": [{"id": "x" * 40}]}]},
        {"evses": [{**evse("E"), "connectors": [{"id": "1", "max_voltage": -5}]}]},
    ],
)
def test_a_site_no_database_would_take_is_refused_alone(connected: Source, peer: CPOPeer, bad: dict[str, Any]) -> None:
    peer.locations = [location(5, **{"last_updated": LATER, **bad}), location(6, last_updated=LATER)]
    poll_source(connected.pk)
    assert set(Location.objects.values_list("name", flat=True)) == {"Volt 1", "Volt 2", "Volt 3", "Volt 6"}
    connected.refresh_from_db()
    assert connected.state == "connected"


def test_nulls_text_numbers_and_nul_characters_are_survived(connected: Source, peer: CPOPeer) -> None:
    odd = {**evse("E5"), "capabilities": None, "physical_reference": None}
    odd["connectors"][0] |= {"max_voltage": "400", "max_amperage": 62.5, "max_electric_power": None, "tariff_ids": None}
    peer.locations = [
        location(5, name="Odd\0 one", time_zone=None, opening_times=None, operator=None, state=None, evses=[odd]),
        location(6, evses=None),
    ]
    poll_source(connected.pk)
    connector = Connector.objects.get(evse__uid="E5")
    assert (connector.max_power_w, connector.evse.location.name) == (24_800, "Odd one")
    assert Location.objects.filter(name="Volt 6").exists()


def test_a_broken_tariffs_module_does_not_hide_the_sites(connected: Source, peer: CPOPeer) -> None:
    peer.tariffs, peer.locations = "nothing of the kind", [location(6, last_updated=LATER)]
    poll_source(connected.pk)
    assert Location.objects.filter(name="Volt 6").exists()


def test_a_site_that_slips_over_a_page_border_is_not_lost(source: Source, peer: CPOPeer) -> None:
    """OCPI issue 373: L1 changes while we read, moves to the end, and L3 would never be on any page."""
    peer.locations = [location(number) for number in range(1, 6)]

    def move_first_to_the_end() -> None:
        peer.locations.append({**peer.locations.pop(0), "last_updated": LATER})
        peer.on_page = lambda: None

    peer.on_page = move_first_to_the_end
    registration.register(source, at=timezone.now())
    poll_source(source.pk)
    assert Location.objects.count() == 5


def test_an_unchanged_site_is_confirmed_without_being_written(connected: Source, peer: CPOPeer) -> None:
    before = dict(Location.objects.values_list("pk", "updated_at"))
    Connector.objects.update(heard_at=timezone.now() - timedelta(hours=3))
    poll_source(connected.pk)
    assert dict(Location.objects.values_list("pk", "updated_at")) == before
    assert not Connector.objects.filter(heard_at__lt=timezone.now() - timedelta(minutes=1)).exists()


def test_a_poll_cannot_switch_on_what_an_operator_switched_off(connected: Source) -> None:
    Source.objects.update(state="disabled")
    poll_source(connected.pk)
    assert Source.objects.get().state == "disabled"


def test_an_error_of_our_own_is_shown_and_backs_off(connected: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(OCPIClient, "pages", explode)
    with pytest.raises(ZeroDivisionError):
        poll_source(connected.pk)
    connected.refresh_from_db()
    assert (connected.failures_in_row, connected.last_error_code) == (1, "ZeroDivisionError")
    assert "the log says where (ZeroDivisionError: our fault)" in connected.last_error


def test_a_cpo_that_asks_for_patience_gets_it(connected: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = httpx.MockTransport(lambda request: httpx.Response(429, headers={"Retry-After": "900"}))
    with pytest.raises(CPOUnavailable) as refused, OCPIClient(connected, transport=busy) as client:
        client.call("GET", connected.endpoints["locations"])

    def wait(*_: object, **__: object) -> None:
        raise refused.value

    monkeypatch.setattr(OCPIClient, "pages", wait)
    poll_source(connected.pk)
    connected.refresh_from_db()
    assert connected.next_poll_at > timezone.now() + timedelta(minutes=14)


def paged(*answers: httpx.Response) -> httpx.MockTransport:
    pages = iter(answers)
    return httpx.MockTransport(lambda request: next(pages))


def page(link: str = "", *ids: str, total: int = 0) -> httpx.Response:
    headers = {"Link": f'<{link}>; rel="next"'} if link else {}
    headers |= {"X-Total-Count": str(total)} if total else {}
    data = [{"id": each} for each in ids]
    return httpx.Response(200, json={"data": data, "status_code": 1000, "timestamp": STAMP}, headers=headers)


def test_links_may_be_relative_but_neither_loop_nor_leave(connected: Source) -> None:
    where = "http://127.0.0.1:9/locations"
    with OCPIClient(connected, transport=paged(page("?offset=1", "1"), page("", "2"))) as client:
        assert len(list(client.pages(where))) == 2
    loop = f"{where}?limit=100"
    with OCPIClient(connected, transport=paged(page(loop, "1"), page(loop, "1"))) as client:
        assert len(list(client.pages(where))) == 1
    away = OCPIClient(connected, transport=paged(page("http://elsewhere.example/locations?offset=1", "1"), page()))
    with pytest.raises(CPOError, match="another host"), away as client:
        list(client.pages(where))


def test_an_empty_page_is_the_last_one_unless_more_was_promised(connected: Source) -> None:
    where = "http://127.0.0.1:9/locations"
    for total in (0, 2):
        pages = page("?offset=2", "1", "2", total=total), page("?offset=4", total=total)
        with OCPIClient(connected, transport=paged(*pages)) as client:
            assert [len(each) for each in client.pages(where)] == [2, 0]
            assert client.is_whole
    pages = page("?offset=2", "1", total=2), page("?offset=4", total=2), page("", "2", total=2)
    with OCPIClient(connected, transport=paged(*pages)) as client:
        assert [len(each) for each in client.pages(where)] == [1, 0, 1]
        assert client.is_whole


def test_an_endless_answer_is_cut(connected: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_client, "MAX_ANSWER_BYTES", 1000)
    flood = httpx.MockTransport(lambda request: httpx.Response(200, content=b" " * 2000))
    with pytest.raises(CPOError, match="more than 1000 bytes"), OCPIClient(connected, transport=flood) as client:
        client.call("GET", connected.endpoints["locations"])


# --- addresses -------------------------------------------------------------------------------------------------------
@pytest.fixture
def public_only(settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_we_connect_to_the_address_that_was_checked(
    source: Source, public_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is asked twice could lead into our network the second time."""
    calls: list[httpx.Request] = []
    answer = {"data": [], "status_code": 1000}
    peer = httpx.MockTransport(lambda request: calls.append(request) or httpx.Response(200, json=answer))
    leads_to(monkeypatch, "203.0.114.7")
    with OCPIClient(source, transport=peer) as client:
        client.call("GET", "https://cpo.example:8443/versions")
    assert (calls[0].url.host, calls[0].url.port, calls[0].headers["host"]) == ("203.0.114.7", 8443, "cpo.example:8443")
    assert calls[0].extensions["sni_hostname"] == "cpo.example"


@pytest.mark.parametrize(
    "addresses",
    [("10.0.0.1",), ("203.0.114.7", "127.0.0.1"), ("::ffff:127.0.0.1",), ("64:ff9b::7f00:1",), ("2002:7f00:1::",),
     ("169.254.169.254",), ("224.0.0.1",), ()],
)  # fmt: skip
def test_names_that_lead_inside_are_refused(
    public_only: None, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    leads_to(monkeypatch, *addresses)
    with pytest.raises(CPOError, match="private network"):
        check_url("https://cpo.example/versions")


# --- rotation --------------------------------------------------------------------------------------------------------
def test_we_rotate_and_leave(connected: Source, peer: CPOPeer, ours: str) -> None:
    old = peer.their_credentials["token"]
    registration.rotate(connected, at=timezone.now())
    connected.refresh_from_db()
    assert (connected.peer_token, peer.their_credentials["token"] != old) == ("TOKEN_D", True)
    pushed = peer.push("PATCH", url(ours, "L1", "E1-1"), {"status": "CHARGING", "last_updated": LATER})
    assert pushed.status_code == 200
    registration.unregister(connected, at=timezone.now())
    connected.refresh_from_db()
    assert (connected.state, connected.endpoints, connected.peer_token) == ("disabled", {}, "")
    assert wait_for("the DELETE", lambda: "DELETE /2.2.1/credentials" in peer.calls)
    assert peer.push("GET", url(ours, "L1"), None).status_code == 401


@pytest.mark.parametrize("data", [None, "text", [{"version": "2.2.1"}], [["2.2.1"]], {"a": 1}])
def test_a_versions_list_in_a_strange_form_is_a_named_error(source: Source, data: Any) -> None:
    strange = httpx.MockTransport(lambda r: httpx.Response(200, json={"data": data, "status_code": 1000}))
    with pytest.raises(CPOError) as refused, OCPIClient(source, transport=strange) as client:
        registration.discover(client, source.base_url, "x")
    assert refused.value.code in {"not_ocpi", "no_version"}
