"""A tracker that moves: what it measured before is the old vehicle's, whenever it comes, and then the new one's."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from vehicles import alarms, services
from vehicles.intake import telemetry
from vehicles.models import DeviceAssignment, Position, TrackerAlarm, Vehicle
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle
from vehicles.tests.test_api import client_of

IMEI = "861359030000001"


def spans(device_id: str) -> list[tuple[int, bool, bool]]:
    """Whose, whether since ever, and whether still."""
    rows = DeviceAssignment.objects.filter(device_id=device_id).order_by("pk")
    return [(row.vehicle_id, row.starts_at is None, row.ends_at is None) for row in rows]


@pytest.mark.django_db
class TestTheRows:
    def test_whoever_writes_the_device_its_time_is_kept(self, organisation) -> None:
        van = make_vehicle(organisation, device_id="a")
        assert spans("a") == [(van.pk, True, True)]
        Vehicle.objects.filter(pk=van.pk).update(device_id="b")
        van.refresh_from_db()
        van.device_id = None
        van.save()
        assert (spans("a"), spans("b")) == ([(van.pk, True, False)], [(van.pk, True, False)])
        [other] = Vehicle.objects.bulk_create([
            Vehicle(organisation=organisation, model=van.model, registration="KA 1", device_id="a")
        ])  # fmt: skip
        assert spans("a") == [(van.pk, True, False), (other.pk, False, True)]
        first, second = DeviceAssignment.objects.filter(device_id="a").order_by("pk")
        assert first.ends_at == second.starts_at
        other.save()
        assert len(spans("a")) == 2

    def test_a_vehicle_without_a_device_has_no_row(self, organisation) -> None:
        make_vehicle(organisation, device_id=None)
        make_vehicle(organisation, device_id="")
        assert not DeviceAssignment.objects.exists()

    def test_a_device_is_on_one_vehicle_at_a_time(self, organisation) -> None:
        make_vehicle(organisation, device_id="a")
        other = make_vehicle(organisation, device_id=None)
        ended = datetime(2026, 11, 20, tzinfo=UTC)
        for times in ({}, {"ends_at": ended}, {"starts_at": ended}):
            with pytest.raises(IntegrityError, match="one_vehicle_at_a_time"), transaction.atomic():
                DeviceAssignment.objects.create(vehicle=other, device_id="a", **times)

    def test_a_claim_moves_it_only_when_asked_to_and_within_the_fleet(self, organisation, other_organisation) -> None:
        van, other = make_vehicle(organisation, device_id="a"), make_vehicle(organisation, device_id="b")
        theirs = make_vehicle(other_organisation, device_id=None)
        for vehicle, is_move in ((other, False), (theirs, False), (theirs, True)):
            with pytest.raises(services.DeviceTaken):
                services.claim_device(vehicle_id=vehicle.pk, device_id="a", is_move=is_move)
        services.claim_device(vehicle_id=other.pk, device_id="a", is_move=True)
        assert spans("a") == [(van.pk, True, False), (other.pk, False, True)]
        assert spans("b") == [(other.pk, True, False)]
        assert list(Vehicle.objects.filter(device_id="a")) == [other]
        services.claim_device(vehicle_id=other.pk, device_id="a", is_move=True)
        assert len(spans("a")) == 2

    def test_a_new_secret_ends_the_old_one_for_good_but_not_an_imei(self, organisation) -> None:
        van, tracked = make_vehicle(organisation, device_id="old"), make_vehicle(organisation, device_id=IMEI)
        services.replace_id(vehicle_id=van.pk, device_id="new")
        services.replace_id(vehicle_id=tracked.pk, device_id="newer")
        assert (spans("old"), spans("new")) == ([], [(van.pk, True, True)])
        assert spans(IMEI) == [(tracked.pk, True, False)]

    def test_a_new_secret_ends_the_old_one_also_where_it_was_before(self, organisation, other_organisation) -> None:
        theirs, before = make_vehicle(other_organisation, device_id="old"), make_vehicle(organisation, device_id=None)
        van = make_vehicle(organisation, device_id=None)
        services.release_device(vehicle_id=theirs.pk)
        services.claim_device(vehicle_id=before.pk, device_id="old")
        services.claim_device(vehicle_id=van.pk, device_id="old", is_move=True)
        services.replace_id(vehicle_id=van.pk, device_id="new")
        assert spans("old") == [(theirs.pk, True, False)]

    def test_over_the_api(self, organisation, other_organisation) -> None:
        van, other = make_vehicle(organisation, device_id="a"), make_vehicle(organisation, device_id=None)
        api, stranger = client_of(organisation), client_of(other_organisation)
        address = f"/api/v1/vehicles/{other.pk}/devices/"
        answer = api.post(address, {"device_id": "a"})
        assert (answer.status_code, answer.json()["code"]) == (409, "device_taken")
        assert "`move`" in answer.json()["detail"]
        assert api.post(address, {"device_id": "a", "move": True}).json()["device_id"] == "a"
        [row] = api.get(address).json()
        assert (row["device_id"], row["ends_at"]) == ("a", None)
        assert api.delete(address).status_code == 204
        assert api.delete(address).status_code == 204
        assert [row["ends_at"] is None for row in api.get(address).json()] == [False]
        for call in (stranger.get, stranger.post, stranger.delete):
            assert call(address).status_code == 404
        theirs = make_vehicle(other_organisation, device_id=None)
        taken = stranger.post(f"/api/v1/vehicles/{theirs.pk}/devices/", {"device_id": "a", "move": True})
        assert taken.status_code == 200  # nobody's now, and whoever knows the id may claim it
        services.release_device(vehicle_id=theirs.pk)
        assert not Vehicle.objects.filter(pk__in=(van.pk, other.pk)).exclude(device_id=None).exists()

    def test_a_move_is_dated_back_within_bounds(self, organisation, other_organisation) -> None:
        van, other = make_vehicle(organisation, device_id="a"), make_vehicle(organisation, device_id=None)
        now = datetime.now(UTC)
        since = now - timedelta(days=2)
        with pytest.raises(services.MovedTooEarly):
            services.claim_device(vehicle_id=other.pk, device_id="a", is_move=True, since=now - timedelta(days=8))
        assert spans("a") == [(van.pk, True, True)]  # nothing half done
        services.claim_device(vehicle_id=other.pk, device_id="a", is_move=True, since=since)
        first, second = DeviceAssignment.objects.filter(device_id="a").order_by("pk")
        assert (first.ends_at, second.starts_at, second.ends_at) == (since, since, None)
        services.claim_device(vehicle_id=van.pk, device_id="a", is_move=True, since=since + timedelta(days=1))
        with pytest.raises(services.MovedTooEarly):  # it was at `other` in between, which began later
            services.claim_device(vehicle_id=van.pk, device_id="a", since=since - timedelta(hours=1))
        services.release_device(vehicle_id=van.pk)
        theirs = make_vehicle(other_organisation, device_id=None)
        with pytest.raises(services.MovedTooEarly):
            services.claim_device(vehicle_id=theirs.pk, device_id="a", since=since)

    def test_who_is_second_hears_that_it_is_taken(self, organisation, monkeypatch) -> None:
        """Another claim was committed after this one had looked."""
        make_vehicle(organisation, device_id="a")
        van = make_vehicle(organisation, device_id=None)
        monkeypatch.setattr(services, "check_device", lambda **_: None)
        with pytest.raises(services.DeviceTaken):
            services.claim_device(vehicle_id=van.pk, device_id="a")
        answer = client_of(organisation).post(f"/api/v1/vehicles/{van.pk}/devices/", {"device_id": "a"})
        assert (answer.status_code, answer.json()["code"]) == (409, "device_taken")

    def test_the_answer_tells_what_else_has_changed(self, organisation) -> None:
        van, other = make_vehicle(organisation, device_id="a"), make_vehicle(organisation, device_id="b")
        api, address = client_of(organisation), f"/api/v1/vehicles/{other.pk}/devices/"
        since = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
        answer = api.post(address, {"device_id": "a", "move": True, "since": since}).json()
        assert (answer["device_id"], answer["moved_from"], answer["released_device_id"]) == ("a", van.registration, "b")
        assert DeviceAssignment.objects.get(vehicle=other, device_id="a").starts_at == datetime.fromisoformat(since)
        for days, status in ((-1, 400), (20, 409)):
            when = (datetime.now(UTC) - timedelta(days=days)).isoformat()
            assert api.post(address, {"device_id": "a", "since": when}).status_code == status
        again = api.post(address, {"device_id": "a"}).json()
        assert (again["moved_from"], again["released_device_id"]) == (None, None)

    def test_a_button_let_go_after_the_move_ends_the_call_of_before(self, organisation, other_organisation) -> None:
        van, other = make_vehicle(organisation, device_id=IMEI), make_vehicle(organisation, device_id=None)
        bystander = make_vehicle(organisation, device_id="b")
        now = datetime.now(UTC)
        call = {"kind": "emergency", "at": now - timedelta(minutes=3), "received_at": now}
        alarms.raise_alarm(device_id=IMEI, **call)
        alarms.raise_alarm(device_id="b", **call)
        moved(IMEI, van, other, now - timedelta(minutes=2))
        assert alarms.clear_alarm(device_id=IMEI, kind="emergency", at=now)
        assert TrackerAlarm.objects.get(cleared_at=None).vehicle == bystander

    def test_a_call_between_the_move_and_its_entry_ends_with_the_button(self, organisation) -> None:
        """It was stored for the vehicle of then, whose time was cut short afterwards."""
        earlier, van, other = [make_vehicle(organisation, device_id=name) for name in (IMEI, None, None)]
        now = datetime.now(UTC)
        moved(IMEI, earlier, van, now - timedelta(minutes=20))
        services.claim_device(vehicle_id=earlier.pk, device_id="b")
        for device_id in (IMEI, "b"):
            alarms.raise_alarm(device_id=device_id, kind="emergency", at=now - timedelta(minutes=3), received_at=now)
        dated_back = {"device_id": IMEI, "is_move": True, "since": now - timedelta(minutes=9)}
        services.claim_device(vehicle_id=other.pk, **dated_back)
        assert alarms.clear_alarm(device_id=IMEI, kind="emergency", at=now)
        assert TrackerAlarm.objects.get(cleared_at=None).vehicle == earlier  # whose call is that of another device

    def test_an_alarm_of_before_is_the_old_vehicles(self, organisation) -> None:
        van, other = make_vehicle(organisation, device_id=IMEI), make_vehicle(organisation, device_id=None)
        now = datetime.now(UTC)
        moved(IMEI, van, other, now - timedelta(minutes=2))
        before = {"device_id": IMEI, "kind": "emergency", "at": now - timedelta(minutes=3)}
        alarms.raise_alarm(**before, received_at=now)
        alarms.raise_alarm(**{**before, "at": now}, received_at=now)
        assert list(TrackerAlarm.objects.order_by("raised_at").values_list("vehicle", flat=True)) == [van.pk, other.pk]
        assert alarms.clear_alarm(device_id=IMEI, kind="emergency", at=now - timedelta(seconds=150))
        assert list(TrackerAlarm.objects.filter(cleared_at=None).values_list("vehicle", flat=True)) == [other.pk]


def moved(device_id: str, van: Vehicle, other: Vehicle | None, at: datetime) -> None:
    """It went from one to the other at that instant, or to nobody."""
    if other:
        is_move = van.organisation_id == other.organisation_id
        if not is_move:
            services.release_device(vehicle_id=van.pk)
        services.claim_device(vehicle_id=other.pk, device_id=device_id, is_move=is_move)
        DeviceAssignment.objects.filter(vehicle=van).update(ends_at=at)
        DeviceAssignment.objects.filter(vehicle=other).update(starts_at=at)
    else:
        services.release_device(vehicle_id=van.pk)
        DeviceAssignment.objects.filter(vehicle=van).update(ends_at=at)


def ping(at: datetime, device: str = "van-1") -> dict:
    return {"device": device, "ts": at.isoformat(), "lat": 12.97, "lon": 77.59}


def whose() -> list[int]:
    return list(Position.objects.order_by("fix_at").values_list("vehicle_id", flat=True))


@pytest.mark.django_db(transaction=True)
class TestPings:
    async def test_late_ones_are_the_old_vehicles_and_new_ones_the_new_ones(self, tracker, organisation) -> None:
        van, other = [await in_thread(make_vehicle, organisation, device_id=name) for name in ("van-1", None)]
        now = datetime.now(UTC)
        await in_thread(moved, "van-1", van, other, now - timedelta(minutes=20))
        pings = [ping(now - timedelta(minutes=minutes)) for minutes in (1, 19, 21, 300)]
        report = (await tracker.post("/ingest/v1/pings", json={"pings": pings})).json()
        assert (report["accepted"], report["rejected"]) == (4, [])
        assert await in_thread(whose) == [van.pk, van.pk, other.pk, other.pk]

    async def test_what_comes_late_goes_to_whom_it_is_of_since_the_move_was_dated_back(
        self, tracker, organisation
    ) -> None:
        van, other = [await in_thread(make_vehicle, organisation, device_id=name) for name in ("van-1", None)]
        now = datetime.now(UTC)
        stored = {"pings": [ping(now - timedelta(minutes=50))]}
        await tracker.post("/ingest/v1/pings", json=stored)
        claim = {"vehicle_id": other.pk, "device_id": "van-1", "is_move": True, "since": now - timedelta(hours=1)}
        await in_thread(lambda: services.claim_device(**claim))
        telemetry.registry.forget()
        pings = [ping(now - timedelta(minutes=minutes)) for minutes in (1, 40, 80)]
        report = (await tracker.post("/ingest/v1/pings", json={"pings": pings})).json()
        assert (report["accepted"], report["rejected"]) == (3, [])
        assert await in_thread(whose) == [van.pk, van.pk, other.pk, other.pk]  # stored stays; then by its instant

    async def test_in_between_it_was_nobodys(self, tracker, organisation) -> None:
        van = await in_thread(make_vehicle, organisation, device_id="van-1")
        now = datetime.now(UTC)
        await in_thread(moved, "van-1", van, None, now - timedelta(minutes=20))
        pings = [ping(now - timedelta(minutes=minutes)) for minutes in (1, 21)]
        report = (await tracker.post("/ingest/v1/pings", json={"pings": pings})).json()
        assert (report["accepted"], [row["code"] for row in report["rejected"]]) == (1, ["unknown_device"])
        assert await in_thread(whose) == [van.pk]

    async def test_a_phone_keeps_what_it_has_for_nobody_and_sends_what_is_of_before(self, door, organisation) -> None:
        van = await in_thread(make_vehicle, organisation, device_id="phone-8681234567")
        now = datetime.now(UTC)
        await in_thread(moved, "phone-8681234567", van, None, now - timedelta(minutes=20))

        async def send(minutes: int):
            at = int((now - timedelta(minutes=minutes)).timestamp())
            fields = {"id": "phone-8681234567", "timestamp": at, "lat": 12.97, "lon": 77.59}
            return await door.get("/ingest/osmand", params=fields)

        assert (await send(30)).status_code == 200
        answer = await send(1)
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_device")
        assert await in_thread(whose) == [van.pk]

    async def test_what_was_another_fleets_is_taken_from_its_own_key_alone(
        self, tracker, organisation, other_organisation
    ) -> None:
        theirs = await in_thread(make_vehicle, other_organisation, device_id="van-1")
        ours = await in_thread(make_vehicle, organisation, device_id=None)
        now = datetime.now(UTC)
        await in_thread(moved, "van-1", theirs, ours, now - timedelta(minutes=20))
        pings = [ping(now - timedelta(minutes=minutes)) for minutes in (1, 21)]
        report = (await tracker.post("/ingest/v1/pings", json={"pings": pings})).json()
        assert (report["accepted"], len(report["rejected"])) == (1, 1)
        assert await in_thread(whose) == [ours.pk]
