"""The rows behind each table, of one fleet: what the filter leaves, with what it is sorted by. Reads only."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import F, FloatField, IntegerField, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import pages
from dispatch.models import Alert, Reservation
from dispatch.tables.forms import GROUPS
from fleetcharge.accounts.models import Organisation
from stations.models import Location
from vehicles.models import Vehicle

Asked = Mapping[str, Any]
UNKNOWN_LAST = 999.0


def stations(organisation: Organisation, asked: Asked, now: datetime) -> QuerySet[Location]:
    found: QuerySet[Any] = pages.sites(organisation, asked["q"], now=now)
    found = found.annotate(power_order=Coalesce("max_power_w", Value(0), output_field=IntegerField()))
    if asked["free"]:
        found = found.filter(free__gt=0) if asked["free"] == "yes" else found.filter(free=0)
    return found


def fleet(organisation: Organisation, asked: Asked, now: datetime) -> QuerySet[Vehicle]:
    unknown_last = Coalesce(F("state__soc_percent"), Value(UNKNOWN_LAST), output_field=FloatField())
    found: QuerySet[Any] = pages.fleet_by_urgency(organisation, now=now).annotate(soc_order=unknown_last)
    if text := asked["q"]:
        found = found.filter(Q(registration__icontains=text) | Q(default_driver__name__icontains=text))
    if asked["state"]:
        found = found.filter(group=[key for key, _label in GROUPS].index(asked["state"]))
    if asked["source"]:
        found = found.filter(state__soc_source=asked["source"], state__soc_percent__isnull=False)
    return found


def sessions(organisation: Organisation, asked: Asked, now: datetime) -> QuerySet[ChargingSession]:
    found = ChargingSession.objects.for_organisation(organisation).select_related(
        "vehicle", "connector__evse__location", "cdr", "verdict"
    )
    if text := asked["q"]:
        by_place = Q(connector__evse__location__name__icontains=text)
        found = found.filter(by_place | Q(vehicle__registration__icontains=text) | Q(id_token_uid__iexact=text))
    return _between(_in_state(found, asked), "started_at", asked)


def alerts(organisation: Organisation, asked: Asked, now: datetime) -> QuerySet[Alert]:
    found = Alert.objects.for_organisation(organisation).select_related("organisation", "vehicle", "location")
    if text := asked["q"]:
        by_place = Q(location__name__icontains=text)
        found = found.filter(by_place | Q(vehicle__registration__icontains=text) | Q(title__icontains=text))
    if asked["state"] != "all":
        found = found.filter(closed_at__isnull=asked["state"] != "closed")
    wanted = {name: asked[name] for name in ("kind", "severity") if asked[name]}
    return found.filter(**wanted)


def reservations(organisation: Organisation, asked: Asked, now: datetime) -> QuerySet[Reservation]:
    found = Reservation.objects.for_organisation(organisation).select_related(
        "vehicle", "connector__evse__location__source"
    )
    if text := asked["q"]:
        by_place = Q(connector__evse__location__name__icontains=text)
        found = found.filter(by_place | Q(vehicle__registration__icontains=text))
    return _between(_in_state(found, asked), "starts_at", asked)


def _in_state(found: QuerySet[Any], asked: Asked) -> QuerySet[Any]:
    return found.filter(state=asked["state"]) if asked["state"] else found


def _between(found: QuerySet[Any], column: str, asked: Asked) -> QuerySet[Any]:
    """Whole days by the fleet's clock, which is the active one; both ends count."""
    if asked["since"]:
        found = found.filter(**{f"{column}__gte": _midnight(asked["since"])})
    if asked["until"]:
        found = found.filter(**{f"{column}__lt": _midnight(asked["until"] + timedelta(days=1))})
    return found


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
