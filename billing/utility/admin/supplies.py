"""Supplies: where bills come in, by form, CSV or Green Button, and where readings go out."""

import csv
import io
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import kwh, money, user_of
from billing.utility import bills, exports, imports, sheet
from billing.utility.admin.forms import BillForm, FileForm, SupplyForm
from billing.utility.facts import BadBill
from billing.utility.green_button import writing
from billing.utility.green_button.words import BadFeed
from billing.utility.models import UtilityBill, UtilitySupply
from fleetcharge.accounts.admin import DESK, TenantAdmin, ask, back_to
from fleetcharge.lib.api import Conflict
from stations.models import Location


@admin.register(UtilitySupply)
class UtilitySupplyAdmin(TenantAdmin):
    change_roles = DESK
    form = SupplyForm
    list_display = [
        "location",
        "utility",
        "consumer_number",
        "contract",
        "demand_rule",
        "losses_rule",
        "loss_alarm_percent",
    ]
    list_select_related = ["location"]
    search_fields = ["location__name", "utility", "consumer_number"]
    actions_list = ["import_bills"]
    actions_detail = ["enter_bill", "import_readings", "bill_template", "export_readings", "export_sessions"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = [
            "location", "utility", "consumer_number", "sanctioned_va", "contract_va", "slots", "block_minutes",
            "demand_rule", "losses_rule", "fixed_rule", "loss_alarm_percent",
        ]  # fmt: skip
        return ["organisation", *fields] if request.user.is_superuser else fields

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "location":
            depots = Location.objects.filter(organisation__isnull=False, is_removed=False)
            is_all = request.user.is_superuser
            kwargs["queryset"] = depots if is_all else depots.filter(organisation=request.organisation)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if obj.organisation_id is None:
            obj.organisation = request.organisation  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    @display(description=gettext_lazy("Contract demand"), ordering="contract_va")
    def contract(self, row: UtilitySupply) -> str:
        return f"{row.contract_va / 1000:g} kVA" if row.contract_va else "—"

    @action(description=gettext_lazy("Enter a bill"), url_path="bill", permissions=["decide"])
    def enter_bill(self, request: HttpRequest, object_id: str) -> HttpResponse:
        supply = self.get_object(request, object_id)
        if supply is None:
            return back_to(self)
        form = BillForm(supply, request.POST or None)
        if form.is_valid():
            try:
                bill, is_new = bills.record_bill(
                    supply_id=supply.pk, facts=form.facts(), origin=UtilityBill.Origin.FORM, actor=user_of(request),
                    now=timezone.now(),
                )  # fmt: skip
            except BadBill as error:
                form.add_error(None, f"{error.column}: {error}")
            except Conflict as error:
                form.add_error(None, str(error.detail))
            else:
                told = (
                    _("The bill of %(amount)s is kept.") if is_new else _("This bill of %(amount)s was there already.")
                )
                messages.success(request, told % {"amount": money(bill.payable_paise)})
                return back_to(self.admin_site.get_model_admin(UtilityBill), bill.pk)
        return ask(
            request, self, title=_("Enter a bill of %(supply)s") % {"supply": supply}, form=form, submit=_("Keep")
        )

    @action(description=gettext_lazy("Import Green Button"), url_path="readings", permissions=["decide"])
    def import_readings(self, request: HttpRequest, object_id: str) -> HttpResponse:
        supply = self.get_object(request, object_id)
        if supply is None:
            return back_to(self)
        form, told, rejected = FileForm(request.POST or None, request.FILES or None), [], []
        if form.is_valid():
            is_trial = form.cleaned_data["is_trial"]
            try:
                taken = imports.take(
                    supply_id=supply.pk, data=form.cleaned_data["file"].read(), actor=user_of(request),
                    now=timezone.now(), is_trial=is_trial,
                )  # fmt: skip
            except BadFeed as error:
                rejected = [{"line": "", "column": error.code, "value": error.where, "why": str(error)}]
            else:
                told = [
                    (_("New readings"), f"{taken.readings}"), (_("Known already"), f"{taken.known_readings}"),
                    (_("Energy"), f"{kwh(taken.energy_wh)} kWh"), (_("New bills"), f"{taken.bills}"),
                    (_("Bills that we have in full"), f"{taken.bills_entered}"),
                ]  # fmt: skip
                if not is_trial:
                    messages.success(request, _("The file is taken."))
        title = _("Readings of %(supply)s from a Green Button file") % {"supply": supply}
        return self._import_page(request, title, form, told, rejected)

    @action(description=gettext_lazy("Import bills (CSV)"), url_path="import-bills", permissions=["decide"])
    def import_bills(self, request: HttpRequest) -> HttpResponse:
        form, told, rejected = FileForm(request.POST or None, request.FILES or None), [], []
        if form.is_valid():
            is_trial = form.cleaned_data["is_trial"]
            text = io.TextIOWrapper(form.cleaned_data["file"].file, encoding="utf-8-sig", newline="")
            report = sheet.take(
                lines=text, supplies=self.get_queryset(request), actor=user_of(request), now=timezone.now(),
                is_trial=is_trial,
            )  # fmt: skip
            text.detach()
            rejected = report.rejected
            told = [
                (_("Bills"), f"{len(report.bills)}"), (_("New"), f"{sum(is_new for _, _, is_new in report.bills)}"),
                (_("Amount"), money(report.total_paise)), (_("Rejected"), f"{len(rejected)}"),
            ]  # fmt: skip
            if not is_trial and not rejected:
                messages.success(request, _("The bills are taken."))
        return self._import_page(request, _("Bills from a CSV file"), form, told, rejected)

    def _import_page(self, request: HttpRequest, title: str, form: Any, told: Any, rejected: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request), "opts": self.model._meta, "title": title, "form": form,
            "told": told, "rejected": rejected,
            "was_trial": bool(form.is_bound and form.is_valid() and form.cleaned_data["is_trial"]),
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/utility_import.html", context)

    @action(description=gettext_lazy("CSV template"), url_path="template", permissions=["decide"])
    def bill_template(self, request: HttpRequest, object_id: str) -> HttpResponse:
        supply = self.get_object(request, object_id)
        if supply is None:
            return back_to(self)
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="bills-{supply.pk}.csv"'
        table = csv.writer(answer)
        table.writerow(sheet.columns_of(supply))
        table.writerow([supply.consumer_number])
        return answer

    @action(description=gettext_lazy("Export Green Button"), url_path="green-button", permissions=["decide"])
    def export_readings(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._export(request, object_id, exports.readings_of)

    @action(description=gettext_lazy("Export sessions as Green Button"), url_path="green-button-sessions",
            permissions=["decide"])  # fmt: skip
    def export_sessions(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._export(request, object_id, exports.sessions_of)

    def _export(self, request: HttpRequest, object_id: str, source: Any) -> HttpResponseBase:
        supply = self.get_object(request, object_id)
        if supply is None:
            return back_to(self)
        pieces = writing.feed(
            key=supply.location.public_id, title=f"{supply.location} {supply.consumer_number}",
            zone=ZoneInfo(supply.location.time_zone), readings=source(supply), at=timezone.now(),
            summaries=exports.summaries_of(supply),
        )  # fmt: skip
        answer = StreamingHttpResponse((piece.encode() for piece in pieces), content_type="application/atom+xml")
        answer["Content-Disposition"] = f'attachment; filename="green-button-{supply.location.public_id}.xml"'
        return answer
