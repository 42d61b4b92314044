"""The tables of the dashboard: filter and order in the address, pages by key, streamed files, own rows only."""

import csv
import io
import zipfile
from datetime import datetime, timedelta
from xml.etree import ElementTree

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
    file = records(desk.get("/fleet/" + answer.context["exports"][0][1]))
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
    monkeypatch.setattr("dispatch.tables.files.PIECE_ROWS", 2)
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


@pytest.mark.parametrize("path", PAGES)
def test_the_way_back_shows_the_pages_of_the_way_there(path, desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.views.PAGE_ROWS", 3)
    fill(organisation, 8)
    table = next(one for one in vars(kinds).values() if isinstance(one, kinds.Table) and one.name == path_name(path))
    for sort in table.sorts:
        there = [answer := desk.get(f"{path}?sort={sort}")]
        while answer.context["next"]:
            there.append(answer := desk.get(path + answer.context["next"]))
        back = [answer]
        while answer.context["previous"]:
            back.append(answer := desk.get(path + answer.context["previous"]))
        assert [keys_of(page) for page in back[::-1]] == [keys_of(page) for page in there], sort
        assert len(there) == 3 and not answer.context["first"]


def keys_of(answer):
    return [getattr(row, "pk", None) or row.id for row in rows_of(answer)]


def test_less_than_a_page_on_the_way_back_is_the_first_page(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.views.PAGE_ROWS", 3)
    fill(organisation, 5)
    second = desk.get("/sessions/" + desk.get("/sessions/").context["next"])
    ChargingSession.objects.filter(pk=ChargingSession.objects.order_by("-started_at").first().pk).update(
        started_at=timezone.now() - timedelta(days=2)
    )
    first = desk.get("/sessions/" + second.context["previous"])
    assert len(rows_of(first)) == 3 and not first.context["previous"]


def sheet_of(answer):
    """Rows of values as the file holds them: texts, numbers, and instants as a spreadsheet counts days."""
    assert answer["Content-Type"].endswith("spreadsheetml.sheet")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not list(sheet.iter(f"{name}f"))
    return [
        {cell.get("r").rstrip("0123456789"): "".join(cell.itertext()) for cell in row}
        for row in sheet.iter(f"{name}row")
    ]


def test_a_sheet_has_numbers_instants_and_no_formulas(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.files.PIECE_ROWS", 2)
    fill(organisation, 5)
    Vehicle.objects.filter(pk=Vehicle.objects.first().pk).update(registration="=1+1")
    answer = desk.get("/fleet/", {"export": "xlsx", "sort": "plate"})
    head, *rows = sheet_of(answer)
    assert list(head.values()) == list(kinds.FLEET.fields)
    assert len(rows) == 5 and rows[0]["A"] == "=1+1"
    assert [float(row["E"]) for row in rows] == [state.soc_percent for state in states_by_plate()]
    at = timezone.localtime(states_by_plate()[0].soc_at).replace(tzinfo=None, microsecond=0)
    assert datetime(1899, 12, 30) + timedelta(days=float(rows[0]["G"])) == pytest.approx(at, abs=timedelta(seconds=1))


def states_by_plate():
    return list(VehicleState.objects.order_by("vehicle__registration"))


@pytest.mark.parametrize("path", PAGES)
def test_every_sheet_has_the_rows_of_its_page_and_nobody_elses(path, desk, organisation, other_organisation):
    fill(organisation, 2)
    fill(other_organisation, 1)
    table = next(one for one in vars(kinds).values() if isinstance(one, kinds.Table) and one.name == path_name(path))
    head, *rows = sheet_of(desk.get(path, {"export": "xlsx"}))
    assert tuple(head.values()) == table.fields and len(rows) == 2


def test_a_sheet_that_would_be_too_long_is_refused_with_a_way_out(desk, organisation, monkeypatch):
    monkeypatch.setattr("dispatch.tables.files.MOST_SHEET_ROWS", 2)
    fill(organisation, 3)
    answer = desk.get("/sessions/", {"export": "xlsx"})
    assert answer.status_code == 400 and "take the CSV file" in answer.text
    assert len(records(desk.get("/sessions/", {"export": "csv"}))) == 3


def test_chosen_alerts_are_snoozed_and_closed_at_once(desk, organisation):
    fill(organisation, 3)
    first, second, third = Alert.objects.order_by("pk")
    answer = desk.post("/alerts/?sort=oldest", {"do": "snooze", "row": [first.pk, second.pk]}, follow=True)
    assert answer.request["QUERY_STRING"] == "sort=oldest" and "2 done." in answer.text
    hidden = Alert.objects.filter(snoozed_until__gt=timezone.now())
    assert set(hidden) == {first, second}
    services.close_alert(alert_id=third.pk, actor=None, reason="gone", now=timezone.now())
    answer = desk.post("/alerts/", {"do": "close", "row": [second.pk, third.pk]}, follow=True)
    assert "1 done. 1 not, see below." in answer.text
    assert Alert.objects.open().get() == first


def test_chosen_places_are_given_up(desk, organisation):
    fill(organisation, 2)
    held = Reservation.objects.first()
    Reservation.objects.filter(pk=held.pk).update(state="confirmed")
    answer = desk.post(
        "/reservations/", {"do": "cancel", "row": [row.pk for row in Reservation.objects.all()]}, follow=True
    )
    assert "1 done. 1 not, see below." in answer.text
    assert set(Reservation.objects.values_list("state", flat=True)) == {"cancelled"}


def test_nobody_does_anything_with_the_rows_of_another_fleet(client, stranger, organisation):
    fill(organisation, 1)
    client.force_login(stranger)
    answer = client.post(
        "/alerts/", {"do": "close", "row": [Alert.objects.get().pk, "1e9", "x", "9" * 30]}, follow=True
    )
    assert "0 done." in answer.text
    assert Alert.objects.open().exists()


@pytest.mark.parametrize(("path", "name"), [("/alerts/", "cancel"), ("/fleet/", "close"), ("/alerts/", "")])
def test_what_a_table_does_not_offer_is_not_done(path, name, desk, organisation):
    fill(organisation, 1)
    assert desk.post(path, {"do": name, "row": [Alert.objects.get().pk]}).status_code == 403
    assert Alert.objects.open().exists()


def test_who_may_only_look_is_offered_nothing(client, finance, organisation):
    fill(organisation, 1)
    client.force_login(finance)
    assert 'name="row"' not in client.get("/alerts/").text
    assert client.post("/alerts/", {"do": "close", "row": [Alert.objects.get().pk]}).status_code == 403


def test_nothing_chosen_is_said(desk, organisation):
    fill(organisation, 1)
    assert "Choose rows first." in desk.post("/alerts/", {"do": "close"}, follow=True).text
