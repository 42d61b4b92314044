"""Addresses of the webhooks app."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from fleetcharge.accounts.public import api as api_view
from fleetcharge.webhooks.api import DeliveryList, WebhookViewSet

router = SimpleRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")

urlpatterns = [
    *router.urls,
    path("webhooks/<int:pk>/deliveries/", api_view(DeliveryList.as_view()), name="webhook-deliveries"),
]
