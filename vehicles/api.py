"""The vehicles API: fleets, drivers, shifts, tokens, tracks, stops, and devices nobody has claimed."""

from datetime import datetime, timedelta
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import organisation_of
from fleetcharge.lib.api import Conflict
from vehicles import readings, services
from vehicles import serializers as shapes
from vehicles.models import (
    DeviceAssignment,
    Driver,
    IdToken,
    Position,
    Shift,
    Stop,
    Stretch,
    UnknownDevice,
    Vehicle,
    VehicleModel,
)

TRACK_DEFAULT = timedelta(days=1)
TRACK_LONGEST = timedelta(days=7)
TRACK_POINTS = 20_000
TRIPS_LONGEST, TRIPS_MOST = timedelta(days=31), 5_000
DEVICES_MOST = 100
DEVICE_REFUSED = OpenApiResponse(description="The device has a vehicle, or it is an IMEI that nobody heard by TCP.")
STOP_ID = OpenApiParameter("stop_id", int, OpenApiParameter.PATH)
PERIOD = [OpenApiParameter("from", datetime), OpenApiParameter("to", datetime)]


class VehicleFilter(django_filters.FilterSet):
    """`?registration=mx44&is_soc_low=true&device_id=...`"""

    registration = django_filters.CharFilter(lookup_expr="icontains")
    is_soc_low = django_filters.BooleanFilter(field_name="state__is_soc_low")

    class Meta:
        model = Vehicle
        fields = ["registration", "device_id", "is_active", "is_soc_low", "cost_centre"]


class ShiftFilter(django_filters.FilterSet):
    """`?vehicle=&driver=&at=2026-11-21T09:00:00Z`"""

    at = django_filters.IsoDateTimeFilter(method="covering")

    class Meta:
        model = Shift
        fields = ["vehicle", "driver", "at"]

    def covering(self, queryset: QuerySet[Shift], name: str, value: object) -> QuerySet[Shift]:
        return queryset.filter(starts_at__lte=value, ends_at__gte=value)


class FleetViewSet(viewsets.GenericViewSet[Any]):
    """Rows of the caller's organisation, and nobody else's."""

    read_scope = Scope.VEHICLES_READ
    write_scope = Scope.VEHICLES_WRITE

    @property
    def organisation(self) -> Organisation:
        return organisation_of(self.request)

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset().none()
        return super().get_queryset().filter(organisation=self.organisation)


class SavedRowsViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, FleetViewSet):
    """Rows a fleet adds and changes; nothing is deleted, it becomes inactive."""

    write_serializer_class: type[Any]

    def create(self, request: Request) -> Response:
        row = self.get_queryset().model(organisation=self.organisation)
        serializer = self.write_serializer_class(data=request.data, context=self.get_serializer_context())
        return Response(self._saved(row, serializer), status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        row, context = self.get_object(), self.get_serializer_context()
        serializer = self.write_serializer_class(row, data=request.data, partial=True, context=context)
        return Response(self._saved(row, serializer))

    def _saved(self, row: Any, serializer: Any) -> Any:
        serializer.is_valid(raise_exception=True)
        for name, value in serializer.validated_data.items():
            setattr(row, name, value)
        try:
            services.save(row=row)
        except services.AlreadyExists as error:
            raise Conflict(str(error), code="already_exists") from error
        return self.get_serializer(self.get_queryset().get(pk=row.pk)).data


@extend_schema_view(
    create=extend_schema(request=shapes.VehicleWriteSerializer, responses={201: shapes.VehicleSerializer}),
    partial_update=extend_schema(request=shapes.VehicleWriteSerializer, responses=shapes.VehicleSerializer),
)
class VehicleViewSet(SavedRowsViewSet):
    """Vehicles with their latest state."""

    queryset = Vehicle.objects.select_related("model", "state")
    serializer_class = shapes.VehicleSerializer
    write_serializer_class = shapes.VehicleWriteSerializer
    filterset_class = VehicleFilter

    @extend_schema(
        parameters=[
            *PERIOD,
            OpenApiParameter("form", str, enum=["points", "geojson"], description="`points` unless you say otherwise."),
        ],
        responses=PolymorphicProxySerializer(
            "TrackAnswer", [shapes.TrackSerializer, shapes.TrackFeatureSerializer], resource_type_field_name=None
        ),
        description=(
            "Where the vehicle was: up to seven days, by default the last one. Suspect jumps are marked. "
            "`form=geojson` answers the same as a GeoJSON Feature instead: a LineString without the jumps, null when "
            "there are fewer than two points, and in `properties` `times`, `speeds_kmh` and `socs_percent` with an "
            "entry per point, to replay it by."
        ),
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def track(self, request: Request, pk: str) -> Response:
        vehicle = self.get_object()
        start, end, form = _period(request, TRACK_LONGEST)
        points = list(Position.objects.of_vehicle(vehicle.pk, start, end)[: TRACK_POINTS + 1])
        track = {
            "vehicle": vehicle.pk,
            "start": start,
            "end": end,
            "is_complete": len(points) <= TRACK_POINTS,
            "points": points[:TRACK_POINTS],
        }
        return Response(shapes.as_geojson(track) if form == "geojson" else shapes.TrackSerializer(track).data)

    @extend_schema(
        parameters=[*PERIOD, OpenApiParameter("kind", str, enum=Stretch.Kind.values)],
        responses=shapes.TripsSerializer,
        description=(
            "Trips, halts, charges and battery swaps that touch the period, in time order: up to 31 days, by default "
            "the last one. They are made from the pings, and made again when late ones come, so they have no ids; "
            "`track/?from=STARTED&to=ENDED` replays one."
        ),
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def trips(self, request: Request, pk: str) -> Response:
        vehicle = self.get_object()
        start, end, _ = _period(request, TRIPS_LONGEST)
        stretches = Stretch.objects.of_vehicle(vehicle.pk, start, end)
        if kind := request.query_params.get("kind"):
            if kind not in Stretch.Kind.values:
                raise ValidationError({"kind": f"`kind` is one of {', '.join(Stretch.Kind.values)}."})
            stretches = stretches.filter(kind=kind)
        rows = list(stretches[: TRIPS_MOST + 1])
        answer = {
            "vehicle": vehicle.pk, "start": start, "end": end, "is_complete": len(rows) <= TRIPS_MOST,
            "trips": rows[:TRIPS_MOST],
        }  # fmt: skip
        return Response(shapes.TripsSerializer(answer).data)

    @extend_schema(
        request=shapes.ChargeWordSerializer,
        responses={
            200: shapes.VehicleSerializer,
            409: OpenApiResponse(description="The charge was read later than that."),
        },
        description=(
            "The driver's word for the charge, for vehicles whose tracker does not tell it. From then on it is "
            "estimated from the kilometres, until somebody reads it again."
        ),
    )
    @action(detail=True, methods=["post"], filter_backends=[])
    def charge(self, request: Request, pk: str) -> Response:
        vehicle, now = self.get_object(), timezone.now()
        word = shapes.ChargeWordSerializer(data=request.data)
        word.is_valid(raise_exception=True)
        soc_percent, at = word.validated_data["soc_percent"], word.validated_data.get("at", now)
        try:
            readings.take_word(readings.Reading(vehicle.pk, soc_percent, at, readings.Source.DRIVER), now=now)
        except readings.OlderThanKnown as error:
            raise Conflict("The charge was read later than that.", code="newer_reading") from error
        return Response(shapes.VehicleSerializer(self.get_queryset().get(pk=vehicle.pk)).data)

    @extend_schema(
        responses=shapes.DeviceAssignmentSerializer(many=True),
        description="The devices that report or reported for the vehicle, and when; the newest first.",
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def devices(self, request: Request, pk: str) -> Response:
        rows = DeviceAssignment.objects.filter(vehicle=self.get_object())[:DEVICES_MOST]
        return Response(shapes.DeviceAssignmentSerializer(rows, many=True).data)

    @extend_schema(
        request=shapes.DeviceSerializer,
        responses={200: shapes.AssignedVehicleSerializer, 409: DEVICE_REFUSED},
        description=(
            "Let a device report for this vehicle from now on; `move` takes it from another vehicle of yours. What it "
            "measured before stays that vehicle's, also when it comes later. `since` dates it back: what comes late, "
            "measured from then on, is this vehicle's; what is stored already stays where it is."
        ),
    )
    @devices.mapping.post
    def assign_device(self, request: Request, pk: str) -> Response:
        vehicle = self.get_object()
        serializer = shapes.DeviceSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        told = services.changed_by_claim(vehicle, wanted["device_id"])
        _claim(
            vehicle_id=vehicle.pk, device_id=wanted["device_id"], is_move=wanted["move"], since=wanted.get("since")
        )  # fmt: skip
        changed = self.get_queryset().get(pk=vehicle.pk)
        changed.moved_from, changed.released_device_id = told
        return Response(shapes.AssignedVehicleSerializer(changed).data)

    @extend_schema(responses={204: None}, description="Its device reports for nobody from now on.")
    @devices.mapping.delete
    def release_device(self, request: Request, pk: str) -> Response:
        services.release_device(vehicle_id=self.get_object().pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=shapes.StopSerializer(many=True), description="Stops in the order of the visit.")
    @action(detail=True, pagination_class=None, filter_backends=[])
    def stops(self, request: Request, pk: str) -> Response:
        stops = Stop.objects.filter(vehicle=self.get_object()).order_by("sequence")
        return Response(shapes.StopSerializer(stops, many=True).data)

    @extend_schema(
        request=shapes.StopSerializer(many=True),
        responses=shapes.StopSerializer(many=True),
        description="Replace the stops that are still open; done ones stay.",
    )
    @stops.mapping.put
    def set_stops(self, request: Request, pk: str) -> Response:
        vehicle = self.get_object()
        serializer = shapes.StopSerializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        services.set_stops(
            vehicle_id=vehicle.pk, stops=[services.PlannedStop(**stop) for stop in serializer.validated_data]
        )
        answer: Response = self.stops(request, pk)
        return answer

    @extend_schema(
        parameters=[STOP_ID],
        request=None,
        responses=shapes.StopSerializer,
        description=(
            "Tick a stop off; done ones stay as they are. Stops are also ticked off by themselves, when the vehicle "
            "was within 100 m of its next one, slower than 5 km/h or for a minute."
        ),
    )
    @action(detail=True, methods=["post"], url_path=r"stops/(?P<stop_id>[0-9]{1,18})/done", filter_backends=[])
    def stop_done(self, request: Request, pk: str, stop_id: str) -> Response:
        stop = self._stop(stop_id)
        services.complete_stop(stop_id=stop.pk, at=timezone.now())
        return Response(shapes.StopSerializer(self._stop(stop_id)).data)

    @extend_schema(
        parameters=[STOP_ID],
        responses={200: shapes.StopSerializer},
        description="Take it back: the stop is to be visited, and from now on only this call's opposite ticks it off.",
    )
    @stop_done.mapping.delete
    def stop_not_done(self, request: Request, pk: str, stop_id: str) -> Response:
        stop = self._stop(stop_id)
        services.reopen_stop(stop_id=stop.pk)
        return Response(shapes.StopSerializer(self._stop(stop_id)).data)

    def _stop(self, stop_id: str) -> Stop:
        return get_object_or_404(Stop, pk=stop_id, vehicle=self.get_object())


@extend_schema_view(create=extend_schema(responses={201: shapes.DriverSerializer}))
class DriverViewSet(SavedRowsViewSet):
    """Drivers; `driver_ref` is the pseudonym other records carry."""

    queryset = Driver.objects.all()
    serializer_class = write_serializer_class = shapes.DriverSerializer
    filterset_fields = ["is_active"]


@extend_schema_view(create=extend_schema(responses={201: shapes.IdTokenSerializer}))
class IdTokenViewSet(SavedRowsViewSet):
    """RFID cards and app tokens that start charging."""

    queryset = IdToken.objects.all()
    serializer_class = write_serializer_class = shapes.IdTokenSerializer
    filterset_fields = ["uid", "vehicle", "driver", "is_active"]


class ShiftViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, mixins.DestroyModelMixin, FleetViewSet
):
    """Who drives what, when. A shift is not changed, it is deleted and made anew."""

    queryset = Shift.objects.all()
    serializer_class = shapes.ShiftSerializer
    filterset_class = ShiftFilter

    def perform_create(self, serializer: Any) -> None:
        wanted = serializer.validated_data
        try:
            serializer.instance = services.assign_shift(
                vehicle_id=wanted["vehicle"].pk,
                driver_id=wanted["driver"].pk,
                starts_at=wanted["starts_at"],
                ends_at=wanted["ends_at"],
            )
        except services.ShiftOverlaps as error:
            raise Conflict("The vehicle or the driver is on another shift then.", code="shift_overlaps") from error


class VehicleModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[VehicleModel]):
    """The catalogue every fleet shares; `verified_figures` names what was read at its source, `is_verified`: all."""

    read_scope = Scope.VEHICLES_READ
    queryset = VehicleModel.objects.all()
    serializer_class = shapes.VehicleModelSerializer
    filterset_fields = ["manufacturer", "vehicle_class", "is_verified"]


class UnknownDeviceViewSet(mixins.ListModelMixin, FleetViewSet):
    """Devices that reported with one of your keys and belong to no vehicle yet."""

    queryset = UnknownDevice.objects.all()
    serializer_class = shapes.UnknownDeviceSerializer
    filterset_fields = ["device_id"]

    @extend_schema(
        request=shapes.ClaimSerializer,
        responses={
            200: shapes.VehicleSerializer,
            409: DEVICE_REFUSED,
        },
        description=(
            "Let a device report for a vehicle. The id may also be one that never reported, but for an IMEI "
            "(15 digits), which must have reported by TCP."
        ),
    )
    @action(detail=False, methods=["post"], filter_backends=[])
    def claim(self, request: Request) -> Response:
        serializer = shapes.ClaimSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        vehicle = _claim(vehicle_id=wanted["vehicle"].pk, device_id=wanted["device_id"])
        return Response(shapes.VehicleSerializer(vehicle).data)


def _claim(**wanted: Any) -> Vehicle:
    """What the service refuses, in the words of the API."""
    try:
        return services.claim_device(**wanted)
    except services.DeviceTaken as error:
        move = " Send `move` to take it from there." if error.is_own else ""
        raise Conflict(f"This device reports for another vehicle.{move}", code="device_taken") from error
    except services.MovedTooEarly as error:
        raise Conflict(str(error), code="moved_too_early") from error
    except services.DeviceNotHeard as error:
        if error.wait_seconds:
            raise Throttled(error.wait_seconds, str(error), code="throttled") from error
        raise Conflict(str(error), code="imei_not_heard") from error


def _period(request: Request, longest: timedelta) -> tuple[datetime, datetime, str]:
    """`?from=&to=&form=`, all optional."""
    query = shapes.TrackQuerySerializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    end = query.validated_data.get("to") or timezone.now()
    start = query.validated_data.get("from") or end - TRACK_DEFAULT
    if not timedelta(0) <= end - start <= longest:
        days = "seven" if longest == TRACK_LONGEST else longest.days
        raise ValidationError({"to": f"`to` must lie after `from`, by at most {days} days."})
    return start, end, query.validated_data["form"]
