"""Who ticks off stops, brings a file of them or a new list takes rows in one order, so that none loses a deadlock."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connections

from fleetcharge.lib.db import conninfo
from fleetcharge.lib.tests.crossing import PATIENCE, until, waiters
from vehicles import services, visits
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
    assert told_when_free(partial(visits.complete_visited, now=NOON), lower, higher) == 2
    assert not Stop.objects.filter(done_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_who_brings_a_new_list_waits_for_a_stop_without_one_of_a_higher_id(organisation) -> None:
    van = make_vehicle(organisation)
    lower, higher = [  # a list in another order than the one before keeps its rows
        Stop.objects.create(vehicle=van, sequence=sequence, name=name, latitude=SHOP[0], longitude=SHOP[1])
        for sequence, name in ((2, "Shop"), (1, "Depot"))
    ]
    wanted = [services.PlannedStop(name, *SHOP) for name in ("Depot", "Shop")]
    rows = told_when_free(partial(services.set_stops, vehicle_id=van.pk, stops=wanted), lower, higher)
    assert rows == [higher, lower]


def told_when_free(work: Callable[[], Any], lower: Stop, higher: Stop) -> Any:
    """What it answers when the lower one is let go; nobody else had to wait for the higher one meanwhile."""
    answers: list[Any] = []

    def do() -> None:
        answers.append(work())
        connections.close_all()

    with psycopg.connect(conninfo()) as holder, psycopg.connect(conninfo()) as other:
        holder.execute("SELECT FROM vehicles_stop WHERE id = %s FOR UPDATE", [lower.pk])
        thread = threading.Thread(target=do)
        thread.start()
        until(lambda: waiters() == 1)
        other.execute("SELECT FROM vehicles_stop WHERE id = %s FOR UPDATE NOWAIT", [higher.pk])
        other.rollback()
        holder.rollback()
        thread.join(PATIENCE)
    [answer] = answers
    return answer
