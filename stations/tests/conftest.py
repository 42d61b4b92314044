"""A CPO that really speaks OCPI, our endpoint that really listens, and the two registered with each other."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from stations import webhooks
from stations.cpo.ocpi import registration
from stations.models import Source
from stations.news import announcer
from stations.tasks import poll_source
from stations.tests.cpo_peer import CPOPeer
from stations.tests.ocpi_peers import VERSIONS, Network, network
from stations.tests.serving import serve


@pytest.fixture
def ours(settings: Any) -> Iterator[str]:
    with serve(webhooks.ocpi) as base:
        settings.PUBLIC_BASE_URL = base
        settings.OCPI_ALLOW_PRIVATE_HOSTS = True
        yield base
    webhooks.threads.close()
    announcer.close()


@pytest.fixture
def peer() -> Iterator[CPOPeer]:
    cpo = CPOPeer()
    with serve(cpo) as base:
        cpo.base_url = base
        yield cpo


@pytest.fixture
def source(ours: str, peer: CPOPeer) -> Source:
    source = Source(slug="voltgrid", name="VoltGrid", kind="ocpi-2.2.1", base_url=f"{peer.base_url}/versions")
    source.peer_token = "TOKEN_A"
    source.save()
    return source


@pytest.fixture
def connected(source: Source) -> Source:
    registration.register(source, at=timezone.now())
    poll_source(source.pk)
    source.refresh_from_db()
    return source


@pytest.fixture(params=VERSIONS)
def everywhere(request: Any, ours: str) -> Iterator[Network]:
    """A CPO of each version, registered and pulled."""
    with network(ours, request.param) as net:
        net.register()
        net.poll()
        yield net


@pytest.fixture
def modern(ours: str) -> Iterator[Network]:
    """A CPO of OCPI 2.3.0 with bookings and invoices, registered and pulled."""
    with network(ours, "2.3.0") as net:
        net.register()
        net.poll()
        yield net


@pytest.fixture
def usual(ours: str) -> Iterator[Network]:
    """A CPO of OCPI 2.2.1, registered and pulled."""
    with network(ours, "2.2.1") as net:
        net.register()
        net.poll()
        yield net
