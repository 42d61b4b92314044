"""GET /api/v1/live/overlays/: what lies over the map and does not ride the live stream."""

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch.models import Reservation
from dispatch.overlays import reads
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import organisation_of

_HELD: Any = inline_serializer(
    "OverlayReservation",
    {
        "number": serializers.IntegerField(),
        "vehicle_id": serializers.IntegerField(),
        "station_id": serializers.IntegerField(),
        "bay": serializers.CharField(),
        "starts_at": serializers.DateTimeField(),
        "expires_at": serializers.DateTimeField(),
        "state": serializers.ChoiceField(Reservation.State.choices),
        "way": serializers.ChoiceField(Reservation.Way.choices, allow_blank=True),
    },
    many=True,
)
_GAP: Any = inline_serializer(
    "OverlayGap",
    {
        "alert_id": serializers.IntegerField(),
        "station_id": serializers.IntegerField(),
        "latitude": serializers.FloatField(help_text="Where the vehicle was when the session began."),
        "longitude": serializers.FloatField(),
        "fix_at": serializers.DateTimeField(),
        "distance_m": serializers.IntegerField(),
    },
    many=True,
)
OverlaysSerializer = inline_serializer("LiveOverlays", {"reservations": _HELD, "gaps": _GAP})


class LiveOverlaysView(APIView):
    """The reservations that hold, and of each session that finance asks about how far away its vehicle was.

    At most 500 of each: the next reservations, the newest alerts.
    """

    read_scope = Scope.DISPATCH_READ

    @extend_schema(
        operation_id="live_overlays", summary="Reservations and gaps on the map", responses=OverlaysSerializer
    )
    def get(self, request: Request) -> Response:
        organisation = organisation_of(request)
        return Response({"reservations": reads.reservations(organisation), "gaps": reads.gaps(organisation)})
