"""The OCPI simulator answers what our own readers understand, and keeps the rules of the protocol."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fleetcharge.demo import ocpi
from fleetcharge.demo.bays import Booking
from fleetcharge.demo.cpo import Cpo, Peering
from fleetcharge.demo.network import Network, draw_network
from fleetcharge.demo.tests.factories import NOW
from stations.cpo.ocpi.objects.credentials import CredentialsIn
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.objects.tariffs import TariffIn
from stations.cpo.ocpi.selftest import Probe
from stations.tests.serving import serve

BASE = "http://127.0.0.1:8010"
PEER = "http://fleet.test"


class Peer:
    """The EMSP at the other end, as far as the handshake and pushes need it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content) if request.content else None
        self.calls.append((request.method, str(request.url), body))
        data: Any = None
        if request.url.path == "/ocpi/versions":
            data = [{"version": "2.2.1", "url": f"{PEER}/ocpi/2.2.1"}]
        elif request.url.path == "/ocpi/2.2.1":
            receiver = {"identifier": "locations", "role": "RECEIVER", "url": f"{PEER}/ocpi/2.2.1/emsp/locations"}
            data = {"version": "2.2.1", "endpoints": [receiver]}
        return httpx.Response(self.status, json=ocpi.envelope(data))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def network() -> Network:
    return draw_network(7, NOW)


@pytest.fixture
async def cpo(network: Network, peer: Peer, tmp_path: Path) -> AsyncIterator[Cpo]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(peer)) as http:
        yield Cpo(network, BASE, tmp_path / "voltgrid.json", Peering("token-a"), http)


async def call(cpo: Cpo, method: str, url: str, token: str, body: Any = None) -> httpx.Response:
    headers = {"Authorization": f"Token {base64.b64encode(token.encode()).decode()}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cpo), base_url=BASE) as client:  # type: ignore[arg-type]
        return await client.request(method, url, headers=headers, json=body)


async def register(cpo: Cpo) -> str:
    body = {"token": "token-b", "url": f"{PEER}/ocpi/versions", "roles": []}
    answer = await call(cpo, "POST", "/ocpi/2.2.1/credentials", "token-a", body)
    return CredentialsIn.model_validate(answer.json()["data"]).token


async def test_the_network_has_its_size_and_is_the_same_for_the_same_seed(network: Network) -> None:
    assert len(network.sites) == 75
    assert len(network.bays) == 300
    again = draw_network(7, NOW)
    assert [ocpi.location(network, site) for site in network.sites] == [ocpi.location(again, s) for s in again.sites]


async def test_every_location_and_tariff_is_valid_for_our_own_readers(network: Network) -> None:
    for site in network.sites:
        doc = LocationIn.model_validate(ocpi.location(network, site)).doc()
        assert (doc.latitude, doc.longitude) == (site.latitude, site.longitude)
        assert [evse.uid for evse in doc.evses] == [bay.key for bay in site.bays]
        for evse, bay in zip(doc.evses, site.bays, strict=True):
            assert evse.connectors[0].plug == bay.plug
            assert evse.connectors[0].max_power_w == bay.max_power_w
            assert "RESERVABLE" in evse.capabilities
    assert {TariffIn.model_validate(tariff).doc().external_id for tariff in ocpi.tariffs()} == {"VG-DC", "VG-AC"}


async def test_token_a_only_registers(cpo: Cpo) -> None:
    assert (await call(cpo, "GET", "/ocpi/versions", "token-a")).json()["data"][0]["version"] == "2.2.1"
    assert (await call(cpo, "GET", "/ocpi/2.2.1/cpo/locations", "token-a")).status_code == 401
    assert (await call(cpo, "GET", "/ocpi/versions", "wrong")).status_code == 401


async def test_the_handshake_calls_back_with_the_new_token(cpo: Cpo, peer: Peer) -> None:
    token = await register(cpo)
    assert [url for _, url, _ in peer.calls] == [f"{PEER}/ocpi/versions", f"{PEER}/ocpi/2.2.1"]
    assert (await call(cpo, "GET", "/ocpi/2.2.1/cpo/tariffs", token)).status_code == 200
    assert Peering.load(cpo.path, "token-a").our_token == token
    assert Peering.load(cpo.path, "another token-a").our_token == ""


async def test_an_unreadable_peer_is_refused_with_3001(cpo: Cpo, peer: Peer) -> None:
    peer.status = 500
    body = {"token": "token-b", "url": f"{PEER}/ocpi/versions", "roles": []}
    answer = await call(cpo, "POST", "/ocpi/2.2.1/credentials", "token-a", body)
    assert answer.json()["status_code"] == 3001
    assert cpo.peering.our_token == ""


async def test_pages_cover_every_location_once(cpo: Cpo) -> None:
    token, url, seen = await register(cpo), "/ocpi/2.2.1/cpo/locations?limit=100", []
    while url:
        answer = await call(cpo, "GET", url, token)
        assert answer.headers["x-total-count"] == "75"
        seen += [location["id"] for location in answer.json()["data"]]
        url = answer.links.get("next", {}).get("url", "")
    assert len(seen) == len(set(seen)) == 75


async def test_only_what_changed_since(cpo: Cpo) -> None:
    token = await register(cpo)
    url = "/ocpi/2.2.1/cpo/locations?date_from=2027-01-01T00:00:00Z"
    assert (await call(cpo, "GET", url, token)).json()["data"] == []


async def test_a_change_is_pushed_once_the_peer_can_be_reached(cpo: Cpo, network: Network, peer: Peer) -> None:
    await register(cpo)
    cpo.stale.clear()
    bay = next(bay for bay in network.all_bays if bay.status == "Available")
    bay.fault = "OtherError"
    network.step(0.5, 1, NOW)
    cpo.stale.update(changed.key for changed in network.changed)
    peer.status = 503
    assert not await cpo._push_stale()
    peer.status, peer.calls = 200, []
    assert await cpo._push_stale()
    method, url, body = next(entry for entry in peer.calls if entry[1].endswith(bay.key))
    assert (method, body["status"]) == ("PATCH", "OUTOFORDER")
    assert f"/IN/VLT/{network.site_of[bay.key].id}/{bay.key}" in url
    assert body["last_updated"].endswith("Z")
    assert not cpo.stale


async def test_a_reservation_is_accepted_and_answered_later(cpo: Cpo, network: Network, peer: Peer) -> None:
    token = await register(cpo)
    bay = next(bay for bay in network.all_bays if bay.status == "Available")
    body = {
        "response_url": f"{PEER}/result/1",
        "token": {"uid": "NL0001"},
        "expiry_date": "2026-11-21T07:00:00Z",
        "reservation_id": "r-1",
        "location_id": network.site_of[bay.key].id,
        "evse_uid": bay.key,
    }
    answer = (await call(cpo, "POST", "/ocpi/2.2.1/cpo/commands/RESERVE_NOW", token, body)).json()
    assert answer["data"]["result"] == "ACCEPTED"
    for task in list(cpo._tasks):
        await task
    assert peer.calls[-1] == ("POST", f"{PEER}/result/1", {"result": "ACCEPTED"})
    assert network.status(bay) == "RESERVED"
    assert network.reserve(bay.key, Booking("r-2", "NL0002", NOW)) == "EVSE_OCCUPIED"
    assert network.cancel("r-1") == "ACCEPTED"
    assert network.cancel("r-1") == "UNKNOWN_RESERVATION"
    assert network.status(bay) == "AVAILABLE"


async def test_other_commands_are_not_supported(cpo: Cpo) -> None:
    token = await register(cpo)
    answer = (await call(cpo, "POST", "/ocpi/2.2.1/cpo/commands/UNLOCK_CONNECTOR", token, {})).json()
    assert answer["data"]["result"] == "NOT_SUPPORTED"


async def test_it_keeps_the_rules_that_we_ask_other_networks_to_keep(cpo: Cpo, settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    token = await register(cpo)
    with serve(cpo) as base:
        cpo.base = base
        findings = await asyncio.to_thread(lambda: list(Probe(f"{base}/ocpi/versions", token).run()))
    assert [finding for finding in findings if finding.is_good is False] == []
    assert len(findings) > 15
