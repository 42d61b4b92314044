"""Smart charging over REST: the limits and the plan of a site, and the goal of a session."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.models import ChargingSession
from fleetcharge.accounts.models import APIKey, Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import Conflict, CursorPagination
from ocpp_bridge.charging import sites
from ocpp_bridge.charging.windows import parse_window
from ocpp_bridge.models import ChargingGoal, ChargingSite

MAX_W = 2**31 - 1
MAX_WINDOWS = 24


class WindowField(serializers.JSONField):
    """`{"from": "18:00", "to": "22:00", "limit_w": 40000}` in local time."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            begin, end, watts = parse_window(data if isinstance(data, dict) else {})
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None
        return {"from": begin.isoformat("minutes"), "to": end.isoformat("minutes"), "limit_w": watts}


class SiteLimitsSerializer(serializers.Serializer[Any]):
    """Left out: as it is, or the default for a new site."""

    limit_w = serializers.IntegerField(min_value=0, max_value=MAX_W, help_text="What the connection allows.")
    windows = serializers.ListField(child=WindowField(), max_length=MAX_WINDOWS, required=False)
    other_load_w = serializers.IntegerField(min_value=0, max_value=MAX_W, required=False)
    policy = serializers.ChoiceField(ChargingSite.Policy.choices, required=False)
    safe_percent = serializers.IntegerField(min_value=0, max_value=100, required=False)


class ChargingOutletSerializer(serializers.Serializer[Any]):
    charger = serializers.CharField()
    evse_number = serializers.IntegerField()
    is_online = serializers.BooleanField()
    max_w = serializers.IntegerField()
    session = serializers.IntegerField(allow_null=True)
    wanted_w = serializers.IntegerField(allow_null=True, help_text="Of the plan; null: not ours to steer.")
    allowed_w = serializers.IntegerField(help_text="The most it can draw by what its charger holds.")
    profile_w = serializers.IntegerField(allow_null=True, help_text="Of the accepted profile of the session.")
    measured_w = serializers.IntegerField(allow_null=True)
    needed_wh = serializers.IntegerField(allow_null=True)
    leaves_at = serializers.DateTimeField(allow_null=True)
    departure_from = serializers.CharField(help_text="goal, vehicle, shift, stop or empty.")
    missing_wh = serializers.IntegerField(help_text="What it will lack when it leaves.")
    refused = serializers.CharField(help_text="The charger's word when it refused a profile.")
    verdict = serializers.CharField(help_text="matches, differs, unreadable, unanswered or empty.")
    is_over = serializers.BooleanField(help_text="It draws more than it may.")


class ChargingViewSerializer(serializers.Serializer[Any]):
    planned_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()
    limit_now_w = serializers.IntegerField(allow_null=True)
    allowed_w = serializers.IntegerField(allow_null=True)
    excess_w = serializers.IntegerField(allow_null=True, help_text="By which the limit could be passed; 0: never.")
    measured_w = serializers.IntegerField()
    outlets = ChargingOutletSerializer(many=True)


class ChargingSiteSerializer(serializers.ModelSerializer[ChargingSite]):
    location = serializers.CharField(source="location.public_id", read_only=True)
    name = serializers.CharField(source="location.name", read_only=True)

    class Meta:
        model = ChargingSite
        fields = [
            "location", "name", "is_active", "limit_w", "windows", "other_load_w", "policy", "safe_percent",
            "planned_at",
        ]  # fmt: skip


class ChargingSiteDetailSerializer(ChargingSiteSerializer):
    plan = serializers.SerializerMethodField()

    class Meta(ChargingSiteSerializer.Meta):
        fields = [*ChargingSiteSerializer.Meta.fields, "plan"]

    @extend_schema_field(ChargingViewSerializer)
    def get_plan(self, site: ChargingSite) -> dict[str, Any]:
        return dict(ChargingViewSerializer(sites.view_of(site)).data)


class GoalSerializer(serializers.ModelSerializer[ChargingGoal]):
    class Meta:
        model = ChargingGoal
        fields = ["departure_at", "target_soc_percent", "energy_wh", "actor", "set_at"]
        read_only_fields = ["actor", "set_at"]
        extra_kwargs = {"target_soc_percent": {"min_value": 0, "max_value": 100}}


class ByLocation(CursorPagination):
    ordering = "location_id"


class ChargingSiteList(generics.ListAPIView[ChargingSite]):
    """Sites whose power is shared."""

    serializer_class = ChargingSiteSerializer
    pagination_class = ByLocation
    queryset = ChargingSite.objects.none()
    read_scope = Scope.DISPATCH_READ
    write_scope = Scope.DISPATCH_WRITE

    def get_queryset(self) -> QuerySet[ChargingSite]:
        return ChargingSite.objects.for_organisation(organisation_of(self.request)).select_related("location")


class ChargingSiteDetail(APIView):
    """One site: limits, and what each plug wants, may draw and draws."""

    read_scope = Scope.DISPATCH_READ
    write_scope = Scope.DISPATCH_WRITE

    @extend_schema(responses=ChargingSiteDetailSerializer)
    def get(self, request: Request, public_id: str) -> Response:
        return Response(ChargingSiteDetailSerializer(_site(request, public_id)).data)

    @extend_schema(request=SiteLimitsSerializer, responses=ChargingSiteSerializer)
    def put(self, request: Request, public_id: str) -> Response:
        """Share this site's power within these limits from now on."""
        organisation = organisation_of(request)
        location = get_object_or_404(sites.own_locations(organisation), public_id=public_id)
        if ChargingSite.objects.filter(location=location).exclude(organisation=organisation).exists():
            raise Conflict("Another organisation shares this site's power.", code="managed_by_another")
        wanted = SiteLimitsSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        site = sites.manage(
            location_id=location.pk, organisation_id=organisation.pk, now=timezone.now(),
            **author_of(request), **wanted.validated_data,
        )  # fmt: skip
        return Response(ChargingSiteSerializer(site).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, public_id: str) -> Response:
        """Stop sharing; the chargers are asked to forget our profiles."""
        sites.give_up(site=_site(request, public_id), now=timezone.now(), **author_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _site(request: Request, public_id: str) -> ChargingSite:
    own = ChargingSite.objects.for_organisation(organisation_of(request)).select_related("location")
    return get_object_or_404(own, location__public_id=public_id)


class ChargingGoalDetail(APIView):
    """How much one running session is to have, and by when; without one, shifts, stops and the vehicle decide."""

    read_scope = Scope.DISPATCH_READ
    write_scope = Scope.DISPATCH_WRITE

    @extend_schema(responses=GoalSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(GoalSerializer(get_object_or_404(ChargingGoal, session=_session(request, pk))).data)

    @extend_schema(request=GoalSerializer, responses=GoalSerializer)
    def put(self, request: Request, pk: int) -> Response:
        session = _session(request, pk)
        if session.state != ChargingSession.State.ACTIVE:
            raise Conflict("This session is over.", code="session_over")
        wanted = GoalSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        given = {name: wanted.validated_data.get(name) for name in ("departure_at", "target_soc_percent", "energy_wh")}
        goal = sites.set_goal(session=session, actor=_actor(request), now=timezone.now(), **given)
        return Response(GoalSerializer(goal).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        sites.drop_goal(session=_session(request, pk), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _session(request: Request, pk: int) -> ChargingSession:
    return get_object_or_404(ChargingSession.objects.for_organisation(organisation_of(request)), pk=pk)


def _actor(request: Request) -> str:
    return f"key {request.auth.name}" if isinstance(request.auth, APIKey) else str(request.user)
