"""The tables of the dashboard: filter and order in the address, pages by key, streamed files, own rows only."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from billing.models import ChargingSession
from dispatch import services
from dispatch.models import Alert, Reservation
from dispatch.tables import kinds, paging
from dispatch.tests import factories
from dispatch.wording import Says
from fleetcharge.accounts.models import Membership
from vehicles.models import Vehicle, VehicleState

pytestmark = pytest.mark.django_db
PAGES = ["/stations/", "/fleet/", "/sessions/", "/alerts/", "/reservations/"]
NOW = factories.NOW


@pytest.fixture(autouse=True)
def _language():
    with translation.override("en"):
        yield


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


def fill(organisation, count, *, at=None):
    """So many of each kind: a depot, a van with a session, an alert and a reservation there."""
    network = factories.source(organisation)
    at = at or timezone.now()
    for number in range(count):
        van = factories.vehicle(organisation, soc_percent=30 + number % 40, at=at)
        plug = factories.connector(factories.location(network, organisation=organisation), at=at)
        ChargingSession.objects.create(
            organisation=organisation, source=network, connector=plug, vehicle=van, transaction_ref=f"T{van.pk}",
            start_key=f"S{van.pk}", started_at=at - timedelta(hours=number), energy_wh=number * 100,
        )  # fmt: skip
        services.open_alert(
            organisation_id=organisation.pk, kind="money", dedupe_key=str(van.pk), says=Says("session_held"),
            vehicle_id=van.pk, now=at - timedelta(hours=number),
        )  # fmt: skip
        Reservation.objects.create(
            organisation=organisation, vehicle=van, connector=plug, state="cancelled", id_token="T",
            starts_at=at - timedelta(hours=number), expires_at=at + timedelta(hours=1),
        )  # fmt: skip


def rows_of(answer):
    return list(answer.context["rows"])


def records(answer):
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_any_length_takes_the_same_few_queries(path, desk, organisation):
    fill(organisation, 2)
    desk.get(path)
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert len(rows_of(desk.get(path))) == 2
    fill(organisation, 12)
    with CaptureQueriesContext(connection) as many:
        assert len(rows_of(desk.get(path))) == 14
    assert len(many) == len(few) <= 12


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_or_exports_the_rows_of_another_fleet(path, client, stranger, organisation):
    fill(organisation, 2)
    client.force_login(stranger)
    assert rows_of(client.get(path)) == []
    assert records(client.get(path, {"export": "csv"})) == []


@pytest.mark.parametrize("path", PAGES)
def test_every_page_by_key_shows_each_row_once_in_every_order(path, desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.views.PAGE_ROWS", 3)
    fill(organisation, 10)
    table = next(one for one in vars(kinds).values() if isinstance(one, kinds.Table) and one.name == path_name(path))
    for sort in table.sorts:
        seen, address = [], f"{path}?sort={sort}"
        while address:
            answer = desk.get(address)
            assert answer.context["counted"] == 10
            seen += [getattr(row, "pk", None) or row.id for row in rows_of(answer)]
            address = path + answer.context["next"] if answer.context["next"] else ""
        assert len(seen) == len(set(seen)) == 10, sort


def path_name(path):
    return {"/stations/": "station-list", "/fleet/": "fleet-list", "/sessions/": "session-list",
            "/alerts/": "alert-list", "/reservations/": "reservation-list"}[path]  # fmt: skip


def test_a_row_that_comes_meanwhile_moves_nobodys_place(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.views.PAGE_ROWS", 2)
    fill(organisation, 4)
    first = desk.get("/sessions/")
    fill(organisation, 1, at=timezone.now() + timedelta(hours=5))
    second = desk.get("/sessions/" + first.context["next"])
    assert not {row.pk for row in rows_of(first)} & {row.pk for row in rows_of(second)}
    assert [row.started_at for row in rows_of(second)] == sorted(
        [row.started_at for row in rows_of(second)], reverse=True
    )


def test_the_address_carries_filter_and_order_through_pages_and_file(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.views.PAGE_ROWS", 1)
    fill(organisation, 3)
    Vehicle.objects.filter(registration__endswith="3").update(registration="MH 12 ZZ 0001")
    answer = desk.get("/fleet/", {"q": "KA", "state": "driving", "sort": "charge"})
    assert "q=KA" in answer.context["next"] and "sort=charge" in answer.context["next"]
    file = records(desk.get("/fleet/" + answer.context["export"]))
    charges = [float(row["soc_percent"]) for row in file]
    assert charges == sorted(charges) and {row["state"] for row in file} == {"driving"}
    assert all(row["registration"].startswith("KA") for row in file)


def test_the_fleet_by_who_tells_the_charge(desk, organisation):
    fill(organisation, 3)
    told = VehicleState.objects.first()
    VehicleState.objects.filter(pk=told.pk).update(soc_source="driver")
    assert [row.id for row in rows_of(desk.get("/fleet/", {"source": "driver"}))] == [told.pk]


def test_days_are_the_fleets_and_both_ends_count(desk, organisation):
    fill(organisation, 1, at=NOW.replace(hour=18, minute=29))  # 23:59 of 2 March in India
    for asked, count in (
        ({"since": "2026-03-02", "until": "2026-03-02"}, 1), ({"since": "2026-03-03"}, 0), ({"until": "2026-03-01"}, 0)
    ):  # fmt: skip
        assert len(rows_of(desk.get("/sessions/", asked))) == count, asked


def test_open_alerts_are_shown_unless_others_are_asked_for(desk, organisation, dispatcher):
    fill(organisation, 2)
    closed = Alert.objects.first()
    services.close_alert(alert_id=closed.pk, actor=dispatcher, reason="done", now=timezone.now())
    assert closed.pk not in [row.pk for row in rows_of(desk.get("/alerts/"))]
    assert [row.pk for row in rows_of(desk.get("/alerts/", {"state": "closed"}))] == [closed.pk]
    assert len(rows_of(desk.get("/alerts/", {"state": "all"}))) == 2
    hindi = desk.get("/alerts/", headers={"Accept-Language": "hi"})
    assert "एक सत्र वित्त विभाग के इंतज़ार में है" in hindi.text


def test_free_plugs_are_those_that_are_believed(desk, organisation):
    fill(organisation, 1)
    assert len(rows_of(desk.get("/stations/", {"free": "yes"}))) == 1
    fill(organisation, 1, at=timezone.now() - timedelta(days=3))
    assert len(rows_of(desk.get("/stations/", {"free": "yes"}))) == 1
    assert len(rows_of(desk.get("/stations/", {"free": "no"}))) == 1


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/fleet/", {"state": "flying"}), ("/sessions/", {"since": "yesterday"}), ("/sessions/", {"until": "0001-01-01"}),
     ("/alerts/", {"sort": "price"}), ("/stations/", {"q": "a\0b"}), ("/stations/", {"q": "x" * 81})],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_and_not_left_out(path, asked, desk, organisation):
    fill(organisation, 1)
    answer = desk.get(path, asked)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text and rows_of(answer) == []


@pytest.mark.parametrize("after", ["x", "", "eyJ9", "\0"])
def test_an_address_of_a_page_that_is_none_begins_at_the_beginning(after, desk, organisation):
    fill(organisation, 1)
    assert len(rows_of(desk.get("/sessions/", {"after": after}))) == 1


def test_the_place_of_one_order_is_none_in_another(organisation):
    row = factories.vehicle(organisation)
    cursor = paging.cursor_of(row, ("registration", "pk"))
    assert paging.values_in(cursor, ("registration", "pk")) == [row.registration, row.pk]
    assert paging.values_in(cursor, ("pk",)) is None


def test_a_file_is_read_in_pieces_and_is_safe_in_a_spreadsheet(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.views.PIECE_ROWS", 2)
    fill(organisation, 5)
    Vehicle.objects.filter(pk=Vehicle.objects.first().pk).update(registration="=1+1")
    answer = desk.get("/fleet/", {"export": "csv"})
    assert answer.streaming and answer["Content-Disposition"].startswith('attachment; filename="fleet-')
    file = records(answer)
    assert len(file) == 5 and sum(row["registration"] == "'=1+1" for row in file) == 1
    assert all(row["soc_at"].endswith("+05:30") for row in file)


@pytest.mark.parametrize("path", PAGES)
def test_every_file_has_the_columns_it_promises(path, desk, organisation):
    fill(organisation, 1)
    table = next(one for one in vars(kinds).values() if isinstance(one, kinds.Table) and one.name == path_name(path))
    (row,) = records(desk.get(path, {"export": "csv"}))
    assert tuple(row) == table.fields and None not in row.values()


@pytest.mark.parametrize("path", PAGES)
def test_where_nothing_is_there_the_page_says_so(path, desk, organisation):
    assert 'class="empty"' in desk.get(path).text
    assert "Nothing matches" in desk.get(path, {"q": "nowhere"}).text


@pytest.mark.parametrize("path", ["/sessions/", "/alerts/", "/reservations/", "/fleet/"])
def test_a_driver_may_see_none_of_it(path, client: Client, dispatcher):
    Membership.objects.filter(user=dispatcher).update(role="driver")
    client.force_login(dispatcher)
    assert client.get(path).status_code == 403
