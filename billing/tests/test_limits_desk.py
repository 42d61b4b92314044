"""Limits on the desk: read, and set, changed and removed by the service alone."""

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import SpendLimit
from billing.tests.factories import Fleet, make_fleet
from fleetcharge.accounts.models import AuditEntry, Organisation, User

NEW = {"scope": "vehicle", "period": "day", "rupees": "5000", "kwh": "", "is_hard": "on", "reason": "budget"}


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


@pytest.fixture
def desk(client: Client, finance: User) -> Client:
    client.force_login(finance)
    return client


def add(desk: Client, fleet: Fleet, **more: object) -> int:
    wanted = {**NEW, "organisation": fleet.organisation.pk, "name": fleet.vehicle.registration, **more}
    return desk.post(reverse("admin:billing_spendlimit_add"), wanted).status_code


def deed(name: str, limit: SpendLimit) -> str:
    return reverse(f"admin:billing_spendlimit_{name}", args=[limit.pk])


def test_a_limit_is_set_changed_and_removed_with_a_reason_each(desk: Client, fleet: Fleet, finance: User) -> None:
    assert add(desk, fleet, reason=" ") == 200
    assert add(desk, fleet, rupees="0.50") == 200  # below a rupee
    assert add(desk, fleet, rupees="") == 200  # bounds nothing
    assert not SpendLimit.objects.exists()
    assert add(desk, fleet) == 302
    limit = SpendLimit.objects.get()
    assert (limit.vehicle, limit.amount_paise, limit.energy_wh) == (fleet.vehicle, 5_000_00, None)
    other = make_fleet(fleet.organisation, has_wallet=False).vehicle
    for reason in ("", "season"):
        desk.post(deed("change_bounds", limit), {"rupees": "6000", "kwh": "0", "reason": reason, "vehicle": other.pk})
        limit.refresh_from_db()
        assert limit.amount_paise == 5_000_00  # without a reason, or with energy below one kWh
    desk.post(deed("change_bounds", limit), {"rupees": "6000", "kwh": "40", "reason": "season", "vehicle": other.pk})
    limit.refresh_from_db()
    assert (limit.vehicle, limit.amount_paise, limit.energy_wh) == (fleet.vehicle, 6_000_00, 40_000)
    desk.post(deed("remove", limit), {"reason": " "})
    assert SpendLimit.objects.exists()
    desk.post(deed("remove", limit), {"reason": "over"})
    assert not SpendLimit.objects.exists()
    told = AuditEntry.objects.filter(actor=finance).order_by("pk").values_list("action", "reason")
    assert list(told) == [("set_limit", "budget"), ("set_limit", "season"), ("remove_limit", "over")]


def test_a_limit_is_never_edited_or_deleted_by_hand(desk: Client, fleet: Fleet) -> None:
    add(desk, fleet)
    limit = SpendLimit.objects.get()
    other = make_fleet(fleet.organisation, has_wallet=False).vehicle
    moved = {"vehicle": other.pk, "scope": "vehicle", "period": "day", "amount_paise": 9}
    assert desk.post(deed("change", limit), moved).status_code == 403
    assert desk.post(deed("delete", limit), {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [limit.pk], "post": "yes"}
    desk.post(reverse("admin:billing_spendlimit_changelist"), selected)
    assert list(SpendLimit.objects.values_list("vehicle", "amount_paise")) == [(fleet.vehicle.pk, 5_000_00)]


@pytest.mark.parametrize("scope", ["organisation", "cost_centre", "site", "driver", "tariff"])
def test_whose_it_is_is_found_by_its_name(desk: Client, fleet: Fleet, scope: str) -> None:
    assert fleet.tariff is not None
    name = {
        "organisation": "", "cost_centre": "North", "site": fleet.location.name, "tariff": fleet.tariff.external_id,
        "driver": fleet.vehicle.default_driver.name,
    }[scope]  # fmt: skip
    assert add(desk, fleet, scope=scope, name=name) == 302
    assert SpendLimit.objects.get().scope == scope
    assert add(desk, fleet, scope=scope, name=f"{name} nowhere") == (
        302 if scope in ("organisation", "cost_centre") else 200
    )


def test_nothing_of_another_fleet_is_bounded(desk: Client, fleet: Fleet, other_organisation: Organisation) -> None:
    other = make_fleet(other_organisation, has_wallet=False)
    theirs = SpendLimit.objects.create(
        organisation=other_organisation, scope="organisation", period="day", amount_paise=5_00
    )
    assert add(desk, fleet, organisation=other_organisation.pk) == 200
    assert add(desk, fleet, name=other.vehicle.registration) == 200
    for name in ("change_bounds", "remove"):
        desk.post(deed(name, theirs), {"rupees": "9", "reason": "x"})
    assert list(SpendLimit.objects.values_list("pk", "amount_paise")) == [(theirs.pk, 5_00)]
