"""A plan that was accepted has its link at once, so that whoever is told of it can pass it on."""

from dispatch.driving import links
from dispatch.events import PlanChanged
from dispatch.models import ChargePlan
from fleetcharge.lib.events import record_many


@record_many(PlanChanged)
def make_the_drivers_links(events: tuple[PlanChanged, ...]) -> None:
    accepted = [event.plan_id for event in events if event.state == ChargePlan.State.ACCEPTED]
    if accepted:
        links.make_each(plan_ids=accepted, now=events[0].at)
