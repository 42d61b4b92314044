"""Plugs on the desk with their "why", and the history of their status."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.admin import ReadOnlyAdmin, TenantAdmin
from fleetcharge.accounts.services import audit
from stations import services
from stations.admin.scope import EVERYBODY, KEEPERS, RegistryScope
from stations.belief import freshness_of
from stations.models import (
    Connector,
    StatusChange,
    Tariff,
)
from stations.registry_admin import claims_table, status_table


@admin.register(Connector)
class ConnectorAdmin(RegistryScope, TenantAdmin):
    """Connectors with the status we show and why; what a charger cannot say of its plug is completed here."""

    organisation_path = "evse__location__organisation"
    view_roles = EVERYBODY
    change_roles = KEEPERS
    fields = [
        "public_id", "evse", "connector_id", "plug", "raw_plug", "format", "power_type", "max_power_w", "max_voltage_v",
        "max_current_a", "tariff", "status", "status_reason", "believed", "raw_status", "reported_status",
        "status_since", "status_at", "heard_at", "error_code", "error_info", "is_switched_off", "has_session",
        "is_delivering", "is_held", "who_says_what", "words",
    ]  # fmt: skip
    readonly_fields = [
        "who_says_what", "words",
        "public_id", "evse", "connector_id", "raw_plug", "status", "status_reason", "believed", "raw_status",
        "reported_status", "status_since", "status_at", "heard_at", "error_code", "error_info", "is_switched_off",
        "has_session", "is_delivering", "is_held",
    ]  # fmt: skip
    list_display = ["public_id", "site", "plug", "power", "status", "status_reason", "believed", "heard_at"]
    list_filter = ["status", "plug", "evse__location__source"]
    list_select_related = ["evse__location__source", "evse__location__party", "evse__charger"]
    search_fields = ["public_id", "evse__location__name"]
    actions = ["switch_off", "switch_on"]

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Current price lists of the fleet's own network."""
        if db_field.name == "tariff":
            own = {} if request.user.is_superuser else {"source__organisation": request.organisation}
            kwargs["queryset"] = Tariff.objects.filter(valid_to=None, **own)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=_("Site"), ordering="evse__location__name")
    def site(self, connector: Connector) -> str:
        return connector.evse.location.name

    @admin.display(description=_("Power"), ordering="max_power_w")
    def power(self, connector: Connector) -> str:
        return f"{connector.max_power_w / 1000:g} kW"

    @admin.display(description=_("Who says what, and why it is shown"))
    def who_says_what(self, connector: Connector) -> str:
        return claims_table("connector", connector)

    @admin.display(description=_("Status, as each source tells it"))
    def words(self, connector: Connector) -> str:
        return status_table(connector.evse)

    @admin.display(description=_("Freshness"))
    def believed(self, connector: Connector) -> str:
        return freshness_of(connector, timezone.now())

    @admin.action(description=_("Take out of service"))
    def switch_off(self, request: Any, queryset: QuerySet[Connector]) -> None:
        self._switch(request, queryset, is_switched_off=True)

    @admin.action(description=_("Put back into service"))
    def switch_on(self, request: Any, queryset: QuerySet[Connector]) -> None:
        self._switch(request, queryset, is_switched_off=False)

    def _switch(self, request: Any, queryset: QuerySet[Connector], *, is_switched_off: bool) -> None:
        own = (
            queryset
            if request.user.is_superuser
            else queryset.filter(evse__location__organisation=request.organisation)
        )
        if request.role not in KEEPERS and not request.user.is_superuser:
            own = own.none()
        for connector in own:
            services.switch_connector(connector_id=connector.pk, is_switched_off=is_switched_off, at=timezone.now())
            audit(action="switch_off" if is_switched_off else "switch_on", target=connector, actor=request.user,
                  organisation=request.organisation)  # fmt: skip
        messages.info(request, _("%d of your own connectors changed.") % len(own))


@admin.register(StatusChange)
class StatusChangeAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "connector__evse__location__organisation"
    view_roles = EVERYBODY
    list_display = ["at", "connector", "old", "new", "raw_status", "reason"]
    list_filter = ["new"]
    list_select_related = ["connector"]
    search_fields = ["connector__public_id"]
    ordering = ["-pk"]
