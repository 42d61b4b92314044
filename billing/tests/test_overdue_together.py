"""The sweep of sessions without a stop: one that cannot be ended, and more than are ended at a time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.models import ChargingSession
from billing.services import ending, overdue
from billing.tests.factories import NOON, Fleet, make_fleet, start
from fleetcharge.accounts.models import Organisation
from stations.models import Charger

DAY = timedelta(days=1)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    """Three sessions of a charger that has been silent for two days."""
    fleet = make_fleet(organisation)
    for number in (1, 2, 3):
        start(fleet, connector_id=number, start_key=f"start-{number}")
    ChargingSession.objects.update(created_at=NOON)
    Charger.objects.filter(pk=fleet.charger.pk).update(is_online=False, last_seen_at=NOON)
    return fleet


def test_one_that_cannot_be_ended_keeps_nobody_waiting(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ChargingSession.objects.order_by("pk")[0].pk
    monkeypatch.setattr(ending, "end_as_estimated", refusing(first, ending.end_as_estimated))
    assert overdue.sweep(now=NOON + 2 * DAY) == 2
    assert ChargingSession.objects.active().get().pk == first
    monkeypatch.undo()
    assert overdue.sweep(now=NOON + 2 * DAY) == 1


def test_all_are_doubted_though_only_some_are_ended_at_a_time(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "AT_ONCE", 1)
    assert overdue.sweep(now=NOON + 2 * DAY) == 1
    waiting = ChargingSession.objects.active().values_list("suspect_reason", "suspect_since")
    assert list(waiting) == [("silent", NOON + 2 * DAY)] * 2


def test_one_that_cannot_be_computed_again_keeps_nobody_waiting(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    overdue.sweep(now=NOON + 2 * DAY)
    ChargingSession.objects.update(needs_revision=True, revised_at=NOON + 2 * DAY)
    first = ChargingSession.objects.order_by("ended_at", "pk")[0].pk
    monkeypatch.setattr(ending, "revise", refusing(first, ending.revise))
    assert overdue.revise_ended(now=NOON + 2 * DAY) == 2


def refusing(session_id: int, real: Callable[..., Any]) -> Callable[..., Any]:
    def work(*, session_id_: int = session_id, now: datetime, **given: Any) -> Any:
        if given["session_id"] == session_id_:
            raise ValueError("one bad row")
        return real(now=now, **given)

    return work


def test_one_pass_tries_only_so_many_and_then_the_others(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that cannot be ended count, too, and do not stand before the others the next time."""
    monkeypatch.setattr(overdue, "AT_ONCE", 1)
    first = ChargingSession.objects.order_by("pk")[0].pk
    monkeypatch.setattr(ending, "end_as_estimated", refusing(first, ending.end_as_estimated))
    ended = [overdue.sweep(now=NOON + 2 * DAY + timedelta(minutes=minute)) for minute in range(4)]
    assert ended == [0, 0, 1, 1]  # all of them were doubted in the first minute
    assert ChargingSession.objects.active().get().pk == first


def test_stations_are_asked_about_so_many_in_one_pass_and_about_all_in_turn(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "AT_ONCE", 2)
    asked: list[int] = []
    monkeypatch.setattr(overdue, "publish", lambda event: asked.append(event.session_id))
    Charger.objects.update(is_online=True, last_boot_at=NOON + DAY)
    overdue.sweep(now=NOON + DAY)
    for minute in (2, 3):
        before = len(asked)
        overdue.sweep(now=NOON + DAY + timedelta(minutes=minute))
        assert len(asked) - before in (1, 2)
    assert sorted(asked) == list(ChargingSession.objects.active().order_by("pk").values_list("pk", flat=True))
