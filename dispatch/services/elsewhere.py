"""A vehicle has one place at a time: another one then stands in its way, or is given up for it."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet

from dispatch.models import ChargePlan, Reservation
from fleetcharge.accounts.models import User
from stations.models import Connector

CODE = "vehicle_has_place"
REPLACED = "replaced"
BROKEN = (Connector.Status.FAULTED, Connector.Status.UNAVAILABLE, Connector.Status.UNKNOWN)


class VehicleIsElsewhere(Exception):
    """The vehicle is promised another place in that time; the text is for people."""

    code = CODE


def others(vehicle_id: int, connector_id: int, starts_at: datetime, expires_at: datetime) -> QuerySet[Reservation]:
    """What the vehicle holds at other plugs between these times."""
    mine = Reservation.objects.active().filter(
        vehicle_id=vehicle_id, starts_at__lt=expires_at, expires_at__gt=starts_at
    )
    return mine.exclude(connector_id=connector_id).order_by("pk")


def refusal(rows: QuerySet[Reservation]) -> VehicleIsElsewhere:
    row = rows.select_related("vehicle", "connector__evse__location").first()
    if row is None:  # it was given up just now
        return VehicleIsElsewhere("The vehicle has another place in that time.")
    place = row.connector.evse.location.name
    return VehicleIsElsewhere(f"{row.vehicle.registration} has a place at {place} in that time (no. {row.number}).")


def give_up(rows: QuerySet[Reservation], *, actor: User | None, actor_label: str = "", now: datetime) -> list[int]:
    """Inside the transaction that takes the new place, so that a vehicle never ends with none for it; which ones."""
    from dispatch.services import reservations  # it asks us first

    by: dict[str, Any] = {"actor": actor, "actor_label": actor_label, "reason": REPLACED, "now": now}
    numbers = list(rows.values_list("number", flat=True))
    return [number for number in numbers if reservations.cancel_reservation(number=number, **by)]


def give_up_for(
    plan: ChargePlan, rows: QuerySet[Reservation], *, actor: User | None, actor_label: str = "", now: datetime
) -> None:
    """Likewise, for a plan whose acceptance may be undone."""
    numbers = give_up(rows, actor=actor, actor_label=actor_label, now=now)
    plan.gave_up.update(given_up_for=None)
    Reservation.objects.filter(pk__in=numbers).update(given_up_for=plan)


def take_again(plan: ChargePlan, *, actor: User | None, actor_label: str = "", now: datetime) -> None:
    """The places that were given up for the plan, each as a new reservation; `plan.gave_up` keeps those not to be had.

    Inside the transaction that gives the plan's own place back.
    """
    for row in plan.gave_up.select_related("connector").order_by("pk"):
        if _is_had_again(row, actor, actor_label, now):
            Reservation.objects.filter(pk=row.pk).update(given_up_for=None)


def _is_had_again(row: Reservation, actor: User | None, actor_label: str, now: datetime) -> bool:
    from dispatch.services import reservations  # it asks us first

    if row.connector.status in BROKEN:
        return False
    try:
        made = reservations.create_reservation(
            vehicle_id=row.vehicle_id, connector_id=row.connector_id, starts_at=row.starts_at,
            expires_at=row.expires_at, is_rebooked=row.is_rebooked, replaces=row, actor=actor, actor_label=actor_label,
            now=now,
        )  # fmt: skip
    except (VehicleIsElsewhere, ValueError):  # it holds yet another place then, or the time is over
        return False
    return made is not None


def is_about_vehicle(error: IntegrityError) -> bool:
    """Did the database refuse because of the vehicle, not because of the place?"""
    return constraint_of(error) == "one_place_per_vehicle"


def constraint_of(error: IntegrityError) -> str:
    """The constraint the database refused by."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") or ""
