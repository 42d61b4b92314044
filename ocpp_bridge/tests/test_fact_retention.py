"""Security events, jobs, limits and costs have an end in time and in number; what is open or in force stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import fact_retention, tasks
from ocpp_bridge.models import CertificateRequest, ChargerJob, ExternalLimit, SecurityEvent, StationCost
from ocpp_bridge.tests import factories
from stations.models import Charger

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
OLD, NEW = NOW - timedelta(days=31), NOW - timedelta(days=29)


@pytest.fixture
def station(db: None, organisation: Organisation, settings: Any) -> Charger:
    settings.OCPP_FACT_DAYS = 30
    return factories.charger(organisation, "BLR-017")


def sweep() -> int:
    with time_machine.travel(NOW, tick=False):
        return tasks.forget_facts()


def tamper(station: Charger, at: datetime, number: int = 0) -> None:
    SecurityEvent.objects.create(charger=station, type="X", tech_info=str(number), at=at, received_at=at)


def test_what_is_over_goes_by_its_age_and_the_rest_stays(station: Charger) -> None:
    for number, at in enumerate((OLD, NEW)):
        tamper(station, at)
        times = {"started_at": at, "updated_at": at}
        ChargerJob.objects.create(charger=station, kind="log", request_id=number, status="U", is_open=False, **times)
        ChargerJob.objects.create(charger=station, kind="firmware", request_id=number, status="D", **times)
        told = {"charger": station, "notified_at": OLD}
        ExternalLimit.objects.create(**told, source="EMS", cleared_at=at)
        ExternalLimit.objects.create(**told, source=f"SO{number}")
        StationCost.objects.create(charger=station, transaction_ref=str(number), details={}, at=at)
        for state in ("signed", "waiting"):
            CertificateRequest.objects.create(
                charger=station, kind="K", csr="PEM", csr_hash=f"{number}{state}", state=state, received_at=at
            )
    assert sweep() == 5
    assert list(SecurityEvent.objects.values_list("at", flat=True)) == [NEW]
    assert sorted(ChargerJob.objects.values_list("kind", "request_id")) == [
        ("firmware", 0),
        ("firmware", 1),
        ("log", 1),
    ]
    assert sorted(ExternalLimit.objects.values_list("source", flat=True)) == ["EMS", "SO0", "SO1"]
    assert list(StationCost.objects.values_list("transaction_ref", flat=True)) == ["1"]
    assert sorted(CertificateRequest.objects.values_list("csr_hash", flat=True)) == ["0waiting", "1signed", "1waiting"]
    assert sweep() == 0


def test_of_one_charger_only_so_many_stay(
    station: Charger, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fact_retention, "MOST_OF_A_CHARGER", 2)
    monkeypatch.setattr(fact_retention, "AT_ONCE", 2)
    tamper(factories.charger(organisation, "QUIET"), NEW)
    for number in range(5):
        tamper(station, NEW + timedelta(minutes=number), number)
    assert [sweep(), sweep()] == [3, 0]
    kept = SecurityEvent.objects.filter(charger=station)
    assert sorted(kept.values_list("tech_info", flat=True)) == ["3", "4"]
    assert SecurityEvent.objects.count() == 3


def test_a_run_goes_on_portion_by_portion_and_leaves_what_is_too_much_to_the_next(
    station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fact_retention, "AT_ONCE", 2)
    for number in range(5):
        tamper(station, OLD + timedelta(minutes=number), number)
        StationCost.objects.create(charger=station, transaction_ref=str(number), details={}, at=OLD)
    monkeypatch.setattr(fact_retention, "MOST_OF_A_RUN", 3)
    assert sweep() == 3
    assert sorted(SecurityEvent.objects.values_list("tech_info", flat=True)) == ["3", "4"]
    monkeypatch.undo()
    monkeypatch.setattr(fact_retention, "AT_ONCE", 2)
    assert [sweep(), sweep()] == [7, 0]
    assert not SecurityEvent.objects.exists() and not StationCost.objects.exists()
