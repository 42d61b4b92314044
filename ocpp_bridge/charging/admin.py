"""Smart charging for people: the limits of a site are set here, what came of them is looked at."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.admin import ReadOnlyAdmin, TenantAdmin
from fleetcharge.accounts.models import Membership
from ocpp_bridge.charging import planning
from ocpp_bridge.charging.windows import parse_window
from ocpp_bridge.models import ChargingGoal, ChargingPlan, ChargingSite, HeldProfile
from stations.models import Location

Role = Membership.Role
DESK = frozenset({Role.OWNER, Role.DISPATCHER, Role.INTEGRATOR})


class SiteForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_windows(self) -> Any:
        windows = self.cleaned_data["windows"] or []
        try:
            for window in windows:
                parse_window(window)
        except (ValueError, TypeError, KeyError) as error:
            raise ValidationError(str(error)) from None
        return windows


@admin.register(ChargingSite)
class ChargingSiteAdmin(TenantAdmin):
    """Which sites share their power, and within which limits."""

    form = SiteForm
    view_roles = DESK
    change_roles = frozenset({Role.OWNER})
    list_display = ["location", "limit_w", "other_load_w", "policy", "safe_percent", "is_active", "planned_at"]
    list_select_related = ["location"]
    search_fields = ["location__name"]
    readonly_fields = ["planned_at"]
    fields = [
        "organisation", "location", "is_active", "limit_w", "windows", "other_load_w", "policy", "safe_percent",
        "planned_at",
    ]  # fmt: skip

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "location" and not request.user.is_superuser:
            kwargs["queryset"] = Location.objects.filter(chargers__organisation=request.organisation).distinct()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ChargingSite, form: Any, change: bool) -> None:
        obj.due_at = timezone.now()
        super().save_model(request, obj, form, change)
        if not obj.is_active:
            planning.release(location_id=obj.pk, now=timezone.now())

    def delete_model(self, request: HttpRequest, obj: ChargingSite) -> None:
        planning.release(location_id=obj.pk, now=timezone.now())
        super().delete_model(request, obj)


@admin.register(ChargingPlan)
class ChargingPlanAdmin(ReadOnlyAdmin):
    """Every decision, with what it was based on."""

    organisation_path = "site__organisation"
    view_roles = DESK
    list_display = ["at", "site", "reason", "limit_w", "allowed_w", "missing"]
    list_filter = ["reason"]
    list_select_related = ["site__location"]
    search_fields = ["site__location__name"]
    exclude = ["inputs", "result"]
    readonly_fields = ["based_on", "decided"]

    @admin.display(description=_("Inputs"))
    def based_on(self, plan: ChargingPlan) -> str:
        return json.dumps(plan.inputs, indent=1, ensure_ascii=False)

    @admin.display(description=_("Result"))
    def decided(self, plan: ChargingPlan) -> str:
        return json.dumps(plan.result, indent=1, ensure_ascii=False)


@admin.register(HeldProfile)
class HeldProfileAdmin(ReadOnlyAdmin):
    """What each charger holds as its limit."""

    organisation_path = "charger__organisation"
    view_roles = DESK
    list_display = [
        "charger", "evse_number", "purpose", "accepted_at", "refusals", "reason", "verdict", "faults", "over_w",
    ]  # fmt: skip
    list_filter = ["purpose", "verdict"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity"]


@admin.register(ChargingGoal)
class ChargingGoalAdmin(ReadOnlyAdmin):
    """Who wants how much of which session, by when."""

    organisation_path = "session__organisation"
    view_roles = DESK
    list_display = ["session", "departure_at", "target_soc_percent", "energy_wh", "actor", "set_at"]
    list_select_related = ["session__vehicle"]
    search_fields = ["session__vehicle__registration", "actor"]
