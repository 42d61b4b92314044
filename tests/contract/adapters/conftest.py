"""Every kind of network, each set up once; a test finds it as it was then."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleetcharge.celery import app as celery
from fleetcharge.demo.dialect16 import Dialect16
from fleetcharge.demo.dialect201 import Dialect201
from tests.contract.adapters.kaveri import Polled, Pushing
from tests.contract.adapters.network import Network
from tests.contract.adapters.ocpi import OCPINetwork
from tests.contract.adapters.own import OwnChargers
from tests.contract.adapters.rows import Rows
from tests.contract.adapters.ubc import UBC

KINDS: dict[str, Callable[[], Network]] = {
    "own-1.6": lambda: OwnChargers(Dialect16),
    "own-2.0.1": lambda: OwnChargers(Dialect201),
    "ocpi-2.1.1": lambda: OCPINetwork("2.1.1"),
    "ocpi-2.2.1": lambda: OCPINetwork("2.2.1"),
    "ocpi-2.3.0": lambda: OCPINetwork("2.3.0"),
    "ubc": UBC,
    "webhook": Pushing,
    "rest-poll": Polled,
}


@pytest.fixture(scope="package")
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Open for all tests here; as it was before them afterwards."""
    with django_db_blocker.unblock():
        before = Rows("before_the_contract")
        yield
        before.put_back()
        before.forget()


@pytest.fixture(scope="package", params=KINDS)
def standing(request: Any, database: None) -> Iterator[tuple[Network, Rows]]:
    celery.conf.task_always_eager = True
    empty = Rows("without_a_network")
    with KINDS[request.param]().connected() as network:
        network.rest()
        network.calm()
        rows = Rows("with_a_network")
        network.settle()
        yield network, rows
        network.rest()
    empty.put_back()
    celery.conf.task_always_eager = False


@pytest.fixture
def _django_db_helper(database: None) -> None:
    """In place of pytest-django's, which would empty the database after each test."""


@pytest.fixture
def network(request: Any, standing: tuple[Network, Rows]) -> Network:
    network, rows = standing
    for fits, otherwise in getattr(request.function, "limits", ()):
        if not fits(network):
            pytest.skip(otherwise)
    network.rest()
    network.calm()
    rows.put_back()
    network.settle()
    return network
