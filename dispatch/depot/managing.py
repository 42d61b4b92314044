"""A person sets the rules of a depot, or has its nights planned no more."""

from typing import Any

from django.db import transaction

from dispatch.depot import fences
from dispatch.depot.models import Depot, DepotVehicle
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from stations.models import Location
from vehicles.models import Vehicle


class NoSuchSite(Exception):
    """The organisation has no chargers of its own there."""


class DepotRefused(Exception):
    """It cannot be done; `code` is for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@transaction.atomic
def manage(
    *, organisation: Organisation, public_id: str, rules: dict[str, Any], actor: User | None, actor_label: str
) -> Depot:
    """Plan the nights of a site by these rules; repeating it changes nothing."""
    own = Location.objects.filter(chargers__organisation=organisation, is_removed=False, public_id=public_id)
    location = own.distinct().first()
    if location is None:
        raise NoSuchSite
    vehicles = rules.pop("vehicles", None)
    depot, is_new = Depot.objects.get_or_create(location=location, defaults={"organisation": organisation, **rules})
    if depot.organisation_id != organisation.pk:
        raise DepotRefused("managed_by_another", "Another organisation plans the nights of this site.")
    _change(depot, rules, is_new=is_new, actor=actor, actor_label=actor_label)
    if vehicles is not None:
        _name(depot, {row["vehicle_id"]: row["priority"] for row in vehicles})
    return Depot.objects.select_related("location").prefetch_related("vehicles").get(pk=depot.pk)


def _change(depot: Depot, rules: dict[str, Any], *, is_new: bool, actor: User | None, actor_label: str) -> None:
    before = {name: getattr(depot, name) for name in rules}
    if not is_new and before == rules and depot.is_active:
        return
    for name, value in rules.items():
        setattr(depot, name, value)
    depot.is_active = True
    depot.save()
    fences.fit(depot, before.get("radius_m", depot.radius_m))
    audit(
        action="depot.rules", target=depot, actor=actor, actor_label=actor_label,
        before={} if is_new else _told(before), after=_told(rules),
    )  # fmt: skip


def _told(rules: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int | list) else str(value) for name, value in rules.items()}


def _name(depot: Depot, priorities: dict[int, int]) -> None:
    """These vehicles belong here, in place of those named before."""
    own = Vehicle.objects.filter(organisation=depot.organisation_id, pk__in=priorities)
    if len(own) < len(priorities):
        raise DepotRefused("unknown_vehicle", "There is no such vehicle.")
    depot.vehicles.exclude(vehicle__in=own).delete()
    for vehicle in own:
        DepotVehicle.objects.update_or_create(
            vehicle=vehicle, defaults={"depot": depot, "priority": priorities[vehicle.pk]}
        )


@transaction.atomic
def give_up(*, depot: Depot, actor: User | None, actor_label: str) -> bool:
    """Its sessions keep what they were promised for this night; nothing is planned after it."""
    given_up = Depot.objects.filter(pk=depot.pk, is_active=True).update(is_active=False)
    if given_up:
        audit(action="depot.give_up", target=depot, actor=actor, actor_label=actor_label)
    return bool(given_up)
