"""A CPO that really speaks OCPI, our endpoint that really listens, and the two registered with each other."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from stations import webhooks
from stations.cpo.ocpi import registration
from stations.models import Source
from stations.tasks import poll_source
from stations.tests.cpo_peer import CPOPeer
from stations.tests.serving import serve


@pytest.fixture
def ours(settings: Any) -> Iterator[str]:
    with serve(webhooks.ocpi) as base:
        settings.PUBLIC_BASE_URL = base
        settings.OCPI_ALLOW_PRIVATE_HOSTS = True
        yield base
    webhooks.threads.close()


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
