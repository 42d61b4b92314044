"""Addresses of the ocpp_bridge app."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from ocpp_bridge.api import CommandViewSet
from ocpp_bridge.frames_api import FrameViewSet
from ocpp_bridge.list_api import LocalListViewSet
from ocpp_bridge.metrics_page import metrics_text

router = SimpleRouter()
router.register("commands", CommandViewSet, basename="command")
router.register("frames", FrameViewSet, basename="frame")
router.register("local-lists", LocalListViewSet, basename="local-list")

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include(router.urls)),
    path("metrics", metrics_text, name="metrics"),
]
