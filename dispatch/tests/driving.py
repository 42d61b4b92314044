"""A van under way to a plug, and the page of its driver."""

from datetime import datetime, timedelta
from typing import Any

from django.test import Client

from dispatch.driving import links
from dispatch.driving.models import DriverLink
from dispatch.models import ChargePlan
from dispatch.services import accept_plan, answer_reservation
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from stations.models import Connector, Location
from vehicles.models import Vehicle


def plan_to(plug: Connector, van: Vehicle, at: datetime, **fields: Any) -> ChargePlan:
    """A proposal as the planner writes it."""
    values: dict[str, Any] = {
        "trigger": "soc_low", "trigger_key": f"soc:{van.pk}:{plug.pk}:{at.timestamp()}", "soc_percent": 18,
        "arrival_soc_percent": 12, "target_soc_percent": 80, "charge_seconds": 1800, "drive_seconds": 600,
        "plug_in_at": at + timedelta(minutes=10), "done_at": at + timedelta(minutes=40), "engine": "crow", **fields,
    }  # fmt: skip
    return ChargePlan.objects.create(
        organisation=van.organisation, vehicle=van, connector=plug, created_at=at, **values
    )


def under_way(organisation: Organisation, at: datetime, **site: Any) -> ChargePlan:
    """Accepted and reserved: a van 4 km from a plug of a network that its fleet may use."""
    place = factories.location(factories.public_network(organisation), latitude=12.99, longitude=77.62, **site)
    plug = factories.connector(place, at=at)
    plug.evse.physical_reference = "2"
    plug.evse.save()
    plan = plan_to(plug, factories.vehicle(organisation, at=at), at)
    accept_plan(plan_id=plan.pk, actor=None, actor_label="test", now=at)
    answer_reservation(reservation_key=str(plan.reservations.get().key), state="accepted", reason="", at=at)
    plan.refresh_from_db()
    return plan


def link_of(plan: ChargePlan) -> DriverLink:
    return plan.driver_links.get(kind=DriverLink.Kind.DRIVE)


def site_of(plan: ChargePlan) -> Location:
    assert plan.connector is not None
    return plan.connector.evse.location


def press(client: Client, plan: ChargePlan, deed: str, *, link: DriverLink | None = None, **said: Any) -> Any:
    path = links.path_of(link or link_of(plan))
    return client.post(f"{path}do/{deed}/", {"plan": plan.pk, **said}, headers={"X-Requested-With": "drive"})


def page(client: Client, plan: ChargePlan) -> str:
    return client.get(links.path_of(link_of(plan))).content.decode()
