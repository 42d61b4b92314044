"""Plans, alerts, reservations and figures for a dispatcher or a machine. Views pick a queryset and call a service."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import figures
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.serializers import AlertSerializer, KpiSerializer, PlanSerializer, ReservationSerializer
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import organisation_of


class KpiView(APIView):
    """The figures above the map, with ten points of the last hour each."""

    read_scope = Scope.DISPATCH_READ

    @extend_schema(responses=KpiSerializer, operation_id="kpis")
    def get(self, request: Request) -> Response:
        return Response(figures.kpis(organisation_of(request), now=timezone.now()))


class PlanFilter(filters.FilterSet):
    is_open = filters.BooleanFilter(method="filter_open", label="Still to be decided or under way.")

    class Meta:
        model = ChargePlan
        fields = ["state", "vehicle", "trigger"]

    def filter_open(self, plans: Any, name: str, value: bool) -> Any:
        return plans.open() if value else plans.exclude(state__in=ChargePlan.OPEN_STATES)


@extend_schema_view(list=extend_schema(summary="Charging plans"), retrieve=extend_schema(summary="One plan"))
class PlanViewSet(viewsets.ReadOnlyModelViewSet[ChargePlan]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = ChargePlan.objects.none()
    serializer_class = PlanSerializer
    filterset_class = PlanFilter

    def get_queryset(self) -> QuerySet[ChargePlan]:
        return ChargePlan.objects.for_organisation(organisation_of(self.request)).for_display()


class AlertFilter(filters.FilterSet):
    is_open = filters.BooleanFilter(field_name="closed_at", lookup_expr="isnull")
    after_revision = filters.NumberFilter(field_name="revision", lookup_expr="gt")

    class Meta:
        model = Alert
        fields = ["kind", "severity", "vehicle"]


@extend_schema_view(list=extend_schema(summary="What needs somebody"), retrieve=extend_schema(summary="One alert"))
class AlertViewSet(viewsets.ReadOnlyModelViewSet[Alert]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = Alert.objects.none()
    serializer_class = AlertSerializer
    filterset_class = AlertFilter

    def get_queryset(self) -> QuerySet[Alert]:
        return Alert.objects.for_organisation(organisation_of(self.request)).for_display()


class ReservationFilter(filters.FilterSet):
    is_active = filters.BooleanFilter(method="filter_active", label="Requested or confirmed.")

    class Meta:
        model = Reservation
        fields = ["state", "vehicle", "connector"]

    def filter_active(self, reservations: Any, name: str, value: bool) -> Any:
        return reservations.active() if value else reservations.exclude(state__in=Reservation.ACTIVE_STATES)


@extend_schema_view(list=extend_schema(summary="Connectors promised to vehicles"))
class ReservationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Reservation]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = Reservation.objects.none()
    serializer_class = ReservationSerializer
    filterset_class = ReservationFilter
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Reservation]:
        mine = Reservation.objects.for_organisation(organisation_of(self.request))
        return mine.select_related("vehicle", "connector__evse__location__source")
