"""Describes the raw ingest routes in the same OpenAPI file as the API; these views exist for the description alone."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleetcharge.accounts.models import Scope
from vehicles.decoders.pings import MAX_PINGS

Endpoint = tuple[str, str, str, Any]


class PingSerializer(serializers.Serializer[Any]):
    """One ping. `ts`: Unix seconds or milliseconds, or ISO 8601 with a zone. `soc`: the traction battery's percent."""

    device = serializers.CharField(max_length=64, required=False, help_text="Needed unless the batch names one.")
    ts = serializers.CharField()
    lat = serializers.FloatField(min_value=-90, max_value=90)
    lon = serializers.FloatField(min_value=-180, max_value=180)
    acc = serializers.FloatField(required=False, help_text="Metres.")
    speed_kmh = serializers.FloatField(required=False)
    course = serializers.FloatField(required=False, help_text="Degrees clockwise from north.")
    soc = serializers.FloatField(required=False, min_value=0, max_value=100)
    odo_km = serializers.FloatField(required=False)
    charging = serializers.ChoiceField(choices=["no", "ac", "dc", "unknown"], required=False)
    seq = serializers.IntegerField(required=False)


class PingBatchSerializer(serializers.Serializer[Any]):
    """Up to 1,000 pings or 512 kB. One ping without the envelope, and NDJSON, are accepted too; gzip as well."""

    device = serializers.CharField(max_length=64, required=False)
    pings = serializers.ListField(child=PingSerializer(), max_length=MAX_PINGS)


class RefusedPingSerializer(serializers.Serializer[Any]):
    i = serializers.IntegerField(help_text="Index in the request, from 0.")
    code = serializers.ChoiceField(choices=["invalid", "future", "too_old", "coordinates", "no_fix", "unknown_device"])
    detail = serializers.CharField()


class PingWarningSerializer(serializers.Serializer[Any]):
    i = serializers.IntegerField()
    code = serializers.ChoiceField(choices=["soc_out_of_range", "soc_may_be_a_fraction"])


class PingReportSerializer(serializers.Serializer[Any]):
    """What became of them; everything counted here is durable. `late` are accepted pings older than ten minutes."""

    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    late = serializers.IntegerField()
    rejected = RefusedPingSerializer(many=True)
    warnings = PingWarningSerializer(many=True)


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField()


ERRORS = {
    400: OpenApiResponse(ErrorSerializer, "The body as a whole cannot be read."),
    401: OpenApiResponse(ErrorSerializer, "No key, or an unknown one."),
    403: OpenApiResponse(ErrorSerializer, "The key lacks telemetry:write."),
    413: OpenApiResponse(ErrorSerializer, "More than 1,000 pings or 512 kB."),
    503: OpenApiResponse(ErrorSerializer, "Not stored; send it again (Retry-After)."),
}


class PingRoute(APIView):
    """`vehicles.ingest.pings`."""

    write_scope = Scope.TELEMETRY_WRITE

    @extend_schema(  # type: ignore[untyped-decorator]
        operation_id="ingest_pings",
        tags=["ingest"],
        request=PingBatchSerializer,
        responses={200: PingReportSerializer, **ERRORS},
        examples=[
            OpenApiExample(
                "One vehicle, two pings",
                {
                    "device": "KA03MX4471",
                    "pings": [
                        {"ts": "2026-11-21T12:00:00+05:30", "lat": 12.9756, "lon": 77.605, "speed_kmh": 31, "soc": 44},
                        {
                            "ts": "2026-11-21T12:00:10+05:30",
                            "lat": 12.9762,
                            "lon": 77.606,
                            "speed_kmh": 28,
                            "soc": 43.9,
                        },
                    ],
                },
                request_only=True,
            )
        ],
        description="Send positions and state of charge. Answered after the commit; repeats change nothing.",
    )
    def post(self, request: Request) -> Response:
        raise NotImplementedError("served by vehicles.ingest.pings, before Django")


OSMAND_PARAMETERS = [
    OpenApiParameter("id", str, required=True, description="The device's id, which is its credential."),
    OpenApiParameter("lat", float),
    OpenApiParameter("lon", float),
    OpenApiParameter("timestamp", str, description="Unix seconds or milliseconds, or ISO 8601; missing means now."),
    OpenApiParameter("speed", float, description="Knots."),
    OpenApiParameter("bearing", float, description="Degrees."),
    OpenApiParameter("accuracy", float, description="Metres."),
    OpenApiParameter("batt", float, description="The phone's battery; ignored."),
    OpenApiParameter("soc", float, description="Percent of the traction battery (our extension)."),
    OpenApiParameter("odometer", float, description="Metres (our extension)."),
    OpenApiParameter("is_charging", bool, description="Whether the vehicle charges (our extension)."),
]


class OsmAndRoute(APIView):
    """`vehicles.ingest.osmand`."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(  # type: ignore[untyped-decorator]
        operation_id="ingest_osmand",
        tags=["ingest"],
        auth=[],
        parameters=OSMAND_PARAMETERS,
        request=None,
        responses={200: OpenApiResponse(description="Stored."), 400: OpenApiResponse(ErrorSerializer)},
        description="The OsmAnd protocol as Traccar Client speaks it, also as a form or Traccar Client's JSON by POST.",
    )
    def get(self, request: Request) -> Response:
        raise NotImplementedError("served by vehicles.ingest.osmand, before Django")


class TraccarRoute(APIView):
    """`vehicles.doors.traccar.forwarded`."""

    write_scope = Scope.TELEMETRY_WRITE

    @extend_schema(  # type: ignore[untyped-decorator]
        operation_id="ingest_traccar",
        tags=["ingest"],
        parameters=[
            OpenApiParameter("soc", str, description="The attribute with the vehicle's charge; `soc` by default."),
            OpenApiParameter("soc_scale", float, description="What to multiply it by to get percent."),
        ],
        request={"application/json": {"type": "object", "description": "As Traccar forwards: position and device."}},
        responses={200: PingReportSerializer, **ERRORS},
        description="A Traccar server's `forward.url` with `forward.type=json`. Speed is in knots, as Traccar has it.",
    )
    def post(self, request: Request) -> Response:
        raise NotImplementedError("served by vehicles.doors.traccar, before Django")


def add_ingest_routes(endpoints: list[Endpoint]) -> list[Endpoint]:
    """The raw routes as drf-spectacular preprocessing hook."""
    return [
        *endpoints,
        ("/ingest/v1/pings", "/ingest/v1/pings", "POST", PingRoute.as_view()),
        ("/ingest/osmand", "/ingest/osmand", "GET", OsmAndRoute.as_view()),
        ("/ingest/traccar", "/ingest/traccar", "POST", TraccarRoute.as_view()),
    ]
