"""The flight recorder over REST: search a charger's frames, open one, download them, follow them."""

from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import organisation_of
from ocpp_bridge import recordings
from ocpp_bridge.models.frames import Direction, FramePack
from ocpp_bridge.recordings import Recording
from stations.models import Charger

MAX_ROWS = 200
SHOWN_CHARACTERS = 2_000
DIRECTIONS = {"in": Direction.IN.value, "out": Direction.OUT.value}


class FrameSerializer(serializers.Serializer[Any]):
    """One frame, without secrets; tags are `#` and a hash that is the same for the same tag."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    direction = serializers.ChoiceField(list(DIRECTIONS), help_text="in: from the charger")
    kind = serializers.CharField(help_text="CALL, CALLRESULT, CALLERROR, ... or Malformed")
    action = serializers.CharField()
    message_id = serializers.CharField()
    error_code = serializers.CharField()
    size_bytes = serializers.IntegerField()
    latency_ms = serializers.FloatField(allow_null=True, help_text="On an answer: since its CALL.")
    is_cut = serializers.BooleanField(help_text="This is not all of it.")
    frame = serializers.CharField()


class FramePageSerializer(serializers.Serializer[Any]):
    """Newest first. `next_before` asks for older ones, `newest` for what comes after (`?after=`)."""

    results = FrameSerializer(many=True)
    next_before = serializers.IntegerField(allow_null=True)
    newest = serializers.IntegerField()


class FrameQuerySerializer(serializers.Serializer[Any]):
    charger = serializers.CharField(max_length=48, help_text="OCPP identity")
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    action = serializers.CharField(max_length=60, required=False, allow_blank=True)
    direction = serializers.ChoiceField(list(DIRECTIONS), required=False, allow_blank=True)
    only_errors = serializers.BooleanField(required=False, default=False, help_text="CALLERRORs, malformed frames.")
    message_id = serializers.CharField(max_length=64, required=False, allow_blank=True)
    text = serializers.CharField(max_length=200, required=False, allow_blank=True)
    tag = serializers.CharField(max_length=40, required=False, allow_blank=True, help_text="A token as people know it.")
    before = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    after = serializers.IntegerField(min_value=0, max_value=2**63 - 1, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_ROWS, required=False, default=50)


class FrameViewSet(viewsets.GenericViewSet[FramePack]):
    """Every frame of the organisation's own chargers, for as long as the recorder keeps them."""

    queryset = FramePack.objects.none()
    serializer_class = FrameSerializer
    pagination_class = None
    filter_backends = []
    read_scope = Scope.STATIONS_WRITE
    lookup_value_regex = r"\d{1,18}"

    @extend_schema(parameters=[FrameQuerySerializer], responses=FramePageSerializer)
    def list(self, request: Request) -> Response:
        """Frames of one charger by time, action, direction, message id, text or tag."""
        wanted = _query(request)
        found = _search(request, wanted)
        if "after" in wanted:
            found = found.newer_than(wanted["after"])
        if "before" in wanted:
            found = found.older_than(wanted["before"])
        looked_at = found.looked_at()
        rows = found.newest(wanted["limit"] + 1)
        has_more, rows = len(rows) > wanted["limit"], rows[: wanted["limit"]]
        page = {
            "results": [_short(recordings.as_json(frame)) for frame in rows],
            "next_before": rows[-1].id if has_more else None,
            "newest": looked_at,
        }
        return Response(FramePageSerializer(page).data)

    @extend_schema(responses=FrameSerializer, parameters=[OpenApiParameter("id", int, OpenApiParameter.PATH)])
    def retrieve(self, request: Request, pk: str) -> Response:
        """One frame, whole."""
        frame = recordings.frame_of(organisation_of(request), int(pk))
        if frame is None:
            raise NotFound("There is no such frame.", code="unknown_frame")
        return Response(FrameSerializer(recordings.as_json(frame)).data)

    @extend_schema(parameters=[FrameQuerySerializer], responses={(200, "application/x-ndjson"): OpenApiTypes.STR})
    @action(detail=False)
    def download(self, request: Request) -> StreamingHttpResponse:
        """Everything that `list` would find, oldest first, as JSON Lines; `manage.py replay_frames` takes it."""
        wanted = _query(request)
        lines = recordings.as_lines(_search(request, wanted))
        name = "".join(letter if letter.isalnum() else "-" for letter in wanted["charger"])
        return StreamingHttpResponse(
            lines,
            content_type="application/x-ndjson",
            headers={"Content-Disposition": f'attachment; filename="{name}-{timezone.now():%Y%m%d-%H%M}.jsonl"'},
        )


def _query(request: Request) -> dict[str, Any]:
    query = FrameQuerySerializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    asked: dict[str, Any] = query.validated_data
    return asked


def _search(request: Request, wanted: dict[str, Any]) -> Recording:
    chargers = Charger.objects.for_organisation(organisation_of(request)).filter(ocpp_identity=wanted["charger"])
    charger_id = chargers.values_list("pk", flat=True).first()
    if charger_id is None:
        raise NotFound("You have no charger of this identity.", code="unknown_charger")
    return recordings.search(
        charger_id=charger_id,
        wanted=recordings.Wanted(
            since=wanted.get("since"),
            until=wanted.get("until"),
            action=wanted.get("action", ""),
            direction=DIRECTIONS.get(wanted.get("direction", "")),
            has_error=wanted["only_errors"],
            message_id=wanted.get("message_id", ""),
            text=wanted.get("text", ""),
            tag=wanted.get("tag", ""),
        ),
    )


def _short(row: dict[str, Any]) -> dict[str, Any]:
    if len(row["frame"]) > SHOWN_CHARACTERS:
        return {**row, "frame": row["frame"][:SHOWN_CHARACTERS], "is_cut": True}
    return row
