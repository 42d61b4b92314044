"""Geofences and what happened at them, to be looked at; they are drawn on their page and over the API."""

from django.contrib import admin

from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin
from fleetcharge.accounts.models import Membership
from vehicles.geofences.models import Geofence, GeofenceEvent

FLEET_DESK = DESK | {Membership.Role.DISPATCHER}


@admin.register(Geofence)
class GeofenceAdmin(ReadOnlyAdmin):
    view_roles = FLEET_DESK
    list_display = ["name", "radius_m", "created_at", "removed_at"]
    search_fields = ["name"]
    readonly_fields = ["organisation", "name", "geometry", "radius_m", "created_at", "removed_at"]


@admin.register(GeofenceEvent)
class GeofenceEventAdmin(ReadOnlyAdmin):
    view_roles = FLEET_DESK
    list_display = ["at", "kind", "geofence", "vehicle"]
    list_select_related = ["geofence", "vehicle"]
    list_filter = ["kind"]
    search_fields = ["geofence__name", "vehicle__registration"]
    readonly_fields = ["organisation", "geofence", "vehicle", "kind", "at", "latitude", "longitude"]
