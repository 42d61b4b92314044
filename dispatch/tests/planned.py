"""A row of plugs, a vehicle that is low, a network that answers; and plans for them."""

import pytest

from dispatch import services
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from stations.cpo import registry
from stations.cpo.base import PENDING, Capability


@pytest.fixture
def network(organisation):
    """Three sites in a row to the north: 1, 2 and 4 km away, a 60 kW plug each."""
    source = factories.public_network(organisation)
    source.near, source.middle, source.far = (
        factories.connector(factories.location(source, latitude=factories.HERE[0] + km / 111.2)) for km in (1, 2, 4)
    )
    return source


@pytest.fixture
def vehicle(organisation):
    return factories.vehicle(organisation)


@pytest.fixture
def asked(monkeypatch):
    """What the network was asked; its answer can be set. (The wire itself is tested where the adapters live.)"""

    class Network:
        kind = "ocpi-2.2.1"
        capabilities = frozenset({Capability.RESERVE})
        reserved, cancelled, answer = [], [], PENDING

        def reserve(self, request):
            from django.db import connection

            self.reserved.append((request.connector.pk, request.id_token, connection.in_atomic_block))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        def cancel(self, connector, reservation_key, reservation_number):
            self.cancelled.append(reservation_number)
            return PENDING

    adapter = Network()
    adapter.reserved, adapter.cancelled = [], []
    monkeypatch.setitem(registry._adapters, "ocpi-2.2.1", adapter)
    return adapter


def plan_for(vehicle, key="soc:1", **fields):
    values = {"vehicle_id": vehicle.pk, "trigger": "soc_low", "trigger_key": key, "now": NOW, **fields}
    return services.plan_charge_stop(**values)


def accepted(vehicle, user):
    plan = services.accept_plan(plan_id=plan_for(vehicle).pk, actor=user, now=NOW)
    ask_for(plan)
    return plan


def ask_for(plan, at=NOW):
    """As a worker does once the acceptance is committed; whether the network was asked."""
    return services.send_reservation(plan.reservations.latest("pk").number, at)


def answer(reservation, state, reason=""):
    return services.answer_reservation(reservation_key=str(reservation.key), state=state, reason=reason, at=NOW)
