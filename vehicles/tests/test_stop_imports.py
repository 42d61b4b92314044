"""Stops by file: all lines or none, every wrong one named, and the same file twice changes nothing."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from vehicles import services
from vehicles.models import Stop, Vehicle
from vehicles.stop_import.services import LAST_PLACES
from vehicles.tests.factories import NOON, make_vehicle
from vehicles.tests.test_api import client_of

pytestmark = pytest.mark.django_db
HEAD = "vehicle,external_id,name,latitude,longitude,earliest_at,due_at\n"
ORDERS = HEAD + (
    "ka03 mx 1,A-1,Hub,12.9,77.6,2026-11-22 09:00,2026-11-22 11:30\n"
    "KA 03 MX 2,A-2,Kirana,12.91,77.61,,\n"
    "KA 03 MX 1,A-3,Depot,12.92,77.62,,2026-11-22T12:00:00Z\n"
)


@pytest.fixture
def vans(organisation) -> list[Vehicle]:
    return [make_vehicle(organisation, registration=f"KA 03 MX {number}") for number in (1, 2)]


def upload(organisation, text: str | bytes, query: str = "") -> tuple[int, dict]:
    content = text.encode() if isinstance(text, str) else text
    answer = client_of(organisation).generic("POST", f"/api/v1/stops/import/{query}", content, "text/csv")
    return answer.status_code, answer.json()


def counts(answer: tuple[int, dict]) -> dict[str, int]:
    assert answer[0] == 200, answer
    return {name: count for name, count in answer[1].items() if count and name != "is_dry_run"}


def plan(van: Vehicle) -> list[tuple[str, str]]:
    return list(Stop.objects.filter(vehicle=van, done_at=None).order_by("sequence").values_list("external_id", "name"))


def test_lines_become_stops_in_their_order_with_their_windows(organisation, vans) -> None:
    assert counts(upload(organisation, ORDERS)) == {"created": 3}
    assert plan(vans[0]) == [("A-1", "Hub"), ("A-3", "Depot")]
    assert plan(vans[1]) == [("A-2", "Kirana")]
    hub, depot = Stop.objects.filter(vehicle=vans[0]).order_by("sequence")
    assert hub.earliest_at == datetime(2026, 11, 22, 3, 30, tzinfo=UTC)  # Indian time, as nothing else was said
    assert hub.due_at == datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert depot.due_at == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_the_same_file_twice_changes_nothing(organisation, vans) -> None:
    upload(organisation, ORDERS)
    before = list(Stop.objects.order_by("pk").values())
    assert counts(upload(organisation, "\ufeff" + ORDERS.replace(",", ";"))) == {"unchanged": 3}
    assert list(Stop.objects.order_by("pk").values()) == before


def test_a_dry_run_tells_and_stores_nothing(organisation, vans) -> None:
    assert counts(upload(organisation, ORDERS, "?dry_run=true")) == {"created": 3}
    assert not Stop.objects.exists()
    upload(organisation, ORDERS)
    changed = ORDERS.replace("Hub", "Hub 2")
    assert counts(upload(organisation, changed, "?dry_run=true")) == {"updated": 1, "unchanged": 2}
    assert plan(vans[0])[0] == ("A-1", "Hub")


def test_a_changed_line_changes_its_stop_and_another_plate_moves_it(organisation, vans) -> None:
    upload(organisation, ORDERS)
    Stop.objects.filter(external_id="A-1").update(reached_at=NOON)
    changed = ORDERS.replace("Kirana", "Kirana 2").replace("ka03 mx 1,A-1", "KA03MX2,A-1")
    assert counts(upload(organisation, changed)) == {"updated": 1, "moved": 1, "unchanged": 1}
    assert plan(vans[0]) == [("A-3", "Depot")]
    assert plan(vans[1]) == [("A-2", "Kirana 2"), ("A-1", "Hub")]
    assert Stop.objects.get(external_id="A-1").reached_at is None


def test_what_is_done_stays_done_and_other_stops_stay_in_front(organisation, vans) -> None:
    services.set_stops(vehicle_id=vans[0].pk, stops=[services.PlannedStop("By hand", 12.9, 77.6)])
    upload(organisation, ORDERS)
    assert plan(vans[0]) == [("", "By hand"), ("A-1", "Hub"), ("A-3", "Depot")]
    services.complete_stop(stop_id=Stop.objects.get(external_id="A-1").pk, at=NOON)
    assert counts(upload(organisation, ORDERS.replace("Hub", "Elsewhere"))) == {"done": 1, "unchanged": 2}
    assert Stop.objects.get(external_id="A-1").name == "Hub"


def test_a_list_that_is_put_in_another_order_keeps_the_planners_ids(organisation, vans) -> None:
    services.set_stops(vehicle_id=vans[0].pk, stops=[services.PlannedStop("Hub", 12.9, 77.6)])
    upload(organisation, ORDERS)
    client, address = client_of(organisation), f"/api/v1/vehicles/{vans[0].pk}/stops/"
    shown = client.get(address).json()
    answer = client.put(address, [shown[2], *shown[:2], {"name": "New", "latitude": 12.9, "longitude": 77.6}], "json")
    assert [(row["name"], row["external_id"]) for row in answer.json()] == [
        ("Depot", "A-3"), ("Hub", ""), ("Hub", "A-1"), ("New", ""),
    ]  # fmt: skip
    assert counts(upload(organisation, ORDERS)) == {"unchanged": 3}
    assert [external_id for external_id, _ in plan(vans[0])] == ["A-3", "", "A-1", ""]


def test_a_stop_that_keeps_its_name_and_place_in_a_new_list_stays_the_same_row(vans) -> None:
    def put(*names: str) -> list[Stop]:
        return services.set_stops(
            vehicle_id=vans[0].pk, stops=[services.PlannedStop(name, 12.9, 77.6, due_at=NOON) for name in names]
        )

    hub, shop, _ = put("Hub", "Shop", "Depot")
    Stop.objects.filter(name__in=("Hub", "Shop")).update(reached_at=NOON, due_at=None)
    assert [row.pk for row in put("Hub", "New", "Shop")][::2] == [hub.pk, shop.pk]
    stored = Stop.objects.filter(vehicle=vans[0]).order_by("sequence")
    assert list(stored.values_list("sequence", "name", "due_at", "reached_at")) == [
        (1, "Hub", NOON, NOON), (2, "New", NOON, None), (3, "Shop", NOON, None),
    ]  # fmt: skip
    put()
    assert not stored.exists()


def test_many_changed_lines_are_written_as_rows_and_not_case_by_case(organisation, vans) -> None:
    lines = [f"KA 03 MX 1,A-{n},Hub,12.9,77.6,," for n in range(900)]
    upload(organisation, HEAD + "\n".join(lines))
    with CaptureQueriesContext(connection) as sent:
        assert counts(upload(organisation, HEAD + "\n".join(lines).replace("Hub", "Hub 2"))) == {"updated": 900}
    assert Stop.objects.filter(name="Hub 2").count() == 900
    assert not [query for query in sent if "WHEN" in query["sql"]]


def test_every_wrong_line_is_named_and_nothing_is_stored(organisation, vans) -> None:
    wrong = HEAD + (
        "KA 03 MX 1,B-1,Hub,12.9,77.6,,\n"
        "KA 99 XX 9,B-2,Hub,12.9,77.6,,\n"
        "KA 03 MX 1,,Hub,12.9,77.6,,\n"
        "KA 03 MX 1,B-4,Hub,north,77.6,,\n"
        "KA 03 MX 1,B-5,Hub,77.6,12.9,,\n"
        "KA 03 MX 1,B-6,Hub,12.9,77.6,noon,\n"
        "KA 03 MX 1,B-7,Hub,12.9,77.6,2026-11-22 12:00,2026-11-22 11:00\n"
        "KA 03 MX 1,B-1,Hub,12.9,77.6,,\n"
        "KA 03 MX 1,B-9,Hub,nan,77.6,,\n"
        "KA 03 MX 1,B-10,Hub,12.9,77.6,0001-01-01T00:00:00,\n"
        "KA 03 MX 1,B-11,Hub,12.9,77.6,,9999-12-31T23:59:59Z\n"
    )
    status, body = upload(organisation, wrong)
    assert (status, body["code"]) == (400, "invalid_lines")
    assert [(row["line"], row["column"], row["code"]) for row in body["problems"]] == [
        (3, "vehicle", "unknown_vehicle"), (4, "external_id", "invalid"), (5, "latitude", "invalid"),
        (6, "latitude", "coordinates"), (7, "earliest_at", "invalid"), (8, "due_at", "invalid"),
        (9, "external_id", "repeated"), (10, "latitude", "coordinates"),
        (11, "earliest_at", "invalid"), (12, "due_at", "invalid"),
    ]  # fmt: skip
    assert not Stop.objects.exists()


LONG = b"x" * 200_000


@pytest.mark.parametrize("content", [
    b"", b"vehicle,name\nKA 03 MX 1,Hub\n", "vehicle,é".encode("latin-1"), b'a,"b', HEAD.encode() + LONG, LONG,
])  # fmt: skip
def test_a_file_that_is_none_is_refused_in_words(organisation, vans, content) -> None:
    status, body = upload(organisation, content)
    assert (status, body["code"]) == (400, "unreadable_file")


def test_another_fleet_neither_finds_the_vehicle_nor_moves_the_stop(organisation, other_organisation, vans) -> None:
    upload(organisation, ORDERS)
    status, body = upload(other_organisation, ORDERS)
    assert (status, {row["code"] for row in body["problems"]}) == (400, {"unknown_vehicle"})
    make_vehicle(other_organisation, registration="KA 03 MX 1")
    own = HEAD + "KA 03 MX 1,A-1,Theirs,12.9,77.6,,\n"
    assert counts(upload(other_organisation, own)) == {"created": 1}
    assert plan(vans[0]) == [("A-1", "Hub"), ("A-3", "Depot")]


def test_columns_that_are_not_known_are_named(organisation, vans) -> None:
    text = ORDERS.replace("due_at\n", "due_at,Load kg,,colour\n", 1)
    status, answer = upload(organisation, text)
    assert (status, answer["created"], answer["unknown_columns"]) == (200, 3, ["load_kg", "colour"])
    assert upload(organisation, ORDERS)[1]["unknown_columns"] == []
    status, answer = upload(organisation, text.replace("12.9,", "x,", 1))
    assert (status, answer["unknown_columns"]) == (400, ["load_kg", "colour"])


def test_a_column_that_comes_twice_is_refused(organisation, vans) -> None:
    status, answer = upload(organisation, ORDERS.replace("due_at\n", "due_at,Name\n", 1))
    assert (status, answer["code"], "twice: name" in answer["detail"]) == (400, "unreadable_file", True)


def visit_much(van: Vehicle) -> None:
    """A year of it, in a large fleet."""
    Vehicle.objects.bulk_create(
        Vehicle(organisation=van.organisation, model=van.model, registration=f"KA 09 {n}") for n in range(500)
    )
    Stop.objects.bulk_create(
        Stop(vehicle=van, sequence=10 + n, name="x", latitude=12.9, longitude=77.6, external_id=f"old-{n}")
        for n in range(3_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE vehicles_stop, vehicles_vehicle")


def plan_of(query: str, params: list) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query}", params)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_ids_and_last_places_are_found_by_their_indexes(organisation, vans) -> None:
    upload(organisation, ORDERS)
    visit_much(vans[1])
    with CaptureQueriesContext(connection) as asked:
        upload(organisation, ORDERS)
    [by_id] = [row["sql"] for row in asked if "external_id" in row["sql"] and "FOR NO KEY UPDATE" in row["sql"]]
    assert "stops_by_external_id" in plan_of(by_id.replace("%", "%%"), [])
    assert 'ORDER BY "vehicles_stop"."id"' in by_id  # as visits.FOLLOW locks them
    ids = [van.pk for van in vans]
    assert "one_stop_per_place_in_line" in plan_of(LAST_PLACES, [ids])
    with connection.cursor() as cursor:
        cursor.execute(LAST_PLACES, [ids])
        assert sorted(cursor.fetchall()) == sorted(zip(ids, (2, 3_009), strict=True))
