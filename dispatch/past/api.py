"""GET /api/v1/live/past/: what the map showed in the last hours, to be played again."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from orjson import dumps
from rest_framework.request import Request
from rest_framework.views import APIView

from dispatch.models import Alert
from dispatch.past import plugs, tracks
from dispatch.past.shapes import PastQuerySerializer, PastSerializer
from dispatch.past.span import Span
from dispatch.wording import told
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import organisation_of

MAX_ALERTS = 500
INSTANT = {"type": "string", "format": "date-time"}


class LivePastView(APIView):
    """Where the vehicles were and how many plugs were free, thinned to what fits one answer.

    A fleet of up to 1,000 vehicles is told as a whole, of a larger one up to 1,000 that were seen in `bbox`. Plugs are
    those of `bbox`, by what they said then. `alerts` are those opened in that time.
    """

    read_scope = Scope.DISPATCH_READ

    @extend_schema(
        operation_id="live_past", summary="The map of the last hours", responses=PastSerializer,
        parameters=[
            OpenApiParameter("from", INSTANT, description="Two hours before `to` unless said otherwise."),
            OpenApiParameter("to", INSTANT, description="Now unless said otherwise; at most three hours later."),
            OpenApiParameter("bbox", str, description="west,south,east,north in degrees; everywhere unless said."),
        ],
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        query = PastQuerySerializer(data=_asked(request.query_params))
        query.is_valid(raise_exception=True)
        span = Span(organisation_of(request), **query.validated_data)
        headers = {"Cache-Control": "private, no-store"}
        return HttpResponse(dumps(past(span)), content_type="application/json", headers=headers)


def _asked(parameters: Mapping[str, str]) -> dict[str, str]:
    """A form may send what nobody filled in."""
    return {name: value for name, value in parameters.items() if value}


def past(span: Span) -> dict[str, Any]:
    """A handful of queries for any span."""
    vehicle_ids, has_all_vehicles = tracks.in_view(span)
    step = tracks.step_seconds(span, len(vehicle_ids))
    sites, has_all_plugs = plugs.read(span)
    return {
        "from": span.start.isoformat(),
        "to": span.end.isoformat(),
        "step_seconds": step,
        "is_complete": has_all_vehicles and has_all_plugs,
        "vehicles": [
            {"id": pk, "points": tracks.packed(points)} for pk, points in tracks.read(span, vehicle_ids, step)
        ],
        "stations": [
            {"id": site, "total": total, "steps": [number for step in steps for number in step]}
            for site, (total, steps) in sites.items()
        ],
        "alerts": _alerts(span),
    }


def _alerts(span: Span) -> list[dict[str, Any]]:
    opened = Alert.objects.for_organisation(span.organisation).filter(opened_at__range=(span.start, span.end))
    return [
        {"id": alert.pk, "second": span.second_of(alert.opened_at), "severity": alert.severity,
         "title": told(alert, span.organisation.time_zone)["title"], "vehicle_id": alert.vehicle_id}
        for alert in opened.order_by("-opened_at", "-pk")[:MAX_ALERTS]
    ]  # fmt: skip
