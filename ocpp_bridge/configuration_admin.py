"""Desired configurations and their roll-outs in the admin; imported by admin.py."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from unfold.admin import TabularInline

from fleetcharge.accounts.admin import ReadOnlyAdmin, TenantAdmin, TenantScope
from fleetcharge.accounts.models import Membership
from ocpp_bridge.models import (
    ChargerCertificate,
    ConfigurationChange,
    ConfigurationRollout,
    DesiredConfiguration,
)
from ocpp_bridge.redaction import is_secret_name

KEEPERS = frozenset({Membership.Role.OWNER, Membership.Role.DISPATCHER})
MAX_KEYS = 200


class DesiredConfigurationForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = DesiredConfiguration
        fields = ["organisation", "name", "vendor_pattern", "model_pattern", "values", "priority", "is_active"]

    def clean_values(self) -> dict[str, str | None]:
        values = self.cleaned_data["values"]
        if not isinstance(values, dict) or len(values) > MAX_KEYS:
            raise forms.ValidationError(_('Write keys and values: {"HeartbeatInterval": "300"}.'))
        for key, value in values.items():
            if is_secret_name(key):
                raise forms.ValidationError(_("%(key)s is a secret; it is changed with “New key”.") % {"key": key})
            if value is not None and not isinstance(value, str | int | float | bool):
                raise forms.ValidationError(_("The value of %(key)s must be a text or a number.") % {"key": key})
        return {key: _as_text(value) for key, value in values.items()}


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


@admin.register(DesiredConfiguration)
class DesiredConfigurationAdmin(TenantAdmin):
    """How chargers of a kind should be set. Their pages show the difference and bring them into line."""

    form = DesiredConfigurationForm
    view_roles = KEEPERS
    change_roles = KEEPERS
    list_display = ["name", "vendor_pattern", "model_pattern", "priority", "is_active", "updated_at"]
    list_filter = ["is_active"]
    search_fields = ["name", "vendor_pattern", "model_pattern"]


class ChangeInline(TenantScope, TabularInline):
    model = ConfigurationChange
    organisation_path = "rollout__organisation"
    view_roles = KEEPERS
    change_roles: frozenset[str] = frozenset()
    fields = ["charger", "stage", "key", "old_value", "new_value", "state", "reason"]
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ConfigurationRollout)
class ConfigurationRolloutAdmin(ReadOnlyAdmin):
    """Every change of configuration, and what each charger said to it."""

    view_roles = KEEPERS
    list_display = ["created_at", "state", "actor", "reason", "finished_at"]
    list_filter = ["state"]
    search_fields = ["actor", "reason"]
    inlines = [ChangeInline]


@admin.register(ChargerCertificate)
class ChargerCertificateAdmin(ReadOnlyAdmin):
    """Which certificates the chargers have, the first to end on top."""

    organisation_path = "charger__organisation"
    view_roles = KEEPERS
    list_display = ["charger", "kind", "subject", "not_after", "origin", "is_confirmed", "removed_at"]
    list_filter = ["kind", "origin", "is_confirmed"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity", "subject", "serial_number"]
