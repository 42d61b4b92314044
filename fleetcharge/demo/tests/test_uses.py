"""What our vans draw at the city's CPOs comes back as sessions and records, and costs what the tariff says."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone

from billing.models import CDR, ChargingSession, PriceCheck
from billing.tests.factories import fund
from fleetcharge.accounts.models import Organisation
from fleetcharge.celery import app as celery
from fleetcharge.demo.bays import Bay, Visit
from fleetcharge.demo.cityplug import CityPlug
from fleetcharge.demo.cpo import Cpo, Peering
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.network import CITYPLUG, VOLTGRID, Network, draw_network
from fleetcharge.demo.uses import from_memory, to_memory
from stations.cpo.ocpi import registration
from stations.models import Source
from stations.tasks import poll_source
from stations.tests import conftest as peers
from stations.tests.ocpi_peers import give_access
from stations.tests.serving import serve
from tests.running import wait_for

ours = peers.ours
PRICES = {"voltgrid": {True: 21.0, False: 13.5}, "cityplug": {True: 19.0, False: 19.0}}
Peer = Any


@pytest.fixture
def at_once() -> Iterator[None]:
    """Tasks run where they are started."""
    celery.conf.task_always_eager = True
    yield
    celery.conf.task_always_eager = False


@pytest.fixture(params=["voltgrid", "cityplug"])
def connected(
    request: Any, ours: str, organisation: Organisation, tmp_path: Path
) -> Iterator[tuple[Source, Network, Peer]]:
    """One of the city's CPOs, registered with us and read."""
    now = timezone.now()
    fund(organisation, 1_000_000)
    network = draw_network(7, now, VOLTGRID if request.param == "voltgrid" else CITYPLUG)
    made: list[Peer] = []

    async def door(scope: Any, receive: Any, send: Any) -> None:
        await made[0](scope, receive, send)

    with serve(door) as base:
        if request.param == "voltgrid":
            made.append(Cpo(network, base, tmp_path / "v", Peering("TOKEN_A"), httpx.AsyncClient()))
            url, kind = f"{base}/ocpi/versions", "ocpi-2.2.1"
        else:
            made.append(CityPlug(network, base, tmp_path / "c", "TOKEN_A"))
            url, kind = f"{base}/versions", "ocpi-2.1.1"
        source = Source(slug=request.param, name="A CPO", kind=kind, base_url=url)
        source.peer_token = "TOKEN_A"
        source.save()
        give_access(source, organisation, "CARD1")
        registration.register(source, at=now)
        poll_source(source.pk)
        yield Source.objects.get(pk=source.pk), network, made[0]


def charge(network: Network, *, is_dc: bool) -> Bay:
    """A van of ours has drawn 7.5 kWh and stands there."""
    begun = timezone.now() - timedelta(minutes=100)  # what a slow plug needs for that
    bay = next(each for each in network.all_bays if each.is_dc == is_dc)
    bay.visit = bay.booking = None
    visit = Visit("visit-1", "KA 03 MX 4471", "CARD1", Pack(40_000, 30, 7_000, 50_000), 80, begun)
    network.plug_in(bay, visit, begun)
    visit.energy_wh = 7_500.0
    return bay


def push(peer: Peer) -> None:
    async def once() -> None:
        async with httpx.AsyncClient() as http:
            if isinstance(peer, Cpo):
                peer.http = http
                assert await peer._push_uses()
            else:
                assert await peer._push_uses(http)

    asyncio.run(once())


def poll(source: Source) -> Callable[[Peer], None]:
    def again(_: Peer) -> None:
        Source.objects.filter(pk=source.pk).update(last_polled_at=None)
        poll_source(source.pk)

    return again


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("way", ["pushed", "pulled"])
def test_a_visit_becomes_a_session_a_record_and_a_price_that_agrees(
    connected: tuple[Source, Network, Peer], way: str
) -> None:
    source, network, peer = connected
    tell = push if way == "pushed" else poll(source)
    bay = charge(network, is_dc=way == "pushed")
    tell(peer)
    session = wait_for("the session", lambda: ChargingSession.objects.filter(state="active").first())
    assert (session.energy_wh, session.connector.evse.uid, session.id_token_uid) == (7_500, bay.key, "CARD1")
    bay.visit.energy_wh = 9_250.0  # type: ignore[union-attr]
    network.leave(bay, timezone.now())
    tell(peer)
    cdr = wait_for("the record", lambda: CDR.objects.exclude(rated_at=None).first())
    assert (cdr.session_id, cdr.energy_wh) == (session.pk, 9_250)
    check = wait_for("the comparison", lambda: PriceCheck.objects.first())
    assert check.difference_paise == 0
    wanted = Decimal("9.25") * Decimal(str(PRICES[source.slug][bay.is_dc]))
    assert cdr.roaming_cdr is not None
    assert cdr.roaming_cdr.total_before_taxes == wanted
    tell(peer)
    assert (ChargingSession.objects.count(), CDR.objects.count()) == (1, 1)


def test_what_was_used_is_remembered_over_a_restart_as_if_the_power_had_been_cut() -> None:
    now = timezone.now()
    network, again = draw_network(7, now, CITYPLUG), draw_network(7, now, CITYPLUG)
    bay = charge(network, is_dc=True)
    from_memory(again, to_memory(network, now))
    [(place, visit)] = again.left
    assert (place.key, visit.key, visit.energy_wh, visit.ended_at) == (bay.key, "visit-1", 7_500.0, now)


def test_who_drew_nothing_or_is_nobody_of_ours_is_not_billed() -> None:
    now = timezone.now()
    network = draw_network(7, now, CITYPLUG)
    bay = charge(network, is_dc=True)
    bay.visit.energy_wh = 10.0  # type: ignore[union-attr]
    network.leave(bay, now)
    stranger = next(each for each in network.all_bays if each.visit and not each.visit.vehicle)
    network.leave(stranger, now)
    assert not network.left
