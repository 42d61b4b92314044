"""One decision with its reason, for every door."""

from datetime import timedelta

import pytest

from billing.models import Wallet
from billing.services.authorisation import Decision, authorise
from billing.tests.factories import NOON, Fleet, fund, make_fleet, make_site
from fleetcharge.accounts.models import Organisation
from stations.models import NetworkAccess
from vehicles.models import Driver, IdToken, Shift, Vehicle


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


def ask(fleet: Fleet, token: str | None = None) -> Decision:
    return authorise(
        id_token=fleet.token.uid if token is None else token, connector_id=fleet.connector.pk,
        charger_id=fleet.charger.pk, at=NOON,
    )  # fmt: skip


def test_a_known_card_is_accepted_for_its_vehicle_and_usual_driver(fleet: Fleet) -> None:
    decision = ask(fleet, f" {fleet.token.uid.lower()} ")
    assert decision == Decision(
        True, "accepted", fleet.organisation.pk, fleet.vehicle.pk, fleet.driver.pk, fleet.token.pk, None
    )


def test_the_driver_on_shift_is_the_driver(fleet: Fleet) -> None:
    other = Driver.objects.create(organisation=fleet.organisation, name="Latha")
    Shift.objects.create(
        organisation=fleet.organisation, vehicle=fleet.vehicle, driver=other, starts_at=NOON - timedelta(hours=1),
        ends_at=NOON + timedelta(hours=1),
    )  # fmt: skip
    assert ask(fleet).driver_id == other.pk


def test_a_drivers_own_card_finds_the_vehicle(fleet: Fleet) -> None:
    IdToken.objects.create(organisation=fleet.organisation, uid="LATHA", driver=fleet.driver)
    assert (ask(fleet, "latha").vehicle_id, ask(fleet, "latha").driver_id) == (fleet.vehicle.pk, fleet.driver.pk)
    Vehicle.objects.create(
        organisation=fleet.organisation, registration="KA 99", model=fleet.vehicle.model, default_driver=fleet.driver
    )
    assert ask(fleet, "latha").vehicle_id is None  # two vehicles: we do not guess


def test_an_unknown_card_would_be_paid_by_the_stations_owner(fleet: Fleet) -> None:
    assert ask(fleet, "NOBODY") == Decision(False, "unknown_token", fleet.organisation.pk)


def test_blocked_and_expired_cards(fleet: Fleet) -> None:
    IdToken.objects.update(valid_until=NOON)
    assert ask(fleet).reason == "expired_token"
    IdToken.objects.update(valid_until=NOON + timedelta(seconds=1))
    assert (ask(fleet).reason, ask(fleet).expires_at) == ("accepted", NOON + timedelta(seconds=1))
    IdToken.objects.update(is_active=False)
    assert ask(fleet).reason == "blocked_token"


def test_another_fleets_charger_needs_a_contract(fleet: Fleet, other_organisation: Organisation) -> None:
    fund(other_organisation, 1_000_00)
    IdToken.objects.create(organisation=other_organisation, uid="EVE")
    assert ask(fleet, "EVE").reason == "network_not_authorised"
    NetworkAccess.objects.create(organisation=other_organisation, source=fleet.source)
    assert ask(fleet, "EVE").reason == "accepted"
    fleet.location.organisation = fleet.organisation  # a private depot stays closed, contract or not
    fleet.location.save()
    assert ask(fleet, "EVE").reason == "network_not_authorised"


def test_a_public_network_needs_access(fleet: Fleet) -> None:
    _, location = make_site(None)
    fleet.connector.evse.location = location
    fleet.connector.evse.save()
    assert ask(fleet).reason == "network_not_authorised"


def test_the_wallet_has_its_say(fleet: Fleet, organisation: Organisation) -> None:
    Wallet.objects.update(held_paise=950_01)
    assert ask(fleet).reason == "insufficient"
    Wallet.objects.update(state=Wallet.State.FROZEN)
    assert ask(fleet).reason == "wallet_frozen"


def test_no_wallet_is_said_so(organisation: Organisation) -> None:
    assert ask(make_fleet(organisation, has_wallet=False)).reason == "no_wallet"


def test_an_authorise_that_names_only_the_station(fleet: Fleet) -> None:
    decision = authorise(id_token=fleet.token.uid, connector_id=None, charger_id=fleet.charger.pk, at=NOON)
    assert decision.is_accepted
