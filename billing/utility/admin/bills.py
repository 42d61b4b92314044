"""Electricity bills as they came."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, TotalsMixin, group_indian, kwh, money, user_of, yes_no_filter
from billing.utility import bills, dividing
from billing.utility.models import UtilityAllocation, UtilityBill
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict


@admin.register(UtilityBill)
class UtilityBillAdmin(TotalsMixin, FinanceAdmin):
    list_display = [
        "number",
        "supply",
        "starts_on",
        "ends_on",
        "due_on",
        "charges_shown",
        "arrears",
        "payable",
        "origin",
    ]
    list_filter = [
        yes_no_filter(
            "withdrawn_at", gettext_lazy("state"), yes=gettext_lazy("Withdrawn"), no=gettext_lazy("In force")
        ),
        "origin",
    ]
    list_select_related = ["supply__location"]
    search_fields = ["number", "supply__consumer_number", "supply__location__name"]
    date_hierarchy = "starts_on"
    fields = [
        "supply", "number", "starts_on", "ends_on", "due_on", "demands", "lines", "versions", "origin", "created_by",
        "created_at", "withdrawn_at", "withdrawn_because",
    ]  # fmt: skip
    readonly_fields = ["demands", "lines", "versions"]
    actions_detail = ["divide", "withdraw"]

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Nothing more can be done with one that is withdrawn."""
        is_withdrawn = self.get_queryset(request).filter(pk=object_id, withdrawn_at__isnull=False).exists()
        return [] if is_withdrawn else super().get_actions_detail(request, object_id)

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), charges=Sum("charges_paise"), arrears=Sum("arrears_paise"))
        return [
            (_("Bills"), group_indian(sums["count"])), (_("Charges"), money(sums["charges"] or 0)),
            (_("Arrears"), money(sums["arrears"] or 0)),
        ]  # fmt: skip

    @display(description=gettext_lazy("Charges"), ordering="charges_paise")
    def charges_shown(self, row: UtilityBill) -> str:
        return money(row.charges_paise)

    @display(description=gettext_lazy("Arrears"), ordering="arrears_paise")
    def arrears(self, row: UtilityBill) -> str:
        return money(row.arrears_paise or None)

    @display(description=gettext_lazy("Payable"))
    def payable(self, row: UtilityBill) -> str:
        return money(row.payable_paise)

    @display(description=gettext_lazy("Demand"))
    def demands(self, row: UtilityBill) -> str:
        told = [
            (_("recorded"), row.recorded_va), (_("billed"), row.billing_va), (_("contract"), row.supply.contract_va),
        ]  # fmt: skip
        return " · ".join(f"{name} {va / 1000:g} kVA" for name, va in told if va) or "—"

    @display(description=gettext_lazy("Charges"))
    def lines(self, row: UtilityBill) -> SafeString:
        lines = [
            {"name": charge, "kwh": kwh(charge.energy_wh) if charge.energy_wh is not None else "—",
             "kvah": kwh(charge.apparent_vah) if charge.apparent_vah is not None else "—",
             "amount": money(charge.amount_paise)}
            for charge in row.charges.all()
        ]  # fmt: skip
        return render_to_string("admin/billing/utility_lines.html", {"lines": lines, "total": money(row.payable_paise)})

    @display(description=gettext_lazy("Divisions"))
    def versions(self, row: UtilityBill) -> SafeString:
        versions = [
            {"version": version, "url": reverse("admin:billing_utilityallocation_change", args=[version.pk])}
            for version in row.allocations.all()
        ]  # fmt: skip
        return render_to_string("admin/billing/utility_versions.html", {"versions": versions})

    @action(description=gettext_lazy("Divide among the sessions"), url_path="divide", permissions=["decide"])
    def divide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        bill = self.get_object(request, object_id)
        if bill is None:
            return back_to(self)
        if request.method != "POST":
            title = _("Divide %(amount)s among the sessions of the period") % {"amount": money(bill.charges_paise)}
            return ask(request, self, title=title, form=forms.Form(), submit=_("Divide"))
        try:
            row, is_new = dividing.divide(bill_id=bill.pk, actor=user_of(request), now=timezone.now())
        except Conflict as error:
            messages.error(request, str(error.detail))
            return back_to(self, bill.pk)
        told = _("Version %(number)d is made.") if is_new else _("Nothing has changed since version %(number)d.")
        messages.success(request, told % {"number": row.version})
        return back_to(self.admin_site.get_model_admin(UtilityAllocation), row.pk)

    @action(description=gettext_lazy("Withdraw"), url_path="withdraw", permissions=["decide"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        bill = self.get_object(request, object_id)
        if bill is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            try:
                bills.withdraw_bill(
                    bill_id=bill.pk, actor=user_of(request), reason=form.cleaned_data["reason"], now=timezone.now()
                )
                messages.success(request, _("The bill is withdrawn."))
            except Conflict as error:
                messages.error(request, str(error.detail))
            return back_to(self, bill.pk)
        return ask(request, self, title=_("Withdraw %(bill)s") % {"bill": bill}, form=form, submit=_("Withdraw"))
