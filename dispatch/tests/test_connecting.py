"""Connecting a vehicle: its id as a code, unknown devices claimed with one click, odd senders explained."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from fleetcharge.accounts.models import Membership, User
from vehicles import services
from vehicles.fixes import CLOCK_CORRECTED, INDIAN_CLOCK
from vehicles.models import RawPacket, UnknownDevice, Vehicle
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def desk(client, organisation):
    """A dispatcher who is signed in."""
    user = User.objects.create_user("desk@fleet.example", "correct horse")
    Membership.objects.create(user=user, organisation=organisation, role=Membership.Role.OWNER)
    client.force_login(user)
    return client


def store_pings(vehicle: Vehicle, *, flags: int = 0, factor: float = 1.0) -> None:
    """A minute at 36 km/h, with a ping in ten seconds."""
    with connection.cursor() as cursor:
        for n in range(8):
            at = NOON + timedelta(seconds=10 * n)
            cursor.execute(
                "INSERT INTO vehicles_position (vehicle_id, fix_at, delay_cs, latitude_e7, longitude_e7, speed_dkmh,"
                " soc_permille, flags) VALUES (%s, %s, %s, %s, 776000000, %s, 500, %s)",
                [vehicle.pk, at, 200, 129000000 + n * 8993, round(360 * factor), flags],
            )


def test_a_new_id_is_a_secret_and_a_code_for_the_phone(desk, organisation) -> None:
    van = make_vehicle(organisation, device_id=None)
    page = desk.get(f"/fleet/{van.pk}/connect/").content.decode()
    assert "Code for the phone" not in page
    desk.post(f"/fleet/{van.pk}/connect/new/")
    van.refresh_from_db()
    first = van.device_id
    assert len(first) >= 22  # 128 bits
    page = desk.get(f"/fleet/{van.pk}/connect/").content.decode()
    assert first in page
    assert "Code for the phone" in page
    desk.post(f"/fleet/{van.pk}/connect/new/")
    van.refresh_from_db()
    assert van.device_id != first


def test_a_device_that_nobody_knew_is_claimed_with_one_click(desk, organisation) -> None:
    van = make_vehicle(organisation, device_id=None)
    device = UnknownDevice.objects.create(organisation=organisation, device_id="new-tracker", last_message='{"ts": 1}')
    page = desk.get("/fleet/connect/").content.decode()
    assert "new-tracker" in page
    assert "{&quot;ts&quot;: 1}" in page
    answer = desk.post("/fleet/connect/claim/", {"device": device.pk, "vehicle": van.pk})
    assert answer.headers["Location"] == f"/fleet/{van.pk}/connect/"
    van.refresh_from_db()
    assert van.device_id == "new-tracker"
    assert not UnknownDevice.objects.exists()


def test_no_vehicle_is_chosen_before_somebody_chooses(desk, organisation) -> None:
    make_vehicle(organisation, device_id=None)
    UnknownDevice.objects.create(organisation=organisation, device_id="new-tracker")
    page = desk.get("/fleet/connect/").content.decode()
    assert page.count('required><option value="">') == page.count('name="vehicle"') == 2


def test_an_imei_is_claimed_once_it_was_heard_by_tcp(desk, organisation, other_organisation) -> None:
    van, imei = make_vehicle(organisation, device_id=None), "861359030000001"
    for typed, said in ((imei, "has not reported to us by TCP"), ("12345", "15 digits")):
        answer = desk.post("/fleet/connect/claim/", {"imei": typed, "vehicle": van.pk}, follow=True)
        assert said in answer.content.decode()
    UnknownDevice.objects.create(organisation=None, device_id=imei)
    assert imei not in desk.get("/fleet/connect/").content.decode()  # shown to nobody
    desk.post("/fleet/connect/claim/", {"imei": imei, "vehicle": van.pk})
    van.refresh_from_db()
    assert van.device_id == imei
    page = desk.get(f"/fleet/{van.pk}/connect/").content.decode()
    assert "under the IMEI 861359030000001" in page
    assert "Code for the phone" not in page


def test_devices_and_vehicles_of_strangers_do_not_exist(desk, organisation, other_organisation) -> None:
    van, theirs = make_vehicle(organisation, device_id=None), make_vehicle(other_organisation, device_id=None)
    own = UnknownDevice.objects.create(organisation=organisation, device_id="own")
    strange = UnknownDevice.objects.create(organisation=other_organisation, device_id="strange")
    nobodys = UnknownDevice.objects.create(organisation=None, device_id="a-phones-secret")
    page = desk.get("/fleet/connect/").content.decode()
    assert "strange" not in page
    assert "a-phones-secret" not in page
    for device, vehicle in ((own, theirs), (strange, van), (nobodys, van)):
        answer = desk.post("/fleet/connect/claim/", {"device": device.pk, "vehicle": vehicle.pk})
        assert answer.status_code == 404
    assert desk.post("/fleet/connect/claim/", {"device": "x", "vehicle": "²"}).status_code == 404
    assert desk.get(f"/fleet/{theirs.pk}/connect/").status_code == 404
    assert desk.post(f"/fleet/{theirs.pk}/connect/new/").status_code == 404
    assert not Vehicle.objects.exclude(device_id=None).exists()


def test_a_device_that_reports_for_another_vehicle_stays_with_it(desk, organisation, other_organisation) -> None:
    make_vehicle(other_organisation, device_id="taken")
    van = make_vehicle(organisation, device_id=None)
    device = UnknownDevice.objects.create(organisation=organisation, device_id="taken")
    answer = desk.post("/fleet/connect/claim/", {"device": device.pk, "vehicle": van.pk}, follow=True)
    assert "another vehicle" in answer.content.decode()
    van.refresh_from_db()
    assert van.device_id is None


def test_the_page_explains_a_clock_and_a_unit(desk, organisation) -> None:
    van = make_vehicle(organisation)
    store_pings(van, flags=CLOCK_CORRECTED | INDIAN_CLOCK, factor=1 / 1.852)
    page = desk.get(f"/fleet/{van.pk}/connect/").content.decode()
    assert "Indian time" in page
    assert "looks like knots" in page
    assert "metres per second" not in page
    assert "50 %" in page
    assert "2 s" in page


def test_who_may_not_change_vehicles_sees_none_of_it(client, organisation) -> None:
    van = make_vehicle(organisation)
    user = User.objects.create_user("driver@fleet.example", "correct horse")
    Membership.objects.create(user=user, organisation=organisation, role=Membership.Role.DRIVER)
    client.force_login(user)
    for path in ("/fleet/connect/", f"/fleet/{van.pk}/connect/"):
        assert client.get(path).status_code == 403
    assert client.post(f"/fleet/{van.pk}/connect/new/").status_code == 403


def test_the_page_shows_packets_with_their_errors_and_begins_to_watch(desk, organisation, other_organisation) -> None:
    van, theirs = make_vehicle(organisation), make_vehicle(other_organisation)
    outcome = [
        {"at": NOON.isoformat(), "latitude": 12.9, "longitude": 77.6, "speed_kmh": 36, "soc_percent": 44, "flags": 4},
        {"code": "coordinates", "detail": "(0, 0) is no place a vehicle can be."},
    ]
    RawPacket.objects.create(vehicle=van, raw='{"lat": "<b>"}', outcome=outcome)
    RawPacket.objects.create(vehicle=theirs, raw="somebody else's")
    for path in (f"/fleet/{van.pk}/connect/", f"/fleet/{van.pk}/connect/packets/"):
        page = desk.get(path).content.decode()
        for text in ("{&quot;lat&quot;: &quot;&lt;b&gt;&quot;}", "12.90000, 77.60000", "44 %", "late", "coordinates"):
            assert text in page
        assert "somebody else" not in page
    van.refresh_from_db()
    assert van.watched_until is not None
    assert desk.get(f"/fleet/{theirs.pk}/connect/packets/").status_code == 404


def test_a_device_moves_to_another_vehicle_and_off_it(desk, organisation, other_organisation) -> None:
    van, other = make_vehicle(organisation, device_id="a-secret"), make_vehicle(organisation, device_id=None)
    theirs = make_vehicle(other_organisation, device_id=None)
    assert desk.post(f"/fleet/{van.pk}/connect/move/", {"vehicle": theirs.pk}).status_code == 404
    assert desk.post(f"/fleet/{theirs.pk}/connect/move/", {"vehicle": van.pk}).status_code == 404
    nowhere = desk.post(f"/fleet/{van.pk}/connect/move/", {"vehicle": ""}, follow=True)
    assert nowhere.redirect_chain == [(f"/fleet/{van.pk}/connect/", 302)]
    assert "Choose a vehicle" in [str(said) for said in nowhere.context["messages"]]
    assert Vehicle.objects.get(device_id="a-secret") == van
    answer = desk.post(f"/fleet/{van.pk}/connect/move/", {"vehicle": other.pk})
    assert answer.headers["Location"] == f"/fleet/{other.pk}/connect/"
    page = desk.get(f"/fleet/{other.pk}/connect/").content.decode()
    assert "a-secret" in page.partition("Devices by time")[2]
    assert "still" in page
    assert "still" not in desk.get(f"/fleet/{van.pk}/connect/").content.decode()
    desk.post(f"/fleet/{other.pk}/connect/move/", {"vehicle": "", "release": "1"})
    assert not Vehicle.objects.exclude(device_id=None).exists()


def test_a_move_that_cannot_be_is_told_and_one_of_before_says_what_stays(desk, organisation) -> None:
    van, other = make_vehicle(organisation, device_id="a"), make_vehicle(organisation, device_id="b")
    address, now = f"/fleet/{van.pk}/connect/move/", datetime.now(UTC)

    def told(**values) -> str:
        return desk.post(address, {"vehicle": other.pk, **values}, follow=True).content.decode()

    assert "Say when it was moved" in told(since="yesterday")
    assert "Say when it was moved" in told(since=(now + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M"))
    assert "The device was elsewhere then" in told(since=(now - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M"))
    van.refresh_from_db()
    assert van.device_id == "a"
    page = told(since=(now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M"))
    assert "what is stored stays where it is" in page
    assert "Its tracker so far, b, reports for nobody now." in page
    other.refresh_from_db()
    assert other.device_id == "a"


def test_a_move_that_somebody_else_was_quicker_with_is_told(desk, organisation, monkeypatch) -> None:
    van, other = make_vehicle(organisation, device_id="a"), make_vehicle(organisation, device_id=None)

    def taken(**wanted) -> None:
        raise services.DeviceTaken("a")

    monkeypatch.setattr(services, "claim_device", taken)
    answer = desk.post(f"/fleet/{van.pk}/connect/move/", {"vehicle": other.pk}, follow=True)
    assert "This device reports for another vehicle." in answer.content.decode()
