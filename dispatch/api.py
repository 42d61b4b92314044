"""Plans, alerts, reservations and figures for a dispatcher or a machine. Views pick a queryset and call a service."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.models import ChargingSession
from dispatch import figures, services, tasks
from dispatch.driving.api import DriverLinks
from dispatch.models import Alert, ChargePlan, Reservation, SessionCommand
from dispatch.serializers import (
    AcceptedPlanSerializer,
    AlertSerializer,
    ExtendSerializer,
    KpiSerializer,
    LimitSerializer,
    NewReservationSerializer,
    OutlookSerializer,
    PlanSerializer,
    PreferenceSerializer,
    ReasonSerializer,
    ReservationSerializer,
    SessionCommandSerializer,
    SnoozeSerializer,
    StartSessionSerializer,
    StopSessionSerializer,
    UndonePlanSerializer,
    UnlockSerializer,
)
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib import hints
from fleetcharge.lib.api import Conflict
from stations.models import Connector
from vehicles.models import Vehicle


def conflict(refusal: services.DecisionRefused) -> Conflict:
    return Conflict(str(refusal), code=refusal.code)


def checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data


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
class PlanViewSet(DriverLinks, viewsets.ReadOnlyModelViewSet[ChargePlan]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = ChargePlan.objects.none()
    serializer_class = PlanSerializer
    filterset_class = PlanFilter

    def get_queryset(self) -> QuerySet[ChargePlan]:
        return ChargePlan.objects.for_organisation(organisation_of(self.request)).for_display()

    @extend_schema(summary="Accept: promise the plug and reserve it", request=None, responses=AcceptedPlanSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        author, now = author_of(request), timezone.now()
        return self._decide(
            lambda plan_id: services.accept_plan(plan_id=plan_id, now=now, **author), AcceptedPlanSerializer
        )

    @extend_schema(summary="Dismiss", request=ReasonSerializer, responses=PlanSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:
        def dismiss(plan_id: int) -> ChargePlan:
            reason = checked(ReasonSerializer(data=request.data))["reason"]
            return services.dismiss_plan(plan_id=plan_id, reason=reason, now=timezone.now(), **author_of(request))

        return self._decide(dismiss)

    @extend_schema(summary="Take an acceptance back, within ten seconds", request=None, responses=UndonePlanSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        author, now = author_of(request), timezone.now()
        return self._decide(
            lambda plan_id: services.undo_plan(plan_id=plan_id, now=now, **author), UndonePlanSerializer
        )

    def _decide(self, decide: Callable[[int], ChargePlan], shown: type[PlanSerializer] = PlanSerializer) -> Response:
        plan = self.get_object()
        try:
            decide(plan.pk)
        except services.DecisionRefused as refusal:
            raise conflict(refusal) from refusal
        return Response(shown(self.get_queryset().get(pk=plan.pk)).data)


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

    @extend_schema(summary="Hide for some minutes", request=SnoozeSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def snooze(self, request: Request, pk: str) -> Response:
        alert, minutes = self.get_object(), checked(SnoozeSerializer(data=request.data))["minutes"]
        until = timezone.now() + timedelta(minutes=minutes)
        services.snooze_alert(alert_id=alert.pk, until=until, **author_of(request))
        return Response(AlertSerializer(self.get_queryset().get(pk=alert.pk)).data)

    @extend_schema(summary="Show again what was hidden", request=None, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def wake(self, request: Request, pk: str) -> Response:
        alert = self.get_object()
        services.wake_alert(alert_id=alert.pk, **author_of(request))
        return Response(AlertSerializer(self.get_queryset().get(pk=alert.pk)).data)

    @extend_schema(summary="Close", request=ReasonSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        alert, reason = self.get_object(), checked(ReasonSerializer(data=request.data))["reason"]
        services.close_alert(alert_id=alert.pk, reason=reason, now=timezone.now(), **author_of(request))
        return Response(AlertSerializer(self.get_queryset().get(pk=alert.pk)).data)


class ReservationFilter(filters.FilterSet):
    is_active = filters.BooleanFilter(method="filter_active", label="Requested or confirmed.")

    class Meta:
        model = Reservation
        fields = ["state", "vehicle", "connector"]

    def filter_active(self, reservations: Any, name: str, value: bool) -> Any:
        return reservations.active() if value else reservations.exclude(state__in=Reservation.ACTIVE_STATES)


@extend_schema_view(
    list=extend_schema(summary="Connectors promised to vehicles"),
    retrieve=extend_schema(summary="One reservation"),
)
class ReservationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Reservation]):
    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = Reservation.objects.none()
    serializer_class = ReservationSerializer
    filterset_class = ReservationFilter
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Reservation]:
        mine = Reservation.objects.for_organisation(organisation_of(self.request))
        return mine.select_related("vehicle", "connector__evse__location__source")

    @extend_schema(summary="Reserve by hand", request=NewReservationSerializer, responses={201: ReservationSerializer})
    def create(self, request: Request) -> Response:
        wish = checked(NewReservationSerializer(data=request.data))
        organisation, now = organisation_of(request), timezone.now()
        vehicle = get_object_or_404(Vehicle.objects.for_organisation(organisation), pk=wish["vehicle_id"])
        named = {"pk": wish["connector_id"]} if "connector_id" in wish else {"public_id": wish["connector_public_id"]}
        connector = get_object_or_404(Connector.objects.usable_by(organisation), **named)
        starts_at = max(wish.get("starts_at", now), now)
        try:
            reservation = services.create_reservation(
                vehicle_id=vehicle.pk, connector_id=connector.pk, now=now, **author_of(request), starts_at=starts_at,
                expires_at=starts_at + timedelta(minutes=wish.get("minutes", settings.RESERVATION_MINUTES)),
                is_rebooked=wish["is_rebooked"], replaces_others=wish["replaces_others"],
            )  # fmt: skip
        except services.VehicleIsElsewhere as error:
            raise Conflict(str(error), code=error.code) from error
        if reservation is None:
            raise Conflict("This plug is promised to another vehicle.", code="connector_taken")
        row = self.get_queryset().get(pk=reservation.pk)
        return Response(ReservationSerializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Keep for longer", request=ExtendSerializer, responses=ReservationSerializer)
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, number: str) -> Response:
        row, minutes = self.get_object(), checked(ExtendSerializer(data=request.data))["minutes"]
        try:
            extended = services.extend_reservation(
                number=row.pk, expires_at=row.expires_at + timedelta(minutes=minutes), now=timezone.now(),
                **author_of(request),
            )  # fmt: skip
        except ValueError as error:
            raise Conflict(str(error), code="reservation_over") from error
        except services.VehicleIsElsewhere as error:
            raise Conflict(str(error), code=error.code) from error
        if extended is None:
            raise Conflict("The place is promised to another vehicle then.", code="connector_taken")
        return Response(ReservationSerializer(self.get_queryset().get(pk=row.pk)).data)

    @extend_schema(summary="Cancel", request=ReasonSerializer, responses=ReservationSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, number: str) -> Response:
        row, reason = self.get_object(), checked(ReasonSerializer(data=request.data))["reason"]
        services.cancel_reservation(number=row.pk, reason=reason, now=timezone.now(), **author_of(request))
        return Response(ReservationSerializer(self.get_queryset().get(pk=row.pk)).data)


@extend_schema_view(
    list=extend_schema(summary="What was asked of plugs and sessions"), retrieve=extend_schema(summary="One of them")
)
class SessionCommandViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[SessionCommand]):
    """Starts, stops, unlocking, limits and preferences at any network, as far as it takes them. Newest first."""

    read_scope, write_scope = Scope.DISPATCH_READ, Scope.DISPATCH_WRITE
    queryset = SessionCommand.objects.none()
    serializer_class = SessionCommandSerializer
    filterset_fields = ["kind", "state", "vehicle", "session"]
    lookup_field = "key"

    def get_queryset(self) -> QuerySet[SessionCommand]:
        mine = SessionCommand.objects.for_organisation(organisation_of(self.request))
        return mine.select_related("vehicle", "connector__evse__location__source")

    @extend_schema(summary="Start charging", request=StartSessionSerializer, responses={201: SessionCommandSerializer})
    @action(detail=False, methods=["post"])
    def start(self, request: Request) -> Response:
        wish, organisation = checked(StartSessionSerializer(data=request.data)), organisation_of(request)
        vehicle = get_object_or_404(Vehicle.objects.for_organisation(organisation), pk=wish["vehicle_id"])
        named = {"pk": wish["connector_id"]} if "connector_id" in wish else {"public_id": wish["connector_public_id"]}
        connector = get_object_or_404(Connector.objects.usable_by(organisation), **named)
        return self._told(
            lambda now: services.start_charging(
                vehicle_id=vehicle.pk, connector_id=connector.pk, now=now, **author_of(request)
            )
        )

    @extend_schema(summary="Stop charging", request=StopSessionSerializer, responses={201: SessionCommandSerializer})
    @action(detail=False, methods=["post"])
    def stop(self, request: Request) -> Response:
        session_id = checked(StopSessionSerializer(data=request.data))["session_id"]
        mine = ChargingSession.objects.filter(organisation=organisation_of(request))
        session = get_object_or_404(mine, pk=session_id)
        return self._told(lambda now: services.stop_charging(session_id=session.pk, now=now, **author_of(request)))

    @extend_schema(summary="Unlock a plug", request=UnlockSerializer, responses={201: SessionCommandSerializer})
    @action(detail=False, methods=["post"])
    def unlock(self, request: Request) -> Response:
        """For whoever helps the driver: one's own chargers, or where one of one's own vehicles charges or just did."""
        named, organisation = checked(UnlockSerializer(data=request.data)), organisation_of(request)
        reason = named.pop("reason")
        place = (
            {"pk": named["connector_id"]} if "connector_id" in named else {"public_id": named["connector_public_id"]}
        )
        connector = get_object_or_404(Connector.objects.usable_by(organisation), **place)
        return self._told(
            lambda now: services.unlock(
                organisation_id=organisation.pk, connector_id=connector.pk, reason=reason, now=now, **author_of(request)
            )
        )

    @extend_schema(
        summary="Limit a session's power", request=LimitSerializer, responses={201: SessionCommandSerializer}
    )
    @action(detail=False, methods=["post"])
    def limit(self, request: Request) -> Response:
        said = checked(LimitSerializer(data=request.data))
        is_lifted = said["max_power_w"] is None
        kind = SessionCommand.Kind.UNLIMIT if is_lifted else SessionCommand.Kind.LIMIT
        return self._wished(said["session_id"], kind, {} if is_lifted else {"max_power_w": said["max_power_w"]})

    @extend_schema(
        summary="What a session will be given", request=OutlookSerializer, responses={201: SessionCommandSerializer}
    )
    @action(detail=False, methods=["post"])
    def outlook(self, request: Request) -> Response:
        """The network's ActiveChargingProfile; it stands in `result` once it came."""
        said = checked(OutlookSerializer(data=request.data))
        return self._wished(said["session_id"], SessionCommand.Kind.OUTLOOK, {"seconds": said["seconds"]})

    @extend_schema(
        summary="Say what is wanted of a session", request=PreferenceSerializer,
        responses={201: SessionCommandSerializer},
    )  # fmt: skip
    @action(detail=False, methods=["post"])
    def prefer(self, request: Request) -> Response:
        """OCPI's charging preferences. The network may want to know more: `reason` then says what."""
        said = checked(PreferenceSerializer(data=request.data))
        session_id, leaves_at = said.pop("session_id"), said.pop("departure_at", None)
        told = {**said, **({"departure_at": leaves_at.isoformat()} if leaves_at else {})}
        return self._wished(session_id, SessionCommand.Kind.PREFER, told)

    def _wished(self, session_id: int, kind: str, parameters: dict[str, Any]) -> Response:
        mine = ChargingSession.objects.filter(organisation=organisation_of(self.request))
        session = get_object_or_404(mine, pk=session_id)
        author = author_of(self.request)
        return self._told(
            lambda now: services.wish(session_id=session.pk, kind=kind, parameters=parameters, now=now, **author)
        )

    def _told(self, ask: Callable[[datetime], SessionCommand]) -> Response:
        """The network is asked in the background: its answer, and the session, show in the row."""
        try:
            command = ask(timezone.now())
        except services.CommandRefused as refusal:
            raise Conflict(str(refusal), code=refusal.code) from refusal
        hints.start(tasks.send_command, command.pk)
        row = self.get_queryset().get(pk=command.pk)
        return Response(SessionCommandSerializer(row).data, status=status.HTTP_201_CREATED)
