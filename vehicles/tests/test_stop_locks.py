"""Vehicles that tick off their stops and a file of stops take rows in one order, so neither loses a deadlock."""

import threading

import psycopg
import pytest
from django.db import connections

from fleetcharge.lib.db import conninfo
from fleetcharge.lib.tests.crossing import PATIENCE, until, waiters
from vehicles import visits
from vehicles.models import Stop
from vehicles.tests.factories import NOON, make_state, make_vehicle

SHOP = (12.97, 77.59)


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_stop_holds_none_of_a_higher_id(organisation) -> None:
    vans = [make_vehicle(organisation) for _ in range(2)]
    for van in vans:
        make_state(van, latitude=SHOP[0], longitude=SHOP[1], received_at=NOON, speed_kmh=0.0)
    lower, higher = [  # against the order of the vehicles, in which their next stops are found
        Stop.objects.create(vehicle=van, sequence=1, name="Shop", latitude=SHOP[0], longitude=SHOP[1])
        for van in reversed(vans)
    ]
    done: list[int] = []

    def tick_off() -> None:
        done.append(visits.complete_visited(now=NOON))
        connections.close_all()

    with psycopg.connect(conninfo()) as holder, psycopg.connect(conninfo()) as other:
        holder.execute("SELECT FROM vehicles_stop WHERE id = %s FOR UPDATE", [lower.pk])
        thread = threading.Thread(target=tick_off)
        thread.start()
        until(lambda: waiters() == 1)
        other.execute("SELECT FROM vehicles_stop WHERE id = %s FOR UPDATE NOWAIT", [higher.pk])
        other.rollback()
        holder.rollback()
        thread.join(PATIENCE)
    assert done == [2]
    assert not Stop.objects.filter(done_at=None).exists()
