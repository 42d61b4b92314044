"""Commands over REST: ask a charger of one's own, look up what it answered."""

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import Conflict, CursorPagination
from ocpp_bridge import commands
from ocpp_bridge.models import Command
from ocpp_bridge.serializers import CLIENT_KEYS, CancelSerializer, CommandRequestSerializer, CommandSerializer
from stations.models import Charger


class CommandFilter(filters.FilterSet):
    charger = filters.CharFilter(field_name="charger__ocpp_identity")
    state = filters.MultipleChoiceFilter(choices=Command.State.choices)
    is_open = filters.BooleanFilter(method="_open", label="queued or sent")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    def _open(self, queryset: QuerySet[Command], name: str, value: bool) -> QuerySet[Command]:
        is_open = Q(state__in=Command.OPEN_STATES)
        return queryset.filter(is_open if value else ~is_open)

    class Meta:
        model = Command
        fields = ["charger", "action", "state"]


class NewestFirst(CursorPagination):
    ordering = "-created_at"


class CommandViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Command]):
    """The ledger of commands to the organisation's own chargers."""

    queryset = Command.objects.none()
    serializer_class = CommandSerializer
    pagination_class = NewestFirst
    filterset_class = CommandFilter
    read_scope = Scope.DISPATCH_READ
    write_scope = Scope.DISPATCH_WRITE
    keeps_idempotency_keys = frozenset({"create"})  # a command is known by its key for as long as it is kept

    def get_queryset(self) -> QuerySet[Command]:
        return Command.objects.for_organisation(organisation_of(self.request)).select_related("charger")

    @extend_schema(
        request=CommandRequestSerializer,
        responses={201: CommandSerializer, 200: CommandSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )
    def create(self, request: Request) -> Response:
        """Queue a command. The same idempotency key returns the same command (200).

        What the charger's OCPP version has no words for comes back as `failed` at once, with the reason.
        """
        wanted = CommandRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        command, is_new = _enqueue(request, wanted.validated_data)
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(CommandSerializer(command).data, status=code)

    @extend_schema(request=CancelSerializer, responses={200: CommandSerializer})
    @action(methods=["post"], detail=True)
    def cancel(self, request: Request, pk: str) -> Response:
        """Take a command back while it is still queued; later it is a conflict (409)."""
        wanted = CancelSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        command = self.get_object()
        reason = wanted.validated_data["reason"] or f"Taken back by {author_of(request)['actor_label']}."
        if not commands.cancel(command_id=command.pk, reason=reason, at=timezone.now()):
            raise Conflict("This command is on its way or over.", code="not_queued")
        command.refresh_from_db()
        return Response(CommandSerializer(command).data)


def _enqueue(request: Request, wanted: dict[str, Any]) -> tuple[Command, bool]:
    organisation = organisation_of(request)
    charger = Charger.objects.for_organisation(organisation).filter(ocpp_identity=wanted["charger"]).first()
    if charger is None:
        raise NotFound("You have no charger of this identity.", code="unknown_charger")
    now, seconds = timezone.now(), wanted.get("expires_in_seconds")
    try:
        command = commands.enqueue(
            charger_id=charger.pk,
            action=wanted["action"],
            parameters=wanted["parameters"],
            idempotency_key=_key(request, wanted),
            deadline_at=now + timedelta(seconds=seconds) if seconds else None,
            actor=author_of(request)["actor_label"],
            now=now,
        )
    except commands.BadParameters as error:
        raise ValidationError({"parameters": str(error)}) from None
    except commands.KeyReused:
        raise Conflict("This idempotency key belongs to another command.", code="key_reused") from None
    return command, command.created_at == now


def _key(request: Request, wanted: dict[str, Any]) -> str:
    key = request.headers.get("Idempotency-Key") or wanted.get("idempotency_key", "")
    if not key or len(key) > 60:
        raise ValidationError({"idempotency_key": "Send 1 to 60 characters, here or as Idempotency-Key header."})
    return f"{CLIENT_KEYS}{key}"
