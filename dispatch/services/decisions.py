"""What a dispatcher (or the house, in automatic mode) decides about a plan."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from dispatch.events import PlanChanged
from dispatch.models import ChargePlan, Reservation
from dispatch.services import elsewhere, reservations, stories
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit, audit_each
from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish, publish_together
from fleetcharge.lib.rows import update_each

State = ChargePlan.State
UNDO_SECONDS = 10


class DecisionRefused(Exception):
    """The plan is not what the caller thinks any more; `code` for machines, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def accept_plan(
    *, plan_id: int, actor: User | None, actor_label: str = "", is_by_person: bool = True, now: datetime
) -> ChargePlan:
    """Promise the plug to the vehicle; the network is asked after the commit. Accepting twice is accepting once.

    What the vehicle holds elsewhere meanwhile is given up. DecisionRefused: plan_closed; connector_taken or
    connector_lost when the plug went meanwhile, and then another plan has been made; vehicle_has_place when a place
    that somebody reserved would be given up and no person says so.
    """
    try:
        return _accept(plan_id, actor, actor_label, is_by_person, now)
    except IntegrityError as error:
        if elsewhere.is_about_vehicle(error):
            raise DecisionRefused(elsewhere.CODE, "The vehicle was given another place just now.") from error
        refusal = DecisionRefused("connector_taken", "Another vehicle has this plug now; a new plan is being made.")
        refusal.__cause__ = error
    except DecisionRefused as error:
        refusal = error
    if refusal.code in ("connector_taken", "connector_lost"):
        from dispatch.services import following  # it replans, planning accepts in automatic mode, and that is here

        reason = "taken" if refusal.code == "connector_taken" else "faulted"
        following.replan(plan_id=plan_id, reason=reason, now=now)
    raise refusal


@again_after_deadlock  # it may hold one plug and ask for another
@transaction.atomic
def _accept(plan_id: int, actor: User | None, actor_label: str, is_by_person: bool, now: datetime) -> ChargePlan:
    plan = locked(plan_id)
    if plan.state in (State.ACCEPTED, State.RESERVED, State.CHARGING):
        return plan
    if plan.state != State.PROPOSED or plan.connector is None:
        raise DecisionRefused("plan_closed", f"This plan is no longer open ({plan.get_state_display()}).")
    if plan.connector.status in elsewhere.BROKEN:
        raise DecisionRefused("connector_lost", f"This plug is {plan.connector.get_status_display().lower()} now.")
    others = elsewhere.others(plan.vehicle_id, plan.connector.pk, *reservations.hold_of(plan, now))
    if not is_by_person and others.exists():
        raise DecisionRefused(elsewhere.CODE, str(elsewhere.refusal(others)))
    elsewhere.give_up_for(plan, others, actor=actor, actor_label=actor_label, now=now)
    reservations.promise(plan, actor=actor, now=now)
    move(plan, State.ACCEPTED, now, decided_at=now, decided_by=actor, undo_until=now + timedelta(seconds=UNDO_SECONDS))
    audit(
        action="plan.accept", target=plan, actor=actor, actor_label=actor_label,
        after={"connector_id": plan.connector_id},
    )  # fmt: skip
    return plan


def accept_each(plans: Sequence[ChargePlan], *, actor_label: str, now: datetime) -> list[ChargePlan]:
    """Accept proposals to vehicles of one fleet, one of each, in one transaction and by no person; those accepted.

    The others have to be accepted alone: something stands in their way, or somebody was quicker with one of them all.
    """
    try:
        return _accept_each(plans, actor_label, now) if plans else []
    except IntegrityError:
        return []


@again_after_deadlock
@transaction.atomic
def _accept_each(plans: Sequence[ChargePlan], actor_label: str, now: datetime) -> list[ChargePlan]:
    free = _without_obstacles(plans, now)
    if not free:
        return free
    facts = reservations.promise_each(free, now=now)
    for plan in free:
        plan.state, plan.decided_at = State.ACCEPTED, now
        plan.undo_until = now + timedelta(seconds=UNDO_SECONDS)
    update_each(free, ["state", "decided_at", "undo_until"])
    stories.tell_each(free, now=now)
    after = [(plan, {"connector_id": plan.connector_id}) for plan in free]
    audit_each(action="plan.accept", after=after, actor_label=actor_label)
    changed = [PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, plan.state, now) for plan in free]
    publish_together([*changed, *facts])
    return free


def _without_obstacles(plans: Sequence[ChargePlan], now: datetime) -> list[ChargePlan]:
    """Those still proposed, locked, whose plug works and whose vehicle is promised nothing at that time."""
    proposed = ChargePlan.objects.select_for_update(of=("self",)).filter(
        pk__in=[plan.pk for plan in plans], state=State.PROPOSED
    )
    works = dict(proposed.order_by("pk").values_list("pk", "connector__status"))
    held = Reservation.objects.active().filter(vehicle__in=[plan.vehicle_id for plan in plans])
    spans: defaultdict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for vehicle_id, *span in held.values_list("vehicle_id", "starts_at", "expires_at"):
        spans[vehicle_id].append((span[0], span[1]))
    free = [plan for plan in plans if works.get(plan.pk, elsewhere.BROKEN[0]) not in elsewhere.BROKEN]
    return [plan for plan in free if not _overlaps(spans[plan.vehicle_id], *reservations.hold_of(plan, now))]


def _overlaps(spans: Sequence[tuple[datetime, datetime]], starts_at: datetime, expires_at: datetime) -> bool:
    return any(begins < expires_at and ends > starts_at for begins, ends in spans)


@transaction.atomic
def dismiss_plan(
    *, plan_id: int, actor: User | None, actor_label: str = "", reason: str = "", now: datetime
) -> ChargePlan:
    """No, thank you. A promise already made is taken back; dismissing twice is dismissing once."""
    plan = locked(plan_id)
    if plan.state == State.DISMISSED:
        return plan
    if plan.state not in (State.PROPOSED, State.ACCEPTED, State.RESERVED):
        raise DecisionRefused("plan_closed", f"This plan cannot be dismissed ({plan.get_state_display()}).")
    before = plan.state
    reservations.release(plan, state=Reservation.State.CANCELLED, reason="dismissed", now=now)
    undo_until = now + timedelta(seconds=UNDO_SECONDS)
    move(plan, State.DISMISSED, now, decided_at=now, decided_by=actor, closed_at=now, undo_until=undo_until)
    audit(
        action="plan.dismiss",
        target=plan,
        actor=actor,
        actor_label=actor_label,
        reason=reason,
        before={"state": before},
    )
    return plan


def undo_plan(*, plan_id: int, actor: User | None, actor_label: str = "", now: datetime) -> ChargePlan:
    """Take a decision back while the grace lasts: a promise is cancelled, the plan is a proposal again.

    What the vehicle held elsewhere and lost to the promise is taken again; `plan.gave_up` are then those not to be had.
    DecisionRefused: plan_closed, undo_too_late; connector_taken when another vehicle was sent to the plug since.
    """
    try:
        return _undo(plan_id, actor, actor_label, now)
    except IntegrityError as error:
        if elsewhere.constraint_of(error) != "one_vehicle_under_way_per_evse":
            raise
        raise DecisionRefused("connector_taken", "Another vehicle is sent to this plug by now.") from error


@transaction.atomic
def _undo(plan_id: int, actor: User | None, actor_label: str, now: datetime) -> ChargePlan:
    plan = locked(plan_id)
    if plan.state == State.PROPOSED:
        return plan
    if plan.state not in (State.ACCEPTED, State.RESERVED, State.DISMISSED):
        raise DecisionRefused("plan_closed", f"This plan cannot be undone ({plan.get_state_display()}).")
    if plan.undo_until is None or now > plan.undo_until:
        raise DecisionRefused("undo_too_late", f"Undo lasts {UNDO_SECONDS} seconds.")
    if plan.state == State.DISMISSED and ChargePlan.objects.open().filter(vehicle_id=plan.vehicle_id).exists():
        raise DecisionRefused("plan_closed", "The vehicle has another plan by now.")
    reservations.release(plan, state=Reservation.State.CANCELLED, reason="undone", now=now)
    if plan.state != State.DISMISSED:
        elsewhere.take_again(plan, actor=actor, actor_label=actor_label, now=now)
    move(plan, State.PROPOSED, now, decided_at=None, decided_by=None, closed_at=None, undo_until=None)
    audit(action="plan.undo", target=plan, actor=actor, actor_label=actor_label)
    return plan


_RELATED = ("vehicle__organisation", "vehicle__state", "connector__evse__location__source", "replaces")
_LARGE = ("snapshot", "replaces__snapshot", "replaces__route", "replaces__explanation")
"""Of use to who replays a plan, or not read of one that is replaced."""


def locked(plan_id: int) -> ChargePlan:
    """The plan, locked; ChargePlan.DoesNotExist when there is none."""
    return _whole().select_for_update(of=("self",)).get(pk=plan_id)


def as_they_are(plan_ids: Collection[int]) -> dict[int, ChargePlan]:
    """Plans as `locked` has them, not locked."""
    return _whole().in_bulk(plan_ids)


def _whole() -> QuerySet[ChargePlan]:
    return ChargePlan.objects.select_related(*_RELATED).defer(*_LARGE)


def move(plan: ChargePlan, state: str, now: datetime, **fields: object) -> None:
    """Change a locked plan, its alert, and tell the house."""
    plan.state = state
    for name, value in fields.items():
        setattr(plan, name, value)
    plan.save(update_fields=["state", *fields])
    stories.tell(plan, now=now)
    publish(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, state, now))
