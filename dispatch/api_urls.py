"""Addresses of the dispatch API, under /api/v1/."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from dispatch import api, api_static
from dispatch.depot import api as depots
from dispatch.overlays import api as overlays
from dispatch.past import api as past
from dispatch.policies import api as policies
from fleetcharge.accounts.public import api as api_view

router = SimpleRouter()
router.register("plans", api.PlanViewSet, basename="plan")
router.register("alerts", api.AlertViewSet, basename="alert")
router.register("reservations", api.ReservationViewSet, basename="reservation")
router.register("session-commands", api.SessionCommandViewSet, basename="session-command")
router.register("dispatch-policies", policies.PolicyViewSet, basename="dispatch-policy")
router.register("policy-experiments", policies.ExperimentViewSet, basename="policy-experiment")

for pattern in router.urls:
    pattern.callback = api_view(pattern.callback)

urlpatterns = [
    path("", include(router.urls)),
    path("kpis/", api_view(api.KpiView.as_view()), name="kpis"),
    path("depots/", api_view(depots.DepotList.as_view()), name="depots"),
    path("depots/<str:public_id>/", api_view(depots.DepotDetail.as_view()), name="depot"),
    path("depots/<str:public_id>/night/", api_view(depots.NightDetail.as_view()), name="depot-night-plan"),
    path("savings/", api_view(policies.SavingsView.as_view()), name="savings"),
    path("live/static/", api_view(api_static.LiveStaticView.as_view()), name="live-static"),
    path("live/past/", api_view(past.LivePastView.as_view()), name="live-past"),
    path("live/overlays/", api_view(overlays.LiveOverlaysView.as_view()), name="live-overlays"),
]
