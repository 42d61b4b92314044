"""Registrations and rules in the admin: ours for superusers, a fleet's for its owners."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from billing.admin.operators import is_operator
from billing.invoicing.models import OrganisationRegistration, RegistrationMapping, SupplierRegistration, TaxRule
from billing.services import gst_rates
from fleetcharge.accounts.admin import DESK, TenantAdmin


class OurOwnEditable(TenantAdmin):
    """Rows of the supplier: superusers alone see and change them."""

    view_roles: frozenset[str] = frozenset()
    change_roles: frozenset[str] = frozenset()

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows = self.model._default_manager.get_queryset()
        return rows if request.user.is_superuser else rows.none()

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(SupplierRegistration)
class SupplierRegistrationAdmin(OurOwnEditable):
    list_display = ["gstin", "legal_name", "state_code", "is_default", "has_undertaking", "einvoice_from", "closed_on"]
    search_fields = ["gstin", "legal_name"]


@admin.register(TaxRule)
class TaxRuleAdmin(OurOwnEditable):
    list_display = ["name", "subject", "value", "valid_from", "valid_to", "source"]
    list_filter = ["name"]

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        gst_rates.forget()


@admin.register(OrganisationRegistration)
class OrganisationRegistrationAdmin(TenantAdmin):
    change_roles = DESK
    list_display = ["legal_name", "gstin", "organisation", "state_code", "is_sez", "is_default", "email"]
    list_select_related = ["organisation"]
    search_fields = ["gstin", "legal_name"]
    readonly_fields: list[str] = []

    def get_readonly_fields(self, request: Any, obj: Any = None) -> list[str]:
        """That a unit is in a special economic zone frees it of tax that we would owe: operators look at its letter of
        approval first. What they ticked holds for that GSTIN alone."""
        if is_operator(request):
            return []
        return ["is_sez", "gstin", "state_code"] if obj is not None and obj.is_sez else ["is_sez"]

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(RegistrationMapping)
class RegistrationMappingAdmin(TenantAdmin):
    change_roles = DESK
    list_display = ["registration", "vehicle", "cost_centre", "organisation"]
    list_select_related = ["vehicle", "registration", "organisation"]
    search_fields = ["vehicle__registration", "cost_centre", "registration__gstin"]
    readonly_fields: list[str] = []
