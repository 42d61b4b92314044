"""The vehicles' pages of the admin: a fleet sees its own rows, in few queries."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import IntegrityError, transaction
from django.forms.models import model_to_dict

from fleetcharge.accounts.models import Membership
from vehicles.admin import VehicleAdmin
from vehicles.geofences import services as geofences
from vehicles.models import GeofenceEvent, IdToken, Shift, UnknownDevice, Vehicle, VehicleModel
from vehicles.tests.factories import NOON, make_driver, make_state, make_vehicle

pytestmark = pytest.mark.django_db
LISTS = ["vehicle", "driver", "shift", "idtoken", "unknowndevice", "vehiclemodel", "geofence", "geofenceevent"]


def furnish(organisation, plate: str) -> None:
    van = make_vehicle(organisation, registration=plate, device_id=f"d-{plate}")
    make_state(van)
    driver = make_driver(organisation, name=f"Driver of {plate}")
    Shift.objects.create(
        organisation=organisation, vehicle=van, driver=driver, starts_at=NOON, ends_at=NOON + timedelta(hours=8)
    )
    IdToken.objects.create(organisation=organisation, uid=f"T{plate}", vehicle=van)
    UnknownDevice.objects.create(organisation=organisation, device_id=f"U{plate}")
    circle = {"type": "Point", "coordinates": [77.6, 12.9]}
    fence = geofences.draw(organisation_id=organisation.pk, name=f"Yard of {plate}", geometry=circle, radius_m=200)
    GeofenceEvent.objects.create(
        organisation=organisation, geofence=fence, vehicle=van, kind="left", at=NOON, latitude=12.9, longitude=77.6
    )


@pytest.mark.parametrize("name", LISTS)
def test_an_owner_sees_the_own_rows_and_nobody_elses(client, owner, organisation, other_organisation, name) -> None:
    furnish(organisation, "KA03OURS")
    furnish(other_organisation, "KA03THEIRS")
    client.force_login(owner)
    page = client.get(f"/admin/vehicles/{name}/")
    assert page.status_code == 200
    assert "THEIRS" not in page.content.decode()
    assert "OURS" in page.content.decode() or name == "vehiclemodel"


def test_the_vehicle_page_opens_and_its_list_stays_cheap(
    client, owner, organisation, django_assert_max_num_queries
) -> None:
    for n in range(12):
        furnish(organisation, f"KA03N{n}")
    client.force_login(owner)
    with django_assert_max_num_queries(12):
        assert client.get("/admin/vehicles/vehicle/").status_code == 200
    pk = organisation.vehicles.first().pk
    assert client.get(f"/admin/vehicles/vehicle/{pk}/change/").status_code == 200
    assert client.post(f"/admin/vehicles/vehicle/{pk}/delete/").status_code == 403


def test_the_catalogue_is_looked_at_not_edited(client, owner) -> None:
    client.force_login(owner)
    pk = VehicleModel.objects.get(name="Ace EV").pk
    assert client.get(f"/admin/vehicles/vehiclemodel/{pk}/change/").status_code == 200
    assert client.post(f"/admin/vehicles/vehiclemodel/{pk}/change/", {"name": "Mine"}).status_code == 403


def test_a_shift_that_overlaps_is_refused_on_its_page_too(client, owner, organisation) -> None:
    furnish(organisation, "KA03OURS")
    first = Shift.objects.get()
    client.force_login(owner)

    def add(**changed):
        times = {"starts_at_0": "2030-01-01", "starts_at_1": "08:00", "ends_at_0": "2030-01-01", "ends_at_1": "16:00"}
        wanted = {"organisation": organisation.pk, "vehicle": first.vehicle_id, "driver": first.driver_id}
        return client.post("/admin/vehicles/shift/add/", {**wanted, **times, **changed})

    assert add().status_code == 302
    overlapping = add(starts_at_1="12:00", ends_at_1="20:00")
    assert overlapping.status_code == 200
    assert "This vehicle is on another shift then." in overlapping.content.decode()
    elsewhere = make_vehicle(organisation, registration="KA03OTHER", device_id="d-other")
    same_driver = add(vehicle=elsewhere.pk, starts_at_1="12:00", ends_at_1="20:00")
    assert "This driver is on another shift then." in same_driver.content.decode()
    assert Shift.objects.count() == 2
    assert add(starts_at_1="16:00", ends_at_1="20:00").status_code == 302  # shifts may touch


def test_the_database_refuses_an_overlap_whoever_writes(organisation) -> None:
    furnish(organisation, "KA03OURS")
    first = Shift.objects.get()
    for field in ("vehicle", "driver"):
        again = Shift(
            organisation=organisation, vehicle=first.vehicle, driver=first.driver,
            starts_at=NOON + timedelta(hours=1), ends_at=NOON + timedelta(hours=2),
        )  # fmt: skip
        if field == "vehicle":
            again.driver = make_driver(organisation, name="Somebody else")
        else:
            again.vehicle = make_vehicle(organisation, registration="KA03OTHER", device_id="d-other")
        with pytest.raises(IntegrityError, match=f"one_shift_at_a_time_per_{field}"), transaction.atomic():
            again.save()


@pytest.mark.parametrize("is_operator", [True, False])
def test_the_operator_alone_gives_an_imei_that_nobody_heard(organisation, owner, rf, is_operator) -> None:
    van = make_vehicle(organisation, device_id=None)
    request = rf.post("/")
    owner.is_superuser, request.user = is_operator, owner
    request.organisation, request.role = organisation, Membership.Role.OWNER
    form_class = VehicleAdmin(Vehicle, admin.site).get_form(request, van)
    form = form_class({**model_to_dict(van), "device_id": "861359030000001"}, instance=van)
    assert ("device_id" in form.errors) is not is_operator
