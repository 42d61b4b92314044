"""Addresses of the dispatch app: its API and the dispatcher's pages."""

from django.urls import URLPattern, URLResolver, include, path

from dispatch import status_page, views
from dispatch.connecting import views as connecting
from dispatch.depot import views as depots
from dispatch.geofences import views as geofences
from dispatch.monitoring import views as monitoring
from dispatch.onboarding import views as onboarding
from dispatch.policies import views as policies
from dispatch.reports import views as reports
from dispatch.saved import views as saved
from dispatch.tables import views as tables
from dispatch.wall import views as screens
from fleetcharge.accounts.public import public

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("dispatch.api_urls")),
    path("dispatch/", views.index, name="dispatch"),
    path("dispatch/stations/<str:public_id>/", views.station_drawer, name="station-drawer"),
    path("dispatch/vehicles/<int:vehicle_id>/", views.vehicle_drawer, name="vehicle-drawer"),
    path("dispatch/depots/", depots.depot_list, name="depot-list"),
    path("dispatch/depots/<str:public_id>/", depots.depot_night, name="depot-night"),
    path("dispatch/depots/<str:public_id>/plan/", depots.plan_again, name="depot-plan"),
    path("dispatch/policies/", policies.overview, name="policies"),
    path("dispatch/policies/save/", policies.save, name="policy-save"),
    path("dispatch/policies/begin/", policies.begin, name="policy-begin"),
    path("dispatch/policies/give/", policies.give, name="policy-give"),
    path("dispatch/policies/<int:experiment_id>/end/", policies.end, name="policy-end"),
    path("dispatch/views/", saved.save, name="saved-view"),
    path("dispatch/views/<int:view_id>/remove/", saved.remove, name="saved-view-remove"),
    path("stations/", tables.stations, name="station-list"),
    path("fleet/", tables.fleet, name="fleet-list"),
    path("fleet/geofences/", geofences.overview, name="geofences"),
    path("fleet/geofences/save/", geofences.save, name="geofence-save"),
    path("fleet/geofences/<int:geofence_id>/remove/", geofences.remove, name="geofence-remove"),
    path("fleet/connect/", connecting.overview, name="connect"),
    path("fleet/connect/claim/", connecting.claim, name="connect-claim"),
    path("fleet/<int:vehicle_id>/connect/", connecting.vehicle, name="connect-vehicle"),
    path("fleet/<int:vehicle_id>/connect/packets/", connecting.packets, name="connect-packets"),
    path("fleet/<int:vehicle_id>/connect/move/", connecting.move, name="connect-move"),
    path("fleet/<int:vehicle_id>/connect/new/", connecting.new_device, name="connect-new-device"),
    path("sessions/", tables.sessions, name="session-list"),
    path("alerts/", tables.alerts, name="alert-list"),
    path("reservations/", tables.reservations, name="reservation-list"),
    path("reports/", reports.energy_report, name="report-energy"),
    path("reports/chargers/", reports.charger_report, name="report-chargers"),
    path("monitoring/", monitoring.overview, name="monitoring"),
    path("monitoring/tickets/<int:ticket_id>/", monitoring.step, name="monitoring-step"),
    path("start/", onboarding.start, name="start"),
    path("start/vehicles.csv", onboarding.sample_file, name="start-sample"),
    path("start/demo/", onboarding.demo, name="start-demo"),
    path("wall/", views.wall, name="wall"),
    path("wall/links/", screens.manage, name="wall-links"),
    path("tv/<str:token>/", screens.screen, name="tv"),
    path("tv/<str:token>/api/live/static/", screens.names, name="tv-names"),
    path("tv/<str:token>/api/live/overlays/", screens.marks, name="tv-marks"),
    path("status/<slug:slug>/", public(status_page.status), name="status"),
    path("", include("dispatch.driving.urls")),
]
