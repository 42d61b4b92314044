"""Networks that take a call and never answer it, beside others that do: nobody else waits for them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.core.cache import cache
from django.db import connections
from django.utils import timezone

from fleetcharge.demo.peers.ubc import BPP, CDS, SuryaCharge
from fleetcharge.lib.turns import turn
from stations import tasks, webhooks
from stations.cpo.ocpi import client as ocpi_client
from stations.cpo.ocpi import registration
from stations.cpo.ubc import flow, keys, orders, signing
from stations.cpo.ubc.models import UBCItem, UBCKey, UBCNetwork, UBCOrder
from stations.models import Source
from stations.news import announcer
from stations.tasks import poll_source
from stations.tests.cpo_peer import CPOPeer
from stations.tests.factories import make_public_connector
from stations.tests.serving import serve
from tests.contract.adapters.line import Line
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ours(settings: Any) -> Iterator[str]:
    with serve(webhooks.ocpi) as base:
        settings.PUBLIC_BASE_URL, settings.OCPI_ALLOW_PRIVATE_HOSTS = base, True
        yield base
    webhooks.threads.close()
    announcer.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that hangs here ends by itself, however slow the machine is."""
    for name in ("fleetcharge.lib.exchanges.QUIET_SECONDS", "stations.cpo.ocpi.client.MAX_SECONDS",
                 "stations.cpo.ocpi.registration.CALL_BACK_SECONDS"):  # fmt: skip
        monkeypatch.setattr(name, 600.0)


@contextmanager
def network(slug: str) -> Iterator[tuple[Source, Line]]:
    """A CPO, registered, behind a line that can be broken."""
    peer = CPOPeer()
    line = Line(peer)
    line.open()
    peer.base_url = line.base
    source = Source(slug=slug, name=slug.title(), kind="ocpi-2.2.1", base_url=f"{line.base}/versions")
    source.peer_token = "TOKEN_A"
    source.save()
    registration.register(source, at=timezone.now())
    try:
        yield Source.objects.get(pk=source.pk), line
    finally:
        line.close()


@pytest.fixture
def two(ours: str, patient: None) -> Iterator[list[tuple[Source, Line]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(network(slug)) for slug in ("hung", "well")]


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Work of another worker, with a database connection of its own."""
    with ThreadPoolExecutor(4) as pool:

        def run(work: Callable[..., Any], *args: Any) -> Future[Any]:
            def alone() -> Any:
                try:
                    return work(*args)
                finally:
                    connections.close_all()

            return pool.submit(alone)

        yield run


def hang(line: Line, source: Source, aside: Callable[..., Future[Any]]) -> Future[Any]:
    """A worker polls it, and waits for the answer to its first question."""
    line.breaks, asked = "silence", line.asked
    poll = aside(poll_source, source.pk)
    wait_for("the question", lambda: line.asked > asked, every=0.02)
    return poll


def test_a_network_that_hangs_holds_one_worker_however_often_it_is_due(
    two: list[tuple[Source, Line]], aside: Callable[..., Future[Any]]
) -> None:
    (hung, line), (well, _) = two
    poll = hang(line, hung, aside)
    asked = line.asked
    assert [poll_source(hung.pk) for _ in range(3)] == [0, 0, 0]
    assert line.asked == asked
    assert poll_source(well.pk) > 0  # the other one is polled meanwhile
    assert not poll.done()
    line.breaks = ""
    assert poll.result(60) > 0  # its tariffs failed, its sites came


def test_polls_take_so_many_workers_and_no_more(
    two: list[tuple[Source, Line]], aside: Callable[..., Future[Any]], settings: Any
) -> None:
    settings.POLLS_AT_ONCE = 1
    (hung, line), (well, _) = two
    Source.objects.update(next_poll_at=timezone.now() + timedelta(hours=1))
    poll = hang(line, hung, aside)
    assert poll_source(well.pk) == 0
    due_at = Source.objects.get(pk=well.pk).next_poll_at
    assert due_at
    assert due_at <= timezone.now()  # put off, not forgotten
    line.breaks = ""
    poll.result(60)
    assert poll_source(well.pk) > 0


def test_those_that_failed_leave_half_the_places_to_the_others(
    two: list[tuple[Source, Line]], aside: Callable[..., Future[Any]], settings: Any
) -> None:
    settings.POLLS_AT_ONCE = 2
    (hung, line), (well, other_line) = two
    poll = hang(line, hung, aside)
    Source.objects.filter(pk=well.pk).update(failures_in_row=2)
    asked = other_line.asked
    assert poll_source(well.pk) == 0
    assert other_line.asked == asked
    Source.objects.filter(pk=well.pk).update(failures_in_row=0)
    assert poll_source(well.pk) > 0
    line.breaks = ""
    poll.result(60)


def test_a_worker_that_dies_gives_its_place_back(aside: Callable[..., Future[Any]]) -> None:
    held, let_go = threading.Event(), threading.Event()

    def die() -> None:
        with turn(7399, 1) as mine:
            assert mine
            held.set()
            let_go.wait(60)
            connections.close_all()  # as its process would

    dying = aside(die)
    assert held.wait(60)
    with turn(7399, 1) as mine:
        assert not mine
    let_go.set()
    dying.result(60)
    with turn(7399, 1) as mine:
        assert mine


def test_a_list_whose_every_page_comes_slowly_is_left_in_the_end(
    two: list[tuple[Source, Line]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (well, _) = two
    monkeypatch.setattr(ocpi_client, "LONGEST_SECONDS", -1.0)
    poll_source(well.pk)
    well.refresh_from_db()
    assert (well.last_error_code, "for all of it" in well.last_error) == ("cpo_unavailable", True)
    monkeypatch.setattr(ocpi_client, "LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(tasks, "LONGEST_POLL_SECONDS", -1.0)
    poll_source(well.pk)
    well.refresh_from_db()
    assert (well.failures_in_row, "for all of it" in well.last_error) == (2, True)


def test_a_peer_that_never_answers_our_call_back_keeps_nobody_elses_pushes_waiting(
    two: list[tuple[Source, Line]], ours: str, aside: Callable[..., Future[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of its handshakes are open than we have threads for everything else."""
    (hung, line), (well, other_line) = two
    poll_source(well.pk)
    line.breaks = "silence"
    token = registration.new_token_for(hung)
    body = {"token": "TOKEN_X", "url": f"{line.base}/versions", "roles": []}
    headers = {"Authorization": f"Token {token}"}
    before = line.asked

    def shake() -> int:
        answer = httpx.put(f"{ours}/ocpi/2.2.1/credentials", json=body, headers=headers, timeout=120)
        return int(answer.json()["status_code"])

    shakes = [aside(shake) for _ in range(4)]
    wait_for("our call-back", lambda: line.asked > before, every=0.02)
    peer = other_line.app
    news = {"status": "CHARGING", "last_updated": "2026-11-21T06:30:00Z"}
    answer = peer.push("PATCH", f"{ours}/ocpi/2.2.1/emsp/locations/IN/VLT/L1/E1-1", news)
    assert answer.json()["status_code"] == 1000
    answer = peer.push("GET", f"{ours}/ocpi/2.2.1/emsp/locations/IN/VLT/L1", None)
    assert answer.json()["status_code"] == 1000
    assert not any(each.done() for each in shakes)
    line.breaks = ""
    assert {each.result(120) for each in shakes} == {3001}


# --- UBC --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def ubc(settings: Any) -> Iterator[tuple[SuryaCharge, UBCNetwork]]:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    surya = SuryaCharge()
    with serve(surya) as base:
        surya.base = base
        seed, surya.registry["fleet.example", "k1"] = signing.new_key_pair()
        network = UBCNetwork(
            source=Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9"), subscriber_id="fleet.example",
            key_id="k1", gateway_id=CDS, gateway_url=f"{base}/cds", registry_url="unused",
        )  # fmt: skip
        network.signing_key = seed
        network.save()
        yield surya, network


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Somebody who takes calls and never answers; we do not wait long."""
    monkeypatch.setattr("fleetcharge.lib.exchanges.QUIET_SECONDS", 0.2)
    line = Line(None)
    line.breaks = "silence"
    line.open()
    yield line
    line.breaks = ""
    line.close()


def order(network: UBCNetwork, name: str, bpp: str, address: str) -> UBCOrder:
    plug, now = make_public_connector(network.source, name=name), timezone.now()
    UBCItem.objects.create(
        connector=plug, network=network, item_id=name, bpp_id=bpp, bpp_uri=address, provider_id="p", qr=name,
        seen_at=now, offers=[{"beckn:id": "O1"}],
    )  # fmt: skip
    return orders.open_order(
        connector_id=plug.pk, now=now, expires_at=now + timedelta(hours=1), id_token="T", reservation_key=name
    )


def test_orders_at_a_seller_who_hangs_do_not_keep_the_others_waiting(
    ubc: tuple[SuryaCharge, UBCNetwork], silent: Line
) -> None:
    surya, network = ubc
    stuck = [order(network, f"S{number}", "silent.example", silent.base) for number in range(3)]
    live = order(network, "L1", BPP, f"{surya.base}/bpp")
    flow.sweep(timezone.now())
    assert silent.asked == 1
    assert [body["context"]["transaction_id"] for body in surya.heard] == [str(live.transaction_id)]
    waiting = UBCOrder.objects.filter(pk__in=[row.pk for row in stuck], next_action="select")
    assert waiting.count() == 3
    assert waiting.filter(tries=0).count() == 2


def test_a_registry_that_hangs_is_not_asked_for_every_callback(
    ubc: tuple[SuryaCharge, UBCNetwork], silent: Line
) -> None:
    _, network = ubc
    network.registry_url = f"{silent.base}/{{subscriber_id}}/{{key_id}}"
    now = timezone.now()
    held = UBCKey.objects.create(network=network, subscriber_id=BPP, key_id="k1", public_key="KEY",
                                 fetched_at=now - timedelta(hours=2))  # fmt: skip
    assert {keys.public_key(network, BPP, "k1", now=now) for _ in range(4)} == {"KEY"}
    assert silent.asked == 1
    for number in range(2 * keys.HANGS_AT_MOST):
        with pytest.raises(signing.BadSignature) as refused:
            keys.public_key(network, f"another{number}.example", "k1", now=now)
        assert refused.value.code == "registry_away"
    assert silent.asked == 1 + keys.HANGS_AT_MOST
    cache.delete_many([f"ubc-registry-away:{network.pk}", f"ubc-key-failed:{network.pk}:{BPP}:k1"])
    assert keys.public_key(network, BPP, "k1", now=now) == held.public_key
    assert silent.asked == 2 + keys.HANGS_AT_MOST
