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
from billing.admin.shown import (
    FinanceAdmin,
    TotalsMixin,
    choices_filter,
    code_column,
    group_indian,
    money,
    reference_column,
)
from billing.dispute import rupees
from billing.models import LedgerAccount, LedgerTransfer
from billing.pages.wording import LEDGER
from fleetcharge.accounts.admin import DESK
from vehicles.models import Vehicle

MOST_MATCHES = 200
HEADER = ("Recorded", "Occurred", "Entry", "Leg", "Kind", "Debit", "Credit", "Amount", "Vehicle", "Cost centre", "Memo",
          "By")  # fmt: skip


KIND = code_column("kind", gettext_lazy("Kind"), LEDGER)


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(BigTable, TotalsMixin, FinanceAdmin):
    """Append-only: the database refuses what this page does not offer."""

    list_display = [
        "occurred_at", KIND, "debited", "credited", "amount", "vehicle", "memo",
        reference_column("entry_key", gettext_lazy("Entry")), "actor",
    ]  # fmt: skip
    list_filter = [
        KindFilter, MonthFilter, ("debit__kind", choices_filter(gettext_lazy("debited account"))),
        ("credit__kind", choices_filter(gettext_lazy("credited account"))),
    ]  # fmt: skip
    list_select_related = ["debit__organisation", "credit__organisation", "vehicle"]
    fields = [
        "occurred_at", "recorded_at", KIND, "debited", "credited", "amount", "memo", "organisation",
        "session", "vehicle", "location", "cost_centre", "reverses", "entry_key", "leg", "actor", "request_hash",
    ]  # fmt: skip
    readonly_fields = ["debited", "credited", "amount"]
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
            (_("Transfers"), group_indian(sums["count"])),
            (_("Into wallets"), money(sums["into"] or 0)),
            (_("Out of wallets"), money(sums["out"] or 0)),
            (_("Moved in all"), money(sums["total"] or 0)),
        ]

    @display(description=gettext_lazy("Debited account"))
    def debited(self, row: LedgerTransfer) -> str:
        return account_shown(row.debit)

    @display(description=gettext_lazy("Credited account"))
    def credited(self, row: LedgerTransfer) -> str:
        return account_shown(row.credit)

    @display(description=gettext_lazy("Amount"))
    def amount(self, row: LedgerTransfer) -> str:
        return money(row.amount_paise)

    @action(description=gettext_lazy("Export what is filtered"), url_path="export", permissions=["export"])
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is filtered, as CSV; read and written row by row."""
        return stream("ledger", _lines(self.get_changelist_instance(request).queryset.order_by("pk")))


def account_shown(account: LedgerAccount) -> str:
    """`wallet:12` by its name and whose it is."""
    return f"{account.name} · {account.organisation}" if account.organisation else account.name


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
class LedgerAccountAdmin(FinanceAdmin):
    list_display = ["name", "kind", "organisation", "code", "currency", "closed_at"]
    list_filter = ["kind"]
    list_select_related = ["organisation"]
    search_fields = ["code", "name"]
