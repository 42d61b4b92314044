"""Versions of policies, experiments, who follows which; and the one function that says by which rules to plan."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from dispatch.policies.models import DispatchPolicy, PolicyArm, PolicyAssignment, PolicyExperiment
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from vehicles.models import Vehicle

FIGURES = (
    "soc_low_percent", "soc_clear_percent", "reserve_soc_percent", "target_soc_percent", "cost_per_minute_paise",
)  # fmt: skip


class PolicyRefused(Exception):
    """It cannot be done; `code` is for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Rules:
    """By which rules a vehicle is planned for. `policy_id` None: those of its fleet."""

    soc_low_percent: int
    soc_clear_percent: int
    reserve_soc_percent: int
    target_soc_percent: int
    cost_per_minute_paise: int
    policy_id: int | None = None


def policy_of(vehicle: Vehicle) -> Rules:
    """The rules of this vehicle: its policy in the running experiment, else its fleet's own."""
    policy = policies_of([vehicle.pk]).get(vehicle.pk)
    rules = policy if policy is not None else vehicle.organisation
    return Rules(**{name: getattr(rules, name) for name in FIGURES}, policy_id=policy.pk if policy else None)


def policies_of(vehicle_ids: Iterable[int]) -> dict[int, DispatchPolicy]:
    """By vehicle; those outside of any running experiment are missing."""
    rows = PolicyAssignment.objects.filter(vehicle__in=list(vehicle_ids), experiment__ended_at=None)
    return {row.vehicle_id: row.policy for row in rows.select_related("policy")}


@transaction.atomic
def new_version(
    *, organisation: Organisation, name: str, now: datetime, actor: User | None, actor_label: str, **figures: int
) -> DispatchPolicy:
    """The next version of a policy of that name; the same figures as the last one are that one."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    last = DispatchPolicy.objects.for_organisation(organisation).filter(name=name).order_by("-version").first()
    if last is not None and all(getattr(last, key) == value for key, value in figures.items()):
        return last
    policy = DispatchPolicy.objects.create(
        organisation=organisation, name=name, version=last.version + 1 if last else 1, created_at=now,
        created_by=actor, **figures,
    )  # fmt: skip
    audit(action="policy.version", target=policy, actor=actor, actor_label=actor_label, after=figures)
    return policy


@transaction.atomic
def start(
    *, organisation: Organisation, name: str, shares: dict[int, int], now: datetime, actor: User | None,
    actor_label: str,
) -> PolicyExperiment:  # fmt: skip
    """Begin an experiment with `shares` (percent by policy id) and draw every vehicle of the fleet."""
    policies = DispatchPolicy.objects.for_organisation(organisation).in_bulk(list(shares))
    if len(policies) < len(shares):
        raise PolicyRefused("unknown_policy", "There is no such policy.")
    if sum(shares.values()) != 100 or len(shares) < 2:
        raise PolicyRefused("shares_must_be_100", "Two policies or more, whose shares add up to 100.")
    experiment = _created(organisation=organisation, name=name, started_at=now, created_by=actor)
    PolicyArm.objects.bulk_create(
        PolicyArm(experiment=experiment, policy=policies[key], share_percent=share) for key, share in shares.items()
    )
    draw(experiment, now=now)
    audit(
        action="policy.start", target=experiment, actor=actor, actor_label=actor_label, after={"shares": _named(shares)}
    )
    return experiment


def _named(shares: dict[int, int]) -> dict[str, int]:
    return {str(key): share for key, share in shares.items()}


def _created(**values: Any) -> PolicyExperiment:
    try:
        with transaction.atomic():
            return PolicyExperiment.objects.create(**values)
    except IntegrityError as error:
        raise PolicyRefused("experiment_running", "Another experiment is running; end it first.") from error


@transaction.atomic
def assign(
    *, organisation: Organisation, policy_id: int, vehicle_ids: Iterable[int], now: datetime, actor: User | None,
    actor_label: str,
) -> list[int]:  # fmt: skip
    """Let these vehicles follow a policy from now on, chosen by people: no draw, the others keep the fleet's rules.

    Returns those that did not follow it before. What they follow ends for all at once (`end`); until then a vehicle
    keeps its policy, so that every plan has one.
    """
    policy = DispatchPolicy.objects.for_organisation(organisation).filter(pk=policy_id).first()
    if policy is None:
        raise PolicyRefused("unknown_policy", "There is no such policy.")
    wanted = set(vehicle_ids)
    fleet = Vehicle.objects.for_organisation(organisation).filter(is_active=True, pk__in=wanted)
    if not wanted or fleet.count() < len(wanted):
        raise PolicyRefused("unknown_vehicle", "There is no such vehicle.")
    run = _by_hand(organisation, policy, now, actor)
    new = _joined(run, policy, wanted, now)
    audit(
        action="policy.assign", target=run, actor=actor, actor_label=actor_label,
        after={"policy": policy.pk, "vehicles": new},
    )  # fmt: skip
    return new


def _by_hand(
    organisation: Organisation, policy: DispatchPolicy, now: datetime, actor: User | None
) -> PolicyExperiment:  # fmt: skip
    """The running choice of the fleet, begun if there is none. Locked: nobody ends it meanwhile."""
    own = PolicyExperiment.objects.for_organisation(organisation).running().select_for_update(no_key=True)
    run = own.first()
    if run is not None and run.is_drawn:
        raise PolicyRefused("experiment_running", "Another experiment is running; end it first.")
    return run or _created(
        organisation=organisation, name=policy.name, started_at=now, created_by=actor, is_drawn=False
    )


def _joined(run: PolicyExperiment, policy: DispatchPolicy, wanted: set[int], now: datetime) -> list[int]:
    followed = dict(run.assignments.filter(vehicle__in=wanted).values_list("vehicle", "policy"))
    if any(policy_id != policy.pk for policy_id in followed.values()):
        raise PolicyRefused("has_a_policy", "One of these vehicles follows another policy; end that first.")
    new = sorted(wanted - followed.keys())
    PolicyArm.objects.get_or_create(experiment=run, policy=policy, defaults={"share_percent": 100})
    PolicyAssignment.objects.bulk_create(
        PolicyAssignment(experiment=run, vehicle_id=vehicle_id, policy=policy, assigned_at=now) for vehicle_id in new
    )
    _hand_down(policy, new)
    return new


@transaction.atomic
def end(*, experiment: PolicyExperiment, now: datetime, actor: User | None, actor_label: str) -> bool:
    """Every vehicle follows its fleet's rules again; False when it was over already."""
    ended = PolicyExperiment.objects.running().filter(pk=experiment.pk).update(ended_at=now)
    if ended:
        drawn = Vehicle.objects.filter(policy_assignments__experiment=experiment)
        Vehicle.objects.filter(pk__in=drawn.values("pk")).update(soc_low_percent=None, soc_clear_percent=None)
        audit(action="policy.end", target=experiment, actor=actor, actor_label=actor_label)
    return bool(ended)


@transaction.atomic
def draw(experiment: PolicyExperiment, *, now: datetime) -> int:
    """Give every active vehicle of the fleet that has none its policy; how many were new."""
    running = PolicyExperiment.objects.running().select_for_update(no_key=True).filter(pk=experiment.pk).first()
    if running is None or not running.is_drawn:
        return 0
    arms = list(running.arms.select_related("policy"))
    fleet = Vehicle.objects.filter(organisation=running.organisation_id, is_active=True)
    new = list(fleet.exclude(policy_assignments__experiment=running).order_by("pk").values_list("pk", flat=True))
    drawn = {vehicle_id: arm_of(running.pk, vehicle_id, arms) for vehicle_id in new}
    PolicyAssignment.objects.bulk_create(
        PolicyAssignment(experiment=running, vehicle_id=vehicle_id, policy=arm.policy, assigned_at=now)
        for vehicle_id, arm in drawn.items()
    )
    for arm in arms:
        _hand_down(arm.policy, [vehicle_id for vehicle_id, one in drawn.items() if one.pk == arm.pk])
    return len(new)


def draw_new_vehicles(*, now: datetime) -> int:
    """Vehicles that joined a fleet while its experiment runs."""
    return sum(draw(experiment, now=now) for experiment in PolicyExperiment.objects.running())


def arm_of(experiment_id: int, vehicle_id: int, arms: Sequence[PolicyArm]) -> PolicyArm:
    """By a hash of both ids: the same on every machine, and without a link to an earlier experiment's draw."""
    digest = hashlib.sha256(f"{experiment_id}:{vehicle_id}".encode()).digest()
    ticket = int.from_bytes(digest[:8], "big") % 10_000 / 100
    for arm in arms:
        ticket -= arm.share_percent
        if ticket < 0:
            return arm
    return arms[-1]


def _hand_down(policy: DispatchPolicy, vehicle_ids: list[int]) -> None:
    """Ingest knows no policies: it finds these two limits beside the vehicle."""
    Vehicle.objects.filter(pk__in=vehicle_ids).update(
        soc_low_percent=policy.soc_low_percent, soc_clear_percent=policy.soc_clear_percent
    )
