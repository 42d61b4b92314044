"""Commands over REST: ask a charger of one's own, look up what it answered."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import APIKey, Scope
from fleetcharge.accounts.tenancy import organisation_of
from fleetcharge.lib.api import Conflict, CursorPagination
from ocpp_bridge import commands
from ocpp_bridge.instants import to_wire
from ocpp_bridge.models import Command
from ocpp_bridge.serializers import CommandRequestSerializer, CommandSerializer
from stations.models import Charger


class CommandFilter(filters.FilterSet):
    charger = filters.CharFilter(field_name="charger__ocpp_identity")

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

    def get_queryset(self) -> QuerySet[Command]:
        own = Command.objects.filter(organisation=organisation_of(self.request))
        return own.select_related("charger")

    @extend_schema(
        request=CommandRequestSerializer,
        responses={201: CommandSerializer, 200: CommandSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )
    def create(self, request: Request) -> Response:
        """Queue a command. The same idempotency key returns the same command (200)."""
        wanted = CommandRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        command, is_new = _enqueue(request, wanted.validated_data)
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(CommandSerializer(command).data, status=code)


def _enqueue(request: Request, wanted: dict[str, Any]) -> tuple[Command, bool]:
    organisation = organisation_of(request)
    charger = Charger.objects.for_organisation(organisation).filter(ocpp_identity=wanted["charger"]).first()
    if charger is None:
        raise NotFound("You have no charger of this identity.", code="unknown_charger")
    key = f"{organisation.pk}:{_key(request, wanted)}"
    now = timezone.now()
    is_new = not Command.objects.filter(idempotency_key=key).exists()
    try:
        command = commands.enqueue(
            charger_id=charger.pk,
            action=wanted["action"],
            parameters=_plain(wanted["parameters"]),
            idempotency_key=key,
            deadline_at=now + timedelta(seconds=wanted["expires_in_seconds"]),
            actor=_actor(request),
        )
    except commands.KeyReused:
        raise Conflict("This idempotency key belongs to another command.", code="key_reused") from None
    return command, is_new


def _key(request: Request, wanted: dict[str, Any]) -> str:
    key = request.headers.get("Idempotency-Key") or wanted.get("idempotency_key", "")
    if not key or len(key) > 60:
        raise ValidationError({"idempotency_key": "Send 1 to 60 characters, here or as Idempotency-Key header."})
    return key


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """As JSON keeps it."""
    expires_at = parameters.get("expires_at")
    return {**parameters, **({"expires_at": to_wire(expires_at)} if expires_at else {})}


def _actor(request: Request) -> str:
    return f"key {request.auth.name}" if isinstance(request.auth, APIKey) else str(request.user)
