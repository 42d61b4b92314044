"""Addresses of the billing app under /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from billing import api, price_check_api, quotes_api, wallet_api
from billing.approvals import api as approvals_api
from billing.invoicing import api as invoicing_api
from billing.limits import api as limits_api
from billing.prices import api as prices_api
from fleetcharge.accounts.public import api as api_view

urlpatterns: list[URLPattern | URLResolver] = [
    path("sessions/", api_view(api.SessionList.as_view()), name="session-list"),
    path("sessions/<int:pk>/", api_view(api.SessionDetail.as_view()), name="session-detail"),
    path("authorisations/", api_view(api.AuthorisationList.as_view()), name="authorisation-list"),
    path("cdrs/", api_view(api.CDRList.as_view()), name="cdr-list"),
    path("wallet/", api_view(api.WalletDetail.as_view()), name="wallet"),
    path("wallet/standing/", api_view(wallet_api.WalletStanding.as_view()), name="wallet-standing"),
    path("wallet/warning/", api_view(wallet_api.WalletWarning.as_view()), name="wallet-warning-limit"),
    path("wallet/statement/", api_view(wallet_api.WalletStatement.as_view()), name="wallet-statement-lines"),
    path("wallet/statement/file/", api_view(wallet_api.WalletStatementFile.as_view()), name="statement-file"),
    path("limits/", api_view(limits_api.LimitList.as_view()), name="limit-list"),
    path("limits/<int:pk>/", api_view(limits_api.LimitDetail.as_view()), name="limit-detail"),
    path("approvals/", api_view(approvals_api.ApprovalList.as_view()), name="approval-list"),
    path("approvals/<int:pk>/", api_view(approvals_api.ApprovalDetail.as_view()), name="approval-detail"),
    path("approvals/<int:pk>/approve/", api_view(approvals_api.ApprovalApprove.as_view()), name="approval-approve"),
    path("approvals/<int:pk>/decline/", api_view(approvals_api.ApprovalDecline.as_view()), name="approval-decline"),
    path("approvals/<int:pk>/withdraw/", api_view(approvals_api.ApprovalWithdraw.as_view()), name="approval-withdraw"),
    path("ledger/", api_view(api.TransferList.as_view()), name="ledger-list"),
    path("quotes/", api_view(quotes_api.QuoteList.as_view()), name="quote-list"),
    path("subscription-plans/", api_view(prices_api.SubscriptionPlanList.as_view()), name="subscription-plan-list"),
    path("subscriptions/", api_view(prices_api.SubscriptionList.as_view()), name="subscription-list"),
    path("subscription-fees/", api_view(prices_api.FeeList.as_view()), name="subscription-fee-list"),
    path("negotiated-rates/", api_view(prices_api.RateList.as_view()), name="negotiated-rate-list"),
    path("price-checks/", api_view(price_check_api.PriceCheckList.as_view()), name="price-check-list"),
    path("price-checks/<int:pk>/dispute/", api_view(price_check_api.DisputeFile.as_view()), name="price-check-dispute"),
    path("exceptions/", api_view(api.ExceptionList.as_view()), name="exception-list"),
    path("exceptions/<int:pk>/resolve/", api_view(api.ExceptionResolve.as_view()), name="exception-resolve"),
    path("invoices/", api_view(invoicing_api.InvoiceList.as_view()), name="invoice-list"),
    path("invoices/<int:pk>/", api_view(invoicing_api.InvoiceDetail.as_view()), name="invoice-detail"),
    path("invoices/<int:pk>/file/", api_view(invoicing_api.InvoiceFile.as_view()), name="invoice-file"),
]
