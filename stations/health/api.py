"""Health of chargers and maintenance tickets over REST."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import Scope, User
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import CursorPagination
from stations.evses import visible_evses
from stations.health import tickets
from stations.health.features import told_to_all
from stations.health.models import Cause, EvseHealth, HealthDay, MaintenanceTicket, TicketNote

DAYS_SHOWN = 90


class PenaltySerializer(serializers.Serializer[Any]):
    cause = serializers.ChoiceField(Cause.choices)
    points = serializers.IntegerField(help_text="Missing from 100.")
    figure = serializers.FloatField(help_text="What it rests on: a share, a count or hours, by cause.")
    text = serializers.SerializerMethodField()

    def get_text(self, penalty: dict[str, Any]) -> str:
        return str(Cause(penalty["cause"]).label)


class HealthSerializer(serializers.ModelSerializer[EvseHealth]):
    evse = serializers.CharField(source="evse.public_id")
    station = serializers.CharField(source="evse.location.public_id")
    charger = serializers.SerializerMethodField(help_text="Its OCPP identity, of one's own charger; else null.")
    penalties = PenaltySerializer(many=True)

    class Meta:
        model = EvseHealth
        fields = ["evse", "station", "charger", "score", "p_unusable", "is_failing", "penalties", "judged_at"]

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_charger(self, health: EvseHealth) -> str | None:
        charger = health.evse.charger
        return charger.ocpp_identity if charger is not None and self.is_own(health) else None

    def is_own(self, health: EvseHealth) -> bool:
        charger = health.evse.charger
        return charger is not None and charger.organisation_id == self.context["organisation_id"]


class HealthDaySerializer(serializers.ModelSerializer[HealthDay]):
    penalties = PenaltySerializer(many=True)

    class Meta:
        model = HealthDay
        fields = ["on", "score", "p_unusable", "penalties"]


class HealthDetailSerializer(HealthSerializer):
    features = serializers.DictField(help_text="The figures behind the score.")
    days = serializers.SerializerMethodField(help_text="The last 90, the newest first.")

    class Meta(HealthSerializer.Meta):
        fields = [*HealthSerializer.Meta.fields, "features", "days"]

    def to_representation(self, health: EvseHealth) -> dict[str, Any]:
        """How often others charge at a unit is for nobody but its owner."""
        features = health.features if self.is_own(health) else told_to_all(health.features)
        return {**super().to_representation(health), "features": features}

    @extend_schema_field(HealthDaySerializer(many=True))
    def get_days(self, health: EvseHealth) -> list[dict[str, Any]]:
        days = HealthDay.objects.filter(evse=health.evse_id).order_by("-on")[:DAYS_SHOWN]
        return list(HealthDaySerializer(days, many=True).data)


class WorstFirst(CursorPagination):
    """Most units have full marks: pages among thousands of equals are told by their offset, however far it goes."""

    ordering = ("score", "pk")  # type: ignore[assignment]  # several are as good as one
    offset_cutoff = 1_000_000_000


class NewestFirst(CursorPagination):
    ordering = "-pk"


_ASKED = [
    OpenApiParameter("failing", bool, description="Only those that fail whoever comes while a plug says it is free."),
    OpenApiParameter("own", bool, description="Only at one's own chargers."),
]


class _Tenant(viewsets.GenericViewSet[Any]):
    """`organisation` of who asks; nobody's while the API file is written."""

    read_scope, write_scope = Scope.STATIONS_READ, Scope.STATIONS_WRITE

    def get_serializer_context(self) -> dict[str, Any]:
        asked = getattr(self, "swagger_fake_view", False)
        organisation_id = None if asked else organisation_of(self.request).pk
        return {**super().get_serializer_context(), "organisation_id": organisation_id}


@extend_schema_view(list=extend_schema(parameters=_ASKED))
class HealthViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Tenant):
    """How well units work of which anything is known, the worst first, and why."""

    queryset = EvseHealth.objects.none()
    pagination_class = WorstFirst
    lookup_field = "evse__public_id"
    lookup_url_kwarg = "public_id"

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return HealthDetailSerializer if self.action == "retrieve" else HealthSerializer

    def get_queryset(self) -> QuerySet[EvseHealth]:
        if getattr(self, "swagger_fake_view", False):
            return EvseHealth.objects.none()
        organisation = organisation_of(self.request)
        rows = EvseHealth.objects.filter(evse__in=visible_evses(organisation))
        if self._is_asked("failing"):
            failing = EvseHealth.objects.failing_but_available()
            rows = rows.filter(pk__in=failing.values("pk"))
        if self._is_asked("own"):
            rows = rows.filter(evse__charger__organisation=organisation)
        return rows.select_related("evse__location", "evse__charger")

    def _is_asked(self, name: str) -> bool:
        value = self.request.query_params.get(name, "").lower()
        if value not in ("", "true", "false", "1", "0"):
            raise ValidationError({name: ["true or false"]})
        return value in ("true", "1")


class NoteSerializer(serializers.ModelSerializer[TicketNote]):
    author = serializers.CharField(source="author.email", default="", help_text="Empty: FleetCharge itself.")

    class Meta:
        model = TicketNote
        fields = ["author", "text", "at"]


class TicketSerializer(serializers.ModelSerializer[MaintenanceTicket]):
    charger = serializers.CharField(source="charger.ocpp_identity")
    station = serializers.CharField(source="charger.location.public_id")
    text = serializers.CharField(source="get_cause_display")
    assignee = serializers.EmailField(source="assignee.email", default=None, allow_null=True)
    evidence = PenaltySerializer(help_text="What opened it.")
    notes = NoteSerializer(many=True)

    class Meta:
        model = MaintenanceTicket
        fields = [
            "id", "charger", "station", "cause", "text", "state", "score", "evidence", "assignee", "slot_starts_at",
            "slot_ends_at", "slot_busy_share", "opened_at", "closed_at", "close_reason", "notes",
        ]  # fmt: skip
        read_only_fields = fields


class TicketChangeSerializer(serializers.Serializer[Any]):
    """What is left out stays as it is."""

    state = serializers.ChoiceField(
        [choice for choice in MaintenanceTicket.State.choices if choice[0] != "healed"], required=False
    )
    assignee = serializers.EmailField(required=False, allow_null=True, help_text="A member of the fleet.")
    slot_starts_at = serializers.DateTimeField(required=False, allow_null=True)
    slot_ends_at = serializers.DateTimeField(required=False, allow_null=True)
    note = serializers.CharField(required=False, max_length=1000, help_text="Needed to close a ticket.")

    def validate_assignee(self, email: str | None) -> User | None:
        if email is None:
            return None
        members = User.objects.filter(memberships__organisation=self.context["organisation_id"])
        user = members.filter(email__iexact=email).first()
        if user is None:
            raise serializers.ValidationError("No member of this fleet has this address.")
        return user


@extend_schema_view(
    list=extend_schema(parameters=[OpenApiParameter("open", bool, description="Only open ones (true) or closed ones.")])
)
class TicketViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Tenant):
    """What is to be done at one's own chargers. Opened by rule; closed by a person, or when the charger works again."""

    queryset = MaintenanceTicket.objects.none()
    serializer_class = TicketSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[MaintenanceTicket]:
        if getattr(self, "swagger_fake_view", False):
            return MaintenanceTicket.objects.none()
        rows = MaintenanceTicket.objects.for_organisation(organisation_of(self.request))
        asked = self.request.query_params.get("open", "").lower() if self.action == "list" else ""
        if asked in ("true", "1", "false", "0"):
            rows = rows.filter(closed_at__isnull=asked in ("true", "1"))
        return rows.select_related("charger__location", "assignee").prefetch_related("notes__author")

    @extend_schema(request=TicketChangeSerializer, responses=TicketSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Plan, hand over, work on or close a ticket, each with a note if there is something to say."""
        ticket = self.get_object()
        asked = TicketChangeSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        try:
            tickets.change_ticket(ticket_id=ticket.pk, now=timezone.now(), **author_of(request), **asked.validated_data)
        except tickets.TicketRefused as error:
            raise ValidationError({"detail": error.messages[0]}) from error
        return Response(TicketSerializer(self.get_queryset().get(pk=ticket.pk)).data)
