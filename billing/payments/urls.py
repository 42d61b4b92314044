"""Addresses of the payment API under /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from billing.payments import api
from fleetcharge.accounts.public import api as api_view

urlpatterns: list[URLPattern | URLResolver] = [
    path("top-ups/", api_view(api.TopUpList.as_view()), name="top-up-list"),
    path("top-ups/<int:pk>/", api_view(api.TopUpDetail.as_view()), name="top-up-detail"),
    path("top-ups/<int:pk>/paid/", api_view(api.TopUpPaid.as_view()), name="top-up-paid"),
    path("payment-receivers/", api_view(api.ReceiverList.as_view()), name="payment-receiver-list"),
    path("payments/", api_view(api.PaymentList.as_view()), name="payment-list"),
    path("mandates/", api_view(api.MandateList.as_view()), name="mandate-list"),
    path("mandates/<int:pk>/", api_view(api.MandateDetail.as_view()), name="mandate-detail"),
    path("mandates/<int:pk>/cancel/", api_view(api.MandateCancel.as_view()), name="mandate-cancel"),
    path("mandates/<int:pk>/pause/", api_view(api.MandatePause.as_view()), name="mandate-pause"),
    path("mandates/<int:pk>/resume/", api_view(api.MandateResume.as_view()), name="mandate-resume"),
    path("mandates/<int:pk>/debits/", api_view(api.MandateDebit.as_view()), name="mandate-debit"),
    path("auto-top-up/", api_view(api.AutoTopUpDetail.as_view()), name="auto-top-up"),
    path("refunds/", api_view(api.RefundList.as_view()), name="refund-list"),
    path("refunds/<int:pk>/decide/", api_view(api.RefundDecide.as_view()), name="refund-decide"),
]
