"""The shapes of the geofences API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from vehicles.geofences import shapes
from vehicles.geofences.models import Geofence, GeofenceEvent, GeofenceStanding

GEOMETRY = {
    "type": "object",
    "description": "GeoJSON, longitude first: a Polygon or MultiPolygon, or a Point, which takes `radius_m`.",
    "properties": {
        "type": {"type": "string", "enum": ["Point", "Polygon", "MultiPolygon"]},
        "coordinates": {"type": "array", "items": {}},
    },
    "required": ["type", "coordinates"],
}


@extend_schema_field(GEOMETRY)
class GeometryField(serializers.JSONField):
    """What it is worth, `shapes.read` says."""


class GeofenceSerializer(serializers.ModelSerializer[Geofence]):
    """An area of the fleet's own: a circle (a Point and `radius_m`) or polygons."""

    geometry = GeometryField(read_only=True)

    class Meta:
        model = Geofence
        fields = ["id", "name", "geometry", "radius_m", "depot", "created_at"]


class GeofenceWriteSerializer(serializers.Serializer[Any]):
    """`radius_m` for a Point alone; a Feature is taken for its geometry."""

    name = serializers.CharField(max_length=120)
    geometry = GeometryField()
    radius_m = serializers.IntegerField(
        min_value=shapes.RADIUS_M[0], max_value=shapes.RADIUS_M[-1], required=False, allow_null=True
    )


class GeofenceStandingSerializer(serializers.ModelSerializer[GeofenceStanding]):
    """`since` is the instant it came in, or was first seen inside."""

    registration = serializers.CharField(source="vehicle.registration", read_only=True)

    class Meta:
        model = GeofenceStanding
        fields = ["vehicle", "registration", "since"]


class GeofenceEventSerializer(serializers.ModelSerializer[GeofenceEvent]):
    """A vehicle came in or left; the place is that of the position which settled it."""

    geofence_name = serializers.CharField(source="geofence.name", read_only=True)
    registration = serializers.CharField(source="vehicle.registration", read_only=True)

    class Meta:
        model = GeofenceEvent
        fields = ["id", "kind", "geofence", "geofence_name", "vehicle", "registration", "at", "latitude", "longitude"]
