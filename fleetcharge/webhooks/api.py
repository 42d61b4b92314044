"""Webhooks over REST: where to send what, how it went, and once more."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied, Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts import throttling
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of, scopes_of
from fleetcharge.accounts.throttling import Rate
from fleetcharge.lib.api import Conflict, CursorPagination
from fleetcharge.lib.outbound import RefusedAddress
from fleetcharge.webhooks import catalogue, services
from fleetcharge.webhooks import serializers as shapes
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint

ASKED_FOR = Rate(60, 3600)  # tests and replays of an organisation


class NewestFirst(CursorPagination):
    ordering = "-pk"


class DeliveryFilter(filters.FilterSet):
    """`?state=failed&event_type=session.ended&created_after=2026-11-01T00:00:00Z`"""

    event_type = filters.CharFilter(field_name="message__event_type")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = WebhookDelivery
        fields = ["state", "event_type"]


class WebhookViewSet(viewsets.GenericViewSet[WebhookEndpoint]):
    """Endpoints of the organisation. Hearing an event takes the scope that reading it takes."""

    queryset = WebhookEndpoint.objects.none()
    serializer_class = shapes.WebhookSerializer
    lookup_value_regex = "[0-9]{1,18}"
    read_scope = Scope.WEBHOOKS_READ
    write_scope = Scope.WEBHOOKS_WRITE

    def get_queryset(self) -> QuerySet[WebhookEndpoint]:
        return WebhookEndpoint.objects.for_organisation(organisation_of(self.request))

    def list(self, request: Request) -> Response:
        """All webhooks of the organisation."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(shapes.WebhookSerializer(page, many=True).data)

    def retrieve(self, request: Request, pk: str) -> Response:
        """One webhook and how it does."""
        return Response(shapes.WebhookSerializer(self.get_object()).data)

    @extend_schema(request=shapes.WebhookRequestSerializer, responses={201: shapes.WebhookCreatedSerializer})
    def create(self, request: Request) -> Response:
        """A new webhook. The answer holds its secret, which is never shown again."""
        wanted = _valid(shapes.WebhookRequestSerializer, request)
        _may_hear(request, wanted["event_types"])
        organisation, now = organisation_of(request), timezone.now()
        with _named_errors():
            endpoint, secret = services.create_endpoint(
                organisation=organisation, now=now, **wanted, **author_of(request)
            )
        shape = shapes.WebhookCreatedSerializer(endpoint, context={"secret": secret})
        return Response(shape.data, status=status.HTTP_201_CREATED)

    @extend_schema(request=shapes.WebhookChangeSerializer, responses={200: shapes.WebhookSerializer})
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a webhook; `is_active: true` switches on one that was switched off, and sends what waits."""
        endpoint = self.get_object()
        changes = _valid(shapes.WebhookChangeSerializer, request)
        _may_hear(request, [*endpoint.event_types, *changes.get("event_types", [])])  # what waits goes with the address
        with _named_errors():
            endpoint = services.change_endpoint(
                endpoint_id=endpoint.pk, changes=changes, now=timezone.now(), **author_of(request)
            )
        return Response(shapes.WebhookSerializer(endpoint).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a webhook and the record of its deliveries."""
        services.delete_endpoint(endpoint_id=self.get_object().pk, now=timezone.now(), **author_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=shapes.RotateSerializer, responses={200: shapes.WebhookSecretSerializer})
    @action(methods=["post"], detail=True, url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """A new secret. For `keep_old_hours` messages carry a signature of the old one too."""
        hours = _valid(shapes.RotateSerializer, request)["keep_old_hours"]
        endpoint = self.get_object()
        secret = services.rotate_secret(
            endpoint_id=endpoint.pk, keep_old_for=timedelta(hours=hours), now=timezone.now(), **author_of(request)
        )
        return Response({"secret": secret})

    @extend_schema(request=None, responses={202: shapes.WebhookDeliverySerializer})
    @action(methods=["post"], detail=True)
    def test(self, request: Request, pk: str) -> Response:
        """Send `webhook.test` to this webhook; look at its deliveries for what came of it."""
        endpoint = self.get_object()
        _not_too_often(endpoint)
        with _named_errors():
            delivery = services.send_test(endpoint_id=endpoint.pk, now=timezone.now())
        return Response(shapes.WebhookDeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=shapes.ReplaySerializer, responses={202: shapes.ReplayedSerializer})
    @action(methods=["post"], detail=True)
    def replay(self, request: Request, pk: str) -> Response:
        """Send one delivery, or all kept messages since a time, once more, each with its first `webhook-id`."""
        endpoint = self.get_object()
        wanted = _valid(shapes.ReplaySerializer, request)
        _may_hear(request, wanted.get("event_types", endpoint.event_types))
        _not_too_often(endpoint)
        with _named_errors():
            count = _replay(request, endpoint, wanted)
        return Response({"deliveries": count}, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses={200: shapes.WebhookEventSerializer(many=True)}, filters=False)
    @action(methods=["get"], detail=False, pagination_class=None)
    def events(self, request: Request) -> Response:
        """Every event one can ask for, with the fields of its data."""
        return Response(shapes.WebhookEventSerializer(list(catalogue.CATALOGUE.values()), many=True).data)


class DeliveryList(generics.ListAPIView[WebhookDelivery]):
    """What was sent to a webhook, newest first: attempts, the last answer, when it is tried next."""

    queryset = WebhookDelivery.objects.none()
    serializer_class = shapes.WebhookDeliverySerializer
    pagination_class = NewestFirst
    filterset_class = DeliveryFilter
    read_scope = Scope.WEBHOOKS_READ
    write_scope = Scope.WEBHOOKS_WRITE

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        if getattr(self, "swagger_fake_view", False):
            return WebhookDelivery.objects.none()
        own = WebhookEndpoint.objects.for_organisation(organisation_of(self.request))
        endpoint = get_object_or_404(own, pk=self.kwargs["pk"])
        heard = catalogue.heard_by(scopes_of(self.request))  # payloads hold what those scopes are for
        rows = WebhookDelivery.objects.filter(endpoint=endpoint, message__event_type__in=heard)
        return rows.select_related("message")


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
    """What services refuse, as answers."""
    try:
        yield
    except RefusedAddress as error:
        raise ValidationError({"url": [str(error)]}) from None
    except services.UnknownEventType as error:
        raise ValidationError({"event_types": [str(error)]}) from None
    except services.TooManyEndpoints as error:
        raise Conflict(str(error), code="too_many") from None
    except services.NotActive as error:
        raise Conflict(f"This webhook is switched off. {error}".strip(), code="not_active") from None


def _valid(shape: Any, request: Request) -> dict[str, Any]:
    wanted = shape(data=request.data)
    wanted.is_valid(raise_exception=True)
    return dict(wanted.validated_data)


def _may_hear(request: Request, event_types: list[str]) -> None:
    """A key for webhooks alone would otherwise read what it has no scope for."""
    if lacking := catalogue.scopes_needed(event_types) - scopes_of(request):
        raise PermissionDenied(f"To hear this takes {', '.join(sorted(lacking))}.", code="missing_scope")


def _not_too_often(endpoint: WebhookEndpoint) -> None:
    if seconds := throttling.counter.add("webhooks", str(endpoint.organisation_id), ASKED_FOR):
        raise Throttled(seconds, "Tests and replays are limited to 60 an hour.", code="throttled")


def _replay(request: Request, endpoint: WebhookEndpoint, wanted: dict[str, Any]) -> int:
    if "delivery" not in wanted:
        return services.replay_since(endpoint_id=endpoint.pk, now=timezone.now(), **wanted)
    delivery = (
        WebhookDelivery.objects.filter(endpoint=endpoint, pk=wanted["delivery"]).select_related("message").first()
    )
    if delivery is None:
        raise NotFound("This webhook has no such delivery.", code="unknown_delivery")
    _may_hear(request, [delivery.message.event_type])
    services.replay_one(delivery_id=delivery.pk, now=timezone.now())
    return 1
