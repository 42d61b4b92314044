"""Geofences over REST: drawn, changed, removed; who is inside, and who came and left when."""

from collections.abc import Callable
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.lib.api import Conflict, CursorPagination
from vehicles.api import FleetViewSet
from vehicles.geofences import serializers as forms
from vehicles.geofences import services
from vehicles.geofences.models import Geofence, GeofenceEvent, GeofenceStanding
from vehicles.geofences.shapes import BadShape

MOST_INSIDE = 5_000
CONFLICT = OpenApiResponse(description="Another geofence has this name, or there are 500 already.")


class NewestFirst(CursorPagination):
    ordering = "-pk"


class GeofenceEventFilter(django_filters.FilterSet):
    """`?geofence=&vehicle=&kind=entered&since=2026-11-21T00:00:00Z&until=`"""

    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    geofence = django_filters.NumberFilter(field_name="geofence_id")
    vehicle = django_filters.NumberFilter(field_name="vehicle_id")

    class Meta:
        model = GeofenceEvent
        fields = ["geofence", "vehicle", "kind", "since", "until"]


class GeofenceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, FleetViewSet):
    """A fleet's own areas. Positions tell who comes in and who leaves: late, doubtful and made-up ones do not count."""

    queryset = Geofence.objects.drawn()
    serializer_class = forms.GeofenceSerializer

    @extend_schema(request=forms.GeofenceWriteSerializer, responses={201: forms.GeofenceSerializer, 409: CONFLICT})
    def create(self, request: Request) -> Response:
        """Draw one. Vehicles that are inside already did not enter it."""
        wanted = _valid(request.data)
        geofence = refused(lambda: services.draw(organisation_id=self.organisation.pk, **wanted))
        return Response(forms.GeofenceSerializer(geofence).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=forms.GeofenceWriteSerializer, responses={200: forms.GeofenceSerializer, 409: CONFLICT})
    def partial_update(self, request: Request, pk: str) -> Response:
        """Another name or shape. With its next positions a vehicle has left what it is outside of now."""
        row = self.get_object()
        before = {"name": row.name, "geometry": row.geometry, "radius_m": row.radius_m}
        if isinstance(request.data, dict) and "geometry" in request.data:
            before["radius_m"] = None
        wanted = _valid({**before, **request.data} if isinstance(request.data, dict) else request.data)
        geofence = refused(lambda: services.change(geofence_id=row.pk, **wanted))
        return Response(forms.GeofenceSerializer(geofence).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove it; its events stay."""
        services.remove(geofence_id=self.get_object().pk, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=forms.GeofenceStandingSerializer(many=True), description="Vehicles that are inside now.")
    @action(detail=True, pagination_class=None, filter_backends=[])
    def vehicles(self, request: Request, pk: str) -> Response:
        inside = GeofenceStanding.objects.filter(geofence=self.get_object(), is_inside=True, vehicle__is_active=True)
        rows = inside.select_related("vehicle").order_by("since", "vehicle")[:MOST_INSIDE]
        return Response(forms.GeofenceStandingSerializer(rows, many=True).data)


class GeofenceEventViewSet(mixins.ListModelMixin, FleetViewSet):
    """Who came into which geofence, or left it, when; the newest first."""

    queryset: QuerySet[GeofenceEvent] = GeofenceEvent.objects.select_related("geofence", "vehicle")
    serializer_class = forms.GeofenceEventSerializer
    pagination_class = NewestFirst
    filterset_class = GeofenceEventFilter


def _valid(data: Any) -> dict[str, Any]:
    serializer = forms.GeofenceWriteSerializer(data=data)
    serializer.is_valid(raise_exception=True)
    return {"radius_m": None, **serializer.validated_data}


def refused(write: Callable[[], Geofence]) -> Geofence:
    """What the service refuses, in the words of the API."""
    try:
        return write()
    except BadShape as error:
        raise ValidationError({error.field: [str(error)]}, code=error.code) from error
    except services.NameTaken as error:
        raise Conflict("Another geofence of yours has this name.", code="name_taken") from error
    except services.TooMany as error:
        told = f"A fleet draws at most {services.MOST_GEOFENCES} geofences."
        raise Conflict(told, code="too_many_geofences") from error
