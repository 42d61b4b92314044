"""The sweep of sessions without a stop meets a stop of the same charger: neither waits for the other in a ring."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from billing.models import ChargingSession
from billing.services import ending, overdue, sessions
from billing.services.orphans import Stop
from billing.tests.factories import NOON, Fleet, make_fleet, start
from fleetcharge.accounts.models import Organisation
from stations.models import Charger

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)
WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Side:
    """Some work on a connection of its own."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.result: object = None
        self._work, self._thread = work, threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:
            self.result = error
        finally:
            connections.close_all()

    def is_waiting_or_done(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            return not self._thread.is_alive() or bool(cursor.fetchone()[0])

    def wait(self) -> object:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.result


@pytest.fixture
def two(organisation: Organisation) -> Iterator[tuple[Fleet, ChargingSession, ChargingSession]]:
    """Two sessions of a charger that has been silent for two days; the older one was written last."""
    fleet = make_fleet(organisation)
    for number in (1, 2):
        start(fleet, connector_id=number, start_key=f"start-{number}", started_at=NOON - number * timedelta(minutes=1))
    newer, older = ChargingSession.objects.order_by("-started_at")
    ChargingSession.objects.filter(pk=newer.pk).update(created_at=NOON)
    ChargingSession.objects.filter(pk=older.pk).update(created_at=NOON)
    Charger.objects.filter(pk=fleet.charger.pk).update(is_online=False, last_seen_at=NOON)
    yield fleet, older, newer


def locked(session: ChargingSession) -> ChargingSession:
    return ending.locked().get(pk=session.pk)


def test_the_sweep_waits_for_nothing_that_a_stop_holds(two: tuple[Fleet, ChargingSession, ChargingSession]) -> None:
    """A stop holds one of them and goes on to the other, while the sweep doubts both."""
    _, older, newer = two
    with transaction.atomic():
        locked(older)
        sweep = Side(lambda: overdue.sweep(now=NOON + 2 * DAY))
        while not sweep.is_waiting_or_done():
            pass
        locked(newer)
        assert sweep.wait() == 1
        assert ChargingSession.objects.active().get() == older
    assert overdue.sweep(now=NOON + 2 * DAY) == 1


def test_a_stop_without_an_id_locks_only_what_it_ends(two: tuple[Fleet, ChargingSession, ChargingSession]) -> None:
    fleet, older, newer = two
    ChargingSession.objects.update(connector_id=older.connector_id)
    stop = Stop(fleet.charger.pk, "-1", NOON + DAY, 2_000, "Local", fleet.token.uid, None)
    with transaction.atomic():
        locked(older)
        ended = Side(lambda: finding(stop))
        assert ended.wait() == newer


def finding(stop: Stop) -> ChargingSession | None:
    with transaction.atomic():
        return ending.find_for_stop(stop)


def test_a_stop_and_the_sweep_at_the_same_time_end_everything_once(
    two: tuple[Fleet, ChargingSession, ChargingSession],
) -> None:
    fleet, older, newer = two
    told = {
        "charger_id": fleet.charger.pk, "ended_at": NOON + DAY, "received_at": NOON + 2 * DAY, "meter_stop_wh": 2_000,
        "reason": "Local",
    }  # fmt: skip
    sides = [
        Side(lambda: overdue.sweep(now=NOON + 2 * DAY)),
        Side(lambda: sessions.end_session(**told, transaction_ref=older.transaction_ref)),
        Side(lambda: sessions.end_session(**told, transaction_ref=newer.transaction_ref)),
        Side(lambda: overdue.sweep(now=NOON + 2 * DAY)),
    ]
    assert not [side.result for side in sides if isinstance(side.wait(), Exception)]
    ended = ChargingSession.objects.filter(state="ended", is_stop_estimated=False, energy_wh=1_000)
    assert ended.count() == 2
