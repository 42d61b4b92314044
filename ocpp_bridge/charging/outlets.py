"""The plugs of a site as the planner sees them: wiring, bounds, session, and what their chargers hold."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from billing.models import ChargingSession
from ocpp_bridge.charging.ceilings import Ceiling
from ocpp_bridge.charging.profiles import (
    KEYS,
    STATION_MAX,
    TX,
    TX_DEFAULT,
    Abilities,
    Wiring,
    abilities,
    purposes_for,
    unit_for,
)
from ocpp_bridge.charging.wants import Want, wants_of
from ocpp_bridge.models import ChargingSite, ConfigurationValue, HeldProfile
from stations.models import EVSE, Charger, Connector

LEAST_AMPERES = 6  # IEC 61851-1
LEAST_DC_W = 2_000
NOMINAL_VOLTS, NOMINAL_DC_VOLTS = 230, 400
UNKNOWN_AC_W, UNKNOWN_DC_W = 22_000, 60_000  # a plug whose power nobody wrote down
PHASES = {
    Connector.PowerType.AC_1_PHASE: 1, Connector.PowerType.AC_2_PHASE: 2, Connector.PowerType.AC_2_PHASE_SPLIT: 2,
    Connector.PowerType.AC_3_PHASE: 3, Connector.PowerType.DC: 0,
}  # fmt: skip


@dataclass
class Outlet:
    """One EVSE: a vehicle at a time."""

    key: int
    charger: Charger
    evse_number: int
    wiring: Wiring
    max_w: int
    min_w: int
    known: Abilities
    session: ChargingSession | None = None
    want: Want = field(default_factory=Want)
    default: HeldProfile | None = None
    tx: HeldProfile | None = None
    safe_w: int = 0

    @property
    def is_reachable(self) -> bool:
        registered = self.charger.registration == Charger.Registration.ACCEPTED
        return self.charger.is_online and registered and bool(self.charger.protocol)

    @property
    def unit(self) -> str:
        return unit_for(self.wiring, self.known)

    @property
    def session_max_w(self) -> int:
        """What this vehicle here can take."""
        vehicle_w = self.want.vehicle_max_ac_w if self.wiring.phases else self.want.vehicle_max_dc_w
        return min(self.max_w, vehicle_w) if vehicle_w else self.max_w

    def want_for(self, organisation_id: int) -> Want:
        """What this organisation may know of the vehicle: a guest's schedule is its own fleet's affair."""
        is_guest = self.session is not None and self.session.organisation_id != organisation_id
        return Want() if is_guest else self.want

    def is_waiting(self, now: datetime) -> bool:
        """It refused, and it is too early to ask again."""
        return bool(self.tx and self.tx.retry_at and self.tx.retry_at > now)

    def ceiling(self) -> Ceiling:
        tx = self.tx if self.session else None
        return Ceiling(
            self.max_w,
            *_possible(self.default),
            *_possible(tx),
            measured_w=(tx.over_w or 0) if tx and tx.faults else 0,
        )


def _possible(row: HeldProfile | None) -> tuple[tuple[Any, ...], bool]:
    """(everything that may be in force, is one of them for sure)."""
    if row is None:
        return (), False
    held = [one for one in (row.accepted, row.asked, *(row.unsure or ())) if one is not None]
    return tuple(held), row.accepted is not None


@dataclass
class Picture:
    """Everything one decision looks at."""

    site: ChargingSite
    chargers: list[Charger]
    outlets: list[Outlet]
    station_limits: dict[int, HeldProfile]

    def purposes_of(self, charger: Charger) -> frozenset[str]:
        """Which of our profiles this charger is told; the limit of the whole only where plugs share it."""
        plugs = [outlet for outlet in self.outlets if outlet.charger.pk == charger.pk]
        known = plugs[0].known if plugs else Abilities()
        return purposes_for(known, plugs=len(plugs), has_station_max=bool(charger.max_power_w) and len(plugs) > 1)

    def caps(self) -> dict[int, int]:
        return {charger.pk: charger.max_power_w for charger in self.chargers if charger.max_power_w}


def chargers_of(site: ChargingSite) -> QuerySet[Charger]:
    """Those of the site's organisation; a neighbour's at the same place are not ours to steer."""
    return Charger.objects.filter(location=site.location_id, organisation=site.organisation_id)


def picture_of(site: ChargingSite, *, now: datetime) -> Picture:
    """Ten queries, whatever the number of plugs. A charger that never connected is not there."""
    chargers = list(chargers_of(site).exclude(last_seen_at=None).order_by("pk"))
    rows = HeldProfile.objects.filter(charger__in=chargers).select_related("command", "check_command")
    limits = {(row.charger_id, row.evse_number, row.purpose): row for row in rows}
    known, sessions = _abilities(chargers), _sessions(chargers)
    wants = wants_of(sessions.values(), now=now)
    outlets = []
    for evse in _evses(chargers):
        charger = next(charger for charger in chargers if charger.pk == evse.charger_id)
        outlet = _outlet(evse, charger, known.get(charger.pk, Abilities()))
        outlet.session = sessions.get(evse.pk)
        outlet.want = wants[outlet.session.pk] if outlet.session else Want()
        outlet.default = limits.get((charger.pk, evse.evse_number, TX_DEFAULT))
        outlet.tx = limits.get((charger.pk, evse.evse_number, TX))
        outlets.append(outlet)
    stations = {charger_id: row for (charger_id, _, purpose), row in limits.items() if purpose == STATION_MAX}
    return Picture(site, chargers, outlets, stations)


def outlet_at(evse: EVSE, charger: Charger) -> Outlet:
    """One plug alone, without session and limits."""
    return _outlet(evse, charger, _abilities([charger]).get(charger.pk, Abilities()))


def _evses(chargers: Iterable[Charger]) -> Iterable[EVSE]:
    rows = EVSE.objects.filter(charger__in=list(chargers), is_removed=False).prefetch_related("connectors")
    return rows.order_by("charger_id", "evse_number")


def _sessions(chargers: Iterable[Charger]) -> dict[int, ChargingSession]:
    """The newest running session by EVSE."""
    rows = ChargingSession.objects.active().filter(charger__in=list(chargers)).select_related("connector__evse")
    return {session.connector.evse_id: session for session in rows.order_by("started_at", "pk")}


def _abilities(chargers: Iterable[Charger]) -> dict[int, Abilities]:
    values: dict[int, dict[str, str | None]] = {}
    rows = ConfigurationValue.objects.filter(charger__in=list(chargers), key__in=KEYS)
    for charger_id, key, value in rows.values_list("charger_id", "key", "value"):
        values.setdefault(charger_id, {})[key] = value
    return {charger_id: abilities(found) for charger_id, found in values.items()}


def _outlet(evse: EVSE, charger: Charger, known: Abilities) -> Outlet:
    connectors = list(evse.connectors.all())
    strongest = max(connectors, key=_power_of, default=None)
    wiring = _wiring(strongest)
    max_w = _power_of(strongest) if strongest else UNKNOWN_DC_W
    if charger.max_power_w:
        max_w = min(max_w, charger.max_power_w)
    least = LEAST_AMPERES * wiring.watts_per_ampere if wiring.phases else LEAST_DC_W
    return Outlet(evse.pk, charger, evse.evse_number, wiring, max_w, min(least, max_w), known)


def _wiring(connector: Connector | None) -> Wiring:
    phases = PHASES.get(Connector.PowerType(connector.power_type), 0) if connector else 0
    volts = connector.max_voltage_v if connector else 0
    if not phases:
        return Wiring(0, volts or NOMINAL_DC_VOLTS)
    if volts > 300:  # between the phases
        volts = round(volts / 3**0.5)
    return Wiring(phases, volts or NOMINAL_VOLTS)


def _power_of(connector: Connector) -> int:
    if connector.max_power_w:
        return connector.max_power_w
    wiring = _wiring(connector)
    if connector.max_current_a:
        return connector.max_current_a * wiring.watts_per_ampere
    return UNKNOWN_AC_W if wiring.phases else UNKNOWN_DC_W
