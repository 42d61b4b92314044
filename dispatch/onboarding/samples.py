"""Demo data of a fleet's own: the files in `files/`, taken by the services that take anybody's, all of it removable.

Its stations are a network of the fleet's own, which no other fleet sees. While the fleet has real vehicles that network
is switched off: no plan leads a real vehicle to a station that does not exist.
"""

import csv
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction

from dispatch.models import SampleRow
from dispatch.onboarding import file
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib import crypto
from stations.imports import loading, readers
from stations.models import Charger, Source
from vehicles import services
from vehicles.models import Driver, Vehicle
from vehicles.stop_import.services import import_stops

FILES = Path(__file__).parent / "files"
NAME = "Demo network"
Kind = SampleRow.Kind


class RealDataHere(Exception):
    """The fleet works already; whoever loads demo data beside that has to say so."""

    def __init__(self, vehicles: int, chargers: int) -> None:
        super().__init__(f"{vehicles} vehicles and {chargers} chargers")
        self.vehicles, self.chargers = vehicles, chargers


@dataclass(frozen=True)
class Loaded:
    vehicles: int
    drivers: int
    stations: int


def text_of(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def lines_of(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(name))))


def is_loaded(organisation: Organisation) -> bool:
    samples = SampleRow.objects.ids(organisation, Kind.VEHICLE)
    return Vehicle.objects.for_organisation(organisation).filter(pk__in=samples, is_active=True).exists()


def real_of(organisation: Organisation) -> tuple[int, int]:
    """How many vehicles in service and chargers are none of the demo data's."""
    samples = SampleRow.objects.ids(organisation, Kind.VEHICLE)
    real = Vehicle.objects.for_organisation(organisation).filter(is_active=True).exclude(pk__in=samples)
    return real.count(), Charger.objects.for_organisation(organisation).count()


@transaction.atomic
def load(*, organisation_id: int, is_sure: bool, actor: User | None, actor_label: str = "", now: datetime) -> Loaded:
    """The files, into one fleet. Again: nothing twice, what was removed is back, the vehicles report for a day more.

    Raises RealDataHere, unless `is_sure`, where the fleet has vehicles or chargers; AlreadyExists for a plate of a
    demo vehicle that the fleet has already.
    """
    organisation = Organisation.objects.select_for_update().get(pk=organisation_id)
    real = real_of(organisation)
    if any(real) and not is_sure:
        raise RealDataHere(*real)
    drivers = _drivers(organisation)
    vehicles = _vehicles(organisation, drivers, actor, actor_label)
    _take_stops(organisation)
    source = _stations(organisation, now)
    SampleRow.objects.filter(organisation=organisation).update(told_since=now)
    make_way(organisation)
    loaded = Loaded(len(vehicles), len(drivers), source.locations.filter(is_removed=False).count())
    audit(
        action="demo_data.load", target=organisation, organisation=organisation, actor=actor, actor_label=actor_label,
        after={"vehicles": loaded.vehicles, "drivers": loaded.drivers, "stations": loaded.stations,
               "real_vehicles": real[0]},
    )  # fmt: skip
    return loaded


def make_way(organisation: Organisation) -> bool:
    """No plan leads to a demo station while the fleet has real vehicles; True when one may."""
    sources = Source.objects.filter(pk__in=SampleRow.objects.ids(organisation, Kind.SOURCE))
    state = Source.State.DISABLED if real_of(organisation)[0] else Source.State.CONNECTED
    sources.exclude(state=state).update(state=state)
    return state == Source.State.CONNECTED


def _drivers(organisation: Organisation) -> dict[str, Driver]:
    known = {row.pk: row for row in Driver.objects.filter(pk__in=SampleRow.objects.ids(organisation, Kind.DRIVER))}
    drivers = {row.name: row for row in known.values()}
    for name in dict.fromkeys(line["driver"] for line in lines_of("vehicles.csv") if line["driver"]):
        row = drivers.get(name) or Driver(organisation=organisation, name=name)
        row.is_active = True
        drivers[name] = services.save(row=row)
        _mark(organisation, Kind.DRIVER, row.pk)
    return drivers


def _vehicles(
    organisation: Organisation, drivers: dict[str, Driver], actor: User | None, actor_label: str
) -> list[Vehicle]:
    samples = set(SampleRow.objects.ids(organisation, Kind.VEHICLE))
    plates = {file.plate_of(line["registration"]): line for line in lines_of("vehicles.csv")}
    if any(file.plate_of(row.registration) in plates for row in _others(organisation, samples)):
        raise services.AlreadyExists(services.RULES["one_vehicle_per_plate"])
    content = text_of("vehicles.csv").encode()
    outcome = file.take(organisation=organisation, content=content, actor=actor, actor_label=actor_label)
    if outcome.problems:
        raise file.UnreadableFile(outcome.problems[0].text)
    rows = [row for row in Vehicle.objects.for_organisation(organisation) if file.plate_of(row.registration) in plates]
    for row in rows:
        line = plates[file.plate_of(row.registration)]
        row.is_active, row.default_driver = True, drivers.get(line["driver"])
        row.device_id = device_of(organisation, row.registration)
        services.save(row=row)
        _mark(organisation, Kind.VEHICLE, row.pk)
    return rows


def _others(organisation: Organisation, samples: set[int]) -> list[Vehicle]:
    return [row for row in Vehicle.objects.for_organisation(organisation) if row.pk not in samples]


def device_of(organisation: Organisation, registration: str) -> str:
    """Nobody guesses it, who could then report in its place."""
    return crypto.keyed_hash(f"{organisation.pk} {file.plate_of(registration)}", purpose="demo-device")[:32]


def _take_stops(organisation: Organisation) -> None:
    import_stops(organisation_id=organisation.pk, content=text_of("stops.csv").encode())


def _stations(organisation: Organisation, now: datetime) -> Source:
    known = SampleRow.objects.ids(organisation, Kind.SOURCE)
    source = Source.objects.filter(pk__in=known).first() or Source.objects.create(
        slug=f"demo-network-of-fleet-{organisation.pk}", name=NAME, kind=Source.Kind.IMPORT, organisation=organisation,
        state=Source.State.CONNECTED,
    )  # fmt: skip
    _mark(organisation, Kind.SOURCE, source.pk)
    report = loading.Report()
    rows = list(loading.clean_rows(readers.read(text_of("stations.csv"), "csv"), report))
    loading.load(source=source, rows=rows, at=now, report=report, progress=lambda done, total: None)
    return source


def _mark(organisation: Organisation, kind: str, object_id: int) -> None:
    SampleRow.objects.get_or_create(kind=kind, object_id=object_id, defaults={"organisation": organisation})


def told_since(organisation: Organisation) -> datetime | None:
    """Since when they report; None where there are none, or they are out of service."""
    if not is_loaded(organisation):
        return None
    return SampleRow.objects.filter(organisation=organisation).values_list("told_since", flat=True)[0]
