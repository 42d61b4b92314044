"""Demo data goes again: what has left no trace is deleted, what was used beside real things goes out of service."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import ProtectedError

from billing.models import ChargingSession
from dispatch import services as dispatching
from dispatch.driving.models import DriverLink, PlugReport
from dispatch.models import Alert, ChargePlan, PlanOutcome, Reservation, SampleRow, SessionCommand
from dispatch.onboarding.samples import Kind, is_loaded
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.accounts.tenancy import Author
from stations.models import Location, Source
from stations.services import remove_network
from vehicles import services
from vehicles.models import Driver, Position, Vehicle

OPEN_PLANS = (ChargePlan.State.PROPOSED, ChargePlan.State.ACCEPTED, ChargePlan.State.RESERVED)
OF_A_VEHICLE = (DriverLink, PlugReport, PlanOutcome, SessionCommand, Reservation, ChargePlan, Position)
"""In the order in which nothing hangs on them any more."""


@dataclass(frozen=True)
class Removed:
    """`kept`: plates of demo vehicles that charged or held a place at a real station; they are out of service."""

    vehicles: int
    drivers: int
    stations: int
    kept: list[str]


@transaction.atomic
def remove(*, organisation_id: int, actor: User | None, actor_label: str = "", now: datetime) -> Removed:
    """All of one fleet's demo data, and nothing else; removing it twice removes it once."""
    organisation = Organisation.objects.select_for_update().get(pk=organisation_id)
    was_loaded = is_loaded(organisation)
    author = Author(actor=actor, actor_label=actor_label)
    rows = {kind: SampleRow.objects.ids(organisation, kind) for kind in Kind.values}
    places = set(Location.objects.filter(source_id__in=rows[Kind.SOURCE]).values_list("pk", flat=True))
    vehicles = list(Vehicle.objects.for_organisation(organisation).filter(pk__in=rows[Kind.VEHICLE]).order_by("pk"))
    kept = [row.registration for row in vehicles if not _remove_vehicle(row, places, author, now)]
    drivers = list(Driver.objects.filter(organisation=organisation, pk__in=rows[Kind.DRIVER]).order_by("pk"))
    for driver in drivers:
        _remove_driver(driver)
    networks = Source.objects.filter(organisation=organisation, pk__in=rows[Kind.SOURCE]).values_list("pk", flat=True)
    removed = Removed(len(vehicles), len(drivers), sum(remove_network(source_id=pk) for pk in networks), kept)
    _forget(organisation)
    if was_loaded:
        audit(
            action="demo_data.remove", target=organisation, organisation=organisation, actor=actor,
            actor_label=actor_label, after=vars(removed),
        )  # fmt: skip
    return removed


def _forget(organisation: Organisation) -> None:
    """What stays in the books stays marked: loaded again, it is used again."""
    there = {
        Kind.VEHICLE: Vehicle.objects.values_list("pk", flat=True),
        Kind.DRIVER: Driver.objects.values_list("pk", flat=True),
        Kind.SOURCE: Source.objects.values_list("pk", flat=True),
    }
    for kind, ids in there.items():
        SampleRow.objects.filter(organisation=organisation, kind=kind).exclude(object_id__in=ids).delete()


def _remove_vehicle(row: Vehicle, places: set[int], author: Author, now: datetime) -> bool:
    """False when it stays in the books; it is out of service then, and holds no place any more."""
    _give_up(row, author, now)
    is_used = ChargingSession.objects.filter(vehicle=row).exists() or any(
        rows.exclude(connector=None).exclude(connector__evse__location__in=places).exists()
        for rows in (Reservation.objects.filter(vehicle=row), ChargePlan.objects.filter(vehicle=row),
                     SessionCommand.objects.filter(vehicle=row))
    )  # fmt: skip
    return (not is_used and _delete(row)) or _retire(row)


def _give_up(row: Vehicle, author: Author, now: datetime) -> None:
    for number in Reservation.objects.active().filter(vehicle=row).values_list("pk", flat=True):
        dispatching.cancel_reservation(number=number, reason="demo data was removed", now=now, **author)
    for plan_id in ChargePlan.objects.filter(vehicle=row, state__in=OPEN_PLANS).values_list("pk", flat=True):
        dispatching.dismiss_plan(plan_id=plan_id, reason="demo data was removed", now=now, **author)
    for alert_id in Alert.objects.open().filter(vehicle=row).values_list("pk", flat=True):
        dispatching.close_alert(alert_id=alert_id, reason="demo data was removed", now=now, **author)


def _delete(row: Vehicle) -> bool:
    try:
        with transaction.atomic():
            for model in OF_A_VEHICLE:
                model._base_manager.filter(vehicle_id=row.pk).delete()
            row.delete()
    except ProtectedError:  # something else of it counts
        row.refresh_from_db()
        return False
    return True


def _retire(row: Vehicle) -> bool:
    row.is_active, row.device_id = False, None
    services.save(row=row)
    return False


def _remove_driver(row: Driver) -> None:
    try:
        with transaction.atomic():
            row.delete()
    except ProtectedError:
        row.is_active = False
        services.save(row=row)
