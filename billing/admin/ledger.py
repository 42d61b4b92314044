"""The ledger as it is: read-only, quick with millions of rows, totals of whatever is filtered."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.big import BigTable, KindFilter, MonthFilter, stream
from billing.admin.shown import TotalsMixin, money
from billing.dispute import rupees
from billing.models import LedgerAccount, LedgerTransfer
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin
from vehicles.models import Vehicle

MOST_MATCHES = 200
HEADER = ("Recorded", "Occurred", "Entry", "Leg", "Kind", "Debit", "Credit", "Amount", "Vehicle", "Cost centre", "Memo",
          "By")  # fmt: skip


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(BigTable, TotalsMixin, ReadOnlyAdmin):
    """Append-only: the database refuses what this page does not offer."""

    list_display = ["occurred_at", "kind", "debit", "credit", "amount", "vehicle", "memo", "entry_key", "actor"]
    list_filter = [KindFilter, MonthFilter, "debit__kind", "credit__kind"]
    list_select_related = ["debit", "credit", "vehicle"]
    search_fields = ["entry_key"]
    search_help_text = gettext_lazy("An entry, a part of an account or of a plate")
    ordering = ["-pk"]
    actions_list = ["export"]

    def has_export_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Accounts and vehicles are few and looked up first; transfers are found by their indexes."""
        term = search_term.strip()
        if not term:
            return queryset, False
        accounts = list(LedgerAccount.objects.filter(code__icontains=term).values_list("pk", flat=True)[:MOST_MATCHES])
        plates = Vehicle.objects.filter(registration__icontains=term).values_list("pk", flat=True)
        found = Q(entry_key=term) | Q(vehicle__in=list(plates[:MOST_MATCHES]))
        return queryset.filter(found | Q(debit__in=accounts) | Q(credit__in=accounts)), False

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        """One pass over the filtered rows; the wallets' accounts are looked up first, so that nothing is joined."""
        wallets = list(LedgerAccount.objects.filter(code__startswith="wallet:").values_list("pk", flat=True))
        sums = rows.aggregate(
            count=Count("pk"), total=Sum("amount_paise"), into=Sum("amount_paise", filter=Q(credit__in=wallets)),
            out=Sum("amount_paise", filter=Q(debit__in=wallets)),
        )  # fmt: skip
        return [
            (_("Transfers"), f"{sums['count']}"),
            (_("Into wallets"), money(sums["into"] or 0)),
            (_("Out of wallets"), money(sums["out"] or 0)),
            (_("Moved in all"), money(sums["total"] or 0)),
        ]

    @display(description=gettext_lazy("Amount"))
    def amount(self, row: LedgerTransfer) -> str:
        return money(row.amount_paise)

    @action(description=gettext_lazy("Export what is filtered"), url_path="export", permissions=["export"])
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is filtered, as CSV; read and written row by row."""
        return stream("ledger", _lines(self.get_changelist_instance(request).queryset.order_by("pk")))


def _lines(rows: QuerySet[LedgerTransfer]) -> Iterator[tuple[Any, ...]]:
    yield HEADER
    found = rows.select_related(None).values_list(
        "recorded_at", "occurred_at", "entry_key", "leg", "kind", "debit__code", "credit__code", "amount_paise",
        "vehicle__registration", "cost_centre", "memo", "actor",
    )  # fmt: skip
    for recorded_at, occurred_at, *names, paise, plate, cost_centre, memo, actor in found.iterator(2_000):
        yield (
            recorded_at.isoformat(timespec="seconds"), occurred_at.isoformat(timespec="seconds"), *names, rupees(paise),
            plate or "", cost_centre, memo, actor,
        )  # fmt: skip


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ["code", "name", "kind", "currency", "organisation", "closed_at"]
    list_filter = ["kind"]
    list_select_related = ["organisation"]
    search_fields = ["code", "name"]
