"""A plan that was accepted has its link at once, so that whoever is told of it can pass it on."""

from dispatch.driving import links
from dispatch.events import PlanChanged
from dispatch.models import ChargePlan
from fleetcharge.lib.events import record


@record(PlanChanged)
def make_the_drivers_link(event: PlanChanged) -> None:
    if event.state == ChargePlan.State.ACCEPTED:
        links.make(plan_id=event.plan_id, actor=None, now=event.at)
