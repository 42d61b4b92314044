"""Who may charge, in the admin: a fleet's policy and site lists, and every decision that was made."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import ForeignKey
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from billing.admin.shown import FinanceAdmin, code_column, code_filter, money, plain_column, reference_column
from billing.desk import words
from billing.models import AllowedSite, AuthorisationDecision, ChargingPolicy
from fleetcharge.accounts.admin import DESK, TenantAdmin
from fleetcharge.accounts.models import Membership
from fleetcharge.lib.money import PAISE_PER_RUPEE
from stations.models import Location

Role = Membership.Role
TOKEN = plain_column("id_token_uid", gettext_lazy("Token"))
REASON = ("reason", gettext_lazy("Because"), words.AUTHORISATION)


@admin.register(AuthorisationDecision)
class AuthorisationDecisionAdmin(FinanceAdmin):
    """Why a token was allowed to charge, or was not."""

    view_roles = DESK | {Role.DISPATCHER}
    list_display = [
        "decided_at", reference_column("id_token_uid", gettext_lazy("Token")), "vehicle", "driver", "charger", "door",
        "is_accepted", code_column(*REASON), "milliseconds",
    ]  # fmt: skip
    list_filter = ["is_accepted", "door", code_filter(*REASON)]
    list_select_related = ["vehicle", "driver", "charger"]
    search_fields = ["id_token_uid", "vehicle__registration", "charger__ocpp_identity"]
    date_hierarchy = "decided_at"
    ordering = ["-pk"]
    fields = [
        "decided_at", "at", "organisation", TOKEN, "vehicle", "driver", "charger", "connector", "session",
        "door", "is_accepted", code_column(*REASON), "max_paise", "max_energy_wh", "inputs", "duration_us",
    ]  # fmt: skip

    @admin.display(description=gettext_lazy("Took, ms"), ordering="duration_us")
    def milliseconds(self, row: AuthorisationDecision) -> str:
        return f"{row.duration_us / 1000:.1f}"


FREE_RAISE = gettext_lazy("Raise of a spending limit without a second person, in rupees")


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Amounts are typed in rupees."""

    limit_raise_free = forms.DecimalField(
        label=FREE_RAISE, required=False, min_value=0, max_digits=13, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=gettext_lazy("Finance raises a limit by more than this only with a second person; empty: alone."),
    )  # fmt: skip

    class Meta:
        model = ChargingPolicy
        fields = (
            "organisation", "needs_shift", "shift_margin_minutes", "allows_parallel_use", "reserved_bay",
            "has_local_lists",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        paise = self.instance.limit_raise_free_paise
        self.initial.setdefault("limit_raise_free", None if paise is None else Decimal(paise) / PAISE_PER_RUPEE)

    def save(self, commit: bool = True) -> Any:
        rupees = self.cleaned_data["limit_raise_free"]
        self.instance.limit_raise_free_paise = None if rupees is None else int(rupees * PAISE_PER_RUPEE)
        return super().save(commit)


@admin.register(ChargingPolicy)
class ChargingPolicyAdmin(TenantAdmin):
    form = PolicyForm
    list_display = [
        "organisation", "needs_shift", "allows_parallel_use", "reserved_bay", "has_local_lists", "limit_raise_free",
    ]  # fmt: skip
    list_select_related = ["organisation"]
    search_fields = ["organisation__name"]
    readonly_fields: list[str] = []

    @admin.display(description=gettext_lazy("Raised without a second person"), ordering="limit_raise_free_paise")
    def limit_raise_free(self, row: ChargingPolicy) -> str:
        return money(row.limit_raise_free_paise)


@admin.register(AllowedSite)
class AllowedSiteAdmin(TenantAdmin):
    """A token or vehicle with a list charges nowhere else."""

    change_roles = DESK
    list_display = ["id_token", "vehicle", "location"]
    list_select_related = ["id_token", "vehicle", "location"]
    search_fields = ["id_token__uid", "vehicle__registration", "location__name"]
    readonly_fields: list[str] = []

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: Any, **kwargs: Any) -> Any:
        """Public sites too, not only the fleet's own."""
        if db_field.name == "location" and getattr(request, "organisation", None) is not None:
            kwargs["queryset"] = Location.objects.visible_to(request.organisation)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
