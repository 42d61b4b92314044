"""Divisions: what each vehicle bears, rupees per km, losses, and who made the peak."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, TotalsMixin, group_indian, kwh, money, user_of, yes_no_filter
from billing.invoicing.exports.tables import csv_of
from billing.utility import exports, posting, report
from billing.utility.models import UtilityAllocation
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict

NAMES = {
    report.GUESTS: gettext_lazy("Vehicles of other fleets"), report.UNKNOWN: gettext_lazy("Sessions without a vehicle"),
    report.DEPOT: gettext_lazy("The depot itself"),
}  # fmt: skip


@admin.register(UtilityAllocation)
class UtilityAllocationAdmin(TotalsMixin, FinanceAdmin):
    list_display = ["bill", "version", "site", "total", "loss", "state", "made_at", "made_by"]
    list_filter = [
        yes_no_filter(
            "posted_at", gettext_lazy("ledger"), yes=gettext_lazy("Was posted"), no=gettext_lazy("Never posted")
        ),
        yes_no_filter(
            "reversed_at", gettext_lazy("taken back"), yes=gettext_lazy("Taken back"), no=gettext_lazy("Not taken back")
        ),
    ]
    list_select_related = ["bill__supply__location"]
    search_fields = ["bill__number", "bill__supply__location__name"]
    ordering = ["-pk"]
    fields = ["bill", "version", "state", "summary", "vehicles", "peak", "made_by", "made_at", "posted_by", "posted_at"]
    readonly_fields = ["state", "summary", "vehicles", "peak"]
    actions_detail = ["post_it", "take_back", "export"]

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """What can be done with it as it is: posted once, taken back once."""
        row = self.get_queryset(request).only("posted_at", "reversed_at").filter(pk=object_id).first()
        gone = {"post_it", "take_back"}
        if row is not None and row.reversed_at is None:
            gone = {"post_it"} if row.posted_at else {"take_back"}
        hidden = {f"billing_utilityallocation_{name}" for name in gone}
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name not in hidden]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        posted = rows.filter(posted_at__isnull=False, reversed_at=None)
        sums = posted.aggregate(count=Count("pk"), total=Sum("total_paise"))
        return [
            (_("In the ledger"), group_indian(sums["count"])),
            (_("Amount in the ledger"), money(sums["total"] or 0)),
        ]

    @display(description=gettext_lazy("Site"))
    def site(self, row: UtilityAllocation) -> Any:
        return row.bill.supply.location

    @display(description=gettext_lazy("Total"), ordering="total_paise")
    def total(self, row: UtilityAllocation) -> str:
        return money(row.total_paise)

    @display(description=gettext_lazy("Loss"))
    def loss(self, row: UtilityAllocation) -> str:
        permille = row.figures["loss_permille"]
        return "—" if permille is None else f"{permille / 10:.1f} %"

    @display(description=gettext_lazy("State"))
    def state(self, row: UtilityAllocation) -> Any:
        if row.reversed_at:
            return _("Taken back")
        return _("In the ledger") if row.posted_at else _("Draft")

    @display(description=gettext_lazy("Summary"))
    def summary(self, row: UtilityAllocation) -> SafeString:
        figures, supply = row.figures, row.bill.supply
        metered = figures["metered_wh"]
        cards = [
            (_("Divided"), money(row.total_paise), _("equals the bill without arrears")),
            (_("Charged"), f"{kwh(figures['sessions_wh'])} kWh",
             _("%(count)d sessions") % {"count": figures["sessions"]}),
            (_("Metered"), f"{kwh(metered)} kWh" if metered is not None else "—", _("by the utility")),
            (_("Loss"), self.loss(row), _("alarm above %(percent)d %%") % {"percent": supply.loss_alarm_percent}),
            (_("Peak"), f"{figures['peak_w'] / 1000:.1f} kW",
             _("in %(minutes)d minutes") % {"minutes": figures["block_minutes"]}),
        ]  # fmt: skip
        permille = figures["loss_permille"]
        is_alarm = permille is not None and permille > supply.loss_alarm_percent * 10
        return render_to_string("admin/billing/utility_cards.html", {"cards": cards, "is_alarm": is_alarm})

    @display(description=gettext_lazy("Per vehicle"))
    def vehicles(self, row: UtilityAllocation) -> SafeString:
        lines = [
            {
                "name": line.name or NAMES[line.who], "cost_centre": line.cost_centre, "sessions": line.sessions,
                "kwh": kwh(line.energy_wh), "amounts": [money(line.paise[column]) for column in report.COLUMNS],
                "km": f"{line.distance_m / 1000:,.0f}" if line.distance_m else "—", "per_km": money(line.paise_per_km),
            }
            for line in report.by_vehicle(row)
        ]  # fmt: skip
        return render_to_string(
            "admin/billing/utility_vehicles.html", {"lines": lines, "total": money(row.total_paise)}
        )

    @display(description=gettext_lazy("Who made the peak"))
    def peak(self, row: UtilityAllocation) -> SafeString:
        figures, zone = row.figures, ZoneInfo(row.bill.supply.location.time_zone)
        blocks = [datetime.fromisoformat(at).astimezone(zone) for at in figures["peak_blocks"][:3]]
        lines = [
            {"who": share.vehicle or (_("another fleet") if share.is_guest else "—"),
             "charger": share.session and share.session.charger,
             "kw": f"{share.peak_wh * 60 / figures['block_minutes'] / max(1, len(figures['peak_blocks'])) / 1000:.1f}",
             "kwh": kwh(share.peak_wh), "amount": money(share.demand_paise)}
            for share in report.culprits(row)
        ]  # fmt: skip
        return render_to_string("admin/billing/utility_peak.html", {"lines": lines, "blocks": blocks})

    @action(description=gettext_lazy("Post to the ledger"), url_path="post", permissions=["decide"])
    def post_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        if request.method != "POST":
            title = _("Post %(amount)s as electricity of vehicles and depot") % {"amount": money(row.total_paise)}
            return ask(request, self, title=title, form=forms.Form(), submit=_("Post"))
        try:
            posting.post(allocation_id=row.pk, actor=user_of(request), now=timezone.now())
            messages.success(request, _("It is in the ledger."))
        except Conflict as error:
            messages.error(request, str(error.detail))
        return back_to(self, row.pk)

    @action(description=gettext_lazy("Take back"), url_path="take-back", permissions=["decide"])
    def take_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            return ask(request, self, title=_("Take %(row)s back") % {"row": row}, form=form, submit=_("Take back"))
        try:
            posting.take_back(
                allocation_id=row.pk, actor=user_of(request), reason=form.cleaned_data["reason"], now=timezone.now()
            )
            messages.success(request, _("It is out of the ledger."))
        except Conflict as error:
            messages.error(request, str(error.detail))
        return back_to(self, row.pk)

    @action(description=gettext_lazy("Export CSV"), url_path="csv", permissions=["decide"])
    def export(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        pieces = (piece.encode() for piece in csv_of(exports.division_rows(row)))
        answer = StreamingHttpResponse(pieces, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="electricity-{row.bill_id}-{row.version}.csv"'
        return answer
