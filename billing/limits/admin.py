"""Spending limits in the admin: who may spend how much, and what is used of it."""

from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, kwh, money, user_of
from billing.approvals import spend_limits
from billing.approvals.following import follow
from billing.limits import changing, standing
from billing.limits.forms import WH_PER_KWH, BoundsForm, NewLimitForm
from billing.models import LimitUsage, SpendLimit
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import PAISE_PER_RUPEE

WHOSE = ["organisation", "vehicle", "driver", "location", "tariff"]


@admin.register(SpendLimit)
class SpendLimitAdmin(FinanceAdmin):
    """Looked at; set, changed and removed by the service alone, with bounds and a reason."""

    list_display = ["__str__", "scope", "period", "amount", "energy", "refuses", "used_now"]
    list_filter = ["scope", "period", "is_hard"]
    list_select_related = WHOSE
    search_fields = ["vehicle__registration", "driver__name", "cost_centre", "location__name"]
    fields = [
        "organisation", "scope", "vehicle", "driver", "location", "tariff", "cost_centre", "period", "amount", "energy",
        "refuses", "used_now",
    ]  # fmt: skip
    readonly_fields = ["amount", "energy", "refuses", "used_now"]
    actions_detail = ["change_bounds", "remove"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related(standing.current_usages(timezone.now()))

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied("Limits are set by owners and finance.")
        form = NewLimitForm(request.POST or None, request=request)
        if form.is_valid():
            wanted = form.cleaned_data
            terms = {name: wanted[name] for name in ("organisation", "scope", "period", "is_hard", "reason")}
            try:
                of = changing.whose(organisation=wanted["organisation"], scope=wanted["scope"], name=wanted["name"])
                wish = spend_limits.set_or_ask(**terms, **form.bounds, actor=user_of(request), now=timezone.now(), **of)
                return follow(request, self, wish, None, _("It holds for what begins from now on."))
            except changing.NobodyOfThatName:
                form.add_error("name", _("The fleet has nothing of this name and kind."))
            except (ValueError, Conflict) as error:
                form.add_error("rupees", str(getattr(error, "detail", error)))
        return ask(request, self, title=_("Set a spending limit"), form=form, submit=_("Save"))

    @action(description=gettext_lazy("Change"), url_path="bounds", permissions=["decide"])
    def change_bounds(self, request: HttpRequest, object_id: str) -> HttpResponse:
        limit = self.get_object(request, object_id)
        if limit is None:
            return back_to(self)
        initial = {
            "rupees": limit.amount_paise and Decimal(limit.amount_paise) / PAISE_PER_RUPEE,
            "kwh": limit.energy_wh and Decimal(limit.energy_wh) / WH_PER_KWH,
        }
        form = BoundsForm(request.POST or None, initial=initial)
        if form.is_valid():
            try:
                wish = spend_limits.change_or_ask(
                    limit=limit, reason=form.cleaned_data["reason"], actor=user_of(request), now=timezone.now(),
                    **form.bounds,
                )  # fmt: skip
                return follow(request, self, wish, limit.pk, _("It holds for what begins from now on."))
            except (ValueError, Conflict) as error:
                form.add_error("rupees", str(getattr(error, "detail", error)))
        return ask(request, self, title=_("Change the limit of %(row)s") % {"row": limit}, form=form, submit=_("Save"))

    @action(description=gettext_lazy("Remove"), url_path="remove", permissions=["decide"])
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        limit = self.get_object(request, object_id)
        if limit is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            try:
                wish = spend_limits.remove_or_ask(
                    limit=limit, reason=form.cleaned_data["reason"], actor=user_of(request), now=timezone.now()
                )
                return follow(request, self, wish, None, _("Removed: it bounds nothing any more."))
            except Conflict as error:
                messages.error(request, str(error.detail))
                return back_to(self, limit.pk)
        title = _("Remove the limit of %(limit)s") % {"limit": limit}
        return ask(request, self, title=title, form=form, submit=_("Remove"))

    @display(description=gettext_lazy("Refuses what is beyond it"), boolean=True, ordering="is_hard")
    def refuses(self, row: SpendLimit) -> bool:
        return row.is_hard

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: SpendLimit) -> str:
        return money(row.amount_paise)

    @display(description=gettext_lazy("Energy, kWh"), ordering="energy_wh")
    def energy(self, row: SpendLimit) -> str:
        return "—" if row.energy_wh is None else kwh(row.energy_wh)

    @display(description=gettext_lazy("Used now"))
    def used_now(self, row: SpendLimit) -> str:
        usage = standing.usage_of(row, timezone.now())
        return "—" if usage is None else money(usage.reserved_paise + usage.spent_paise)


@admin.register(LimitUsage)
class LimitUsageAdmin(FinanceAdmin):
    """What is reserved and spent of each limit, period by period."""

    organisation_path = "limit__organisation"
    list_display = ["limit", "period_start", "reserved", "spent", "cap", "over", "refuses"]
    list_filter = ["limit__scope", "limit__period", "is_hard"]
    list_select_related = [f"limit__{name}" for name in WHOSE]
    search_fields = ["limit__vehicle__registration", "limit__driver__name", "limit__cost_centre"]
    ordering = ["-period_start", "limit"]
    fields = [
        "limit", "period_start", "zone", "refuses", "cap_paise", "reserved_paise", "spent_paise", "excess_paise",
        "cap_wh", "reserved_wh", "spent_wh", "excess_wh",
    ]  # fmt: skip
    readonly_fields = ["refuses"]

    @display(description=gettext_lazy("Refuses what is beyond it"), boolean=True, ordering="is_hard")
    def refuses(self, row: LimitUsage) -> bool:
        return row.is_hard

    @display(description=gettext_lazy("Reserved"), ordering="reserved_paise")
    def reserved(self, row: LimitUsage) -> str:
        return money(row.reserved_paise)

    @display(description=gettext_lazy("Spent"), ordering="spent_paise")
    def spent(self, row: LimitUsage) -> str:
        return money(row.spent_paise)

    @display(description=gettext_lazy("Limit"), ordering="cap_paise")
    def cap(self, row: LimitUsage) -> str:
        return money(row.cap_paise)

    @display(description=gettext_lazy("Beyond it"), ordering="excess_paise")
    def over(self, row: LimitUsage) -> str:
        return money(row.excess_paise or None)
