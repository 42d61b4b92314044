"""A page of a list at once writes the very rows that its sites would have written one by one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from stations import services
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.models import EVSE, Connector, ExternalRef, Location, Source, StatusChange
from stations.services.listing import take_page
from stations.tests.factories import make_source

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
WORDS = (("AVAILABLE", "available"), ("CHARGING", "charging"), ("REMOVED", "unavailable"), ("", "unknown"))


def site(number: int, **said: Any) -> LocationDoc:
    plugs = tuple(ConnectorDoc(each, "ccs2", "x", "CABLE", "DC", 60_000, tariff_ids=("DAY",)) for each in "12")
    units = tuple(
        EvseDoc(
            f"{number}-{at}", plugs, raw_status=raw, status=status, updated_at=NOON, capabilities=("RESERVABLE",),
            physical_reference=f"Bay {at}",
        )
        for at, (raw, status) in enumerate(WORDS)
    )  # fmt: skip
    facts = {"name": f"Site {number}", "latitude": 12.9 + number / 1e4, "longitude": 77.6, "address": "MG Road"}
    key = f"IN*VLT*L{number}"
    return LocationDoc(key, evses=units, updated_at=NOON, party=("IN", "VLT", "Volt"), **{**facts, **said})


@pytest.fixture
def volt() -> Source:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    element = {"price_components": [{"type": "ENERGY", "price": "18.00", "step_size": 1}]}
    services.cache_tariff(source=source, external_id="day", elements=[element], currency="INR", at=NOON)
    return source


NOT_COMPARED = {
    "received_at",
    "status_since",
    "id",
    "public_id",
    "created_at",
    "updated_at",
    "first_seen_at",
    "location",
    "evse",
    "connector",
    "object_id",
}


def written() -> list[list[dict[str, Any]]]:
    """Every row but what is counted or clocked, in the order of their natural keys."""
    models = {
        Location: ("name",), EVSE: ("uid",), Connector: ("evse__uid", "connector_id"),
        StatusChange: ("connector__evse__uid", "connector__connector_id"), ExternalRef: ("kind", "external_key"),
    }  # fmt: skip
    kept = []
    for model, order in models.items():
        names = [
            f.name
            for f in model._meta.get_fields()
            if f.concrete and f.name not in {*NOT_COMPARED, "received_at", "status_since"}
        ]
        kept.append(list(model._default_manager.order_by(*order).values(*names)))
    return kept


def clear() -> None:
    for model in (ExternalRef, StatusChange, Connector, EVSE, Location):
        model._default_manager.all().delete()


def test_it_writes_what_one_by_one_would(volt: Source) -> None:
    docs = [site(number) for number in range(1, 4)]
    for doc in docs:
        services.upsert_location(source=volt, doc=doc, at=NOON)
    one_by_one = written()
    clear()
    taken = take_page(source=volt, docs=docs, at=NOON)
    assert taken.new == {"in*vlt*l1", "in*vlt*l2", "in*vlt*l3"}
    for together, alone in zip(written(), one_by_one, strict=True):
        assert together == alone
    assert Connector.objects.filter(tariff__external_id="day").count() == 24


def test_what_is_repeated_word_for_word_is_confirmed_and_what_changed_is_left(volt: Source) -> None:
    docs = [site(1), site(2), site(3)]
    take_page(source=volt, docs=docs, at=NOON)
    services.remove_location(source=volt, external_key="IN*VLT*L3", at=NOON)
    before = written()[:2]
    again = [site(1), site(2, name="Site 2, Gate B"), site(3), site(4)]
    taken = take_page(source=volt, docs=again, at=LATER)
    assert (set(taken.known), set(taken.new)) == ({"in*vlt*l1"}, {"in*vlt*l4"})
    assert written()[0][:3] == before[0]
    heard = Connector.objects.filter(heard_at=LATER).values_list("evse__location__name", flat=True)
    assert set(heard) == {"Site 1", "Site 4"}
    assert not Connector.objects.filter(heard_at=LATER, evse__uid="1-3").exists()  # it never had a status


def test_the_number_of_statements_does_not_grow_with_the_page(volt: Source) -> None:
    def statements(*docs: LocationDoc) -> int:
        with CaptureQueriesContext(connection) as asked:
            take_page(source=volt, docs=docs, at=NOON)
        return len(asked)

    few, many = statements(site(1)), statements(*(site(number) for number in range(2, 52)))
    assert many <= few + 2
    assert statements(*(site(number) for number in range(2, 52))) <= 9


def test_one_site_that_no_database_takes_is_found_among_the_others(volt: Source) -> None:
    twins = site(2).evses[0]
    bad = LocationDoc(
        "IN*VLT*L2", name="Twins", latitude=12.9, longitude=77.6, evses=(twins, twins), updated_at=NOON
    )  # fmt: skip
    assert take_page(source=volt, docs=[site(1), bad], at=NOON).keys == set()
    assert not Location.objects.exists()
