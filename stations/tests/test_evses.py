"""EVSEs of the unified API: one status of several plugs, every filter, cursor, ETag, and nothing of others' depots."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope
from stations import evse_status, reads
from stations.evses import EvseSerializer
from stations.examples import AN_EVSE
from stations.models import EVSE, Connector, Source
from stations.tests.factories import make_charger, make_public_connector, make_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def volt() -> Source:
    return make_source(slug="voltgrid", kind="ocpi-2.2.1")


@pytest.fixture
def get(organisation: Organisation) -> Any:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=[Scope.STATIONS_READ])
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    return lambda path, **headers: client.get(f"/api/v1/{path}", headers=headers)


def unit(source: Source, *statuses: str, age: timedelta = timedelta(0), **fields: Any) -> EVSE:
    """An EVSE with a plug of each of these statuses."""
    heard_at = timezone.now() - age
    first = make_public_connector(source, status=statuses[0], heard_at=heard_at, **fields)
    for number, status in enumerate(statuses[1:], start=2):
        Connector.objects.create(
            evse=first.evse, connector_id=number, plug="chademo", max_power_w=50_000, status=status, heard_at=heard_at
        )
    return first.evse


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["public_id"] for row in answer.json()["results"]]


@pytest.mark.parametrize(
    ("plugs", "status"),
    [
        (("available", "charging"), "charging"),
        (("available", "occupied"), "occupied"),
        (("reserved", "available"), "reserved"),
        (("faulted", "available"), "available"),
        (("faulted", "unknown"), "faulted"),
        (("unknown",), "unknown"),
    ],
)
def test_one_vehicle_at_a_time_so_a_plug_in_use_decides(
    get: Any, volt: Source, plugs: tuple[str, ...], status: str
) -> None:
    one = unit(volt, *plugs)
    body = get(f"evses/{one.public_id}/").json()
    assert (body["status"], [plug["status"] for plug in body["connectors"]]) == (status, list(plugs))
    assert (body["station"], body["network"]) == (one.location.public_id, "Voltgrid")


def test_they_are_written_as_their_serializer_says(volt: Source) -> None:
    now = timezone.now()
    ages = (timedelta(0), timedelta(minutes=20), timedelta(hours=2), timedelta(days=2))
    for pair, age in zip(itertools.product(evse_status.ORDER, repeat=2), itertools.cycle(ages), strict=False):
        one = unit(volt, *pair, age=age)
        Connector.objects.filter(evse=one, connector_id=2).update(heard_at=None if age else now)
        Connector.objects.create(evse=one, connector_id=9, status="charging", heard_at=now, is_removed=True)
    EVSE.objects.create(location=one.location, uid="bare", capabilities=["RESERVABLE"])
    rows = list(EVSE.objects.select_related("location__source").prefetch_related("connectors").order_by("-pk"))
    written = orjson.loads(reads.evses_json([row.pk for row in rows], now))
    said = orjson.loads(orjson.dumps([dict(row) for row in EvseSerializer(rows, many=True, context={"now": now}).data]))
    times = {"heard_at", "status_since"}
    for ours, theirs in zip(written, said, strict=True):
        assert list(ours) == EvseSerializer.Meta.fields == list(theirs)
        assert {k: v for k, v in ours.items() if k not in {*times, "connectors"}} == {
            k: v for k, v in theirs.items() if k not in {*times, "connectors"}
        }
        plugs = [[each["public_id"] for each in row["connectors"]] for row in (ours, theirs)]
        assert plugs[0] == plugs[1]
        assert [datetime.fromisoformat(ours[k]) if ours[k] else None for k in times] == [
            datetime.fromisoformat(theirs[k]) if theirs[k] else None for k in times
        ]
    assert {row["freshness"] for row in written} == {"live", "recent", "stale", "none"}


def test_filters_are_those_of_the_sites_and_available_means_the_whole_unit(get: Any, volt: Source) -> None:
    free = unit(volt, "available", name="Koramangala", latitude=12.935, longitude=77.624)
    far = unit(volt, "available", name="Connaught Place", latitude=28.63, longitude=77.22, max_power_w=120_000)
    busy = unit(volt, "available", "charging", name="Busy", latitude=13.2, longitude=77.9)
    old = unit(volt, "available", age=timedelta(hours=2), name="Old", latitude=13.2, longitude=77.9)
    assert ids(get("evses/")) == [free.public_id, far.public_id, busy.public_id, old.public_id]
    assert ids(get("evses/?available=true")) == [free.public_id, far.public_id]
    assert ids(get("evses/?plug=chademo")) == [busy.public_id]
    assert ids(get("evses/?min_kw=100&network=voltgrid")) == [far.public_id]
    assert ids(get("evses/?network=nobody")) == []
    assert ids(get("evses/?bbox=77,12,77.7,13")) == [free.public_id]
    assert ids(get("evses/?q=connaught")) == [far.public_id]
    assert ids(get("evses/?near=28.6,77.2&available=true")) == [far.public_id, free.public_id]
    assert ids(get("evses/?near=28.6,77.2&radius_km=10")) == [far.public_id]
    assert get("evses/?near=200,3").json()["code"] == "invalid"


def test_pages_are_followed_by_cursor_and_cost_the_same_however_many(
    get: Any, volt: Source, django_assert_num_queries: Any
) -> None:
    made = [unit(volt, "available", "faulted").public_id for _ in range(5)]
    get("evses/")
    with django_assert_num_queries(3):  # the key, the ETag, the page
        first = get("evses/?page_size=3").json()
    rest = get(first["next"].removeprefix("http://testserver/api/v1/"))
    assert [row["public_id"] for row in first["results"]] + ids(rest) == made
    assert rest.json()["next"] is None


@pytest.mark.django_db(transaction=True)
@time_machine.travel("2026-11-21T12:00:20+05:30", tick=False)
def test_a_copy_is_right_until_a_plug_changes(get: Any, volt: Source) -> None:
    one = unit(volt, "available")
    answer = get("evses/")
    assert get("evses/", **{"If-None-Match": answer["ETag"]}).status_code == 304
    Connector.objects.filter(evse=one).update(status="charging")
    again = get("evses/", **{"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.json()["results"][0]["status"]) == (200, "charging")


def test_another_fleets_depot_and_what_is_gone_are_not_there(
    get: Any, volt: Source, organisation: Organisation, other_organisation: Organisation
) -> None:
    mine = make_charger(organisation).evses.get()
    theirs = make_charger(other_organisation, identity="DEL-001").evses.get()
    gone = unit(volt, "available")
    EVSE.objects.filter(pk=gone.pk).update(is_removed=True)
    assert ids(get("evses/")) == [mine.public_id]
    assert get(f"evses/{mine.public_id}/").json()["is_reservable"] is True
    for other in (theirs, gone):
        assert get(f"evses/{other.public_id}/").status_code == 404


def test_the_example_of_the_documentation_has_the_shape_of_an_answer(get: Any, volt: Source) -> None:
    one = get(f"evses/{unit(volt, 'available').public_id}/").json()
    assert list(AN_EVSE.value) == list(one)
    assert set(AN_EVSE.value["connectors"][0]) == set(one["connectors"][0])
