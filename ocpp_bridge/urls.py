"""Addresses of the ocpp_bridge app."""

from django.urls import URLPattern, URLResolver, include, path, register_converter
from rest_framework.routers import SimpleRouter

from fleetcharge.accounts.public import api as api_view
from ocpp_bridge import views
from ocpp_bridge.api import CommandViewSet
from ocpp_bridge.charging import api as charging
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
    path("api/v1/charging-sites/", api_view(charging.ChargingSiteList.as_view()), name="charging-site-list"),
    path(
        "api/v1/charging-sites/<slug:public_id>/",
        api_view(charging.ChargingSiteDetail.as_view()),
        name="charging-site-detail",
    ),
    path(
        "api/v1/sessions/<int:pk>/charging-goal/",
        api_view(charging.ChargingGoalDetail.as_view()),
        name="charging-goal",
    ),
    path("metrics", metrics_text, name="metrics"),
    path("charger-files/<uuid:upload_id>/", views.charger_file, name="charger-file"),
    path("chargers/<identity:identity>/", views.charger_page, name="charger"),
]
