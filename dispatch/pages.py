"""What the server-rendered pages show: fleet rows by urgency, a site with its plugs, lists. Reads only."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db.models import Case, Count, Exists, F, Func, IntegerField, Max, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import ExtractHour, Length
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from billing.services.tariffs import zone_of
from dispatch.live_reads import DRIVING_ABOVE_KMH
from dispatch.offers import Offer, Offers
from dispatch.services import wishing
from fleetcharge.accounts.models import Organisation
from stations.belief import BELIEVED, freshness_of, has_believed_connector
from stations.models import Connector, Location, StatusChange, Tariff
from vehicles.models import POSITION_STALE_AFTER, Stop, Vehicle

LOW, CHARGING, DRIVING, PARKED, OFFLINE = range(5)
GROUPS: list[tuple[str, Promise | str]] = [
    ("low", _("Below %(percent)s %%")),
    ("charging", _("Charging")),
    ("driving", _("On road")),
    ("parked", _("Parked")),
    ("offline", _("No signal")),
]
LOOKS = [("warn", "bad"), ("bolt", "chg"), ("truck", "ok"), ("parked", "ok"), ("slash", "off")]
STATUS_LOOKS = {
    Connector.Status.AVAILABLE: ("check", "ok"),
    Connector.Status.OCCUPIED: ("bolt", "chg"),
    Connector.Status.CHARGING: ("bolt", "chg"),
    Connector.Status.RESERVED: ("clock", "warn"),
    Connector.Status.FAULTED: ("warn", "bad"),
}
HOUR_BINS = 12
PAINTED = "evse__physical_reference"
BEFORE_A_NUMBER = Func(PAINTED, Value(r"\d.*$"), Value(""), function="regexp_replace")  # so that bay 10 follows bay 9
SOURCE_ICONS = {"measured": "gauge", "charger": "plug", "driver": "person", "estimated": "about"}


def fleet_by_urgency(organisation: Organisation, *, now: datetime) -> QuerySet[Vehicle]:
    """Active vehicles with `group` (LOW first) in the order of the list.

    One with a running session charges, whether its tracker says so, has not been heard, or does not exist.
    """
    silent = Q(state=None) | Q(state__position_at=None) | Q(state__position_at__lt=now - POSITION_STALE_AFTER)
    in_session = Q(Exists(ChargingSession.objects.active().filter(vehicle=OuterRef("pk"))))
    group = Case(
        When(state__is_soc_low=True, then=LOW),
        When(silent & ~in_session, then=OFFLINE),
        When(~silent & Q(state__is_charging=True), then=CHARGING),
        When(~silent & Q(state__speed_kmh__gt=DRIVING_ABOVE_KMH), then=DRIVING),
        When(in_session, then=CHARGING),
        default=Value(PARKED),
        output_field=IntegerField(),
    )
    vehicles = Vehicle.objects.for_organisation(organisation).filter(is_active=True).annotate(group=group)
    return vehicles.order_by("group", F("state__soc_percent").asc(nulls_last=True), "registration").select_related(
        "state", "model", "default_driver"
    )


@dataclass(frozen=True)
class FleetRow:
    """One line of the fleet list, as the page and the script both draw it."""

    id: int
    registration: str
    note: str | Promise
    icon: str
    tone: str
    soc_percent: int | None
    range_km: int | None
    group: int
    driver: str = ""
    model: str = ""
    soc_source: str | Promise = ""
    source_icon: str = ""
    soc_band: tuple[int, int] | None = None


def fleet_rows(vehicles: list[Vehicle]) -> list[FleetRow]:
    """Two queries for any number of vehicles (the stops come in one)."""
    stops: dict[int, str] = {}
    for stop in Stop.objects.filter(vehicle__in=vehicles, done_at=None).order_by("-sequence"):
        stops[stop.vehicle_id] = stop.name
    return [_fleet_row(vehicle, stops.get(vehicle.pk, "")) for vehicle in vehicles]


def _fleet_row(vehicle: Vehicle, next_stop: str) -> FleetRow:
    state = getattr(vehicle, "state", None)
    soc = state.soc_percent if state else None
    group: int = vehicle.group  # type: ignore[attr-defined]  # annotated above
    icon, tone = LOOKS[group]
    return FleetRow(
        id=vehicle.pk,
        registration=vehicle.registration,
        note=_note(group, next_stop, bool(state and state.is_charging)),
        icon=icon,
        tone=tone,
        soc_percent=None if soc is None else round(soc),
        range_km=range_km(vehicle, soc),
        group=group,
        driver=vehicle.default_driver.name if vehicle.default_driver else "",
        model=str(vehicle.model),
        soc_source="" if state is None or soc is None else state.get_soc_source_display(),
        source_icon="" if state is None or soc is None else SOURCE_ICONS[state.soc_source],
        soc_band=(round(state.soc_band[0]), round(state.soc_band[1])) if state and state.soc_band else None,
    )


def _note(group: int, next_stop: str, is_charging: bool) -> str | Promise:
    if is_charging or group == CHARGING:
        return _("Charging")
    if group == OFFLINE:
        return _("No signal")
    if next_stop:
        return _("Next stop %(name)s") % {"name": next_stop}
    return _("Low charge") if group == LOW else GROUPS[group][1]


def range_km(vehicle: Vehicle, soc_percent: float | None) -> int | None:
    """What the charge left is good for, by what this vehicle takes."""
    if soc_percent is None:
        return None
    return int(vehicle.model.battery_wh * soc_percent / 100 / vehicle.wh_per_km)


def group_counts(vehicles: QuerySet[Vehicle]) -> list[int]:
    """How many vehicles each group holds."""
    counted = dict(vehicles.order_by().values_list("group").annotate(count=Count("pk")))  # type: ignore[misc]
    return [counted.get(group, 0) for group in range(len(GROUPS))]


def sites(organisation: Organisation, text: str = "", *, now: datetime) -> QuerySet[Location]:
    """Visible sites with `free` (as far as that is believed), `total` and `max_power_w`."""
    existing = Q(evses__is_removed=False, evses__connectors__is_removed=False)
    is_free = Q(evses__connectors__status=Connector.Status.AVAILABLE) & has_believed_connector(now)
    found = Location.objects.visible_to(organisation).select_related("source")
    if text:
        found = found.filter(Q(name__icontains=text) | Q(address__icontains=text) | Q(source__name__icontains=text)
                             | Q(city__icontains=text) | Q(public_id__iexact=text))  # fmt: skip
    return found.annotate(
        total=Count("evses__connectors", filter=existing),
        free=Count("evses__connectors", filter=existing & is_free),
        max_power_w=Max("evses__connectors__max_power_w", filter=existing),
    ).order_by("name", "pk")


@dataclass(frozen=True)
class PlugRow:
    """One connector of a site in the drawer."""

    id: int
    bay: str
    plug: str
    power_w: int
    icon: str
    tone: str
    status: str
    is_free: bool
    since: datetime
    fault: str
    as_of: datetime | None
    freshness: str
    session: ChargingSession | None
    paise_per_kwh: int | None
    offer: Offer


def plugs_of(location: Location, organisation: Organisation, *, now: datetime) -> list[PlugRow]:
    """The site's connectors in bay order. Five queries; only the fleet's own sessions and promises are shown."""
    connectors = list(_connectors_at(location))
    bays = bay_names({row.pk: row.evse.physical_reference for row in connectors})
    return _plug_rows(location, connectors, bays, organisation, now)


def _connectors_at(location: Location) -> QuerySet[Connector]:
    at = Connector.objects.existing().filter(evse__location=location)
    return at.select_related("evse__charger", "evse__location__source", "evse__location__party", "tariff").order_by(
        BEFORE_A_NUMBER, Length(PAINTED), PAINTED, "evse__evse_number", "evse_id", "connector_id"
    )


def _plug_rows(
    location: Location, connectors: list[Connector], bays: dict[int, str], organisation: Organisation, now: datetime
) -> list[PlugRow]:
    mine = ChargingSession.objects.for_organisation(organisation).filter(connector__in=connectors)
    recent = list(mine.filter(wishing.may_hang(now)).select_related("vehicle", "source").order_by("pk"))
    hanging = {session.connector_id for session in recent}
    sessions = {row.connector_id: row for row in recent if row.state == ChargingSession.State.ACTIVE}
    offers = Offers(location.source, connectors, organisation, now)
    return [
        _plug_row(bays[row.pk], row, sessions.get(row.pk), offers, may_hang=row.pk in hanging) for row in connectors
    ]


def plug_of_session(session: ChargingSession | None, organisation: Organisation, *, now: datetime) -> PlugRow | None:
    """The plug where this session of the fleet runs, with what can be asked of it; None where we do not show it.

    As many queries in a depot of a hundred as where it stands alone.
    """
    if session is None:
        return None
    location = session.connector.evse.location
    connectors = _connectors_at(location)
    bays = bay_names(dict(connectors.values_list("pk", "evse__physical_reference")))
    own = list(connectors.filter(pk=session.connector_id)) if session.connector_id in bays else []
    rows = _plug_rows(location, own, bays, organisation, now)
    found = next((row for row in rows if row.session and row.session.pk == session.pk), None)
    return replace(found, offer=found.offer.of_session) if found else None


def bay_names(painted: dict[int, str]) -> dict[int, str]:
    """Of connectors: what is painted on the ground when that names each bay; else they are counted through."""
    names = {plug: name.removeprefix("Bay ").strip() for plug, name in painted.items()}
    is_clear = all(names.values()) and len(set(names.values())) == len(names)
    return names if is_clear else {plug: str(number) for number, plug in enumerate(names, 1)}


def _plug_row(bay: str, row: Connector, session: ChargingSession | None, offers: Offers, *, may_hang: bool) -> PlugRow:
    icon, tone = STATUS_LOOKS.get(Connector.Status(row.status), ("slash", "off"))
    fresh = freshness_of(row, offers.now)
    is_old = fresh not in BELIEVED
    is_free = row.status == Connector.Status.AVAILABLE and not is_old
    return PlugRow(
        id=row.pk,
        bay=bay,
        plug=row.get_plug_display(),
        power_w=row.max_power_w,
        icon=icon,
        tone=tone,
        status=row.get_status_display(),
        is_free=is_free,
        since=row.status_since,
        fault=row.error_info or row.error_code if tone == "bad" else "",
        as_of=row.heard_at if is_old else None,
        freshness=fresh,
        session=session,
        paise_per_kwh=price_paise(row.tariff, "ENERGY"),
        offer=offers.at(row, is_free=is_free, session=session, may_hang=may_hang),
    )


def price_paise(tariff: Tariff | None, kind: str) -> int | None:
    """The first price of that OCPI component, excluding tax; None when the tariff has none."""
    for element in tariff.elements if tariff else []:
        for component in element.get("price_components") or []:
            if component.get("type") == kind:
                return _paise(component.get("price"))
    return None


def _paise(price: Any) -> int | None:
    try:
        return int((Decimal(str(price)) * 100).quantize(Decimal(1)))
    except InvalidOperation:
        return None


def busy_by_hour(location: Location, *, now: datetime) -> list[dict[str, Any]]:
    """Charging starts of the last seven days in two-hour bars, highest 100."""
    zone = zone_of(location.time_zone)
    starts = (
        StatusChange.objects.filter(
            connector__evse__location=location, new=Connector.Status.CHARGING, at__gte=now - timedelta(days=7)
        )
        .annotate(hour=ExtractHour("at", tzinfo=zone))
        .order_by()
        .values_list("hour")
        .annotate(count=Count("pk"))
    )
    bins = [0] * HOUR_BINS
    for hour, count in starts:
        bins[hour * HOUR_BINS // 24] += count
    highest, here = max(bins) or 1, now.astimezone(zone).hour * HOUR_BINS // 24
    return [{"height": round(100 * value / highest), "is_now": place == here} for place, value in enumerate(bins)]
