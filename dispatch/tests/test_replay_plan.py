"""`manage.py replay_plan`: a stored decision is made again from what it rested on."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from dispatch import services
from dispatch.core import VERSION
from dispatch.models import ChargePlan
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from stations.models import Connector

pytestmark = pytest.mark.django_db


def plan_for(organisation, *, km=1.0, soc_percent=18.0):
    source = factories.public_network(organisation)
    for number in range(2):
        factories.connector(factories.location(source, latitude=factories.HERE[0] + (km + number) / 111.2))
    vehicle = factories.vehicle(organisation, soc_percent=soc_percent)
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)


def replayed(plan, *options):
    out = StringIO()
    call_command("replay_plan", str(plan.pk), *options, stdout=out)
    return out.getvalue()


def test_the_same_answer_comes_out_however_the_world_has_changed(organisation):
    plan = plan_for(organisation)
    Connector.objects.update(status="faulted")
    said = replayed(plan)
    assert f"distances by crow, core {VERSION} (now {VERSION})" in said
    assert f"The same answer: plug {plan.connector_id} at {plan.connector.evse.location.name}" in said
    assert "₹" not in said


def test_every_plug_is_explained_when_asked_for(organisation):
    plan = plan_for(organisation)
    said = replayed(plan, "--explain")
    for one in plan.explanation["candidates"]:
        assert f"{one['connector_id']:>8}  ₹{one['total_paise'] / 100:>9.2f} = time" in said


def test_an_answer_that_nothing_is_in_reach_is_found_again(organisation):
    plan = plan_for(organisation, km=60, soc_percent=9)
    missing = plan.explanation["deficit_wh"]
    assert f"none (out_of_reach, {missing} Wh missing" in replayed(plan)


@pytest.mark.parametrize("of", ["figure", "plug", "missing"])
def test_another_answer_is_exit_code_1(organisation, of):
    plan = plan_for(organisation, km=60 if of == "missing" else 1, soc_percent=9 if of == "missing" else 18)
    if of == "figure":
        ChargePlan.objects.update(delay_seconds=1)
    elif of == "plug":
        ChargePlan.objects.update(connector=Connector.objects.exclude(pk=plan.connector_id).get())
    else:
        ChargePlan.objects.update(explanation=plan.explanation | {"deficit_wh": 1})
    with pytest.raises(CommandError) as refused:
        replayed(plan)
    assert refused.value.returncode == 1
    name = {"figure": "delay_seconds: 1 then", "plug": "connector_id:", "missing": "deficit_wh: 1 then"}[of]
    assert name in str(refused.value)


def test_a_plan_without_a_snapshot_and_one_that_is_not_there_say_so(organisation):
    plan = plan_for(organisation)
    ChargePlan.objects.update(snapshot={})
    with pytest.raises(CommandError, match="without a snapshot"):
        replayed(plan)
    with pytest.raises(CommandError, match="no plan 0"):
        call_command("replay_plan", "0")
