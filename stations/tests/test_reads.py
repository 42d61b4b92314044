"""Answers written by the database: the same as the serializers say, and 304 exactly while nothing has changed."""

import asyncio
import threading
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope
from stations import changes, reads
from stations.models import EVSE, Charger, Connector, Location, Source, StatusChange, Tariff
from stations.serializers import COARSE, ConnectorSerializer, StationSerializer
from stations.services import report_from_source
from stations.stream.tasks import forget_changes
from stations.tests.factories import make_charger, make_public_connector, make_source
from stations.tests.streaming import in_thread


@pytest.fixture
def city(organisation: Organisation, db: None) -> datetime:
    """Connectors of every status, age, plug and kind of source; returns the instant to look at."""
    now = timezone.now()
    pushed = make_source(slug="pushed", kind="ocpi-2.2.1")
    Source.objects.filter(pk=pushed.pk).update(last_push_at=now - timedelta(seconds=10))
    quiet = make_source(slug="quiet", kind="ubc-0.9")
    tariff = Tariff.objects.create(source=quiet, external_id="t", elements=[], content_hash="t")
    ages = [None, *(timedelta(seconds=s) for s in (0, 299, 301, 1_799, 1_801, 86_399, 86_401))]
    for number, status in enumerate(Connector.Status.values):
        for age in ages:
            make_public_connector(
                quiet if number % 2 else pushed, name=f"{status} \"{age}\" ₹ \\", status=status,
                raw_status=status.upper(),
                heard_at=None if age is None else now - age, tariff=tariff if number % 3 else None,
                plug=reads.Plug.values[number], error_code="E" * number, status_reason="reported by the source",
            )  # fmt: skip
    make_charger(organisation, name="Depot")
    other = make_charger(organisation, identity="BLR-018", name="Online depot", opening_times={"twentyfourseven": True})
    Charger.objects.filter(pk=other.pk).update(is_online=True)
    second = EVSE.objects.create(location=other.location, charger=other, evse_number=2)
    Connector.objects.create(evse=second, connector_id=2, heard_at=now - timedelta(days=2), status="available")
    Connector.objects.create(evse=second, connector_id=1, heard_at=now, is_removed=True)
    Location.objects.create(source=quiet, name="Bare", latitude=-0.5, longitude=77.0)
    return now


def plain(value: Any) -> Any:
    """Instants compare as instants, whatever zone they are written in; an empty plug list is a list."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, str) and value[4:5] == "-" and "T" in value:
        return datetime.fromisoformat(value)
    return value


def test_connectors_are_written_as_their_serializer_says(city: datetime) -> None:
    rows = list(Connector.objects.order_by("-pk"))
    written = orjson.loads(reads.connectors_json([row.pk for row in rows], city))
    assert plain(written) == plain(orjson.loads(orjson.dumps(_shown(ConnectorSerializer, rows, city))))
    assert [list(row) for row in written] == [ConnectorSerializer.Meta.fields] * len(rows)
    assert {row["freshness"] for row in written} == {"live", "recent", "stale", "none"}
    assert {row["coarse_status"] for row in written} == set(COARSE.values()) | {"faulted"}


def test_sites_are_written_as_their_serializer_says(city: datetime) -> None:
    rows = list(Location.objects.order_by("-pk"))
    for row in rows:
        row.distance_m = row.pk * 1.5  # type: ignore[attr-defined]
    distances = {row.pk: row.pk * 1.5 for row in rows}
    written = orjson.loads(reads.stations_json([row.pk for row in rows], city, distances))
    assert plain(written) == plain(orjson.loads(orjson.dumps(_shown(StationSerializer, rows, city))))
    assert [list(row) for row in written] == [StationSerializer.Meta.fields] * len(rows)
    assert orjson.loads(reads.stations_json([], city)) == []


def _shown(serializer: Any, rows: list[Any], now: datetime) -> Any:
    return [dict(row) for row in serializer(rows, many=True, context={"now": now}).data]


def test_every_plug_of_a_thousand_sites_comes_in_one_answer(get: Any, db: None) -> None:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    sites = Location.objects.bulk_create(
        Location(source=source, name=f"S{n}", latitude=13, longitude=77) for n in range(1_000)
    )
    units = EVSE.objects.bulk_create(EVSE(location=site, uid="1") for site in sites)
    Connector.objects.bulk_create(
        Connector(evse=unit, connector_id=number, plug="ccs2") for unit in units for number in (1, 2)
    )
    body = get("connectors/?page_size=5000").json()
    assert (len(body["results"]), body["next"], body["previous"]) == (2_000, None, None)
    assert len({row["public_id"] for row in body["results"]}) == 2_000


@pytest.mark.parametrize("what", ["connectors", "stations"])
def test_pages_follow_each_other_there_and_back(get: Any, db: None, what: str) -> None:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    rows = [make_public_connector(source, name=f"50 % off, {n}") for n in range(5)]
    ids = [row.public_id if what == "connectors" else row.evse.location.public_id for row in rows]
    pages, link = [], f"/api/v1/{what}/?page_size=2&q=50 %25 off"
    while link:
        pages.append(get(link.removeprefix("http://testserver").removeprefix("/api/v1/")).json())
        link = pages[-1]["next"]
    assert [[row["public_id"] for row in page["results"]] for page in pages] == [ids[:2], ids[2:4], ids[4:]]
    back = get(pages[2]["previous"].removeprefix("http://testserver/api/v1/")).json()
    assert ([row["public_id"] for row in back["results"]], bool(back["next"])) == (ids[2:4], True)
    first = get(back["previous"].removeprefix("http://testserver/api/v1/")).json()
    assert ([row["public_id"] for row in first["results"]], first["previous"]) == (ids[:2], None)
    assert get(f"{what}/?q=nowhere").json() == {"next": None, "previous": None, "results": []}


def test_a_page_costs_three_statements_and_a_304_two(get: Any, plug: Connector, noon: None) -> None:
    """Whose key it is, what has changed, and the page; the first use of a key is noted besides."""
    etag = get("connectors/").headers["ETag"]
    for headers, status, statements in (({}, 200, 3), ({"If-None-Match": etag}, 304, 2)):
        with CaptureQueriesContext(connection) as seen:
            assert get("connectors/", **headers).status_code == status
        assert len(seen) == statements, [query["sql"] for query in seen]


# --- ETags --------------------------------------------------------------------------------------------------------
@pytest.fixture
def get(organisation: Organisation) -> Any:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=[Scope.STATIONS_READ])
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    return lambda path, **headers: client.get(f"/api/v1/{path}", headers=headers)


@pytest.fixture
def plug(transactional_db: None) -> Connector:
    return make_public_connector(make_source(slug="volt", kind="ocpi-2.2.1"))


@pytest.fixture
def noon() -> Any:
    """The minute is part of an ETag: a test that crosses one would be another test."""
    with time_machine.travel(timezone.now().replace(second=10), tick=False):
        yield


def status_of(get: Any, path: str, etag: str) -> int:
    return int(get(path, **{"If-None-Match": etag}).status_code)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["stations/", "connectors/", "connectors/status/", "tariffs/", "networks/"])
def test_an_unchanged_registry_answers_304(path: str, plug: Connector, get: Any, noon: None) -> None:
    etag = get(path)["ETag"]
    again = get(path, **{"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again["ETag"], again.content) == (304, etag, b"")
    assert status_of(get, path + "?page_size=7", etag) == 200
    assert status_of(get, path, 'W/"1:1:/x"') == status_of(get, path, '"') == 200


CHANGES = {
    "a status": lambda plug: report_from_source(
        evse_id=plug.evse_id, raw_status="AVAILABLE", status="available", at=timezone.now(), received_at=timezone.now()
    ),
    "a site's name": lambda plug: Location.objects.update(name="Another"),
    "a plug's power": lambda plug: Connector.objects.update(max_power_w=1),
    "a removed unit": lambda plug: EVSE.objects.update(is_removed=True),
    "a network's name": lambda plug: Source.objects.update(name="Other"),
    "a new tariff": lambda plug: Tariff.objects.create(
        source=plug.evse.location.source, external_id="t", elements=[], content_hash="t"
    ),
    "a deleted plug": lambda plug: (StatusChange.objects.all().delete(), plug.delete()),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_public_change_ends_an_etag(change: Any, plug: Connector, get: Any, noon: None) -> None:
    etag = get("stations/")["ETag"]
    assert status_of(get, "stations/", etag) == 304
    change(plug)
    assert status_of(get, "stations/", etag) == 200


@pytest.mark.django_db(transaction=True)
def test_a_word_that_says_nothing_new_leaves_the_etag(plug: Connector, get: Any, noon: None) -> None:
    etag = get("stations/")["ETag"]
    Connector.objects.update(heard_at=timezone.now())
    assert status_of(get, "stations/", etag) == 304


@pytest.mark.django_db(transaction=True)
def test_freshness_decays_also_in_a_copy(plug: Connector, get: Any) -> None:
    with time_machine.travel(timezone.now().replace(second=59), tick=False) as clock:
        etag = get("stations/")["ETag"]
        clock.shift(2)
        assert status_of(get, "stations/", etag) == 200


@pytest.mark.django_db(transaction=True)
async def test_an_etag_given_out_while_a_change_was_being_made_ends_with_its_commit(
    plug: Connector, get: Any, noon: None
) -> None:
    """Greatest ids and newest clocks stay the same when an older transaction commits later."""
    other = await in_thread(make_public_connector)(plug.evse.location.source, name="Quick")
    is_changed, may_commit = threading.Event(), threading.Event()

    def slowly() -> None:
        with transaction.atomic():
            CHANGES["a status"](plug)
            is_changed.set()
            assert may_commit.wait(60)

    slow = asyncio.ensure_future(in_thread(slowly)())
    await asyncio.to_thread(is_changed.wait, 60)
    await in_thread(CHANGES["a status"])(other)
    etag = (await in_thread(get)("stations/"))["ETag"]
    assert await in_thread(status_of)(get, "stations/", etag) == 304
    may_commit.set()
    await slow
    assert await in_thread(status_of)(get, "stations/", etag) == 200


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_did_not_change_costs_no_reading(
    plug: Connector, get: Any, noon: None, django_assert_max_num_queries: Any
) -> None:
    etag = get("stations/")["ETag"]
    with django_assert_max_num_queries(2):  # the key, and whether anything changed
        assert status_of(get, "stations/", etag) == 304


@pytest.mark.django_db(transaction=True)
def test_another_fleet_cannot_use_the_etag_of_this_one(
    plug: Connector, get: Any, other_organisation: Organisation, noon: None
) -> None:
    etag = get("stations/")["ETag"]
    _, secret = accounts.create_api_key(organisation=other_organisation, name="t", scopes=[Scope.STATIONS_READ])
    answer = Client().get("/api/v1/stations/", headers={"X-API-Key": secret, "If-None-Match": etag})
    assert answer.status_code == 200


def test_old_notes_of_changes_are_forgotten(db: None) -> None:
    forget_changes()  # of tests before
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO stations_registrychange VALUES ('7', now() - interval '1 hour')")
        assert forget_changes() == 1
        cursor.execute("SELECT count(*) FROM stations_registrychange WHERE xact = '7'")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [("3:3:", True), ("3:9:3,5", True), ("9:3:", False), ("3:9:5,3", False), ("3:9:9", False), ("0:3:", False),
     ("3:9:2", False), ("", False), ("3:9", False), ("3:9:3,", False), ("3:99999999999999999999:", False)],
)  # fmt: skip
def test_only_what_postgresql_can_read_is_a_cursor(text: str, is_ours: bool, db: None) -> None:
    assert changes.is_cursor(text) == is_ours
    if is_ours:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::pg_snapshot::text", [text])
            assert cursor.fetchone() == (text,)
