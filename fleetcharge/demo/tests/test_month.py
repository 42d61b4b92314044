"""A month of the demo city is lived through the real services, and closed in one command to the last paisa."""

import os
import subprocess
import sys
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from billing.invoicing.models import AccountingMonth, TaxDocument
from billing.models import CDR, BillingException, ChargingSession, PriceCheck, ReconciliationVerdict
from billing.services import verification
from fleetcharge.demo import history, past
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.tests.factories import manifest_of

OCTOBER = date(2026, 10, 1)
CITY = {"chargers": 20, "vehicles": 5}
Kind = TaxDocument.Kind


def test_a_month_is_drawn_alike_each_time_and_nobody_is_in_two_places() -> None:
    manifest = manifest_of(chargers=30, vehicles=40)
    visits = history.draw(manifest, OCTOBER)
    assert visits == history.draw(manifest, OCTOBER) != history.draw(manifest, date(2026, 9, 1))
    assert {visit.starts_at.date().weekday() for visit in visits} == set(range(6))
    assert sum(visit.is_fraud for visit in visits) == history.FRAUDS_PER_MONTH
    ends: dict[object, object] = {}
    for visit in visits:
        for who in (visit.vehicle.id, visit.plug and visit.plug.public_id):
            assert who is None or who not in ends or ends[who] <= visit.starts_at  # type: ignore[operator]
            ends[who] = visit.ends_at
        assert 0 < visit.energy_wh < visit.vehicle.battery_wh / history.EFFICIENCY


@pytest.mark.django_db(transaction=True)
def test_the_month_of_the_city_is_closed_in_one_command(tmp_path: Path, settings) -> None:
    settings.VAR_DIR = tmp_path
    said = StringIO()
    call_command("demo_month", "2026-10", days=2, output=tmp_path / "files", stdout=said, **CITY)
    month = AccountingMonth.objects.get(starts_on=OCTOBER)
    assert month.is_closed
    assert month.figures["unexplained_paise"] == 0
    assert set(month.figures["unexplained_tax_paise"].values()) == {0}
    assert "unexplained: 0 paise" in said.getvalue()
    assert verification.differences() == {}
    _every_session_went_the_whole_way()
    _every_document_has_its_files(tmp_path / "files" / "2026-10")
    manifest = Manifest.load(tmp_path)
    assert manifest is not None
    before = CDR.objects.count()
    assert past.live(manifest, OCTOBER, days=2) == before == CDR.objects.count()  # nothing is lived twice
    with pytest.raises(CommandError, match="Only a month that is over"):
        call_command("demo_month", "2099-01", stdout=said, **CITY)


def _every_session_went_the_whole_way() -> None:
    assert not CDR.objects.filter(captured_at=None).exists()
    assert not ChargingSession.objects.active().exists()
    verdicts = dict(ReconciliationVerdict.objects.values_list("session__start_key", "verdict"))
    blocked = [key for key, verdict in verdicts.items() if verdict == "blocked"]
    assert len(blocked) == history.FRAUDS_PER_MONTH
    assert set(verdicts.values()) == {"verified", "blocked"}
    assert BillingException.objects.open().count() == history.FRAUDS_PER_MONTH  # one question for each, and no other
    assert CDR.objects.exclude(roaming_cdr=None).exists()
    assert {row.difference_paise for row in PriceCheck.objects.all()} == {0}


def _every_document_has_its_files(folder: Path) -> None:
    made = TaxDocument.objects.all()
    assert {row.kind for row in made} == {Kind.INVOICE, Kind.RECEIPT_VOUCHER}
    assert {bool(row.igst_paise) for row in made.filter(kind=Kind.INVOICE)} == {True, False}  # two fleets, two states
    pdfs = {path.stem for path in folder.rglob("*.pdf")}
    assert pdfs == {row.file_name for row in made}
    assert {path.name.split("-2026")[0] for path in folder.glob("*.*")} >= {
        "tally", "tally-masters", "zoho-invoices", "general-ledger", "trial-balance"
    }  # fmt: skip


def test_the_command_is_there_wherever_the_engines_are_embedded() -> None:
    """`manage.py` puts their URL into the environment, before the settings look whether there is one."""
    unset = {"DATABASE_URL", "REDIS_URL", "FLEETCHARGE_DEMO"}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "manage.py", "demo_month", "--help"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "whole month of charging" in done.stdout) == (0, True), done.stderr
