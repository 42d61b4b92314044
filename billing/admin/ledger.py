"""The ledger as it is."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from billing.admin.shown import TotalsMixin, money
from billing.models import LedgerAccount, LedgerTransfer
from fleetcharge.accounts.admin import ReadOnlyAdmin


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(TotalsMixin, ReadOnlyAdmin):
    """Append-only: the database refuses what this page does not offer."""

    list_display = ["occurred_at", "kind", "debit", "credit", "amount", "vehicle", "memo", "entry_key", "actor"]
    list_filter = ["kind", "debit__kind", "credit__kind"]
    list_select_related = ["debit", "credit", "vehicle"]
    search_fields = ["entry_key", "memo", "debit__code", "credit__code", "vehicle__registration"]
    date_hierarchy = "occurred_at"
    ordering = ["-pk"]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), total=Sum("amount_paise"))
        out = rows.filter(debit__code__startswith="wallet:").aggregate(total=Sum("amount_paise"))
        into = rows.filter(credit__code__startswith="wallet:").aggregate(total=Sum("amount_paise"))
        return [
            (_("Transfers"), f"{sums['count']}"),
            (_("Into wallets"), money(into["total"] or 0)),
            (_("Out of wallets"), money(out["total"] or 0)),
            (_("Moved in all"), money(sums["total"] or 0)),
        ]

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: LedgerTransfer) -> str:
        return money(row.amount_paise)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ["code", "name", "kind", "currency", "organisation", "closed_at"]
    list_filter = ["kind"]
    list_select_related = ["organisation"]
    search_fields = ["code", "name"]
