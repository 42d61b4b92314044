"""Fleets of any size in one city, with whoever looks at them, in the database as imports would put them."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from fleetcharge.accounts.models import Organisation

SEED, SITES = 5, 500
SOUTH, WEST, NORTH, EAST = 12.85, 77.54, 13.06, 77.73
"""Inside the first view of the page at 1440 x 900; markers stand in the strip east of it."""
MARK_WEST, MARK_EAST = 77.742, 77.757
SOCKETS_PER_PERSON = 5
Degrees = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fleet:
    """One fleet as the loads and the browsers need it."""

    organisation_id: int
    vehicle_ids: list[int]
    marker_ids: list[int]
    sessions: list[str]
    api_key: str

    @property
    def session(self) -> str:
        return self.sessions[0]


def build_city() -> None:
    from bench.dispatch import fill
    from fleetcharge.accounts.models import Organisation

    fill(2 * SITES, 0)
    Organisation.objects.update(slug="city")


def build_fleet(slug: str, vehicles: int, *, markers: int = 0, people: int = 1) -> Fleet:
    """Vehicles with a charge and a next stop all over the city; markers were seen far away, an hour ago."""
    from django.utils import timezone

    from fleetcharge.accounts.models import Organisation, Scope
    from fleetcharge.accounts.services import create_api_key
    from vehicles.models import Vehicle, VehicleModel

    fleet = Organisation.objects.create(name=slug.title(), slug=slug)
    model = VehicleModel.objects.get_or_create(
        manufacturer="Bench",
        name="Cargo",
        defaults={"battery_wh": 21_300, "plugs": ["ccs2"], "consumption_wh_per_km": 140},
    )[0]
    rows = Vehicle.objects.bulk_create(
        Vehicle(organisation=fleet, model=model, registration=_plate(n), device_id=f"{slug}-{n}")
        for n in range(vehicles + markers)
    )
    _place(rows[:vehicles], timezone.now())
    _send_away(rows[vehicles:])
    key = create_api_key(organisation=fleet, name="bench", scopes=[Scope.TELEMETRY_WRITE])[1]
    ids = [row.pk for row in rows]
    return Fleet(fleet.pk, ids[:vehicles], ids[vehicles:], _sessions(fleet, slug, people), key)


def _plate(number: int) -> str:
    return f"KA {1 + number // 10_000 % 60:02} AB {number % 10_000:04}"


def spread(count: int) -> tuple[Degrees, Degrees]:
    """The same places each time."""
    random = np.random.default_rng(SEED)
    return random.uniform(SOUTH, NORTH, count), random.uniform(WEST, EAST, count)


def sample(count: int, of_them: int = 1_000) -> list[tuple[float, float]]:
    """Where some of so many are."""
    latitudes, longitudes = (axis.round(6).tolist() for axis in spread(count))
    step = max(1, count // of_them)
    return list(zip(latitudes[::step], longitudes[::step], strict=True))


def _place(rows: list, now: datetime) -> None:  # type: ignore[type-arg]
    from vehicles.models import Stop, VehicleState

    latitudes, longitudes = (axis.tolist() for axis in spread(len(rows)))
    VehicleState.objects.bulk_create(
        [
            VehicleState(
                vehicle=row, latitude=latitude, longitude=longitude, position_at=now, soc_at=now, soc_source="measured",
                soc_percent=25 + row.pk % 70, heading_deg=row.pk % 360, speed_kmh=30,
            )
            for row, latitude, longitude in zip(rows, latitudes, longitudes, strict=True)
        ],
        batch_size=5_000,
    )  # fmt: skip
    Stop.objects.bulk_create(
        [Stop(vehicle=row, sequence=1, name="Depot Peenya", latitude=13.03, longitude=77.52) for row in rows],
        batch_size=5_000,
    )


def _send_away(rows: list) -> None:  # type: ignore[type-arg]
    from datetime import timedelta

    from django.utils import timezone

    from vehicles.models import VehicleState

    at = timezone.now() - timedelta(hours=1)
    VehicleState.objects.bulk_create(
        VehicleState(
            vehicle=row, latitude=12.6, longitude=77.4, position_at=at, soc_percent=60, soc_at=at, soc_source="measured"
        )
        for row in rows
    )


def _sessions(fleet: "Organisation", slug: str, people: int) -> list[str]:
    """Signed in as by the form; so many for each person as may watch at once."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from fleetcharge.accounts.models import Membership, User

    keys = []
    for number in range(-(-people // SOCKETS_PER_PERSON)):
        user = User.objects.create(email=f"{slug}{number}@bench.example", password="!")
        Membership.objects.create(user=user, organisation=fleet, role="dispatcher")
        session = SessionStore()
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session.create()
        keys += [str(session.session_key)] * SOCKETS_PER_PERSON
    return keys[:people]


def analyze() -> None:
    """So that plans fit what was just filled in."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
