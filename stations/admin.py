"""The registry on the desk: networks, sites, chargers, connectors with their "why", tariffs, history."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action

from fleetcharge.accounts.admin import ReadOnlyAdmin, ReasonForm, TenantAdmin, ask, back_to
from fleetcharge.accounts.models import Membership
from fleetcharge.accounts.services import audit
from stations import services, tasks
from stations.models import (
    EVSE,
    Charger,
    Connector,
    CPOCommand,
    Location,
    NetworkAccess,
    Party,
    Source,
    StatusChange,
    Tariff,
)
from stations.services.keys import new_charger_key
from stations.status import freshness

Role = Membership.Role
EVERYBODY = frozenset({Role.OWNER, Role.FINANCE, Role.DISPATCHER, Role.INTEGRATOR})
KEEPERS = frozenset({Role.OWNER, Role.DISPATCHER})


class RegistryScope:
    """Public rows are for everybody to see; only one's own may be changed."""

    organisation_path = "organisation"

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()  # type: ignore[attr-defined]
        if request.user.is_superuser:
            return rows
        if request.organisation is None:
            return rows.none()
        path = self.organisation_path
        return rows.filter(Q(**{f"{path}__isnull": True}) | Q(**{path: request.organisation}))

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_own(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False  # sites and chargers carry history; they are switched off or removed by their source

    def _is_own(self, request: Any, obj: Any) -> bool:
        if obj is None or request.user.is_superuser:
            return True
        owner = obj
        for name in self.organisation_path.split("__"):
            owner = getattr(owner, name)
        return owner is not None and owner == request.organisation


class AccessInline(TabularInline):
    model = NetworkAccess
    extra = 0

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(Source)
class SourceAdmin(RegistryScope, TenantAdmin):
    """Networks and how they are doing."""

    view_roles = EVERYBODY
    list_display = ["name", "kind", "state", "last_polled_at", "last_push_at", "failures_in_row", "last_error"]
    list_filter = ["kind", "state"]
    search_fields = ["name", "slug"]
    fields = [
        "name", "slug", "kind", "organisation", "base_url", "poll_interval_seconds", "trust", "licence", "attribution",
        "state", "last_polled_at", "next_poll_at", "last_push_at", "failures_in_row", "last_error",
    ]  # fmt: skip
    readonly_fields = ["state", "last_polled_at", "next_poll_at", "last_push_at", "failures_in_row", "last_error"]
    inlines = [AccessInline]
    actions = ["poll_now"]

    @admin.action(description=_("Poll now"))
    def poll_now(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            tasks.poll_source.delay(source.pk)
            audit(action="poll", target=source, actor=request.user, organisation=request.organisation)
        messages.success(request, _("The poll has started; the state changes here when it is done."))


class EVSEInline(TabularInline):
    model = EVSE
    extra = 0
    fields = ["evse_number", "uid", "physical_reference", "charger", "is_removed"]
    readonly_fields = ["uid", "charger"]


@admin.register(Location)
class LocationAdmin(RegistryScope, TenantAdmin):
    view_roles = EVERYBODY
    change_roles = KEEPERS
    list_display = ["name", "source", "city", "state", "organisation", "is_removed"]
    list_filter = ["source", "state", "is_removed"]
    list_select_related = ["source", "organisation"]
    search_fields = ["name", "address", "city", "public_id"]
    readonly_fields = ["public_id", "party", "source_updated_at", "created_at", "updated_at"]
    inlines = [EVSEInline]


@admin.register(Charger)
class ChargerAdmin(TenantAdmin):
    """Our own chargers. The key is shown once, when it is made."""

    view_roles = EVERYBODY
    change_roles = KEEPERS
    list_display = ["ocpp_identity", "location", "vendor", "model", "is_online", "last_seen_at", "registration"]
    list_filter = ["is_online", "registration", "protocol"]
    list_select_related = ["location"]
    search_fields = ["ocpp_identity", "serial_number", "location__name"]
    fields = [
        "organisation", "location", "ocpp_identity", "registration", "subprotocols", "vendor", "model", "serial_number",
        "firmware_version", "protocol", "is_online", "node", "connected_at", "disconnected_at", "last_seen_at",
        "last_boot_at", "is_faulted", "is_inoperative", "clock_skew_seconds",
    ]  # fmt: skip
    readonly_fields = [
        "vendor", "model", "serial_number", "firmware_version", "protocol", "is_online", "node", "connected_at",
        "disconnected_at", "last_seen_at", "last_boot_at", "is_faulted", "is_inoperative", "clock_skew_seconds",
    ]  # fmt: skip
    actions_detail = ["replace_key"]

    def save_model(self, request: HttpRequest, obj: Charger, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self._show_key(request, obj, "registered")

    @action(description=_("New key"), url_path="new-key")
    def replace_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        charger = self.get_object(request, object_id)
        if charger is None or not self.has_change_permission(request, charger):
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            self._show_key(request, charger, form.cleaned_data["reason"])
            return back_to(self, object_id)
        title = _("New key for %(name)s; the old one stops working") % {"name": charger.ocpp_identity}
        return ask(request, self, title=title, form=form, submit=gettext("Make a new key"))

    def _show_key(self, request: Any, charger: Charger, reason: str) -> None:
        key = new_charger_key(charger_id=charger.pk, actor=request.user, reason=reason)
        text = _("Key of {}: {} - write it down, it is never shown again.")
        messages.warning(request, format_html(str(text), charger.ocpp_identity, key))


@admin.register(Connector)
class ConnectorAdmin(RegistryScope, ReadOnlyAdmin):
    """Connectors with the status we show and why."""

    organisation_path = "evse__location__organisation"
    view_roles = EVERYBODY
    list_display = ["public_id", "site", "plug", "power", "status", "status_reason", "believed", "heard_at"]
    list_filter = ["status", "plug", "evse__location__source"]
    list_select_related = ["evse__location"]
    search_fields = ["public_id", "evse__location__name"]
    actions = ["switch_off", "switch_on"]

    @admin.display(description=_("Site"), ordering="evse__location__name")
    def site(self, connector: Connector) -> str:
        return connector.evse.location.name

    @admin.display(description=_("Power"), ordering="max_power_w")
    def power(self, connector: Connector) -> str:
        return f"{connector.max_power_w / 1000:g} kW"

    @admin.display(description=_("Freshness"))
    def believed(self, connector: Connector) -> str:
        return freshness(connector.heard_at, timezone.now())

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


@admin.register(Tariff)
class TariffAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    view_roles = EVERYBODY
    list_display = ["__str__", "source", "currency", "valid_from", "valid_to"]
    list_filter = ["source"]
    list_select_related = ["source"]
    search_fields = ["name", "external_id"]


@admin.register(StatusChange)
class StatusChangeAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "connector__evse__location__organisation"
    view_roles = EVERYBODY
    list_display = ["at", "connector", "old", "new", "raw_status", "reason"]
    list_filter = ["new"]
    list_select_related = ["connector"]
    search_fields = ["connector__public_id"]
    ordering = ["-pk"]


@admin.register(CPOCommand)
class CPOCommandAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    list_display = ["created_at", "source", "kind", "reservation_key", "state", "answered_at"]
    list_filter = ["state", "kind"]
    list_select_related = ["source"]
    search_fields = ["reservation_key"]
    exclude = ["response_token_hash"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        """What was asked of a shared network says who was going where: only for the operator of the house."""
        rows = CPOCommand.objects.all()
        return rows if request.user.is_superuser else rows.filter(source__organisation=request.organisation)


@admin.register(Party)
class PartyAdmin(RegistryScope, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    view_roles = EVERYBODY
    list_display = ["name", "country_code", "party_id", "source"]
    list_select_related = ["source"]
    search_fields = ["name", "party_id"]
