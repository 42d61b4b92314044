"""Addresses of the vehicles app."""

from django.urls import URLPattern, URLResolver
from rest_framework.routers import SimpleRouter

from vehicles import api
from vehicles.geofences.api import GeofenceEventViewSet, GeofenceViewSet
from vehicles.stop_import.api import StopImportViewSet

router = SimpleRouter()
router.register("vehicles", api.VehicleViewSet)
router.register("drivers", api.DriverViewSet)
router.register("shifts", api.ShiftViewSet)
router.register("stops", StopImportViewSet, basename="stops")
router.register("geofences", GeofenceViewSet)
router.register("geofence-events", GeofenceEventViewSet)
router.register("id-tokens", api.IdTokenViewSet)
router.register("vehicle-models", api.VehicleModelViewSet)
router.register("unknown-devices", api.UnknownDeviceViewSet)

urlpatterns: list[URLPattern | URLResolver] = [*router.urls]
