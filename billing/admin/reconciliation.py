"""Lines of the rules by organisation, true points of stations, and bills of networks with what differs."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.big import stream
from billing.admin.bill_lines import rows_shown
from billing.admin.shown import (
    FinanceAdmin,
    Label,
    TotalsMixin,
    group_indian,
    kwh,
    money,
    reference_column,
    user_of,
)
from billing.cpo_bills import files, services
from billing.desk import words
from billing.matching import UnusableTerms, with_changes
from billing.models import BillFormat, NetworkBill, NetworkBillRow, RuleTerms, StationPoint
from billing.reconciliation import points, terms
from fleetcharge.accounts.admin import DESK, ReasonForm, TenantAdmin, ask, back_to
from fleetcharge.lib.api import Conflict

MOST_LINES_SHOWN = 50
OUTCOMES = {
    "agrees": "success", "amount_differs": "danger", "energy_differs": "warning", "meter_differs": "warning",
    "unknown_to_us": "danger", "billed_twice": "danger", "missing": "info",
}  # fmt: skip


class RuleTermsForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = RuleTerms
        fields = ["organisation", "valid_from", "changes", "reason"]

    def clean_changes(self) -> dict[str, int]:
        changes: dict[str, int] = self.cleaned_data["changes"] or {}
        if not isinstance(changes, dict):
            raise ValidationError(_('Names with whole numbers, for example {"l1_points": 40}.'))
        try:
            with_changes(changes)
        except UnusableTerms as error:
            raise ValidationError(str(error)) from error
        return changes


@admin.register(RuleTerms)
class RuleTermsAdmin(TenantAdmin):
    """A new row for every change; none is edited or deleted."""

    form = RuleTermsForm
    change_roles = DESK
    list_display = ["valid_from", "organisation", "changed", "reason", "created_by", "created_at"]
    list_select_related = ["organisation", "created_by"]
    search_fields = ["reason"]
    ordering = ["-valid_from", "-pk"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return RuleTermsForm.Meta.fields if obj is None else [
            "organisation", "valid_from", "changed", "reason", "created_by", "created_at",
        ]  # fmt: skip

    @display(description=gettext_lazy("Changes"))
    def changed(self, row: RuleTerms) -> Any:
        return words.told(row.changes)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        row = terms.change(
            organisation=obj.organisation, valid_from=obj.valid_from, changes=obj.changes, reason=obj.reason,
            actor=user_of(request), at=timezone.now(),
        )  # fmt: skip
        obj.__dict__.update(row.__dict__)


@admin.register(StationPoint)
class StationPointAdmin(FinanceAdmin):
    """Public stations belong to nobody: the platform's own people accept their points."""

    organisation_path = "location__organisation"
    list_display = ["location", "off", "spread", "sessions", "vehicles", "state", "learned_at"]
    list_filter = ["state"]
    list_select_related = ["location"]
    search_fields = ["location__name"]
    ordering = ["-learned_at"]
    fields = [
        "location", "latitude_e7", "longitude_e7", "off", "spread", "sessions", "vehicles", "state", "learned_at",
        "decided_by", "decision_reason",
    ]  # fmt: skip
    readonly_fields = ["off", "spread"]
    actions_detail = ["accept", "refuse"]

    @display(description=gettext_lazy("Off what its network tells"), ordering="off_m")
    def off(self, row: StationPoint) -> str:
        return f"{group_indian(row.off_m)} m"

    @display(description=gettext_lazy("Nine of ten stood within"), ordering="spread_m")
    def spread(self, row: StationPoint) -> str:
        return f"{group_indian(row.spread_m)} m"

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    @action(description=gettext_lazy("Use this point"), url_path="accept", permissions=["decide"])
    def accept(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, is_accepted=True, title=_("Use this point"))

    @action(description=gettext_lazy("Refuse this point"), url_path="refuse", permissions=["decide"])
    def refuse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, is_accepted=False, title=_("Refuse this point"))

    def _decide(self, request: HttpRequest, object_id: str, *, is_accepted: bool, title: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            return ask(request, self, title=title, form=form, submit=title, rows=[row])
        try:
            points.decide(
                location_id=row.pk, is_accepted=is_accepted, reason=form.cleaned_data["reason"], actor=user_of(request)
            )
        except Conflict as conflict:
            messages.error(request, str(conflict.detail))
        return back_to(self, row.pk)


@admin.register(BillFormat)
class BillFormatAdmin(TenantAdmin):
    view_roles = change_roles = DESK
    list_display = ["source", "organisation", "dates", "time_zone", "is_energy_in_wh"]
    list_select_related = ["source", "organisation"]
    search_fields = ["source__name"]

    @display(description=gettext_lazy("How dates are written"))
    def dates(self, row: BillFormat) -> str:
        """Now, as that network would write it."""
        return timezone.localtime().strftime(row.date_format)


@admin.register(NetworkBill)
class NetworkBillAdmin(TotalsMixin, FinanceAdmin):
    """The history of bills that were taken, and each with what it asks."""

    change_form_before_template = "admin/billing/bill.html"
    list_display = ["number", "source", "starts_on", "ends_on", "lines", "total", "differing", "asked", "owner"]
    list_filter = ["source"]
    list_select_related = ["source", "owner"]
    search_fields = ["number"]
    date_hierarchy = "ends_on"
    ordering = ["-ends_on", "-pk"]
    fields = [
        "number", "source", "starts_on", "ends_on", "total", "asked", "owner", "imported_at", "compared_at",
        "file_sha256",
    ]  # fmt: skip
    readonly_fields = ["total", "asked"]
    actions_detail = ["dispute"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        """With its network, by which each is called: in the filter of the lines, too."""
        return super().get_queryset(request).filter(is_draft=False).select_related(*self.list_select_related)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row.page = page_of(row)
        return row

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(
            count=Count("pk"), lines=Sum("lines"), billed=Sum("total_paise"), asked=Sum("asked_paise")
        )  # fmt: skip
        return [
            (_("Bills"), group_indian(sums["count"])), (_("Lines"), group_indian(sums["lines"] or 0)),
            (_("Billed"), money(sums["billed"] or 0)), (_("Asked too much"), money(sums["asked"] or 0)),
        ]  # fmt: skip

    @display(description=gettext_lazy("Total"), ordering="total_paise")
    def total(self, row: NetworkBill) -> str:
        return money(row.total_paise)

    @display(description=gettext_lazy("Lines that differ"))
    def differing(self, row: NetworkBill) -> str:
        return group_indian(sum(row.outcomes.get(name, 0) for name in services.ASKED))

    @display(description=gettext_lazy("Asked too much"), ordering="asked_paise")
    def asked(self, row: NetworkBill) -> str:
        return money(row.asked_paise)

    @action(description=gettext_lazy("Dispute file (CSV)"), url_path="dispute", permissions=["view"])
    def dispute(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        return stream(f"dispute-bill-{row.pk}", files.dispute_of(row))


def page_of(row: NetworkBill) -> dict[str, Any]:
    """Template context: each outcome with the way to its lines, and the dearest lines."""
    every = f"{reverse('admin:billing_networkbillrow_changelist')}?bill__id__exact={row.pk}"
    found = [
        (label, group_indian(row.outcomes[name]), f"{every}&outcome__exact={name}")
        for name, label in NetworkBillRow.Outcome.choices if name in row.outcomes
    ]  # fmt: skip
    rows = list(services.rows_of(row).values(*services.SHOWN)[:MOST_LINES_SHOWN])
    asked = (_("Asked too much"), money(row.asked_paise), "")
    return {
        "told": [(_("Lines"), group_indian(row.lines), every), *found, asked],
        "rows": rows_shown(rows), "not_shown": sum(row.outcomes.values()) - len(rows), "all_url": every,
    }  # fmt: skip


@admin.register(NetworkBillRow)
class NetworkBillRowAdmin(TotalsMixin, FinanceAdmin):
    organisation_path = "bill__organisation"
    list_display = [
        "bill", "line", reference_column("reference", gettext_lazy("The network's id")), "judged", "billed", "record",
        "difference", "energy", "by_record", "by_meter",
    ]  # fmt: skip
    list_filter = ["outcome", "bill"]
    list_select_related = ["bill__source"]
    search_fields = ["reference", "bill__number"]
    ordering = ["-pk"]
    fields = [
        "bill", "line", "reference", "started_at", "judged", "billed", "record", "difference", "energy", "by_record",
        "by_meter", "session",
    ]  # fmt: skip
    readonly_fields = ["judged", "billed", "record", "difference", "energy", "by_record", "by_meter"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return super().get_queryset(request).filter(bill__is_draft=False)

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), billed=Sum("total_paise"), off=Sum("difference_paise"))
        return [
            (_("Lines"), group_indian(sums["count"])), (_("Billed"), money(sums["billed"] or 0)),
            (_("Asked too much"), money(sums["off"] or 0)),
        ]  # fmt: skip

    @display(description=gettext_lazy("Outcome"), label=OUTCOMES)
    def judged(self, row: NetworkBillRow) -> Any:
        return Label(row.outcome, row.get_outcome_display())

    @display(description=gettext_lazy("Billed"), ordering="total_paise")
    def billed(self, row: NetworkBillRow) -> str:
        return money(row.total_paise)

    @display(description=gettext_lazy("Record"), ordering="record_paise")
    def record(self, row: NetworkBillRow) -> str:
        return money(row.record_paise)

    @display(description=gettext_lazy("Asked too much"), ordering="difference_paise")
    def difference(self, row: NetworkBillRow) -> str:
        return money(row.difference_paise)

    @display(description=gettext_lazy("kWh, billed"), ordering="energy_wh")
    def energy(self, row: NetworkBillRow) -> str:
        return "—" if row.energy_wh is None else kwh(row.energy_wh)

    @display(description=gettext_lazy("kWh, record"), ordering="record_wh")
    def by_record(self, row: NetworkBillRow) -> str:
        return "—" if row.record_wh is None else kwh(row.record_wh)

    @display(description=gettext_lazy("kWh, meter"), ordering="meter_wh")
    def by_meter(self, row: NetworkBillRow) -> str:
        return "—" if row.meter_wh is None else kwh(row.meter_wh)
