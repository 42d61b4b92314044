"""Policies, experiments and what plans saved, over REST."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.services.tariffs import zone_of
from dispatch.policies import assignment, comparison, outcomes
from dispatch.policies.models import DispatchPolicy, PolicyArm, PolicyExperiment
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import Conflict, CursorPagination

MOST_DAYS = 366
FIRST_DAY = date(2000, 1, 1)


class NewestFirst(CursorPagination):
    ordering = "-pk"


class PolicySerializer(serializers.ModelSerializer[DispatchPolicy]):
    """A version never changes: posting other figures under the same name makes the next one."""

    class Meta:
        model = DispatchPolicy
        fields = ["id", "name", "version", *assignment.FIGURES, "created_at"]
        read_only_fields = ["version", "created_at"]
        extra_kwargs = {name: {"min_value": 0, "max_value": 100} for name in assignment.FIGURES[:4]} | {
            "cost_per_minute_paise": {"min_value": 0, "max_value": 1_000_000}
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        in_order = [attrs[name] for name in ("reserve_soc_percent", "soc_low_percent", "soc_clear_percent")]
        if not in_order[0] < in_order[1] < in_order[2] <= attrs["target_soc_percent"]:
            raise serializers.ValidationError("The limits must rise: reserve, low, clear, target.")
        return attrs


class ArmSerializer(serializers.ModelSerializer[PolicyArm]):
    policy = serializers.IntegerField(source="policy_id")

    class Meta:
        model = PolicyArm
        fields = ["policy", "share_percent"]


class ExperimentSerializer(serializers.ModelSerializer[PolicyExperiment]):
    arms = ArmSerializer(many=True)

    class Meta:
        model = PolicyExperiment
        fields = ["id", "name", "started_at", "ended_at", "arms"]
        read_only_fields = ["started_at", "ended_at"]

    def validate_arms(self, arms: list[dict[str, int]]) -> list[dict[str, int]]:
        if any(count > 1 for count in Counter(arm["policy_id"] for arm in arms).values()):
            raise serializers.ValidationError("A policy has one arm.")
        return arms


class IntervalSerializer(serializers.Serializer[Any]):
    mean = serializers.FloatField()
    low = serializers.FloatField(allow_null=True, help_text="95 % interval; null: too few vehicles to say.")
    high = serializers.FloatField(allow_null=True)
    is_sure = serializers.BooleanField(help_text="Of a difference: zero lies outside.")


class FiguresSerializer(serializers.Serializer[Any]):
    """Means per plan."""

    delay_minutes = IntervalSerializer()
    energy_kwh = IntervalSerializer()
    cost_rupees = IntervalSerializer()
    stranded_percent = IntervalSerializer()


class ComparedArmSerializer(serializers.Serializer[Any]):
    policy = PolicySerializer()
    share_percent = serializers.IntegerField()
    vehicles = serializers.IntegerField(help_text="With a plan that came to its end.")
    plans = serializers.IntegerField()
    figures = serializers.SerializerMethodField()
    against_first = serializers.SerializerMethodField()
    sentence = serializers.CharField()

    @extend_schema_field(FiguresSerializer)
    def get_figures(self, arm: comparison.Arm) -> dict[str, Any]:
        return {name: comparison.as_json(value) for name, value in arm.figures.items()}

    @extend_schema_field(FiguresSerializer(allow_null=True))
    def get_against_first(self, arm: comparison.Arm) -> dict[str, Any] | None:
        return {name: comparison.as_json(value) for name, value in arm.against.items()} or None


@extend_schema_view(list=extend_schema(summary="Policies"), retrieve=extend_schema(summary="One policy version"))
class PolicyViewSet(viewsets.ReadOnlyModelViewSet[DispatchPolicy]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = DispatchPolicy.objects.none()
    serializer_class = PolicySerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[DispatchPolicy]:
        return DispatchPolicy.objects.for_organisation(organisation_of(self.request))

    @extend_schema(summary="A new version of a policy", request=PolicySerializer, responses={201: PolicySerializer})
    def create(self, request: Request) -> Response:
        wanted = PolicySerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        policy = assignment.new_version(
            organisation=organisation_of(request), now=timezone.now(), **wanted.validated_data, **author_of(request)
        )
        return Response(PolicySerializer(policy).data, status=status.HTTP_201_CREATED)


@extend_schema_view(list=extend_schema(summary="Experiments"), retrieve=extend_schema(summary="One experiment"))
class ExperimentViewSet(viewsets.ReadOnlyModelViewSet[PolicyExperiment]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = PolicyExperiment.objects.none()
    serializer_class = ExperimentSerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[PolicyExperiment]:
        own = PolicyExperiment.objects.for_organisation(organisation_of(self.request))
        return own.prefetch_related("arms")

    @extend_schema(summary="Begin", request=ExperimentSerializer, responses={201: ExperimentSerializer})
    def create(self, request: Request) -> Response:
        wanted = ExperimentSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        shares = {arm["policy_id"]: arm["share_percent"] for arm in wanted.validated_data["arms"]}
        try:
            experiment = assignment.start(
                organisation=organisation_of(request), name=wanted.validated_data["name"], shares=shares,
                now=timezone.now(), **author_of(request),
            )  # fmt: skip
        except assignment.PolicyRefused as refusal:
            raise Conflict(str(refusal), code=refusal.code) from refusal
        return Response(ExperimentSerializer(experiment).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="End", request=None, responses=ExperimentSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        experiment = self.get_object()
        assignment.end(experiment=experiment, now=timezone.now(), **author_of(request))
        experiment.refresh_from_db()
        return Response(ExperimentSerializer(experiment).data)

    @extend_schema(summary="What its policies did", responses=ComparedArmSerializer(many=True))
    @action(detail=True, pagination_class=None, filter_backends=[])
    def comparison(self, request: Request, pk: str) -> Response:
        return Response(ComparedArmSerializer(comparison.compare(self.get_object()), many=True).data)


class SavedDaySerializer(serializers.Serializer[Any]):
    day = serializers.DateField(source="planned_on", help_text="In the fleet's time zone.")
    plans = serializers.IntegerField()
    compared = serializers.IntegerField(help_text="Carried out, and another plug was free.")
    saved_minutes = serializers.FloatField()
    saved_paise = serializers.IntegerField(help_text="Minutes at the fleet's rate, price and risk.")
    strandings_avoided = serializers.IntegerField(help_text="The nearest free plug was out of reach.")
    stranded = serializers.IntegerField(help_text="No charger could be reached.")


class SavingsQuerySerializer(serializers.Serializer[Any]):
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        since, until = attrs.get("since"), attrs.get("until")
        if since and until and not timedelta(0) <= until - since <= timedelta(days=MOST_DAYS):
            raise serializers.ValidationError(f"From since to until are 0 to {MOST_DAYS} days.")
        return attrs


class SavingsView(APIView):
    """Minutes and rupees saved against driving to the nearest free charger, by day, newest first."""

    read_scope = Scope.DISPATCH_READ

    @extend_schema(
        operation_id="savings",
        parameters=[OpenApiParameter("since", date), OpenApiParameter("until", date)],
        responses=SavedDaySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        wanted = SavingsQuerySerializer(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        organisation = organisation_of(request)
        since, until = _days(organisation, wanted.validated_data)
        rows = outcomes.saved_by_day(organisation, since=since, until=until)
        return Response(SavedDaySerializer(rows, many=True).data)


def _days(organisation: Organisation, wanted: dict[str, date]) -> tuple[date, date]:
    """The last thirty days where nothing else is said."""
    today = timezone.now().astimezone(zone_of(organisation.time_zone)).date()
    until = max(wanted.get("until", today), FIRST_DAY)
    since = wanted.get("since", until - timedelta(days=29))
    return max(since, until - timedelta(days=MOST_DAYS)), until
