"""What the live channel reads from the database: vehicle rows, station rows, marks, the revision of the static part."""

import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import figures, wire, wording
from dispatch.models import Alert, ChargePlan
from dispatch.serializers import AlertSerializer
from fleetcharge.accounts.models import Organisation
from stations.belief import freshness_of_site, has_believed_connector, has_live_connector
from stations.models import Connector, Location
from vehicles.events import VehicleMove
from vehicles.models import Vehicle, VehicleState

DRIVING_ABOVE_KMH = 3.0
Row = tuple[int, ...]


def state_of(*, speed_kmh: float | None, is_charging: bool, is_soc_low: bool) -> int:
    """The state nibble and the low flag one ping decides."""
    driving = wire.DRIVING if (speed_kmh or 0) > DRIVING_ABOVE_KMH else wire.IDLE
    return (wire.CHARGING if is_charging else driving) | (wire.LOW if is_soc_low else 0)


def vehicle_row(move: VehicleMove | VehicleState) -> Row:
    """One vehicle in wire order."""
    return (
        move.vehicle_id,
        wire.micro(move.latitude or 0.0),
        wire.micro(move.longitude or 0.0),
        wire.heading_byte(move.heading_deg),
        wire.byte(move.speed_kmh),
        wire.byte(move.soc_percent, wire.SOC_UNKNOWN),
        state_of(speed_kmh=move.speed_kmh, is_charging=move.is_charging, is_soc_low=move.is_soc_low),
    )


def vehicle_rows(organisation_id: int) -> list[tuple[Row, float]]:
    """Every active vehicle that ever reported, with the time of its position (epoch seconds). One query."""
    return _with_times(_placed(organisation_id))


def untold_rows(organisation_id: int) -> list[tuple[Row, float]]:
    """Those whose charge comes from a driver, a charger or an estimate: it moves without a ping. One query."""
    return _with_times(_placed(organisation_id).exclude(soc_source=VehicleState.SocSource.MEASURED))


def _placed(organisation_id: int) -> QuerySet[VehicleState]:
    return VehicleState.objects.filter(
        vehicle__organisation_id=organisation_id, vehicle__is_active=True, latitude__isnull=False
    )


def _with_times(states: QuerySet[VehicleState]) -> list[tuple[Row, float]]:
    return [(vehicle_row(state), state.position_at.timestamp() if state.position_at else 0.0) for state in states]


def vehicle_marks(organisation_id: int, vehicle_ids: Collection[int] | None = None) -> dict[int, int]:
    """REROUTED for vehicles under way to a charger we chose, EXCEPTION for those with an alert of the worst kind,
    IN_SESSION for those that charge by what a charger says."""
    plans = ChargePlan.objects.filter(
        organisation_id=organisation_id,
        state__in=(ChargePlan.State.ACCEPTED, ChargePlan.State.RESERVED, ChargePlan.State.CHARGING),
    )
    alerts = Alert.objects.open().filter(
        organisation_id=organisation_id, severity=Alert.Severity.BAD, vehicle__isnull=False
    )
    running = ChargingSession.objects.active().filter(organisation_id=organisation_id, vehicle__isnull=False)
    if vehicle_ids is not None:
        plans, alerts = plans.filter(vehicle_id__in=vehicle_ids), alerts.filter(vehicle_id__in=vehicle_ids)
        running = running.filter(vehicle_id__in=vehicle_ids)
    marks = dict.fromkeys(vehicle_ids or (), 0)
    for vehicle_id in plans.values_list("vehicle_id", flat=True):
        marks[vehicle_id] = wire.REROUTED
    for mark, rows in ((wire.EXCEPTION, alerts), (wire.IN_SESSION, running)):
        for vehicle_id in rows.values_list("vehicle_id", flat=True):
            marks[vehicle_id or 0] = marks.get(vehicle_id or 0, 0) | mark
    return marks


_BUSY = (Connector.Status.CHARGING, Connector.Status.OCCUPIED)


def _with_counts(locations: QuerySet[Location]) -> QuerySet[Location]:
    """Free, busy, reserved and faulted are what is believed; a word that is too old counts as nothing."""
    everything = Q(evses__is_removed=False, evses__connectors__is_removed=False)
    now = timezone.now()
    existing = everything & has_believed_connector(now)
    status = "evses__connectors__status"
    return locations.annotate(
        total=Count("evses__connectors", filter=everything),
        free=Count("evses__connectors", filter=existing & Q(**{status: Connector.Status.AVAILABLE})),
        busy=Count("evses__connectors", filter=existing & Q(**{f"{status}__in": _BUSY})),
        reserved=Count("evses__connectors", filter=existing & Q(**{status: Connector.Status.RESERVED})),
        faulted=Count("evses__connectors", filter=existing & Q(**{status: Connector.Status.FAULTED})),
        max_power_w=Max("evses__connectors__max_power_w", filter=everything),
        live=Count("evses__connectors", filter=everything & has_live_connector(now)),
        believed=Count("evses__connectors", filter=existing),
        heard_at=Max("evses__connectors__heard_at", filter=everything),
    )


def station_rows(location_ids: Collection[int] | None = None) -> list[tuple[Row, int | None]]:
    """Sites with their counts and the organisation of a private depot (None: public). One query."""
    locations = Location.objects.filter(is_removed=False)
    if location_ids is not None:
        locations = locations.filter(pk__in=location_ids)
    columns = (
        "pk", "latitude", "longitude", "free", "total", "busy", "reserved", "faulted", "max_power_w", "organisation_id",
        "live", "believed", "heard_at",
    )  # fmt: skip
    return [_station_row(*row) for row in _with_counts(locations).values_list(*columns)]


def _station_row(
    pk: int, latitude: float, longitude: float, free: int, total: int, busy: int, reserved: int, faulted: int,
    max_power_w: int | None, organisation_id: int | None, live: int, believed: int, heard_at: datetime | None,
) -> tuple[Row, int | None]:  # fmt: skip
    fresh = freshness_of_site(live=live, believed=believed, heard_at=heard_at, now=timezone.now())
    worst = wire.worst_of(free=free, busy=busy, reserved=reserved, faulted=faulted) | wire.FRESHNESS[fresh] << 4
    place = (pk, wire.micro(latitude), wire.micro(longitude))
    figures = (wire.byte(free), wire.byte(total), worst, wire.byte((max_power_w or 0) / 10_000))
    return (*place, *figures), organisation_id


def static_revision(organisation: Organisation) -> int:
    """A number that moves when a name, plate or site changes, and no stop or shift. One query of three aggregates."""
    with connection.cursor() as cursor:
        cursor.execute(_STATIC_SQL, {"organisation": organisation.pk})
        parts = cursor.fetchall()
    settings = (organisation.name, organisation.currency, organisation.time_zone, organisation.soc_low_percent)
    return zlib.crc32(repr((parts, settings)).encode()) or 1


_STATIC_SQL = """
SELECT count(*), coalesce(sum(hashtext(concat_ws('|', v.id, v.registration, v.model_id))), 0)
  FROM vehicles_vehicle v
 WHERE v.organisation_id = %(organisation)s AND v.is_active
UNION ALL
SELECT count(*), coalesce(sum(hashtext(concat_ws('|', l.id, l.name, l.address, l.latitude, l.longitude))), 0)
  FROM stations_location l
 WHERE NOT l.is_removed AND (l.organisation_id IS NULL OR l.organisation_id = %(organisation)s)
UNION ALL
SELECT count(*), coalesce(sum(c.max_power_w), 0)
  FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id WHERE NOT e.is_removed AND NOT c.is_removed
"""


@dataclass(frozen=True)
class FleetState:
    """What one fleet's board starts from."""

    vehicles: list[tuple[Row, float]]
    marks: dict[int, int]
    revision: int
    active: frozenset[int]


def fleet_state(organisation_id: int) -> FleetState:
    """The revision is read first: what changes meanwhile is then read again, never missed."""
    first = revision(organisation_id)
    active = Vehicle.objects.filter(organisation_id=organisation_id, is_active=True).values_list("pk", flat=True)
    return FleetState(vehicle_rows(organisation_id), vehicle_marks(organisation_id), first, frozenset(active))


def revision(organisation_id: int) -> int:
    return static_revision(Organisation.objects.get(pk=organisation_id))


def alert_revision(organisation_id: int) -> int:
    """Of the last change of any alert of this fleet, 0 when it never had one."""
    found = Alert.objects.filter(organisation_id=organisation_id).aggregate(last=Max("revision"))
    return int(found["last"] or 0)


def alerts_after(organisation_id: int, last_revision: int) -> list[dict[str, Any]]:
    """What a returning browser missed; for a new one (0) everything still open."""
    missed = Alert.objects.filter(organisation_id=organisation_id, revision__gt=last_revision).for_display()
    if last_revision <= 0:
        missed = missed.open()
    return alert_messages(missed.order_by("revision"))


def alert_messages(alerts: Iterable[Alert]) -> list[dict[str, Any]]:
    """With their words in every language, of which each browser gets one (`spoken`)."""
    shape = AlertSerializer()  # to make one costs more than to fill it
    return [{"type": "alert", **shape.to_representation(alert), **_in_all_languages(alert)} for alert in alerts]


def _in_all_languages(alert: Alert) -> dict[str, dict[str, dict[str, str]]]:
    zone_name = alert.organisation.time_zone
    words = {code: wording.told(alert, zone_name, code) for code, _name in settings.LANGUAGES}
    if wording.is_for_screens(alert):
        return {"words": words, "screen_words": words}
    on_screens = {code: wording.told_on_screens(alert, zone_name, code) for code, _name in settings.LANGUAGES}
    return {"words": words, "screen_words": on_screens}


def spoken(message: dict[str, Any], language: str) -> dict[str, Any]:
    """The message about an alert as a reader of this language gets it."""
    return {**_without_words(message), **message["words"].get(language, {})}


def spoken_on_screens(message: dict[str, Any], language: str) -> dict[str, Any]:
    """The same for a screen that anybody may look at: no stop, no card, no address, and nothing of what is over."""
    if message["closed_at"]:
        return {name: message[name] for name in ("type", "id", "revision", "op", "closed_at")}
    words = message["screen_words"].get(language) or message["screen_words"][wording.ENGLISH]
    return {**_without_words(message), **words, "parameters": {}, "data": {}, "plan": _way_to_charger(message["plan"])}


def _without_words(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in ("words", "screen_words")}


def _way_to_charger(plan: dict[str, Any] | None) -> dict[str, Any] | None:
    """The ways before and after it lead to customers."""
    return plan and {**plan, "explanation": {}, "route": {"new": plan["route"].get("new", [])}}


def sessions(meters: dict[int, list[Any]]) -> list[tuple[int, dict[str, Any]]]:
    """(organisation, message) per running session; `meters` as SessionMetered carries them. One query."""
    columns = ("pk", "organisation_id", "connector_id", "connector__evse__location_id", "vehicle_id")
    found = ChargingSession.objects.filter(pk__in=meters).values_list(*columns)
    return [
        (owner, _session_message(meters[pk], connector, place, vehicle))
        for pk, owner, connector, place, vehicle in found
    ]


def _session_message(reading: list[Any], connector_id: int, location_id: int, vehicle_id: int | None) -> dict[str, Any]:
    session_id, _, energy_wh, power_w, soc_percent = reading
    return {
        "type": "session", "session_id": session_id, "connector_id": connector_id, "location_id": location_id,
        "vehicle_id": vehicle_id, "energy_wh": energy_wh, "power_w": power_w, "soc_percent": soc_percent,
    }  # fmt: skip


def kpis(organisation_id: int) -> dict[str, Any]:
    return figures.kpis(Organisation.objects.get(pk=organisation_id), now=timezone.now())
