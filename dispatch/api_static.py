"""GET /api/v1/live/static/: names, plates and sites, which never ride the live stream."""

from typing import Any

from django.db.models import Count, F, Max, Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import live_reads
from dispatch.serializers import StaticSerializer
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import organisation_of
from fleetcharge.lib.api import etag_of
from stations.models import Location
from vehicles.models import Shift, Stop, Vehicle


class LiveStaticView(APIView):
    """Everything about vehicles and sites that a dispatcher sees but that does not move. 304 while `rev` stands."""

    read_scope = Scope.DISPATCH_READ

    @extend_schema(responses={200: StaticSerializer, 304: None}, operation_id="live_static")  # type: ignore[untyped-decorator]
    def get(self, request: Request) -> Response:
        organisation = organisation_of(request)
        revision = live_reads.static_revision(organisation)
        etag = etag_of(organisation.pk, revision)
        if etag in request.headers.get("If-None-Match", ""):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
        return Response(_static(organisation, revision), headers={"ETag": etag, "Cache-Control": "private, no-cache"})


def _static(organisation: Organisation, revision: int) -> dict[str, Any]:
    names = ("id", "name", "currency", "time_zone", "soc_low_percent")
    return {
        "rev": revision,
        "server_time": timezone.now().isoformat(),
        "organisation": {name: getattr(organisation, name) for name in names},
        "vehicles": _vehicles(organisation),
        "stations": _stations(organisation),
    }


def _vehicles(organisation: Organisation) -> list[dict[str, Any]]:
    stops: dict[int, dict[str, Any]] = {}
    now = timezone.now()
    on_shift = Shift.objects.filter(organisation=organisation).covering(now).order_by("starts_at")
    drivers = dict(on_shift.values_list("vehicle_id", "driver__name"))  # when one ends as the next begins: the next
    open_stops = Stop.objects.filter(vehicle__organisation=organisation, done_at=None).order_by("-sequence")
    for stop in open_stops:  # the first in line is written last
        stops[stop.vehicle_id] = {"name": stop.name, "latitude": stop.latitude, "longitude": stop.longitude}
    vehicles = Vehicle.objects.for_organisation(organisation).filter(is_active=True)
    return [
        {
            "id": vehicle.pk,
            "registration": vehicle.registration,
            "model": str(vehicle.model),
            "driver": drivers.get(vehicle.pk) or (vehicle.default_driver.name if vehicle.default_driver else ""),
            "plugs": vehicle.model.plugs,
            "next_stop": stops.get(vehicle.pk),
            "range_wh_per_km": max(1, round(vehicle.wh_per_km)),
            "battery_wh": vehicle.model.battery_wh,
        }
        for vehicle in vehicles.select_related("model", "default_driver")
    ]


def _stations(organisation: Organisation) -> list[dict[str, Any]]:
    existing = Q(evses__is_removed=False, evses__connectors__is_removed=False)
    rows = Location.objects.visible_to(organisation).annotate(
        network=F("source__name"),
        max_power=Max("evses__connectors__max_power_w", filter=existing),
        total=Count("evses__connectors", filter=existing),
    )
    columns = ("id", "public_id", "name", "network", "address", "city", "latitude", "longitude", "total", "max_power")
    stations = list(rows.order_by("pk").values(*columns))
    for station in stations:
        station["max_power_w"] = station.pop("max_power") or 0
    return stations
