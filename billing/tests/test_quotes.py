"""What a session would cost, before it starts: to the paisa what its record will say, and never a guess."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.quotes_api import A_QUOTE
from billing.services.tariffs import quote_at
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope
from stations.models import Connector, Tariff
from stations.tests.factories import make_charger, make_public_connector, make_source

DAY_AND_NIGHT = [
    {"price_components": [{"type": "ENERGY", "price": "12.00", "step_size": 1}],
     "restrictions": {"start_time": "22:00", "end_time": "06:00"}},
    {"price_components": [{"type": "ENERGY", "price": "18.00", "step_size": 1},
                          {"type": "PARKING_TIME", "price": "60.00", "step_size": 60}]},
]  # fmt: skip


@pytest.fixture
def plug(db: None) -> Connector:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    tariff = Tariff.objects.create(
        source=source, external_id="t1", name="Day and night", elements=DAY_AND_NIGHT, content_hash="t",
        valid_from=timezone.now() - timedelta(days=400),
    )  # fmt: skip
    return make_public_connector(source, tariff=tariff)


@pytest.fixture
def quote(organisation: Organisation) -> Any:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=[Scope.STATIONS_READ])
    client = Client(headers={"X-API-Key": secret})
    return lambda **query: client.get("/api/v1/quotes/", query)


def test_the_price_of_the_hour_with_every_line(quote: Any, plug: Connector) -> None:
    answer = quote(
        connector=plug.public_id, energy_wh=20_000, duration_s=1_800, idle_s=600, at="2026-11-21T12:00:00+05:30"
    )
    [shown] = answer.json()
    assert (shown["connector"], shown["is_priced"], shown["currency"]) == (plug.public_id, True, "INR")
    assert (shown["taxable_paise"], shown["tax_paise"], shown["total_paise"]) == (37_000, 6_660, 43_660)
    lines = [(line["dimension"], line["quantity"], line["amount_paise"]) for line in shown["lines"]]
    assert lines == [
        ("ENERGY", "20.000", 36_000), ("PARKING_TIME", "0.167", 1_000), ("CGST", "9", 3_330), ("SGST", "9", 3_330),
    ]  # fmt: skip
    [night] = quote(
        connector=plug.public_id, energy_wh=20_000, duration_s=1_800, at="2026-11-21T23:00:00+05:30"
    ).json()  # fmt: skip
    assert night["taxable_paise"] == 24_000
    assert set(shown) == set(A_QUOTE.value[0])
    assert shown["total_paise"] == quote_at(
        connector=plug, energy_wh=20_000, duration_s=1_800, idle_s=600,
        at=datetime.fromisoformat("2026-11-21T12:00:00+05:30"),
    )  # fmt: skip


def test_several_connectors_in_the_order_asked_for_and_no_price_is_not_a_price(quote: Any, plug: Connector) -> None:
    bare = make_public_connector(plug.evse.location.source)
    answer = quote(connector=f"{bare.public_id}, {plug.public_id},FCC-NOBODY", energy_wh=1_000, duration_s=60)
    shown = answer.json()
    assert [row["connector"] for row in shown] == [bare.public_id, plug.public_id]
    assert (shown[0]["is_priced"], shown[0]["total_paise"], shown[0]["lines"]) == (False, None, [])


def test_the_price_of_a_strangers_depot_is_not_told(
    quote: Any, plug: Connector, other_organisation: Organisation
) -> None:
    depot = Connector.objects.get(evse__charger=make_charger(other_organisation))
    Connector.objects.filter(pk=depot.pk).update(tariff=plug.tariff)
    assert quote(connector=depot.public_id, energy_wh=1_000, duration_s=60).json() == []


@pytest.mark.parametrize(
    "wrong",
    [{"connector": ""}, {"connector": ","}, {"energy_wh": -1}, {"duration_s": "soon"}, {"at": "noon"},
     {"idle_s": 10**9}, {"connector": ",".join(f"C{n}" for n in range(21))}],
)  # fmt: skip
def test_a_wrong_parameter_is_named(quote: Any, plug: Connector, wrong: dict[str, Any]) -> None:
    answer = quote(**{"connector": plug.public_id, "energy_wh": 1, "duration_s": 1, **wrong})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == list(wrong)
