"""Depots over REST: their rules, whose vehicle comes first, and the plan of the night."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch.depot import clock, managing, nights
from dispatch.depot.models import Depot, NightPlan
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import Conflict, CursorPagination

MOST_WINDOWS = 24


class ByLocation(CursorPagination):
    ordering = "location_id"


class PriceField(serializers.JSONField):
    """`{"from": "22:00", "to": "06:00", "paise_per_kwh": 620}` in local time."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            [(begin, end, paise)] = clock.price_windows([data if isinstance(data, dict) else {}])
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None
        return {"from": begin.isoformat("minutes"), "to": end.isoformat("minutes"), "paise_per_kwh": paise}


class DepotVehicleSerializer(serializers.Serializer[Any]):
    vehicle = serializers.IntegerField(source="vehicle_id", min_value=1, max_value=2**53)
    priority = serializers.IntegerField(min_value=1, max_value=9, help_text="9 comes first.")


class DepotRequestSerializer(serializers.Serializer[Any]):
    """Left out: as it is, or the default for a new depot."""

    night_from = serializers.TimeField(required=False)
    ready_by = serializers.TimeField(required=False)
    radius_m = serializers.IntegerField(min_value=10, max_value=5_000, required=False)
    buffer_minutes = serializers.IntegerField(min_value=0, max_value=240, required=False)
    move_every_minutes = serializers.IntegerField(
        min_value=0, max_value=480, required=False,
        help_text="So often somebody moves vehicles from plug to plug, a multiple of 15; 0: they stay.",
    )  # fmt: skip
    paise_per_kwh = serializers.IntegerField(min_value=0, max_value=100_000, required=False)
    prices = serializers.ListField(child=PriceField(), max_length=MOST_WINDOWS, required=False)
    vehicles = DepotVehicleSerializer(many=True, required=False, help_text="In place of those named before.")

    def validate_move_every_minutes(self, value: int) -> int:
        if value % 15:
            raise serializers.ValidationError("A multiple of 15.")
        return value


class DepotSerializer(serializers.ModelSerializer[Depot]):
    location = serializers.CharField(source="location.public_id", read_only=True)
    name = serializers.CharField(source="location.name", read_only=True)
    vehicles = DepotVehicleSerializer(many=True, read_only=True)

    class Meta:
        model = Depot
        fields = [
            "location", "name", "is_active", "night_from", "ready_by", "radius_m", "buffer_minutes",
            "move_every_minutes", "paise_per_kwh", "prices", "vehicles", "planned_at",
        ]  # fmt: skip


class NightChargeSerializer(serializers.Serializer[Any]):
    begins_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    power_w = serializers.IntegerField()


class NightStaySerializer(serializers.Serializer[Any]):
    vehicle = serializers.IntegerField()
    registration = serializers.CharField()
    evse = serializers.IntegerField(allow_null=True, help_text="Null: no plug was left for it.")
    session = serializers.IntegerField(allow_null=True)
    priority = serializers.IntegerField()
    arrives_at = serializers.DateTimeField()
    leaves_at = serializers.DateTimeField(help_text="By when it is to be ready.")
    leaves_for = serializers.CharField(help_text="shift, stop or ready_by.")
    soc_percent = serializers.FloatField(allow_null=True, help_text="On arrival; null: nobody knows.")
    target_percent = serializers.FloatField()
    need_wh = serializers.IntegerField(help_text="At the meter.")
    must_wh = serializers.IntegerField(help_text="Of it, what its next day takes.")
    planned_wh = serializers.IntegerField()
    missing_wh = serializers.IntegerField()
    missing_must_wh = serializers.IntegerField()
    charges = serializers.SerializerMethodField()

    @extend_schema_field(NightChargeSerializer(many=True))
    def get_charges(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        return [dict(zip(("begins_at", "ends_at", "power_w"), charge, strict=True)) for charge in row["charges"]]


class NightPlanSerializer(serializers.ModelSerializer[NightPlan]):
    stays = serializers.SerializerMethodField()
    is_steered = serializers.SerializerMethodField(help_text="Its limits reach the chargers; else it is advice.")

    class Meta:
        model = NightPlan
        fields = [
            "night_on", "version", "made_at", "reason", "vehicles", "ready", "missing_wh", "cost_paise",
            "core_version", "is_steered", "stays",
        ]  # fmt: skip

    @extend_schema_field(NightStaySerializer(many=True))
    def get_stays(self, plan: NightPlan) -> list[dict[str, Any]]:
        return [dict(row) for row in NightStaySerializer(plan.result["stays"], many=True).data]

    def get_is_steered(self, plan: NightPlan) -> bool:
        return bool(plan.result["is_steered"])


class DepotList(generics.ListAPIView[Depot]):
    """Depots whose nights are planned."""

    serializer_class = DepotSerializer
    pagination_class = ByLocation
    queryset = Depot.objects.none()
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE

    def get_queryset(self) -> QuerySet[Depot]:
        own = Depot.objects.for_organisation(organisation_of(self.request))
        return own.select_related("location").prefetch_related("vehicles")


class DepotDetail(APIView):
    """One depot."""

    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE

    @extend_schema(responses=DepotSerializer)
    def get(self, request: Request, public_id: str) -> Response:
        return Response(DepotSerializer(_depot(request, public_id)).data)

    @extend_schema(request=DepotRequestSerializer, responses=DepotSerializer)
    def put(self, request: Request, public_id: str) -> Response:
        """Plan the nights of this site from now on, by these rules."""
        wanted = DepotRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        try:
            depot = managing.manage(
                organisation=organisation_of(request), public_id=public_id, rules=dict(wanted.validated_data),
                **author_of(request),
            )  # fmt: skip
        except managing.NoSuchSite as error:
            raise NotFound from error
        except managing.DepotRefused as refusal:
            raise Conflict(str(refusal), code=refusal.code) from refusal
        return Response(DepotSerializer(depot).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, public_id: str) -> Response:
        """Plan no more nights here."""
        managing.give_up(depot=_depot(request, public_id), **author_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class NightDetail(APIView):
    """The newest plan of a night."""

    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE

    @extend_schema(responses=NightPlanSerializer)
    def get(self, request: Request, public_id: str) -> Response:
        plan = nights.latest(_depot(request, public_id))
        if plan is None:
            raise NotFound("No night was planned here yet.")
        return Response(NightPlanSerializer(plan).data)

    @extend_schema(request=None, responses=NightPlanSerializer)
    def post(self, request: Request, public_id: str) -> Response:
        """Plan the running night anew, now."""
        depot = _depot(request, public_id)
        plan = nights.plan(location_id=depot.pk, now=timezone.now(), reason=nights.ASKED_FOR)
        if plan is None:
            raise Conflict("It is day at this depot, or its nights are not planned.", code="no_night")
        return Response(NightPlanSerializer(plan).data)


def _depot(request: Request, public_id: str) -> Depot:
    own = Depot.objects.for_organisation(organisation_of(request)).select_related("location")
    return get_object_or_404(own, location__public_id=public_id)
