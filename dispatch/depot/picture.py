"""A depot at this moment, as its night is planned: plugs in order, vehicles there and on their way, what each needs."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import cos, radians

import numpy as np
from django.db.models import Q

from billing.models import ChargingSession
from dispatch.core import choose, curves, energy
from dispatch.core.depot import Guest, Plug
from dispatch.depot.clock import Span, first_slot, slot_of
from dispatch.depot.models import Depot, DepotVehicle
from dispatch.engines import current
from dispatch.policies.assignment import policies_of
from dispatch.policies.models import DispatchPolicy
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.geo import distance_m
from stations.models import EVSE, Connector
from vehicles.models import Shift, Stop, Vehicle

OUT_OF_ORDER = (Connector.Status.FAULTED, Connector.Status.UNAVAILABLE, Connector.Status.UNKNOWN)
DAY = timedelta(hours=18)
"""Stops so long after departure belong to the day that the night is for."""
LEAVES_EARLY = timedelta(hours=4)
"""A stop that is due so long before the hour at which all are ready is already the next day's."""
METRES_PER_DEGREE, BOX = 111_000, 1.05
Followed = DispatchPolicy | Organisation
Place = tuple[float, float]


@dataclass(frozen=True)
class Visitor:
    """A vehicle of the night with what a person wants to see of it. `soc_percent` on arrival; None: nobody knows."""

    vehicle: Vehicle
    arrives_at: datetime
    leaves_at: datetime
    leaves_for: str
    soc_percent: float | None
    target_percent: float
    guest: Guest
    session: ChargingSession | None = None


@dataclass
class Picture:
    """`fits`: by kind of plug, (plug, is DC, W) of its connectors. A plug is an EVSE: one vehicle at a time."""

    depot: Depot
    span: Span
    now: datetime
    first: datetime
    slots: int
    plugs: list[Plug] = field(default_factory=list)
    caps_w: dict[str, float] = field(default_factory=dict)
    fits: dict[str, list[tuple[str, bool, int]]] = field(default_factory=dict)
    visitors: list[Visitor] = field(default_factory=list)


@dataclass
class Diary:
    """By vehicle: when it leaves and for what, until when its shift lasts, and where it goes then."""

    leaves: dict[int, tuple[datetime, str]]
    shift_ends: dict[int, datetime]
    stops: dict[int, list[Stop]]


def take(depot: Depot, span: Span, *, now: datetime, wishes: dict[int, int]) -> Picture:
    """`wishes`: the plug each vehicle was told before."""
    first = first_slot(now)
    picture = Picture(depot, span, now, first, max(1, slot_of(span.ends_at, first, is_end=True)))
    vehicles = vehicles_of(depot)
    ids = {one.pk for one in vehicles}
    sessions = _sessions(depot)
    _look_at_plugs(picture, strangers={row.connector.evse_id for row in sessions if row.vehicle_id not in ids})
    mine = {row.vehicle_id: row for row in sessions}
    rules, diary = policies_of(ids), _diary(ids, span, now)
    for vehicle in vehicles:
        followed = rules.get(vehicle.pk) or vehicle.organisation
        visitor = _visitor(picture, vehicle, followed, mine.get(vehicle.pk), diary, wishes.get(vehicle.pk))
        picture.visitors += [visitor] if visitor is not None else []
    return picture


def vehicles_of(depot: Depot) -> list[Vehicle]:
    """Active vehicles that belong here: named, or with their depot within the radius, not named elsewhere, and not
    nearer to another depot of the fleet."""
    rows = Vehicle.objects.filter(organisation=depot.organisation_id, is_active=True)
    rows = rows.filter(Q(depot_place__depot=depot) | Q(depot_place=None) & _around(depot))
    rows = rows.select_related("model", "state", "organisation", "depot_place").order_by("pk")
    depots = Depot.objects.filter(organisation=depot.organisation_id, is_active=True).select_related("location")
    rivals = [depot, *depots.exclude(pk=depot.pk)]
    return [one for one in rows if _place(one) or _nearest(rivals, one.depot_latitude, one.depot_longitude) == depot]


def _around(depot: Depot) -> Q:
    """A box about its circle, so that a large fleet is not measured to each of its depots."""
    latitude, longitude = _home(depot)
    north = BOX * depot.radius_m / METRES_PER_DEGREE
    east = north / max(0.01, cos(radians(latitude)))
    in_latitude = Q(depot_latitude__range=(latitude - north, latitude + north))
    return in_latitude & Q(depot_longitude__range=(longitude - east, longitude + east))


def _place(vehicle: Vehicle) -> DepotVehicle | None:
    return getattr(vehicle, "depot_place", None)


def _is_near(depot: Depot, latitude: float | None, longitude: float | None) -> bool:
    if latitude is None or longitude is None:
        return False
    return distance_m(latitude, longitude, *_home(depot)) <= depot.radius_m


def _nearest(depots: list[Depot], latitude: float | None, longitude: float | None) -> Depot | None:
    """Of those within whose radius this is; between equals the one that was there first."""
    if latitude is None or longitude is None:
        return None
    metres = {depot: distance_m(latitude, longitude, *_home(depot)) for depot in depots}
    near = [depot for depot in depots if metres[depot] <= depot.radius_m]
    return min(near, key=lambda depot: (metres[depot], depot.pk), default=None)


def _home(depot: Depot) -> Place:
    return depot.location.latitude, depot.location.longitude


def _sessions(depot: Depot) -> list[ChargingSession]:
    running = ChargingSession.objects.active().filter(connector__evse__location=depot.pk, suspect_reason="")
    return list(running.select_related("connector").order_by("started_at"))


# --- plugs ------------------------------------------------------------------------------------------------------------


def _look_at_plugs(picture: Picture, *, strangers: set[int]) -> None:
    """Those in order and not in a stranger's use."""
    by_evse = _connectors(picture.depot)
    caps = _caps(by_evse)
    picture.caps_w = {cap: float(watts) for cap, watts in caps.items()}
    for evse_id, rows in sorted(by_evse.items()):
        if evse_id in strangers:
            continue
        charger = rows[0].evse.charger
        cap = charger.ocpp_identity if charger and charger.ocpp_identity in caps else ""
        kind = "+".join([*sorted(f"{one.plug}:{one.max_power_w}" for one in rows), cap])
        picture.fits[kind] = [(one.plug, one.power_type == Connector.PowerType.DC, one.max_power_w) for one in rows]
        picture.plugs.append(Plug(evse_id, kind, cap))


def _connectors(depot: Depot) -> dict[int, list[Connector]]:
    evses = EVSE.objects.filter(location=depot.pk, charger__organisation=depot.organisation_id)
    rows = Connector.objects.existing().filter(evse__in=evses).exclude(status__in=OUT_OF_ORDER)
    found: dict[int, list[Connector]] = defaultdict(list)
    for row in rows.select_related("evse__charger").order_by("evse_id", "pk"):
        found[row.evse_id].append(row)
    return found


def _caps(by_evse: dict[int, list[Connector]]) -> dict[str, int]:
    """Limits of chargers that are lower than what their plugs could draw together."""
    sums: dict[str, int] = defaultdict(int)
    most: dict[str, int] = {}
    for rows in by_evse.values():
        charger = rows[0].evse.charger
        if charger is not None and charger.max_power_w:
            most[charger.ocpp_identity] = charger.max_power_w
            sums[charger.ocpp_identity] += max(one.max_power_w for one in rows)
    return {identity: watts for identity, watts in most.items() if watts < sums[identity]}


# --- vehicles ---------------------------------------------------------------------------------------------------------


def _diary(ids: set[int], span: Span, now: datetime) -> Diary:
    """The next shift or the next stop that is due, whichever is first, after the evening."""
    until = span.ends_at + DAY
    leaves: dict[int, tuple[datetime, str]] = {}
    for shift in Shift.objects.filter(vehicle__in=ids, starts_at__gt=max(now, span.begins_at), starts_at__lte=until):
        _earliest(leaves, shift.vehicle_id, shift.starts_at, "shift")
    stops: dict[int, list[Stop]] = defaultdict(list)
    due_from = max(now, span.ready_at - LEAVES_EARLY)
    due = Stop.objects.filter(vehicle__in=ids, done_at=None, due_at__range=(due_from, until))
    for stop in due.order_by("sequence"):
        stops[stop.vehicle_id].append(stop)
        if stop.due_at is not None:
            _earliest(leaves, stop.vehicle_id, stop.due_at, "stop")
    running = Shift.objects.filter(vehicle__in=ids).covering(now)
    return Diary(leaves, dict(running.values_list("vehicle", "ends_at")), stops)


def _earliest(leaves: dict[int, tuple[datetime, str]], vehicle_id: int, at: datetime, why: str) -> None:
    leaves[vehicle_id] = min(leaves.get(vehicle_id, (at, why)), (at, why))


def _visitor(
    picture: Picture, vehicle: Vehicle, followed: Followed, session: ChargingSession | None, diary: Diary,
    wish: int | None,
) -> Visitor | None:  # fmt: skip
    """None: it leaves before it could charge."""
    leaves_at, leaves_for = _departure(picture, vehicle, diary)
    arrives_at, soc = _arrival(picture, vehicle, session, diary)
    begins = 0 if arrives_at <= picture.now else slot_of(arrives_at, picture.first)
    ends = min(picture.slots, slot_of(leaves_at, picture.first, is_end=True))
    if ends <= begins:
        return None
    target, must = _wanted(picture.depot, vehicle, followed, diary.stops.get(vehicle.pk, []))
    place, percent = _place(vehicle), _known(vehicle, session, soc)
    guest = Guest(
        vehicle.pk, begins, ends, *_energy(vehicle, percent, target, must), _powers(picture, vehicle, percent, target),
        priority=place.priority if place else 1, plugged_in=_stands_at(picture, session), wish=wish,
    )  # fmt: skip
    return Visitor(vehicle, arrives_at, leaves_at, leaves_for, soc, target, guest, session)


def _stands_at(picture: Picture, session: ChargingSession | None) -> int | None:
    """The plug it is plugged in at, while that is in order."""
    evse_id = session.connector.evse_id if session else None
    return evse_id if evse_id in {plug.connector_id for plug in picture.plugs} else None


def _known(vehicle: Vehicle, session: ChargingSession | None, soc: float | None) -> float:
    """Of a vehicle that tells no charge: empty, and what its session has brought since."""
    if soc is not None:
        return soc
    charged_wh = session.energy_wh * curves.CHARGING_EFFICIENCY if session else 0.0
    return min(100.0, charged_wh / vehicle.model.battery_wh * 100)


def _departure(picture: Picture, vehicle: Vehicle, diary: Diary) -> tuple[datetime, str]:
    """By when it is to be ready, and what for."""
    if vehicle.pk not in diary.leaves:
        return picture.span.ready_at, "ready_by"
    at, why = diary.leaves[vehicle.pk]
    return min(at - timedelta(minutes=picture.depot.buffer_minutes), picture.span.ends_at), why


def _arrival(
    picture: Picture, vehicle: Vehicle, session: ChargingSession | None, diary: Diary
) -> tuple[datetime, float | None]:
    """When it comes, and with which charge."""
    state, depot, now = getattr(vehicle, "state", None), picture.depot, picture.now
    band = state.soc_band if state else None
    soc = session.soc_percent if session and session.soc_percent is not None else band[0] if band else None
    if session is not None or (state is not None and _is_near(depot, state.latitude, state.longitude)):
        return now, soc
    free_at = diary.shift_ends.get(vehicle.pk, now)
    if state is None or state.latitude is None or state.longitude is None:
        return free_at, soc
    metres, seconds = _way((state.latitude, state.longitude), _home(depot))
    if np.isnan(seconds):
        return free_at, soc
    drop = energy.leg_wh(metres, vehicle.wh_per_km) / vehicle.model.battery_wh * 100
    return max(free_at, now + timedelta(seconds=seconds)), None if soc is None else max(0.0, soc - drop)


def _way(start: Place, end: Place) -> tuple[float, float]:
    matrix = current().matrix(np.array([start]), np.array([end]))
    return float(matrix.metres[0, 0]), float(matrix.seconds[0, 0])


def _wanted(depot: Depot, vehicle: Vehicle, followed: Followed, stops: list[Stop]) -> tuple[float, float]:
    """Percent: what it is to have, and what the round over its stops takes with the reserve left."""
    target = float(followed.target_soc_percent)
    if not stops:
        return target, 0.0
    route = [_home(depot), *((stop.latitude, stop.longitude) for stop in stops), _home(depot)]
    metres = sum(np.nan_to_num(_way(start, end)[0]) for start, end in pairwise(route))
    round_percent = energy.leg_wh(float(metres), vehicle.wh_per_km) / vehicle.model.battery_wh * 100
    must = min(100.0, round_percent + followed.reserve_soc_percent)
    return max(target, must), must


def _energy(vehicle: Vehicle, soc: float, target: float, must: float) -> tuple[float, float]:
    """Metered Wh: of all, and of the must."""
    battery_wh = vehicle.model.battery_wh
    of_all = curves.metered_wh(battery_wh=battery_wh, from_percent=soc, to_percent=target)
    return round(of_all, 1), round(curves.metered_wh(battery_wh=battery_wh, from_percent=soc, to_percent=must), 1)


def _powers(picture: Picture, vehicle: Vehicle, soc: float, target: float) -> dict[str, float]:
    """By kind of plug, as metered; the best of its connectors."""
    found: dict[str, float] = {}
    for kind, plugs in picture.fits.items():
        fitting = [(is_dc, watts) for plug, is_dc, watts in plugs if plug in vehicle.model.plugs]
        power = max((_mean_power(vehicle, is_dc, watts, soc, target) for is_dc, watts in fitting), default=0.0)
        found |= {kind: round(power, 1)} if power > 0 else {}
    return found


def _mean_power(vehicle: Vehicle, is_dc: bool, plug_power_w: int, soc: float, target: float) -> float:
    """Over the whole charge, so that a battery that tapers is not planned too short."""
    model, to = vehicle.model, min(100.0, max(target, soc + 1))
    facts = choose.VehicleFacts(
        soc_percent=soc, battery_wh=model.battery_wh, wh_per_km=vehicle.wh_per_km,
        max_dc_power_w=model.max_dc_power_w, max_ac_power_w=model.max_ac_power_w, curve_points=model.charge_curve,
    )  # fmt: skip
    seconds = choose.charge_seconds(facts, is_dc=is_dc, plug_power_w=plug_power_w, from_percent=soc, to_percent=to)
    if seconds <= 0 or seconds == float("inf"):
        return 0.0
    return curves.metered_wh(battery_wh=model.battery_wh, from_percent=soc, to_percent=to) * 3600 / seconds
