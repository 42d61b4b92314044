"""Reports are kept for a time and in a number; the newest whole one of each kind stays for good."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import report_retention, reports, tasks
from ocpp_bridge.models import Report, ReportPart
from ocpp_bridge.tests import factories
from stations.models import Charger

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
YEARS_AGO = NOW - timedelta(days=4_000)


@pytest.fixture
def station(db: None, organisation: Organisation, settings: Any) -> Charger:
    settings.OCPP_ODD_DAYS = 30
    return factories.charger(organisation, "BLR-017")


def say(
    station: Charger, number: int, at: datetime, *, kind: str = "NotifyReport", padding: str = "", **more: Any
) -> None:
    reports.note_part(
        charger_id=station.pk, kind=kind, request_id=number, received_at=at, payload={"n": number, "padding": padding},
        **{"seq_no": 0, "is_last": True, **more},
    )  # fmt: skip


def kept() -> list[int]:
    return sorted(Report.objects.values_list("request_id", flat=True))


def sweep() -> None:
    with time_machine.travel(NOW, tick=False):
        tasks.sweep_reports()


def test_old_ones_go_and_the_newest_whole_one_stays(station: Charger) -> None:
    for number in range(1, 4):
        say(station, number, YEARS_AGO + timedelta(days=number))
    say(station, 4, YEARS_AGO + timedelta(days=9), is_last=False)  # its end never came
    say(station, 5, YEARS_AGO, kind="NotifyMonitoringReport")
    say(station, 6, NOW - timedelta(days=20), is_last=False)
    sweep()
    assert kept() == [3, 5, 6]
    assert ReportPart.objects.count() == 3


def test_a_newer_whole_one_lets_the_old_go(station: Charger) -> None:
    say(station, 1, YEARS_AGO)
    say(station, 2, NOW - timedelta(days=2))
    sweep()
    assert kept() == [2]


def test_who_says_too_much_loses_the_oldest_and_nobody_else(
    station: Charger, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_retention, "MOST_REPORTS", 3)
    monkeypatch.setattr(report_retention, "MOST_BYTES", 100_000)
    other, talker = factories.charger(organisation, "BLR-018"), factories.charger(organisation, "BLR-019")
    for number in range(1, 6):
        say(station, number, NOW - timedelta(minutes=30 - number))
    say(other, 11, NOW)
    for number in range(21, 24):
        say(talker, number, NOW - timedelta(minutes=30 - number), padding=str(list(range(number, 40_000))))
    sweep()
    assert kept()[:4] == [3, 4, 5, 11]
    assert kept()[4:] == [23]
