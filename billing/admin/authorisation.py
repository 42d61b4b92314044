"""Who may charge, in the admin: a fleet's policy and site lists, and every decision that was made."""

from typing import Any

from django.contrib import admin
from django.db.models import ForeignKey
from django.utils.translation import gettext_lazy

from billing.models import AllowedSite, AuthorisationDecision, ChargingPolicy
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, TenantAdmin
from fleetcharge.accounts.models import Membership
from stations.models import Location

Role = Membership.Role


@admin.register(AuthorisationDecision)
class AuthorisationDecisionAdmin(ReadOnlyAdmin):
    """Why a token was allowed to charge, or was not."""

    view_roles = DESK | {Role.DISPATCHER}
    list_display = [
        "decided_at", "id_token_uid", "vehicle", "driver", "charger", "door", "is_accepted", "reason", "milliseconds",
    ]  # fmt: skip
    list_filter = ["is_accepted", "door", "reason"]
    list_select_related = ["vehicle", "driver", "charger"]
    search_fields = ["id_token_uid", "vehicle__registration", "charger__ocpp_identity"]
    date_hierarchy = "decided_at"
    ordering = ["-pk"]

    @admin.display(description=gettext_lazy("Took, ms"), ordering="duration_us")
    def milliseconds(self, row: AuthorisationDecision) -> str:
        return f"{row.duration_us / 1000:.1f}"


@admin.register(ChargingPolicy)
class ChargingPolicyAdmin(TenantAdmin):
    list_display = ["organisation", "needs_shift", "allows_parallel_use", "reserved_bay", "has_local_lists"]
    list_select_related = ["organisation"]
    search_fields = ["organisation__name"]
    readonly_fields: list[str] = []


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
