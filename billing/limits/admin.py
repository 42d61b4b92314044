"""Spending limits in the admin: who may spend how much, and what is used of it."""

from typing import Any

from django.contrib import admin
from django.db.models import ForeignKey
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from billing.admin.shown import kwh, money
from billing.limits import standing
from billing.models import LimitUsage, SpendLimit
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, TenantAdmin
from stations.models import Location, Tariff

WHOSE = ["organisation", "vehicle", "driver", "location", "tariff"]


@admin.register(SpendLimit)
class SpendLimitAdmin(TenantAdmin):
    """The scope's own field says whose limit it is; the fleet's needs none."""

    change_roles = DESK
    list_display = ["__str__", "scope", "period", "amount", "energy", "is_hard", "used_now"]
    list_filter = ["scope", "period", "is_hard"]
    list_select_related = WHOSE
    search_fields = ["vehicle__registration", "driver__name", "cost_centre", "location__name"]
    readonly_fields: list[str] = []
    autocomplete_fields = ["vehicle", "driver"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related(standing.current_usages(timezone.now()))

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: Any, **kwargs: Any) -> Any:
        """Public sites and their tariffs too, not only the fleet's own."""
        if getattr(request, "organisation", None) is not None:
            visible = Location.objects.visible_to(request.organisation)
            if db_field.name == "location":
                kwargs["queryset"] = visible
            if db_field.name == "tariff":
                kwargs["queryset"] = Tariff.objects.filter(source__in=visible.values("source"), valid_to=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

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
class LimitUsageAdmin(ReadOnlyAdmin):
    """What is reserved and spent of each limit, period by period."""

    organisation_path = "limit__organisation"
    list_display = ["limit", "period_start", "reserved", "spent", "cap", "over", "is_hard"]
    list_filter = ["limit__scope", "limit__period", "is_hard"]
    list_select_related = [f"limit__{name}" for name in WHOSE]
    search_fields = ["limit__vehicle__registration", "limit__driver__name", "limit__cost_centre"]
    ordering = ["-period_start", "limit"]

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
