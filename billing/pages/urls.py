"""Addresses of the wallet's pages, under /wallet/."""

from django.urls import URLPattern, URLResolver, path

from billing.pages import approvals, documents, expenses, limits, mandates, overview, statements, top_ups
from fleetcharge.accounts.public import public

urlpatterns: list[URLPattern | URLResolver] = [
    path("", overview.overview, name="wallet-overview"),
    path("open/", overview.open_wallet, name="wallet-open"),
    path("warning/", overview.warning_limit, name="wallet-warning"),
    path("top-up/", top_ups.top_up, name="wallet-top-up"),
    path("top-up/paid/", public(top_ups.paid), name="wallet-paid"),
    path("top-up/account/", top_ups.open_account, name="wallet-account"),
    path("top-up/<int:pk>/", top_ups.one_top_up, name="wallet-top-up-one"),
    path("codes/<int:pk>/", top_ups.one_code, name="wallet-code"),
    path("mandates/", mandates.mandate_list, name="wallet-mandates"),
    path("mandates/<int:pk>/", mandates.mandate_act, name="wallet-mandate-act"),
    path("mandates/automatic/", mandates.automatic, name="wallet-automatic"),
    path("invoices/", documents.document_list, name="wallet-documents"),
    path("invoices/<int:pk>/file/", documents.document_file, name="wallet-document-file"),
    path("limits/", limits.limit_list, name="wallet-limits"),
    path("limits/<int:pk>/remove/", limits.limit_remove, name="wallet-limit-remove"),
    path("approvals/", approvals.approval_list, name="wallet-approvals"),
    path("approvals/<int:pk>/", approvals.approval_act, name="wallet-approval"),
    path("expenses/", expenses.expense_list, name="wallet-expenses"),
    path("statement/", statements.statement, name="wallet-statement"),
    path("statement/file/", statements.statement_file, name="wallet-statement-file"),
]
