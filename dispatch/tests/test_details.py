"""What a page is told of drivers, next stops and sources of charge after it was away."""

import pytest

from dispatch.details import DetailBook
from fleetcharge.accounts.models import Organisation


def book() -> DetailBook:
    made = DetailBook()
    made.turn(11, {1: {"driver": "Asha"}, 2: {"driver": "Ravi"}, 3: {"driver": ""}})
    made.turn(12, {1: {"driver": "Asha"}, 2: {"driver": "Tara"}, 3: {"driver": ""}})
    made.turn(13, {1: {"driver": "Om"}, 2: {"driver": "Tara"}, 3: {"driver": ""}})
    return made


@pytest.mark.parametrize(
    ("held", "told"),
    [(13, None), (12, {1: "Om"}), (11, {1: "Om", 2: "Tara"}), (99, {1: "Om", 2: "Tara", 3: ""}),
     (0, {1: "Om", 2: "Tara", 3: ""})],
)  # fmt: skip
def test_a_page_is_told_what_it_lacks_and_everything_when_that_is_unknown(held, told):
    message = book().since(held)
    assert message is None if told is None else {row["id"]: row["driver"] for row in message["vehicles"]} == told
    assert message is None or message["rev"] == 13


def test_a_vehicle_that_left_is_told_of_by_nobody():
    made = book()
    assert made.turn(14, {2: {"driver": "Tara"}})["vehicles"] == []
    assert [row["id"] for row in made.since(11)["vehicles"]] == [2]


@pytest.mark.django_db
def test_the_source_of_a_charge_and_the_appetite_are_told(organisation: Organisation):
    from dispatch import details
    from dispatch.tests import factories
    from vehicles.models import VehicleState

    vehicle = factories.vehicle(organisation, soc_source="estimated")
    first = details.revision(organisation.pk)
    assert details.read(organisation.pk)[vehicle.pk] == {
        "driver": "", "next_stop": None, "soc_source": "estimated", "range_wh_per_km": 140
    }  # fmt: skip
    assert details.read_if_moved(organisation.pk, first) is None
    VehicleState.objects.update(soc_source="driver", latitude=13.0)
    revision, rows = details.read_if_moved(organisation.pk, first)
    assert (revision != first, rows[vehicle.pk]["soc_source"]) == (True, "driver")
    VehicleState.objects.update(soc_percent=None, latitude=13.1)
    assert details.read(organisation.pk)[vehicle.pk]["soc_source"] == ""
