"""Money with other networks, in the admin: price checks with their dispute files, and orders that were settled."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, Label, explained_in_rows, money
from billing.models import OrderSettlement, PriceCheck
from billing.price_check_api import RELATED, file_of
from fleetcharge.accounts.admin import back_to
from fleetcharge.lib.ids import short

STATES = {"agrees": "success", "differs": "danger", "taken_back": "info"}


@admin.register(PriceCheck)
class PriceCheckAdmin(FinanceAdmin):
    """A record of a network beside our price by its tariff."""

    list_display = [
        "checked_at", "network", "vehicle", "record_short", "shown", "ours", "theirs", "difference",
    ]  # fmt: skip
    list_filter = ["state", "roaming_cdr__source"]
    list_select_related = ["roaming_cdr__source", "session__vehicle"]
    search_fields = ["roaming_cdr__key", "session__transaction_ref"]
    date_hierarchy = "checked_at"
    ordering = ["-checked_at"]
    fields = [
        "network", "record", "session", "tariff", "shown", "ours", "theirs", "difference", "found", "explained",
        "checked_at",
    ]  # fmt: skip
    readonly_fields = ["network", "record", "shown", "ours", "theirs", "difference", "found", "explained"]
    actions_detail = ["dispute_csv", "dispute_json"]

    @display(description=gettext_lazy("Network"))
    def network(self, row: PriceCheck) -> str:
        return row.roaming_cdr.source.name

    @display(description=gettext_lazy("Record"), ordering="roaming_cdr__key")
    def record(self, row: PriceCheck) -> str:
        return row.roaming_cdr.key

    @display(description=gettext_lazy("Record"), ordering="roaming_cdr__key")
    def record_short(self, row: PriceCheck) -> str:
        return short(row.roaming_cdr.key)

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: PriceCheck) -> Any:
        return row.session.vehicle

    @display(description=gettext_lazy("State"), ordering="state", label=STATES)
    def shown(self, row: PriceCheck) -> Any:
        return Label(row.state, row.get_state_display())

    @display(description=gettext_lazy("Our price, with tax"))
    def ours(self, row: PriceCheck) -> str:
        return money(row.ours_after_paise)

    @display(description=gettext_lazy("The network asks"))
    def theirs(self, row: PriceCheck) -> str:
        return money(row.theirs_before_paise if row.theirs_after_paise is None else row.theirs_after_paise)

    @display(description=gettext_lazy("Asked too much"), ordering="difference_paise")
    def difference(self, row: PriceCheck) -> str:
        return money(row.difference_paise)

    @display(description=gettext_lazy("Where they part"))
    def found(self, row: PriceCheck) -> SafeString | str:
        lines = ((each["text"], money(each["ours"]), money(each["theirs"])) for each in row.findings)
        return format_html_join("", "<p>{}: {} / {}</p>", lines) or "—"

    @display(description=gettext_lazy("Our price, line by line"))
    def explained(self, row: PriceCheck) -> SafeString:
        return explained_in_rows(row.explanation)

    @action(description=gettext_lazy("Dispute file (CSV)"), url_path="dispute-csv", permissions=["view"])
    def dispute_csv(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._file(request, object_id, "csv")

    @action(description=gettext_lazy("Dispute file (JSON)"), url_path="dispute-json", permissions=["view"])
    def dispute_json(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._file(request, object_id, "json")

    def _file(self, request: HttpRequest, object_id: str, form: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        return file_of(PriceCheck.objects.select_related(*RELATED).get(pk=row.pk), form)


@admin.register(OrderSettlement)
class OrderSettlementAdmin(FinanceAdmin):
    """What of each UBC order is in the ledger."""

    list_display = ["settled_at", "network", "order_short", "state", "paid", "value", "refunded", "carried"]
    list_select_related = ["order__network__source"]
    search_fields = ["order__order_id"]
    ordering = ["-settled_at"]
    fields = [
        "network", "order_name", "transaction", "state", "paid", "value", "refunded", "carried", "postings",
        "settled_at",
    ]  # fmt: skip
    readonly_fields = ["network", "order_name", "transaction", "state", "paid", "value", "refunded", "carried"]

    @display(description=gettext_lazy("Network"))
    def network(self, row: OrderSettlement) -> Any:
        return row.order.network.source

    @display(description=gettext_lazy("Order"))
    def order_short(self, row: OrderSettlement) -> str:
        return short(row.order.order_id or str(row.order.transaction_id))

    @display(description=gettext_lazy("Order"))
    def order_name(self, row: OrderSettlement) -> str:
        return row.order.order_id or "—"

    @display(description=gettext_lazy("Our reference of it"))
    def transaction(self, row: OrderSettlement) -> str:
        return str(row.order.transaction_id)

    @display(description=gettext_lazy("State of the order"))
    def state(self, row: OrderSettlement) -> str:
        return row.order.get_state_display()

    @display(description=gettext_lazy("Paid with the order"))
    def paid(self, row: OrderSettlement) -> str:
        return money(row.paid_paise)

    @display(description=gettext_lazy("Cost in the end"))
    def value(self, row: OrderSettlement) -> str:
        return money(row.value_paise)

    @display(description=gettext_lazy("Refunded"))
    def refunded(self, row: OrderSettlement) -> str:
        return money(row.refunded_paise)

    @display(description=gettext_lazy("Paid for earlier orders"))
    def carried(self, row: OrderSettlement) -> str:
        return money(row.carried_paise)
