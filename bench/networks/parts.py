"""What is measured, one function each; every one returns lines of (name, figure, goal, whether it is reached)."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.networks import load
from bench.networks.peer import PAGE
from bench.pings import cpu_seconds, server

Line = tuple[str, str, str, bool]
SEED = 11
SECRET = "bench-secret-of-thirty-two-chars"


def milliseconds(work: Callable[[], Any], times: int) -> float:
    """The median."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


# --- big reads ----------------------------------------------------------------------------------------------------
def reads(stations: int, times: int) -> list[Line]:
    """Connectors of `stations` sites (two each) as an API key asks for them, in-process: whole, and 304."""
    import orjson
    from django.db import connection
    from django.utils import timezone
    from rest_framework.test import APIRequestFactory

    from fleetcharge.accounts.models import Organisation, Scope
    from fleetcharge.accounts.services import create_api_key
    from stations.api import ConnectorList
    from stations.models import EVSE, Connector, Location, Source

    now = timezone.now()
    source = Source.objects.create(slug="reads", name="Reads", kind="import")
    sites = Location.objects.bulk_create(
        Location(source=source, name=f"S{n}", latitude=20 + n / 1e4, longitude=77) for n in range(stations)
    )
    units = EVSE.objects.bulk_create(EVSE(location=site, uid="1") for site in sites)
    Connector.objects.bulk_create(
        Connector(evse=unit, connector_id=n, plug="ccs2", max_power_w=60_000, status="available", heard_at=now)
        for unit in units for n in (1, 2)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    fleet = Organisation.objects.create(name="Reads", slug="reads")
    _, secret = create_api_key(organisation=fleet, name="bench", scopes=[Scope.STATIONS_READ])
    view, factory = ConnectorList.as_view(), APIRequestFactory()

    def call(etag: str = "") -> Any:
        headers = {"HTTP_AUTHORIZATION": f"Bearer {secret}", "HTTP_IF_NONE_MATCH": etag}
        answer = view(factory.get("/api/v1/connectors/", {"page_size": 5_000}, **headers))
        return answer.render() if hasattr(answer, "render") else answer

    whole = call()
    assert len(orjson.loads(whole.content)["results"]) == 2 * stations
    full = milliseconds(call, times)

    def again() -> float:
        nonlocal whole
        began = time.perf_counter()
        answer = call(whole["ETag"])
        took = (time.perf_counter() - began) * 1000
        if answer.status_code != 304:  # the minute has changed
            whole = call()
            return again()
        return took

    same = statistics.median(again() for _ in range(times * 3))
    floor = milliseconds(lambda: orjson.dumps(orjson.loads(whole.content)), times)
    return [
        (f"connectors of {stations:,} sites, whole ({len(whole.content) / 1e6:.2f} MB)", f"p50 {full:.1f} ms",
         "<= 20 ms", full <= 20),
        ("the same, 304", f"p50 {same:.2f} ms", "<= 1.5 ms", same <= 1.5),
        ("floor: parse and write that JSON once in memory", f"p50 {floor:.1f} ms", "", True),
    ]  # fmt: skip


# --- duplicates ---------------------------------------------------------------------------------------------------
def duplicates(count: int) -> list[Line]:
    """Half the sites told by a second network, a few metres off and spelled otherwise."""
    from django.utils import timezone

    from stations.models import EVSE, Connector, Location, Source
    from stations.services.duplicates import find_duplicates

    rng = np.random.default_rng(SEED)
    places = np.column_stack([rng.uniform(12, 14, count // 2), rng.uniform(76, 79, count // 2)])
    for slug, shift, spell in (("one", 0.0, "{} Mall charging"), ("two", 0.0002, "Mall {} Charging Stn.")):
        source = Source.objects.create(slug=f"dup-{slug}", name=slug, kind="import")
        sites = Location.objects.bulk_create(
            Location(source=source, name=spell.format(f"Sector {n}"), address=f"{n} Ring Road", postal_code="560037",
                     latitude=a + shift, longitude=b)
            for n, (a, b) in enumerate(places.tolist())
        )  # fmt: skip
        units = EVSE.objects.bulk_create(EVSE(location=site, uid="1") for site in sites)
        Connector.objects.bulk_create(Connector(evse=unit, plug="ccs2", max_power_w=60_000) for unit in units)
    began = time.perf_counter()
    result = find_duplicates(at=timezone.now())
    took = time.perf_counter() - began
    what = f"duplicates among {count:,} sites: {result['found']:,} found, {result['merged']:,} merged"
    return [(what, f"{took:.1f} s", "<= 30 s", took <= 30)]


# --- full sync ----------------------------------------------------------------------------------------------------
def sync(sites: int, core: int) -> list[Line]:
    """All sites of a CPO over HTTP, page by page; memory after a fifth of the way and at the end."""
    from django.conf import settings
    from django.utils import timezone

    from fleetcharge.embedded.ports import random_free_port
    from stations.cpo.ocpi import registration
    from stations.models import Connector, Location, Source
    from stations.tasks import poll_source

    port = random_free_port()
    os.environ |= {"BENCH_SITES": str(sites), "BENCH_PORT": str(port)}
    settings.OCPI_ALLOW_PRIVATE_HOSTS, settings.OCPI_PEER_RATE = True, "0/s"
    with server("bench.networks.peer:application", port, core):
        source = Source(
            slug="voltgrid", name="VoltGrid", kind="ocpi-2.2.1", base_url=f"http://127.0.0.1:{port}/versions"
        )
        source.peer_token = "TOKEN_A"
        source.save()
        _know_each_other(source, port, registration, timezone.now())
        memory = _Memory(lambda: Location.objects.filter(source=source).count() >= sites / 5)
        began = time.perf_counter()
        with memory:
            poll_source(source.pk)
        took = time.perf_counter() - began
    stored = Connector.objects.filter(evse__location__source=source).count()
    assert stored == 2 * sites, (stored, Source.objects.get(pk=source.pk).last_error)
    return [
        (f"full sync of {sites:,} sites, {PAGE} a page", f"{took:.1f} s", "<= 60 s at 10,000",
         took <= 60 * sites / 10_000),
        ("memory from a fifth of the way to the end", f"+{memory.growth_mb:.1f} MB", "flat (<= 20 MB)",
         memory.growth_mb <= 20),
    ]  # fmt: skip


def _know_each_other(source: Any, port: int, registration: Any, now: Any) -> None:
    """As after a handshake; the peer never calls back here."""
    base = f"http://127.0.0.1:{port}/2.2.1"
    source.parties.create(country_code="IN", party_id="VLT", name="VoltGrid")
    source.endpoints = {name: f"{base}/{name}" for name in ("locations", "tariffs")}
    source.state = "connected"
    source.save()


class _Memory:
    """Resident megabytes, sampled from the moment on that `has_begun` says so."""

    def __init__(self, has_begun: Callable[[], bool]) -> None:
        self._has_begun, self._first, self._peak, self._is_over = has_begun, 0.0, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def growth_mb(self) -> float:
        return max(0.0, self._peak - self._first)

    def _watch(self) -> None:
        from django.db import connections

        while not self._is_over.wait(0.2):
            now = _resident_mb()
            if not self._first and self._has_begun():
                self._first = now
            if self._first:
                self._peak = max(self._peak, now)
        connections.close_all()


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- pushes -------------------------------------------------------------------------------------------------------
def pushes(rate: float, seconds: float, core: int) -> list[Line]:
    """Status over OCPI and over a vendor's webhook at a rate, into a server of one core; one client on the stream."""
    import uvloop

    from fleetcharge.accounts.models import Organisation, Scope
    from fleetcharge.accounts.services import create_api_key
    from fleetcharge.embedded.ports import random_free_port
    from stations.cpo.ocpi import registration
    from stations.cpo.webhooks.models import WebhookFeed
    from stations.models import Connector, ExternalRef, Source

    volt = Source.objects.get(slug="voltgrid")
    token = registration.new_token_for(volt)
    plugs = list(Connector.objects.filter(evse__location__source=volt).values_list("public_id", "evse__uid", "evse_id"))
    named = [(public_id, "L" + uid[1:].partition("-")[0], uid) for public_id, uid, _ in plugs]
    kaveri = WebhookFeed(
        source=Source.objects.create(slug="kaveri", name="Kaveri", kind="webhook"),
        mapping={"evse": "evse", "status": "status", "at": "at", "event_id": "$.id", "entries": "$.entries"},
    )
    kaveri.secret = SECRET
    kaveri.full_clean()
    kaveri.save()
    ExternalRef.objects.bulk_create(
        ExternalRef(source=kaveri.source, kind="evse", external_key=uid, object_id=evse_id) for _, uid, evse_id in plugs
    )
    fleet = Organisation.objects.create(name="Pushes", slug="pushes")
    _, key = create_api_key(organisation=fleet, name="bench", scopes=[Scope.STATIONS_READ])
    lines: list[Line] = []
    port = random_free_port()
    os.environ |= {"FLEETCHARGE_OCPI_PUSH_RATE": "0/min", "FLEETCHARGE_LOG_LEVEL": "ERROR"}
    with server("fleetcharge.asgi:application", port, core) as pid:
        for name, stream in (
            ("OCPI PATCH", load.ocpi_pushes(named, token)), ("vendor's webhook", load.hook_pushes(named[::-1], SECRET)),
        ):  # fmt: skip
            uvloop.run(load.run(port, stream, rate=50, seconds=1, key=key))  # first contact
            used = cpu_seconds(pid)
            outcome = uvloop.run(load.run(port, stream, rate=rate, seconds=seconds, key=key))
            lines += _push_lines(name, rate, outcome, cpu_seconds(pid) - used)
    return lines


def _push_lines(name: str, rate: float, outcome: load.Outcome, cpu: float) -> list[Line]:
    committed, heard = sorted(outcome.committed), sorted(outcome.heard)
    p95 = committed[int(len(committed) * 0.95)] * 1000
    answered = len(committed) / outcome.seconds
    worst = heard[-1] if heard else float("inf")
    late = statistics.median(heard) * 1000 if heard else float("inf")
    refused = f", {len(outcome.refused)} refused {outcome.refused[0]!r}" if outcome.refused else ""
    return [
        (f"{name}, {rate:,.0f}/s offered, {answered:,.0f}/s answered{refused}",
         f"p50 {statistics.median(committed) * 1000:.1f} p95 {p95:.1f} ms", "p95 <= 20 ms at 1,000/s",
         p95 <= 20 and not refused),
        (f"{name} -> client of the stream ({len(heard):,} heard)", f"p50 {late:.0f} max {worst * 1000:.0f} ms", "< 1 s",
         worst < 1),
        (f"{name}, work of the server's process", f"{cpu / len(committed) * 1000:.2f} ms a push", "<= 0.60 ms",
         cpu / len(committed) <= 0.0006),
    ]  # fmt: skip
