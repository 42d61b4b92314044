"""Addresses of the registry under /api/v1/."""

from django.urls import path

from stations import api, evses
from stations.health.api import HealthViewSet, TicketViewSet

urlpatterns = [
    path("stations/", api.StationList.as_view(), name="station-list"),
    path("stations/<str:public_id>/", api.StationDetail.as_view(), name="station-detail"),
    path("evses/", evses.EvseList.as_view(), name="evse-list"),
    path("evses/<str:public_id>/", evses.EvseDetail.as_view(), name="evse-detail"),
    path("connectors/", api.ConnectorList.as_view(), name="connector-list"),
    path("connectors/status/", api.ConnectorStatusList.as_view(), name="connector-status"),
    path("connectors/<str:public_id>/", api.ConnectorDetail.as_view(), name="connector-detail"),
    path("tariffs/", api.TariffList.as_view(), name="tariff-list"),
    path("tariffs/<int:pk>/", api.TariffDetail.as_view(), name="tariff-detail"),
    path("networks/", api.NetworkList.as_view(), name="network-list"),
    path("charger-health/", HealthViewSet.as_view({"get": "list"}), name="charger-health-list"),
    path("charger-health/<str:public_id>/", HealthViewSet.as_view({"get": "retrieve"}), name="charger-health-detail"),
    path("maintenance-tickets/", TicketViewSet.as_view({"get": "list"}), name="maintenance-ticket-list"),
    path(
        "maintenance-tickets/<int:pk>/",
        TicketViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="maintenance-ticket-detail",
    ),
]
