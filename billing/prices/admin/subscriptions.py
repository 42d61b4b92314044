"""Subscriptions, what was used of them and what was charged for them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, TotalsMixin, group_indian, kwh, money, user_of
from billing.prices.admin.forms import ChangeForm, EndForm, SubscribeForm
from billing.prices.admin.rates import Operators
from billing.prices.models import AllowanceUse, Subscription, SubscriptionFee, SubscriptionTerm
from billing.prices.services import subscriptions
from fleetcharge.accounts.admin import TenantScope, ask, back_to
from fleetcharge.lib.api import Conflict


class TermInline(TenantScope, TabularInline):
    model = SubscriptionTerm
    organisation_path = "subscription__organisation"
    change_roles: frozenset[str] = frozenset()
    fields = ["number", "plan_version", "starts_on", "actor", "created_at"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("plan_version__plan")

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Subscription)
class SubscriptionAdmin(Operators, FinanceAdmin):
    list_display = ["organisation", "plan", "cycle", "starts_on", "ends_before"]
    list_filter = ["cycle"]
    list_select_related = ["organisation"]
    search_fields = ["organisation__name"]
    inlines = [TermInline]
    actions_list = ["subscribe"]
    actions_detail = ["change_plan", "end"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("terms__plan_version__plan")

    @display(description=gettext_lazy("Plan"))
    def plan(self, row: Subscription) -> str:
        terms = list(row.terms.all())
        return str(terms[-1].plan_version) if terms else "—"

    @action(description=gettext_lazy("Subscribe a fleet"), url_path="subscribe", permissions=["operate"])
    def subscribe(self, request: HttpRequest) -> HttpResponse:
        form = SubscribeForm(request.POST or None)
        if form.is_valid():
            told = form.cleaned_data
            try:
                row = subscriptions.subscribe(
                    organisation_id=told["organisation"].pk, plan_version_id=told["plan"].pk,
                    starts_on=told["starts_on"], cycle=told["cycle"], actor=user_of(request),
                    key=f"desk:{told['plan'].pk}:{told['starts_on']}",
                )  # fmt: skip
                return back_to(self, row.pk)
            except Conflict as error:
                form.add_error(None, str(error))
        return ask(request, self, title=_("Subscribe a fleet"), form=form, submit=_("Subscribe"))

    @action(description=gettext_lazy("Change the plan"), url_path="change-plan", permissions=["operate"])
    def change_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = ChangeForm(request.POST or None)
        if form.is_valid():
            told = form.cleaned_data
            try:
                subscriptions.change_plan(
                    subscription_id=row.pk, plan_version_id=told["plan"].pk, on=told["on"], actor=user_of(request),
                    key=f"desk:{row.pk}:{row.terms.count()}:{told['plan'].pk}:{told['on']}",
                )  # fmt: skip
                messages.success(request, _("Each day is charged by the plan that it belongs to."))
                return back_to(self, row.pk)
            except Conflict as error:
                form.add_error(None, str(error))
        return ask(request, self, title=_("Another plan for %(name)s") % {"name": row}, form=form, submit=_("Change"))

    @action(description=gettext_lazy("End it"), url_path="end", permissions=["operate"])
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = EndForm(request.POST or None)
        if form.is_valid():
            told = form.cleaned_data
            try:
                subscriptions.end(
                    subscription_id=row.pk, before=told["before"], actor=user_of(request), reason=told["reason"]
                )
                return back_to(self, row.pk)
            except Conflict as error:
                form.add_error(None, str(error))
        return ask(request, self, title=_("End %(name)s") % {"name": row}, form=form, submit=_("End it"))


@admin.register(SubscriptionFee)
class SubscriptionFeeAdmin(TotalsMixin, FinanceAdmin):
    list_display = ["organisation", "period_start", "period_end", "taxable", "total", "charged_at", "document"]
    list_filter = ["period_start"]
    list_select_related = ["organisation", "document"]
    search_fields = ["organisation__name", "document__number"]
    fields = [
        "organisation", "subscription", "period_start", "period_end", "shares", "taxable", "cgst_paise", "sgst_paise",
        "igst_paise", "total", "charged_at", "document",
    ]  # fmt: skip
    readonly_fields = ["taxable", "total"]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), total=Sum("total_paise"))
        return [(_("Rows"), group_indian(sums["count"])), (_("Amount"), money(sums["total"] or 0))]

    @display(description=gettext_lazy("Without tax"), ordering="taxable_paise")
    def taxable(self, row: SubscriptionFee) -> str:
        return money(row.taxable_paise)

    @display(description=gettext_lazy("With tax"), ordering="total_paise")
    def total(self, row: SubscriptionFee) -> str:
        return money(row.total_paise)


@admin.register(AllowanceUse)
class AllowanceUseAdmin(TotalsMixin, FinanceAdmin):
    organisation_path = "subscription__organisation"
    list_display = ["started_at", "organisation", "vehicle", "period_start", "used"]
    list_select_related = ["subscription__organisation", "vehicle"]
    search_fields = ["vehicle__registration", "subscription__organisation__name"]
    ordering = ["-started_at"]
    fields = ["started_at", "organisation", "vehicle", "cdr", "period_start", "used"]
    readonly_fields = ["organisation", "used"]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), wh=Sum("wh"))
        return [(_("Rows"), group_indian(sums["count"])), (_("Included kWh"), kwh(sums["wh"] or 0))]

    @display(description=gettext_lazy("Organisation"))
    def organisation(self, row: AllowanceUse) -> str:
        return row.subscription.organisation.name

    @display(description=gettext_lazy("Included kWh"), ordering="wh")
    def used(self, row: AllowanceUse) -> str:
        return kwh(row.wh)
