"""Addresses of the ocpp_bridge app."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from ocpp_bridge.api import CommandViewSet

router = SimpleRouter()
router.register("commands", CommandViewSet, basename="command")

urlpatterns: list[URLPattern | URLResolver] = [path("api/v1/", include(router.urls))]
