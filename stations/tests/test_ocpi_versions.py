"""The handshake in three versions over HTTP: negotiation, tokens both ways, rotation, upgrade, refusals."""

import httpx
import pytest
from django.utils import timezone

from stations.cpo.base import CPOError
from stations.cpo.ocpi import registration
from stations.models import Connector, Location, Source
from stations.tests.ocpi_peers import VERSIONS, Network, code, network

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_we_register_in_the_version_the_cpo_offers(ours: str, version: str) -> None:
    with network(ours, version) as net:
        net.register()
        assert (net.source.kind, net.source.state) == (f"ocpi-{version}", "connected")
        assert net.source.peer_token == net.peer.accepted
        assert net.source.sends_raw_token is (version == "2.1.1")
        assert net.source.parties.get().role == "CPO"
        assert net.source.endpoints["commands"] == f"{net.peer.base_url}/{version}/commands"
        ours_at_theirs = net.peer.their_endpoints
        assert ("bookings" in ours_at_theirs) is (version == "2.3.0")
        assert ("chargingprofiles" in ours_at_theirs) is (version != "2.1.1")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_cpo_may_start_rotate_and_leave(ours: str, version: str) -> None:
    with network(ours, version) as net:
        token_a = registration.new_token_for(net.source)
        assert code(net.peer.register_at(f"{ours}/ocpi/versions", token_a)) == (200, 1000)
        net.source.refresh_from_db()
        assert (net.source.kind, net.source.peer_token) == (f"ocpi-{version}", "TOKEN_A")
        again = httpx.post(net.peer.their_endpoints["credentials"], json={}, headers=net.peer.headers())
        assert again.status_code == 405
        assert again.headers["allow"] == "DELETE, GET, PUT"
        mine = net.peer.credentials(version, "TOKEN_A")
        rotated = httpx.put(net.peer.their_endpoints["credentials"], json=mine, headers=net.peer.headers())
        assert code(rotated) == (200, 1000)
        net.peer.their = rotated.json()["data"]
        shown = httpx.get(net.peer.their_endpoints["credentials"], headers=net.peer.headers()).json()["data"]
        assert shown["token"] == net.peer.their["token"]
        assert ("roles" in shown) is (version != "2.1.1")
        left = httpx.delete(net.peer.their_endpoints["credentials"], headers=net.peer.headers())
        assert code(left) == (200, 1000)
        assert httpx.get(f"{ours}/ocpi/versions", headers=net.peer.headers()).status_code == 401


def test_the_version_that_was_chosen_is_spoken_where_it_is_offered(ours: str) -> None:
    with network(ours, "2.1.1", "2.2.1", "2.3.0", kind="ocpi-2.2.1") as net:
        net.register()
        assert net.source.kind == "ocpi-2.2.1"


def test_otherwise_the_newest_common_version(ours: str) -> None:
    with network(ours, "2.1.1", "2.2.1", "9.9") as net:
        net.register()
        assert net.source.kind == "ocpi-2.2.1"


def test_an_upgrade_is_a_put_at_the_newer_version(ours: str) -> None:
    with network(ours, "2.2.1", "2.3.0", kind="ocpi-2.2.1") as net:
        net.register()
        net.peer.their_endpoints = {}
        mine = net.peer.credentials("2.3.0", net.peer.accepted)
        answer = httpx.put(f"{ours}/ocpi/2.3.0/credentials", json=mine, headers=net.peer.headers())
        assert code(answer) == (200, 1000)
        net.source.refresh_from_db()
        assert net.source.kind == "ocpi-2.3.0"
        assert net.source.endpoints["bookings"] == f"{net.peer.base_url}/2.3.0/booking"


def test_we_unregister_and_rotate(ours: str) -> None:
    with network(ours, "2.2.1") as net:
        net.register()
        first = net.source.peer_token
        registration.rotate(net.source, at=timezone.now())
        net.source.refresh_from_db()
        assert net.source.peer_token == net.peer.accepted != first
        registration.unregister(net.source, at=timezone.now())
        assert net.peer.accepted == "TOKEN_A"
        assert Source.objects.get().endpoints == {}


@pytest.mark.parametrize(
    ("spoil", "status"),
    [("token", 3001), ("version", 3002), ("modules", 3003), ("html", 3001), ("nobody", 3001)],
)
def test_a_call_back_that_fails_has_its_code(ours: str, spoil: str, status: int) -> None:
    with network(ours, "2.2.1") as net:
        net.peer.their = {"token": registration.new_token_for(net.source), "url": f"{ours}/ocpi/versions"}
        mine = net.peer.credentials("2.2.1", "TOKEN_A")
        if spoil == "token":
            mine["token"] = "another"
        if spoil == "version":
            net.peer.versions = ("2.1.1",)
        if spoil == "modules":
            net.peer.without = {"locations"}
        if spoil == "html":
            net.peer.broken = b"<html>hello</html>"
        if spoil == "nobody":
            mine["url"] = "http://127.0.0.1:9/versions"
        answer = httpx.post(f"{ours}/ocpi/2.2.1/credentials", json=mine, headers=net.peer.headers())
        assert code(answer) == (200, status)
        assert Source.objects.get().endpoints == {}
        assert httpx.get(f"{ours}/ocpi/versions", headers=net.peer.headers()).status_code == 200  # TOKEN_A lives


@pytest.mark.parametrize("version", VERSIONS)
def test_credentials_that_say_too_little_are_2001(ours: str, version: str) -> None:
    with network(ours, version) as net:
        net.peer.their = {"token": registration.new_token_for(net.source), "url": ""}
        answer = httpx.post(f"{ours}/ocpi/{version}/credentials", json={"token": "x"}, headers=net.peer.headers())
        assert code(answer) == (200, 2001)


def test_a_cpo_without_our_versions_or_modules_is_a_named_error(ours: str) -> None:
    with network(ours, "9.9") as net:
        with pytest.raises(CPOError) as refused:
            net.register()
        assert refused.value.code == "no_version"
    Source.objects.all().delete()
    with network(ours, "2.2.1") as net:
        net.peer.without = {"locations"}
        with pytest.raises(CPOError) as refused:
            net.register()
        assert refused.value.code == "no_endpoint"


def test_sites_of_every_version_become_the_same_rows(everywhere: Network) -> None:
    assert list(Location.objects.order_by("name").values_list("name", "time_zone")) == [
        (f"Volt {number}", "Asia/Kolkata") for number in (1, 2, 3)
    ]
    plug = Connector.objects.select_related("tariff").get(evse__uid="E1-1")
    assert (plug.plug, plug.max_power_w, plug.status, plug.tariff_ids) == ("ccs2", 60_000, "available", ["DAY"])
    assert plug.tariff is not None
    assert plug.tariff.elements[0]["price_components"][0]["price"] == "19.5"


def test_each_version_gets_back_what_it_pushed_in_its_own_words(everywhere: Network) -> None:
    site = everywhere.peer.get("locations", "L1").json()["data"]
    plug = site["evses"][0]["connectors"][0]
    if everywhere.version == "2.1.1":
        assert (plug["tariff_id"], plug["voltage"], "country_code" in site) == ("DAY", 500, False)
    else:
        assert (plug["tariff_ids"], plug["max_voltage"], site["party_id"]) == (["DAY"], 500, "VLT")


def test_a_push_of_every_version_is_applied(everywhere: Network) -> None:
    later = {"status": "OUTOFORDER", "last_updated": "2026-11-21T07:00:00Z"}
    assert code(everywhere.peer.patch("locations", "L1", "E1-1", body=later)) == (200, 1000)
    assert everywhere.plug().status == "faulted"
    changed = {"tariff_id": "NIGHT"} if everywhere.version == "2.1.1" else {"tariff_ids": ["NIGHT"]}
    body = {**changed, "last_updated": "2026-11-21T07:00:00Z"}
    assert code(everywhere.peer.patch("locations", "L1", "E1-1", "1", body=body)) == (200, 1000)
    assert everywhere.plug().tariff_ids == ["NIGHT"]


def test_patching_a_tariff_is_for_2_1_1_only(everywhere: Network) -> None:
    body = {"elements": [{"price_components": [{"type": "ENERGY", "price": 21, "step_size": 1}]}]}
    answer = everywhere.peer.patch("tariffs", "DAY", body={**body, "last_updated": "2027-01-01T00:00:00Z"})
    if everywhere.version == "2.1.1":
        assert code(answer) == (200, 1000)
        shown = everywhere.peer.get("tariffs", "DAY").json()["data"]
        assert shown["elements"][0]["price_components"][0]["price"] == "21"
    else:
        assert answer.status_code == 405


def test_the_handshake_is_never_routed_and_modules_are(usual: Network) -> None:
    sent = {path: headers for _, path, _, headers in usual.peer.calls}
    assert "ocpi-to-party-id" not in sent["/versions"]
    assert "ocpi-to-party-id" not in sent["/2.2.1/credentials"]
    listed = sent["/2.2.1/locations"]
    assert (listed["ocpi-from-party-id"], listed["ocpi-to-party-id"]) == ("FLC", "VLT")
    assert listed["x-request-id"] != sent["/2.2.1/tariffs"]["x-request-id"]
    answer = usual.peer.get("locations", "L1")
    assert (answer.headers["ocpi-to-party-id"], answer.headers["ocpi-from-party-id"]) == ("VLT", "FLC")
    assert answer.headers["x-correlation-id"] == "c-1"
    versions = httpx.get(f"{usual.ours}/ocpi/versions", headers=usual.peer.headers())
    assert "ocpi-to-party-id" not in versions.headers
