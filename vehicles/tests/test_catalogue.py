"""The catalogue of vehicle models: figures that can be divided by, and what was read at its source."""

from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.forms.models import model_to_dict

from vehicles.models import FIGURES, VehicleModel
from vehicles.tests.factories import make_model

pytestmark = pytest.mark.django_db
RULES = {"battery_wh": "a_battery_holds_something", "consumption_wh_per_km": "driving_takes_something"}


@pytest.mark.parametrize("figure", RULES)
def test_a_model_without_battery_or_appetite_is_refused_on_its_page_and_by_the_database(figure) -> None:
    model = make_model()
    setattr(model, figure, 0)
    with pytest.raises(ValidationError, match="at least 1 Wh"):
        model.full_clean()
    with pytest.raises(IntegrityError, match=RULES[figure]), transaction.atomic():
        model.save()


def test_an_upgrade_gives_rows_without_figures_cautious_ones_and_leaves_the_others_alone() -> None:
    migration = import_module("vehicles.migrations.0026_figures_that_can_be_divided_by")
    fine = make_model(figures_source="Weighed")
    with connection.schema_editor() as editor:
        for constraint in VehicleModel._meta.constraints[1:3]:
            editor.remove_constraint(VehicleModel, constraint)
        empty = make_model(battery_wh=0, consumption_wh_per_km=0, vehicle_class="3W", figures_source="Typed")
        half = make_model(battery_wh=0, consumption_wh_per_km=210)
        migration.fill(apps, editor)
        for constraint in VehicleModel._meta.constraints[1:3]:
            editor.add_constraint(VehicleModel, constraint)
    for model in (fine, empty, half):
        model.refresh_from_db()
    assert (fine.battery_wh, fine.figures_source) == (20_000, "Weighed")
    assert (empty.battery_wh, empty.consumption_wh_per_km) == (4_600, 90)
    assert empty.figures_source.startswith("Was 0") and empty.figures_source.endswith("Typed")
    assert (half.battery_wh, half.consumption_wh_per_km) == (13_000, 210)


def test_a_model_is_verified_once_every_figure_was_read() -> None:
    model = make_model(verified_figures=["battery_wh"])
    assert (model.is_verified, "plugs" in model.unverified_figures) == (False, True)
    model.verified_figures = [*FIGURES]
    model.save()
    assert (model.is_verified, model.unverified_figures) == (True, [])


def test_the_operator_ticks_what_was_read(client, organisation, owner) -> None:
    owner.is_superuser = True
    owner.save()
    client.force_login(owner)
    model = make_model()
    address = f"/admin/vehicles/vehiclemodel/{model.pk}/change/"
    fields = {name: value for name, value in model_to_dict(model).items() if name != "id"}
    known = {**fields, "plugs": "ccs2", "charge_curve": "[]", "verified_figures": ["battery_wh", "plugs"]}
    assert client.post(address, known).status_code == 302
    model.refresh_from_db()
    assert model.verified_figures == ["battery_wh", "plugs"]
    assert "battery_wh, plugs" in client.get("/admin/vehicles/vehiclemodel/?q=Test").content.decode()
