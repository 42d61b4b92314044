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
