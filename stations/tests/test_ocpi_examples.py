"""Every kind of example of OCPI 2.2.1 parses, what we do not know survives, and the versions agree."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from fleetcharge.demo.peers import objects
from stations.cpo.ocpi.dialects import DIALECTS
from stations.cpo.ocpi.dialects.v221 import price_down
from stations.cpo.ocpi.objects.bookings import BookingIn, BookingLocationIn, InvoiceRecordIn
from stations.cpo.ocpi.objects.cdrs import CdrIn
from stations.cpo.ocpi.objects.commands import (
    ActiveProfileIn,
    ChargingProfileIn,
    ClientInfoIn,
    CommandResponseIn,
    CommandResultIn,
)
from stations.cpo.ocpi.objects.credentials import CredentialsIn, VersionDetailsIn, VersionIn
from stations.cpo.ocpi.objects.locations import ConnectorIn, EvseIn, LocationIn
from stations.cpo.ocpi.objects.sessions import SessionIn
from stations.cpo.ocpi.objects.tariffs import TariffIn
from stations.cpo.ocpi.objects.tokens import LocationReferencesIn
from stations.cpo.ocpi.objects.zones import zone_at
from stations.cpo.ocpi.receivers.cdrs import read_cdr
from stations.tests.ocpi_examples import EXAMPLES
from stations.tests.ocpi_peers import VERSIONS

READERS: dict[str, type[BaseModel]] = {
    "version": VersionIn, "details": VersionDetailsIn, "credentials": CredentialsIn, "location": LocationIn,
    "evse": EvseIn, "connector": ConnectorIn, "tariff": TariffIn, "session": SessionIn, "cdr": CdrIn,
    "command response": CommandResponseIn, "command result": CommandResultIn, "profile": ChargingProfileIn,
    "active profile": ActiveProfileIn, "client": ClientInfoIn, "references": LocationReferencesIn,
}  # fmt: skip
OWNER = ("IN", "VLT")


def read(version: str, kind: str, raw: Any) -> Any:
    return READERS[kind].model_validate(DIALECTS[version].read(kind, raw, OWNER))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_parses_and_keeps_what_it_says(name: str) -> None:
    kind, raw = EXAMPLES[name]
    parsed = read("2.2.1", kind, raw)
    assert set(raw) <= set(parsed.model_dump())
    if hasattr(parsed, "doc"):
        parsed.doc()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_field_nobody_knows_survives(name: str) -> None:
    kind, raw = EXAMPLES[name]
    parsed = read("2.3.0", kind, {**raw, "brand_new": {"deep": [1, "two"]}, "nothing": None})
    assert parsed.model_dump()["brand_new"] == {"deep": [1, "two"]}


@pytest.mark.parametrize("name", [name for name, (kind, _) in EXAMPLES.items() if kind == "tariff"])
def test_prices_of_a_tariff_never_pass_through_a_float_again(name: str) -> None:
    raw = EXAMPLES[name][1]["elements"]
    kept = read("2.2.1", "tariff", EXAMPLES[name][1]).doc().elements
    assert [[str(price["price"]) for price in each["price_components"]] for each in raw] == [
        [price["price"] for price in each["price_components"]] for each in kept
    ]


def test_words_nobody_knows_survive() -> None:
    odd = objects.evse("2.3.0", "E1", status="DREAMING", capabilities=["TELEPORT"], connectors=[
        objects.connector("2.3.0", standard="IS_17017_2_42", power_type="AC_9_PHASE", format="PAD")
    ])  # fmt: skip
    parsed = read("2.3.0", "location", objects.location("2.3.0", 1, evses=[odd], facilities=["MOON"]))
    assert (parsed.evses[0].status, parsed.facilities) == ("DREAMING", ["MOON"])
    doc = parsed.doc().evses[0]
    assert (doc.raw_status, doc.status, doc.connectors[0].raw_plug) == ("DREAMING", "unknown", "IS_17017_2_42")


def test_trucks_find_their_bay_in_2_3_0() -> None:
    parsed = read("2.3.0", "location", objects.location("2.3.0", 1))
    assert parsed.parking_places[0].vehicle_types == ["RIGID", "BUS"]
    assert parsed.evses[0].connectors[0].capabilities == ["ISO_15118_2_PLUG_AND_CHARGE"]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_says_the_same(version: str) -> None:
    cdr = read_cdr(DIALECTS[version].read("cdr", objects.cdr(version), OWNER))
    assert (cdr.key, cdr.energy_wh, cdr.total_cost.before_taxes) == ("IN*VLT*C1", 20_000, Decimal(390))
    assert (cdr.cdr_location.id, cdr.cdr_location.evse_uid, cdr.cdr_location.connector_id) == ("L1", "E1-1", "1")
    assert cdr.cdr_location.connector_standard == "IEC_62196_T2_COMBO"
    session = read(version, "session", objects.session(version))
    assert (session.location_id, session.evse_uid, session.cdr_token.uid) == ("L1", "E1-1", "CARD1")
    doc = read(version, "location", objects.location(version, 1)).doc()
    assert doc.evses[0].connectors[0].max_power_w == 60_000
    assert (doc.time_zone, doc.external_key) == ("Asia/Kolkata", "IN*VLT*L1")


def test_prices_go_up_and_down_without_a_float_in_between() -> None:
    cost = read("2.2.1", "cdr", EXAMPLES["cdr"][1]).total_cost
    assert (cost.before_taxes, cost.after_taxes) == (Decimal("4.0"), Decimal("4.4"))
    assert price_down(cost.model_dump(mode="json")) == {"excl_vat": 4.0, "incl_vat": 4.4}
    untold = read("2.2.1", "session", EXAMPLES["session that is over"][1]).total_cost
    assert untold.after_taxes is None  # no vat differs from a vat of nothing
    old = read("2.1.1", "session", {**objects.session("2.1.1"), "total_cost": 12.5}).total_cost
    assert (old.before_taxes, old.taxes) == (Decimal("12.5"), None)


def test_prices_without_tax_are_told_from_prices_without_a_word() -> None:
    assert read("2.2.1", "tariff", EXAMPLES["simple by energy"][1]).tax_included == "NO"
    assert read("2.2.1", "tariff", EXAMPLES["simple by time"][1]).tax_included == "N/A"
    limited = read("2.2.1", "tariff", EXAMPLES["simple with a limit"][1])
    assert (limited.max_price.before_taxes, limited.max_price.after_taxes) == (Decimal("10.0"), Decimal("11.0"))


@pytest.mark.parametrize(
    ("latitude", "longitude", "country", "zone"),
    [(12.97, 77.64, "IN", "Asia/Kolkata"), (52.5, 13.4, "DE", "Europe/Berlin"), (40.7, -74.0, "US", "America/New_York"),
     (-31.95, 115.86, "AU", "Australia/Perth"), (0.0, 0.0, "XX", "Asia/Kolkata")],
)  # fmt: skip
def test_a_site_without_a_zone_gets_that_of_its_place(
    latitude: float, longitude: float, country: str, zone: str
) -> None:
    assert zone_at(latitude, longitude, country) == zone


def test_bookings_and_invoices_parse() -> None:
    site = BookingLocationIn.model_validate(
        DIALECTS["2.3.0"].read("booking_location", {**objects.booking_location(), "tariff_id": ["X"]}, OWNER)
    )
    assert (site.calendars[0].timeslot_increment, site.booking_terms[0].cancel_until_minutes) == (15, 15)
    request = {"request_id": "r", "location_id": "L1", "period": {}, "authorization_reference": "r"}
    booking = BookingIn.model_validate(objects.booking(request, "B1", "WAITLISTED", "2026-11-21T06:00:00Z"))
    assert booking.reservation_status == "WAITLISTED"
    assert InvoiceRecordIn.model_validate(objects.invoice("R1", "C1")).cdrs == ["C1"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["location", "evse", "connector", "tariff", "session", "cdr", "credentials"])
@pytest.mark.parametrize("raw", [None, [], "text", 7, {}, {"id": None}, {"evses": "x", "elements": 3, "roles": 1}])
def test_nonsense_is_a_named_error(version: str, kind: str, raw: Any) -> None:
    with pytest.raises(ValidationError):
        read(version, kind, raw)
