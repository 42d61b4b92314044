"""GET /api/v1/live/static/: names, plates and sites, which never ride the live stream, and the details as they are."""

from typing import Any

from django.db.models import Count, F, Max, Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import details, live_reads
from dispatch.serializers import StaticSerializer
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import organisation_of
from fleetcharge.lib.api import etag_of
from stations.models import Location
from vehicles.models import Vehicle, VehicleModel


class LiveStaticView(APIView):
    """Everything about vehicles and sites that a dispatcher sees and that does not move. 304 while both revisions are.

    `rev` moves with names, plates and sites, `details_rev` with drivers, stops and sources of charge; what the live
    stream says of them (message `details`) is of this revision.
    """

    read_scope = Scope.DISPATCH_READ

    @extend_schema(responses={200: StaticSerializer, 304: None}, operation_id="live_static")  # type: ignore[untyped-decorator]
    def get(self, request: Request) -> Response:
        organisation = organisation_of(request)
        revision = live_reads.static_revision(organisation)
        details_revision = details.revision(organisation.pk)
        etag = etag_of(organisation.pk, revision, details_revision)
        if etag in request.headers.get("If-None-Match", ""):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
        body = static_of(organisation, revision, details_revision)
        return Response(body, headers={"ETag": etag, "Cache-Control": "private, no-cache"})


def static_of(organisation: Organisation, revision: int, details_revision: int) -> dict[str, Any]:
    names = ("id", "name", "currency", "time_zone", "soc_low_percent")
    return {
        "rev": revision,
        "details_rev": details_revision,
        "server_time": timezone.now().isoformat(),
        "organisation": {name: getattr(organisation, name) for name in names},
        "vehicles": _vehicles(organisation),
        "stations": _stations(organisation),
    }


def _vehicles(organisation: Organisation) -> list[dict[str, Any]]:
    """No object for each: a fleet has tens of thousands, of some models."""
    found = details.read(organisation.pk)
    active = Vehicle.objects.for_organisation(organisation).filter(is_active=True)
    rows = list(active.values_list("pk", "registration", "model_id"))
    models = VehicleModel.objects.in_bulk({model_id for _, _, model_id in rows})
    figures = {pk: {"model": str(row), "plugs": row.plugs, "battery_wh": row.battery_wh} for pk, row in models.items()}
    return [
        {"id": pk, "registration": registration, **figures[model_id], **found[pk]}
        for pk, registration, model_id in rows
        if pk in found
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
