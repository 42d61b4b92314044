"""The shapes of the vehicles API."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from django.db.models import Model
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fleetcharge.accounts.tenancy import organisation_of
from vehicles.claims import DeviceNotHeard, DeviceTaken, check_device
from vehicles.models import (
    DeviceAssignment,
    Driver,
    IdToken,
    Shift,
    Stop,
    Stretch,
    UnknownDevice,
    Vehicle,
    VehicleModel,
    VehicleState,
)
from vehicles.soc import range_left_km

M = TypeVar("M", bound=Model)


class OwnField(serializers.PrimaryKeyRelatedField[M]):
    """A row of the caller's organisation; others do not exist."""

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        return queryset and queryset.filter(organisation=organisation_of(self.context["request"]))


class VehicleModelSerializer(serializers.ModelSerializer[VehicleModel]):
    class Meta:
        model = VehicleModel
        fields = [
            "id", "manufacturer", "name", "vehicle_class", "battery_wh", "plugs", "max_ac_power_w", "max_dc_power_w",
            "max_voltage_v", "consumption_wh_per_km", "charge_curve", "is_verified", "verified_figures",
            "figures_source",
        ]  # fmt: skip


class VehicleStateSerializer(serializers.ModelSerializer[VehicleState]):
    """`soc_percent` is the charge now, of `soc_source`; `soc_at` when it was last read; the band holds eight of ten."""

    soc_p10_percent = serializers.SerializerMethodField()
    soc_p90_percent = serializers.SerializerMethodField()

    class Meta:
        model = VehicleState
        fields = [
            "latitude", "longitude", "speed_kmh", "heading_deg", "position_at", "received_at", "soc_percent", "soc_at",
            "soc_source", "soc_p10_percent", "soc_p90_percent", "odometer_m", "is_charging", "is_soc_low",
            "soc_low_at", "version",
        ]  # fmt: skip

    def get_soc_p10_percent(self, state: VehicleState) -> float | None:
        return state.soc_band and round(state.soc_band[0], 1)

    def get_soc_p90_percent(self, state: VehicleState) -> float | None:
        return state.soc_band and round(state.soc_band[1], 1)


class DriverSerializer(serializers.ModelSerializer[Driver]):
    class Meta:
        model = Driver
        fields = ["id", "driver_ref", "name", "phone", "is_active"]


class VehicleSerializer(serializers.ModelSerializer[Vehicle]):
    """A vehicle with its latest state; `state` is null before the first ping."""

    model = VehicleModelSerializer()
    state = serializers.SerializerMethodField()
    range_left_km = serializers.SerializerMethodField()
    range_left_p10_km = serializers.SerializerMethodField(help_text="What nine of ten such vehicles can drive.")

    class Meta:
        model = Vehicle
        fields = [
            "id", "registration", "model", "device_id", "default_driver", "cost_centre", "depot_name",
            "depot_latitude", "depot_longitude", "is_active", "created_at", "appetite", "state", "range_left_km",
            "range_left_p10_km",
        ]  # fmt: skip

    @extend_schema_field(VehicleStateSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_state(self, vehicle: Vehicle) -> Any:
        state = getattr(vehicle, "state", None)
        return state and VehicleStateSerializer(state).data

    def get_range_left_km(self, vehicle: Vehicle) -> float | None:
        state = getattr(vehicle, "state", None)
        return _range_km(vehicle, state and state.soc_percent)

    def get_range_left_p10_km(self, vehicle: Vehicle) -> float | None:
        state = getattr(vehicle, "state", None)
        return _range_km(vehicle, state.soc_band[0] if state and state.soc_band else None)


def _range_km(vehicle: Vehicle, soc_percent: float | None) -> float | None:
    if soc_percent is None:
        return None
    figures = {"battery_wh": vehicle.model.battery_wh, "consumption_wh_per_km": vehicle.wh_per_km}
    return round(range_left_km(soc_percent=soc_percent, **figures), 1)


class MayReport:
    """A device that nobody has, and that the fleet may claim."""

    requires_context = True

    def __call__(self, device_id: str, field: serializers.Field[Any, Any, Any, Any]) -> None:
        vehicle: Vehicle | None = field.parent.instance
        organisation = organisation_of(field.context["request"])
        vehicle_id = vehicle.pk if vehicle else None
        try:
            check_device(device_id=device_id, organisation_id=organisation.pk, vehicle_id=vehicle_id)
        except DeviceTaken as error:
            raise serializers.ValidationError("This device reports for another vehicle.", "unique") from error
        except DeviceNotHeard as error:
            raise serializers.ValidationError(str(error), "imei_not_heard") from error


class VehicleWriteSerializer(serializers.ModelSerializer[Vehicle]):
    """What a fleet may set; the plate is unique within it, the device everywhere."""

    default_driver = OwnField(queryset=Driver.objects.all(), allow_null=True, required=False)

    class Meta:
        model = Vehicle
        fields = [
            "registration", "model", "device_id", "default_driver", "cost_centre", "depot_name", "depot_latitude",
            "depot_longitude", "is_active",
        ]  # fmt: skip
        extra_kwargs: ClassVar[dict[str, Any]] = {"device_id": {"validators": [MayReport()]}}


class ShiftSerializer(serializers.ModelSerializer[Shift]):
    """Who drives what, when; neither may be on two shifts at once."""

    vehicle = OwnField(queryset=Vehicle.objects.all())
    driver = OwnField(queryset=Driver.objects.all())

    class Meta:
        model = Shift
        fields = ["id", "vehicle", "driver", "starts_at", "ends_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["ends_at"] <= attrs["starts_at"]:
            raise serializers.ValidationError({"ends_at": "A shift ends after it starts."})
        return attrs


class IdTokenSerializer(serializers.ModelSerializer[IdToken]):
    vehicle = OwnField(queryset=Vehicle.objects.all(), allow_null=True, required=False)
    driver = OwnField(queryset=Driver.objects.all(), allow_null=True, required=False)

    class Meta:
        model = IdToken
        fields = ["id", "uid", "kind", "vehicle", "driver", "is_active", "valid_until"]


class StopSerializer(serializers.ModelSerializer[Stop]):
    latitude = serializers.FloatField(min_value=-90, max_value=90)
    longitude = serializers.FloatField(min_value=-180, max_value=180)

    class Meta:
        model = Stop
        fields = [
            "id", "sequence", "name", "latitude", "longitude", "earliest_at", "due_at", "done_at", "external_id",
        ]  # fmt: skip
        read_only_fields = ["sequence", "done_at", "external_id"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        earliest_at, due_at = attrs.get("earliest_at"), attrs.get("due_at")
        if earliest_at and due_at and due_at <= earliest_at:
            raise serializers.ValidationError({"due_at": "`due_at` must lie after `earliest_at`."})
        return attrs


class ImportQuerySerializer(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(default=False)


class ImportedSerializer(serializers.Serializer[Any]):
    """How many lines did what: `done` ones were visited already and stay as they are. `unknown_columns`: not taken."""

    is_dry_run = serializers.BooleanField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    moved = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    done = serializers.IntegerField()
    unknown_columns = serializers.ListField(child=serializers.CharField())


class LineProblemSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    column = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    detail = serializers.CharField()


class ImportRefusedSerializer(serializers.Serializer[Any]):
    """Nothing was stored; every line that cannot be taken, with the reason, or none where the file cannot be read."""

    detail = serializers.CharField()
    code = serializers.CharField()
    unknown_columns = serializers.ListField(child=serializers.CharField(), required=False)
    problems = LineProblemSerializer(many=True, required=False)


class ChargeWordSerializer(serializers.Serializer[Any]):
    """What a driver reads off the dashboard; `at` now unless told, at most ten minutes ago."""

    soc_percent = serializers.FloatField(min_value=0, max_value=100)
    at = serializers.DateTimeField(required=False)

    def validate_at(self, at: datetime) -> datetime:
        if not timedelta(minutes=-10) <= at - timezone.now() <= timedelta(minutes=2):
            raise serializers.ValidationError("Say what the charge is now, or was at most ten minutes ago.")
        return min(at, timezone.now())


class UnknownDeviceSerializer(serializers.ModelSerializer[UnknownDevice]):
    class Meta:
        model = UnknownDevice
        fields = ["id", "device_id", "messages", "last_message", "first_seen_at", "last_seen_at"]


class ClaimSerializer(serializers.Serializer[Any]):
    """Which device from now on reports for which vehicle."""

    device_id = serializers.CharField(max_length=64)
    vehicle = OwnField(queryset=Vehicle.objects.all())


class DeviceSerializer(serializers.Serializer[Any]):
    """Which device from now on reports for the vehicle; `move`: also when it reports for another one of yours."""

    device_id = serializers.CharField(max_length=64)
    move = serializers.BooleanField(default=False)
    since = serializers.DateTimeField(
        required=False, allow_null=True, help_text="When it went there, seven days ago at most; without: now."
    )

    def validate_since(self, since: datetime | None) -> datetime | None:
        if since is not None and since > timezone.now():
            raise serializers.ValidationError("A device is assigned now or since an earlier instant.")
        return since


class AssignedVehicleSerializer(VehicleSerializer):
    """The vehicle, and what else has changed: nobody should find out by a van that fell silent."""

    moved_from = serializers.CharField(
        read_only=True, allow_null=True, help_text="Registration of the vehicle that has no device any more."
    )
    released_device_id = serializers.CharField(
        read_only=True, allow_null=True, help_text="The device that reported for this vehicle, and for nobody now."
    )

    class Meta(VehicleSerializer.Meta):
        fields = [*VehicleSerializer.Meta.fields, "moved_from", "released_device_id"]


class DeviceAssignmentSerializer(serializers.ModelSerializer[DeviceAssignment]):
    """`starts_at` null: since ever; `ends_at` null: still."""

    class Meta:
        model = DeviceAssignment
        fields = ["device_id", "starts_at", "ends_at"]


class TrackPointSerializer(serializers.Serializer[Any]):
    """One ping: degrees, km/h, percent; `is_suspect` marks a jump no vehicle can make."""

    at = serializers.DateTimeField(source="fix_at")
    latitude = serializers.FloatField()
    longitude = serializers.FloatField()
    speed_kmh = serializers.FloatField(allow_null=True)
    heading_deg = serializers.IntegerField(allow_null=True)
    soc_percent = serializers.FloatField(allow_null=True)
    is_charging = serializers.BooleanField()
    is_suspect = serializers.BooleanField()


class TrackSerializer(serializers.Serializer[Any]):
    """Pings in time order; `is_complete` is false when there were more than 20,000."""

    vehicle = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    is_complete = serializers.BooleanField()
    points = TrackPointSerializer(many=True)


class TrackLineSerializer(serializers.Serializer[Any]):
    """A GeoJSON LineString: longitude and latitude of each point."""

    type = serializers.ChoiceField(["LineString"])
    coordinates = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))


class TrackPropertiesSerializer(serializers.Serializer[Any]):
    """What belongs to the line, with an entry per point."""

    vehicle = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    is_complete = serializers.BooleanField()
    times = serializers.ListField(child=serializers.DateTimeField())
    speeds_kmh = serializers.ListField(child=serializers.FloatField(allow_null=True))
    socs_percent = serializers.ListField(child=serializers.FloatField(allow_null=True))


class TrackFeatureSerializer(serializers.Serializer[Any]):
    """The track as a GeoJSON Feature (RFC 7946)."""

    type = serializers.ChoiceField(["Feature"])
    geometry = TrackLineSerializer(allow_null=True)
    properties = TrackPropertiesSerializer()


def as_geojson(track: dict[str, Any]) -> dict[str, Any]:
    """The track as a GeoJSON Feature (RFC 7946: longitude first); jumps are left out."""
    points = [point for point in track["points"] if not point.is_suspect]
    line = {"type": "LineString", "coordinates": [[point.longitude, point.latitude] for point in points]}
    at = serializers.DateTimeField().to_representation
    return {
        "type": "Feature",
        "geometry": line if len(points) > 1 else None,
        "properties": {
            "vehicle": track["vehicle"], "start": at(track["start"]), "end": at(track["end"]),
            "is_complete": track["is_complete"], "times": [at(point.fix_at) for point in points],
            "speeds_kmh": [point.speed_kmh for point in points],
            "socs_percent": [point.soc_percent for point in points],
        },
    }  # fmt: skip


class TripSerializer(serializers.ModelSerializer[Stretch]):
    """A trip, halt, charge or battery swap, seen by the vehicle itself."""

    class Meta:
        model = Stretch
        fields = [
            "kind", "started_at", "ended_at", "start_latitude", "start_longitude", "end_latitude", "end_longitude",
            "distance_m", "max_speed_kmh", "soc_start_percent", "soc_end_percent", "energy_wh",
        ]  # fmt: skip


class TripsSerializer(serializers.Serializer[Any]):
    """In time order; `is_complete` is false when there were more than 5,000."""

    vehicle = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    is_complete = serializers.BooleanField()
    trips = TripSerializer(many=True)


class TrackQuerySerializer(serializers.Serializer[Any]):
    """`from` and `to`, ISO 8601 with a zone, and the form of the answer."""

    from_ = serializers.DateTimeField(required=False)
    to = serializers.DateTimeField(required=False)
    form = serializers.ChoiceField(choices=["points", "geojson"], default="points")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        fields["from"] = fields.pop("from_")
        return fields
