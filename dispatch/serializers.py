"""The shapes of plans, alerts, reservations and figures on the wire (API and live channel alike)."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from dispatch.driving import links
from dispatch.driving.shapes import DriverLinkSerializer
from dispatch.models import Alert, ChargePlan, Reservation, SessionCommand

FARTHEST = timedelta(days=30)


class Line(serializers.ListField):
    """[[latitude, longitude], ...]"""

    child = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)


class VehicleBriefSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    registration = serializers.CharField()


class StationBriefSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    public_id = serializers.CharField()
    name = serializers.CharField()
    network = serializers.CharField(source="source.name")
    latitude = serializers.FloatField()
    longitude = serializers.FloatField()


class ConnectorBriefSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(help_text="Key of the row; `connector_id` is the plug's number on the charger.")
    public_id = serializers.CharField()
    connector_id = serializers.IntegerField()
    plug = serializers.CharField()
    max_power_w = serializers.IntegerField()
    status = serializers.CharField()


class ReservationBriefSerializer(serializers.ModelSerializer[Reservation]):
    class Meta:
        model = Reservation
        fields = ["number", "state", "starts_at", "expires_at", "reason"]


@cache
def _station() -> StationBriefSerializer:
    """Made once, as that takes longer than to fill it."""
    return StationBriefSerializer()


@cache
def _reservation() -> ReservationBriefSerializer:
    return ReservationBriefSerializer()


class RouteSerializer(serializers.Serializer[Any]):
    old = Line(required=False)
    new = Line(required=False)
    onward = Line(required=False)


class PlanSerializer(serializers.ModelSerializer[ChargePlan]):
    """One plan with everything a dispatcher needs to judge it. Needs ChargePlan.objects.for_display()."""

    vehicle = VehicleBriefSerializer()
    station = serializers.SerializerMethodField()
    connector = ConnectorBriefSerializer(allow_null=True)
    reservation = serializers.SerializerMethodField()
    route = RouteSerializer()

    class Meta:
        model = ChargePlan
        fields = [
            "id", "state", "trigger", "vehicle", "station", "connector", "soc_percent", "arrival_soc_percent",
            "target_soc_percent", "energy_wh", "distance_m", "detour_m", "drive_seconds", "wait_seconds",
            "charge_seconds", "delay_seconds", "cost_paise", "plug_in_at", "done_at", "route", "explanation",
            "engine", "created_at", "undo_until", "set_off_at", "arrived_at", "arrived_by", "reservation",
            "window_starts_at", "window_ends_at",
        ]  # fmt: skip

    @extend_schema_field(StationBriefSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_station(self, plan: ChargePlan) -> dict[str, Any] | None:
        return _station().to_representation(plan.connector.evse.location) if plan.connector else None

    @extend_schema_field(ReservationBriefSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_reservation(self, plan: ChargePlan) -> dict[str, Any] | None:
        newest = max(plan.reservations.all(), key=lambda reservation: reservation.number, default=None)
        return _reservation().to_representation(newest) if newest else None


class AcceptedPlanSerializer(PlanSerializer):
    driver_link = serializers.SerializerMethodField(help_text="The driver's page; null where nobody has one.")

    class Meta(PlanSerializer.Meta):
        fields = [*PlanSerializer.Meta.fields, "driver_link"]

    @extend_schema_field(DriverLinkSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_driver_link(self, plan: ChargePlan) -> dict[str, Any] | None:
        made = links.known(plan, timezone.now())
        return DriverLinkSerializer(made).data if made else None


class LostPlaceSerializer(serializers.ModelSerializer[Reservation]):
    station = StationBriefSerializer(source="connector.evse.location")
    bay = serializers.CharField(source="connector.evse.physical_reference")

    class Meta:
        model = Reservation
        fields = ["number", "station", "bay", "starts_at", "expires_at"]


class UndonePlanSerializer(PlanSerializer):
    places_lost = serializers.SerializerMethodField(
        help_text="Reservations given up for this plan that could not be had again."
    )

    class Meta(PlanSerializer.Meta):
        fields = [*PlanSerializer.Meta.fields, "places_lost"]

    @extend_schema_field(LostPlaceSerializer(many=True))  # type: ignore[untyped-decorator]
    def get_places_lost(self, plan: ChargePlan) -> list[dict[str, Any]]:
        rows = plan.gave_up.select_related("connector__evse__location__source").order_by("pk")
        return list(LostPlaceSerializer(rows, many=True).data)


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """One thing that needs somebody. Needs Alert.objects.for_display().

    `title` and `body` are English; who speaks another language makes the words of `code` (the title's), `body_codes`
    (one per sentence) and `parameters`. All three are empty where an alert is only text.
    """

    op = serializers.SerializerMethodField(help_text="add | upd | del: what a list of open alerts does with it.")
    vehicle_id = serializers.IntegerField(allow_null=True)
    location_id = serializers.IntegerField(allow_null=True)
    session_id = serializers.IntegerField(allow_null=True)
    plan = PlanSerializer(allow_null=True)

    class Meta:
        model = Alert
        fields = [
            "id", "revision", "op", "kind", "severity", "title", "body", "code", "body_codes", "parameters",
            "vehicle_id", "location_id", "session_id", "opened_at", "snoozed_until", "closed_at", "data", "plan",
        ]  # fmt: skip

    @extend_schema_field(serializers.ChoiceField(["add", "upd", "del"]))  # type: ignore[untyped-decorator]
    def get_op(self, alert: Alert) -> str:
        return alert.op


class ReservationSerializer(serializers.ModelSerializer[Reservation]):
    vehicle = VehicleBriefSerializer()
    station = StationBriefSerializer(source="connector.evse.location")
    connector = ConnectorBriefSerializer()
    plan_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Reservation
        fields = [
            "number", "key", "state", "reason", "way", "vehicle", "station", "connector", "plan_id", "id_token",
            "created_at", "sent_at", "answered_at", "starts_at", "expires_at", "agreed_until", "replaces",
        ]  # fmt: skip


class NewReservationSerializer(serializers.Serializer[Any]):
    """Rows are named by their ids; both must be visible to the caller's fleet."""

    vehicle_id = serializers.IntegerField()
    connector_id = serializers.IntegerField(required=False, help_text="Key of the connector row.")
    connector_public_id = serializers.CharField(required=False)
    starts_at = serializers.DateTimeField(required=False, help_text="From when on; now unless said otherwise.")
    minutes = serializers.IntegerField(min_value=5, max_value=720, required=False, help_text="How long.")
    is_rebooked = serializers.BooleanField(default=True, help_text="Look for another place when this one is lost.")
    replaces_others = serializers.BooleanField(
        default=False, help_text="Give up the places that the vehicle has elsewhere in that time, if this one is free."
    )

    def validate_starts_at(self, value: datetime) -> datetime:
        if value > timezone.now() + FARTHEST:
            raise serializers.ValidationError(f"At most {FARTHEST.days} days ahead.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not ("connector_id" in attrs) ^ ("connector_public_id" in attrs):
            raise serializers.ValidationError({"connector_id": ["Name the connector once, by id or public id."]})
        return attrs


class ExtendSerializer(serializers.Serializer[Any]):
    minutes = serializers.IntegerField(min_value=5, max_value=720, help_text="Longer than it lasts now.")


class SessionCommandSerializer(serializers.ModelSerializer[SessionCommand]):
    """`state` done: the session began, or ended, or the wish was granted; a time-out says nothing about that."""

    vehicle = VehicleBriefSerializer(allow_null=True)
    station = StationBriefSerializer(source="connector.evse.location")
    connector = ConnectorBriefSerializer()
    session = serializers.IntegerField(source="session_id", allow_null=True)

    class Meta:
        model = SessionCommand
        fields = [
            "key", "kind", "state", "reason", "parameters", "result", "vehicle", "station", "connector", "session",
            "created_at", "sent_at", "answered_at",
        ]  # fmt: skip


class StartSessionSerializer(serializers.Serializer[Any]):
    vehicle_id = serializers.IntegerField()
    connector_id = serializers.IntegerField(required=False, help_text="Key of the connector row.")
    connector_public_id = serializers.CharField(required=False)

    validate = NewReservationSerializer.validate


class StopSessionSerializer(serializers.Serializer[Any]):
    session_id = serializers.IntegerField()


class UnlockSerializer(serializers.Serializer[Any]):
    connector_id = serializers.IntegerField(required=False, help_text="Key of the connector row.")
    connector_public_id = serializers.CharField(required=False)
    reason = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")

    validate = NewReservationSerializer.validate


class LimitSerializer(serializers.Serializer[Any]):
    session_id = serializers.IntegerField()
    max_power_w = serializers.IntegerField(
        min_value=0, max_value=10_000_000, allow_null=True, help_text="0 pauses; null lifts the limit."
    )


class OutlookSerializer(serializers.Serializer[Any]):
    session_id = serializers.IntegerField()
    seconds = serializers.IntegerField(min_value=60, max_value=86_400, default=3600)


class PreferenceSerializer(serializers.Serializer[Any]):
    session_id = serializers.IntegerField()
    style = serializers.ChoiceField(  # type: ignore[assignment]  # a field, the metaclass takes it away
        ["FAST", "REGULAR", "CHEAP", "GREEN"], help_text="A ProfileType of OCPI."
    )
    departure_at = serializers.DateTimeField(required=False)
    energy_wh = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False)


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")


class SnoozeSerializer(serializers.Serializer[Any]):
    minutes = serializers.IntegerField(min_value=1, max_value=1440, default=15)


_FIGURES = (
    "chargers_available", "chargers_total", "vehicles_low", "vehicles_rerouted", "charging_now", "charging_power_w",
    "energy_today_wh", "spend_today_paise", "exceptions_open", "held_paise",
)  # fmt: skip

KpiSerializer = inline_serializer(
    "Kpis",
    {
        **{name: serializers.IntegerField() for name in _FIGURES},
        "history": serializers.DictField(
            child=serializers.ListField(child=serializers.IntegerField(), min_length=10, max_length=10),
            help_text="Ten points over the last hour per figure, oldest first, ending now.",
        ),
    },
)

_STOP = inline_serializer(
    "NextStop",
    {"name": serializers.CharField(), "latitude": serializers.FloatField(), "longitude": serializers.FloatField()},
    allow_null=True,
)
_STATIC_VEHICLE = inline_serializer(
    "StaticVehicle",
    {
        "id": serializers.IntegerField(),
        "registration": serializers.CharField(),
        "model": serializers.CharField(),
        "driver": serializers.CharField(allow_blank=True),
        "plugs": serializers.ListField(child=serializers.CharField()),
        "next_stop": _STOP,
        "soc_source": serializers.CharField(
            allow_blank=True, help_text="measured, charger, driver or estimated; empty while no charge is known."
        ),
        "range_wh_per_km": serializers.IntegerField(),
        "battery_wh": serializers.IntegerField(),
    },
    many=True,
)
_STATIC_STATION = inline_serializer(
    "StaticStation",
    {
        **{name: serializers.IntegerField() for name in ("id", "max_power_w", "total")},
        **{name: serializers.CharField() for name in ("public_id", "name", "network", "address", "city")},
        **{name: serializers.FloatField() for name in ("latitude", "longitude")},
    },
    many=True,
)
StaticSerializer = inline_serializer(
    "LiveStatic",
    {
        "rev": serializers.IntegerField(),
        "details_rev": serializers.IntegerField(),
        "server_time": serializers.DateTimeField(),
        "organisation": inline_serializer(
            "StaticOrganisation",
            {
                "id": serializers.IntegerField(),
                "name": serializers.CharField(),
                "currency": serializers.CharField(),
                "time_zone": serializers.CharField(),
                "soc_low_percent": serializers.IntegerField(),
            },
        ),
        "vehicles": _STATIC_VEHICLE,
        "stations": _STATIC_STATION,
    },
)
