"""A vehicle has one place at a time: another one then stands in its way, or is given up for it."""

from datetime import datetime

from django.db import IntegrityError
from django.db.models import QuerySet

from dispatch.models import Reservation
from fleetcharge.accounts.models import User

CODE = "vehicle_has_place"
REPLACED = "replaced"


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


def give_up(rows: QuerySet[Reservation], *, actor: User | None, actor_label: str = "", now: datetime) -> None:
    """Inside the transaction that takes the new place, so that a vehicle never ends with none for it."""
    from dispatch.services import reservations  # it asks us first

    for number in rows.values_list("number", flat=True):
        reservations.cancel_reservation(number=number, actor=actor, actor_label=actor_label, reason=REPLACED, now=now)


def is_about_vehicle(error: IntegrityError) -> bool:
    """Did the database refuse because of the vehicle, not because of the place?"""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") == "one_place_per_vehicle"
