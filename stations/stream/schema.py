"""Describes the raw stream in the same OpenAPI file as the API; this view exists for the description alone."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleetcharge.accounts.models import Scope
from stations.stream.query import StreamQuery
from stations.stream.routes import PATH

EVENTS = """\
retry: 2000

event: ready
id: 48113:48113:
data: {"type":"ready","cursor":"48113:48113:"}

event: status
id: 48120:48121:48120
data: {"type":"status","cursor":"48120:48121:48120","changes":[{"change":9071,"connector":"FCC-7K3M9QZX",\
"evse":"FCE-5R1D6VYA","station":"FC-IN-2W8T4NHB","network":"voltgrid","old":"available","status":"charging",\
"coarse_status":"charging","status_reason":"reported by the source","raw_status":"CHARGING",\
"status_since":"2026-11-21T06:33:57Z","received_at":"2026-11-21T06:33:57.402Z"}]}
"""


class StreamEventSerializer(serializers.Serializer[Any]):
    """One event as Server-Sent Events have it. `data` is JSON: `type`, `cursor`, and `changes` or `why`."""

    event = serializers.ChoiceField(choices=["ready", "status", "heartbeat", "reset"])
    id = serializers.CharField(help_text="The cursor; an EventSource sends it as Last-Event-ID when it comes back.")
    data = serializers.CharField()  # type: ignore[assignment]  # an event of SSE is called so


class StreamRoute(APIView):
    """`stations.stream.routes.events`."""

    read_scope = Scope.STATIONS_READ

    @extend_schema(  # type: ignore[untyped-decorator]
        operation_id="status_stream",
        tags=["stream"],
        summary="Live status, as it happens",
        parameters=[
            StreamQuery,
            OpenApiParameter(
                "Last-Event-ID", str, OpenApiParameter.HEADER, description="What an EventSource sends by itself."
            ),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                StreamEventSerializer, "Never ends by itself.", examples=[OpenApiExample("A change", EVENTS)]
            ),
            503: OpenApiResponse(OpenApiTypes.OBJECT, "Not just now; come again (Retry-After)."),
        },
    )
    def get(self, request: Request) -> Response:
        """Server-Sent Events; the same address is a WebSocket with the same JSON as texts.

        Messages: `ready` (you listen from this cursor on), `status` (a list of changes), `heartbeat` (every 15 quiet
        seconds), `reset` (too much was missed: read `/connectors/status/` and go on from its cursor). Every message has
        a `cursor`. Come back with the last one and you hear exactly what you missed, once. A browser's WebSocket offers
        the subprotocols `fleetcharge.v1` and the key. Served by the realtime process.
        """
        raise NotImplementedError("served by stations.stream.routes, before Django")


def add_stream_route(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """The raw route as drf-spectacular preprocessing hook."""
    return [*endpoints, (PATH, PATH, "GET", StreamRoute.as_view())]
