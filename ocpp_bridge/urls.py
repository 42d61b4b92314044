"""Addresses of the ocpp_bridge app."""

from django.urls import URLPattern, URLResolver, include, path, register_converter
from rest_framework.routers import SimpleRouter

from ocpp_bridge import views
from ocpp_bridge.api import CommandViewSet
from ocpp_bridge.frames_api import FrameViewSet
from ocpp_bridge.list_api import LocalListViewSet
from ocpp_bridge.metrics_page import metrics_text

register_converter(views.IdentityConverter, "identity")
router = SimpleRouter()
router.register("commands", CommandViewSet, basename="command")
router.register("frames", FrameViewSet, basename="frame")
router.register("local-lists", LocalListViewSet, basename="local-list")

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include(router.urls)),
    path("metrics", metrics_text, name="metrics"),
    path("charger-files/<uuid:upload_id>/", views.charger_file, name="charger-file"),
    path("chargers/<identity:identity>/", views.charger_page, name="charger"),
]
