"""Seeding is idempotent, private, and keeps the two fleets apart."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from billing.models import Wallet
from fleetcharge.accounts.models import APIKey, Membership, User
from fleetcharge.accounts.services import find_api_key
from fleetcharge.demo.manifest import FILE_NAME, USERS_FILE_NAME, Manifest
from fleetcharge.demo.seeding import OPENING_BALANCE_PAISE, renew_shifts, seed_demo
from stations.models import Charger, Connector, Source, Tariff
from vehicles.models import Shift, Vehicle

pytestmark = pytest.mark.django_db


def seed(var: Path, **changes: int) -> Manifest:
    options = {"seed": 7, "chargers": 22, "vehicles": 8, "demo_port": 8010, **changes}
    return seed_demo(var=var, now=timezone.now(), **options)


def counts() -> dict[str, int]:
    models = (User, Membership, APIKey, Source, Charger, Connector, Tariff, Vehicle, Shift, Wallet)
    return {model.__name__: model.objects.count() for model in models}


def test_seeding_twice_changes_nothing(tmp_path: Path) -> None:
    first = seed(tmp_path)
    users, before = (tmp_path / USERS_FILE_NAME).read_text(), counts()
    assert seed(tmp_path) == first
    assert counts() == before
    assert (tmp_path / USERS_FILE_NAME).read_text() == users
    assert Wallet.objects.get(organisation__slug="namma-logistics").posted_paise == OPENING_BALANCE_PAISE


def test_what_it_writes_is_private_and_opens_the_doors(tmp_path: Path) -> None:
    manifest = seed(tmp_path)
    for name in (FILE_NAME, USERS_FILE_NAME):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    for entry in json.loads((tmp_path / USERS_FILE_NAME).read_text()):
        assert User.objects.get(email=entry["email"]).check_password(entry["password"])
    key = find_api_key(manifest.fleets["namma-logistics"].telemetry)
    assert key is not None and key.scopes == ["telemetry:write"]


def test_a_lost_manifest_gives_new_secrets_and_no_second_city(tmp_path: Path) -> None:
    first, before = seed(tmp_path), counts()
    (tmp_path / FILE_NAME).unlink()
    second = seed(tmp_path)
    assert counts() == before
    assert second.fleets != first.fleets
    assert find_api_key(first.fleets["namma-logistics"].telemetry) is None


def test_a_new_port_lets_voltgrid_register_again(tmp_path: Path) -> None:
    seed(tmp_path)
    Source.objects.filter(slug="voltgrid").update(state="connected", endpoints={"locations": "x"})
    seed(tmp_path, demo_port=8011)
    voltgrid = Source.objects.get(slug="voltgrid")
    assert (voltgrid.state, voltgrid.endpoints) == ("new", {})
    assert ":8011/" in voltgrid.base_url


def test_shifts_are_renewed_when_they_run_out(tmp_path: Path) -> None:
    manifest = seed(tmp_path)
    rostered = sum(not vehicle.is_off_shift for vehicle in manifest.vehicles)
    assert Shift.objects.covering(timezone.now()).count() == rostered == len(manifest.vehicles) - 1
    assert renew_shifts(manifest, timezone.now()) == 0
    assert renew_shifts(manifest, timezone.now() + timedelta(hours=8)) == rostered
