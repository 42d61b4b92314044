"""The registry on the desk: networks, sites, chargers, connectors with their "why", tariffs, history."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextInputWidget

from fleetcharge.accounts.admin import ReadOnlyAdmin, ReasonForm, TenantAdmin, TenantScope, ask, back_to
from fleetcharge.accounts.models import Membership
from fleetcharge.accounts.services import audit
from stations import services, tasks
from stations.belief import freshness_of, freshness_of_network, freshness_of_networks
from stations.cpo import registry
from stations.cpo.base import Capability
from stations.cpo.ocpi import registration
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
from stations.registry_admin import claims_table, status_table
from stations.services.claims import SITE_FIELDS, say_by_hand
from stations.services.keys import new_charger_key, stage_charger_key

Role = Membership.Role
EVERYBODY = frozenset({Role.OWNER, Role.FINANCE, Role.DISPATCHER, Role.INTEGRATOR})
KEEPERS = frozenset({Role.OWNER, Role.DISPATCHER})


class ConnectForm(ReasonForm):
    """What the CPO gave us out of band. Left empty, the token we hold is used."""

    token = forms.CharField(
        label=_("Token of the CPO"), max_length=64, required=False, widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, is_registered: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_registered:
            self.fields["token"].help_text = _("Connected already: leave it empty to exchange new tokens.")


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

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """Only the operator of the house makes something public; everybody else's rows are their fleet's own."""
        if self.organisation_path == "organisation" and not request.user.is_superuser:
            obj.organisation = request.organisation
        super().save_model(request, obj, form, change)  # type: ignore[misc]

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


class NetworkList(ChangeList):
    """Every network of a page with the freshness of its plugs, asked once for all."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counts = freshness_of_networks([source.pk for source in self.result_list], timezone.now())
        for source in self.result_list:
            source.plug_counts = counts[source.pk]


@admin.register(Source)
class SourceAdmin(RegistryScope, TenantAdmin):
    """Networks and how they are doing."""

    view_roles = EVERYBODY
    list_display = [
        "name", "kind", "state", "plugs", "trust", "truth", "last_polled_at", "last_push_at", "trouble",
    ]  # fmt: skip
    list_filter = ["kind", "state"]
    search_fields = ["name", "slug"]
    fields = [
        "name", "slug", "kind", "organisation", "base_url", "poll_interval_seconds", "full_sync_seconds", "trust",
        "licence", "attribution", "state", "freshness", "truth", "last_polled_at", "full_synced_at", "next_poll_at",
        "last_push_at", "usual_pause", "failures", "last_error_code", "last_error", "refused_at",
        "refused_objects", "refused",
    ]  # fmt: skip
    readonly_fields = [
        "state", "freshness", "truth", "last_polled_at", "full_synced_at", "next_poll_at", "last_push_at",
        "usual_pause", "failures", "last_error_code", "last_error", "refused_at", "refused_objects",
        "refused",
    ]  # fmt: skip
    inlines = [AccessInline]
    actions = ["try_connection", "poll_now", "switch_off", "switch_on"]
    actions_detail = ["connect", "invite", "disconnect"]

    @admin.display(description=_("Truthfulness"), ordering="truth_percent")
    def truth(self, source: Source) -> str:
        """Of plugs shown as free, how many were."""
        return "–" if source.truth_percent is None else f"{source.truth_percent} %"

    @admin.display(description=_("What it could not use, and why"))
    def refused(self, source: Source) -> str:
        """The first of them by the network's names."""
        return "\n".join(f"{each['id']}: {each['why']}" for each in source.refusals) or "–"

    @admin.display(description=_("Failures in a row"))
    def failures(self, source: Source) -> int:
        return source.failures_in_row

    @admin.display(description=_("Usual pause between pushes"))
    def usual_pause(self, source: Source) -> str:
        """Three of them without a word, and it is asked."""
        return f"{source.usual_push_seconds:.0f} s" if source.usual_push_seconds else "–"

    @admin.display(description=_("Trouble"), ordering="failures_in_row")
    def trouble(self, source: Source) -> str:
        """How often in a row it failed, and how it did last; the whole story is on its page."""
        if not source.failures_in_row:
            return "–"
        return f"{source.failures_in_row} × {Truncator(source.last_error).chars(200)}"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NetworkList

    @admin.display(description=_("Plugs"))
    def plugs(self, source: Any) -> str:
        return _plug_counts(source.plug_counts)

    @admin.display(description=_("Freshness of its plugs"))
    def freshness(self, source: Source) -> str:
        return _plug_counts(freshness_of_network(source.pk, timezone.now()) if source.pk else {})

    @admin.action(description=_("Test the connection"), permissions=["change"])
    def try_connection(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in self._own(request, queryset.filter(kind__startswith="ocpi"), "test"):
            tasks.check_source.delay(source.pk)
        messages.info(request, _("Being tested; what goes wrong stands under last error."))

    @admin.action(description=_("Poll now"), permissions=["change"])
    def poll_now(self, request: Any, queryset: QuerySet[Source]) -> None:
        askable = [kind for kind in Source.Kind if registry.can(Source(kind=kind), Capability.PULL)]
        chosen = queryset.filter(kind__in=askable).exclude(state=Source.State.DISABLED)
        for source in self._own(request, chosen, "poll"):
            tasks.poll_source.delay(source.pk)
        messages.success(request, _("The poll has started; the state changes here when it is done."))

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in self._own(request, queryset, "switch_off"):
            services.switch_source(source_id=source.pk, is_on=False, at=timezone.now())

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: Any, queryset: QuerySet[Source]) -> None:
        for source in self._own(request, queryset, "switch_on"):
            services.switch_source(source_id=source.pk, is_on=True, at=timezone.now())

    def _own(self, request: Any, queryset: QuerySet[Source], done: str) -> list[Source]:
        """Those of the selection that one may change, each with its audit entry."""
        own = [source for source in queryset if self.has_change_permission(request, source)]
        for source in own:
            audit(action=done, target=source, actor=request.user, organisation=request.organisation)
        return own

    @action(description=_("Connect"), url_path="connect")
    def connect(self, request: Any, object_id: str) -> HttpResponse:
        """The handshake with the TOKEN_A that the CPO gave us; a network that is connected gets new tokens."""
        source = self._one(request, object_id)
        if source is None:
            return back_to(self)
        form = ConnectForm(request.POST or None, is_registered=bool(source.endpoints))
        if not form.is_valid():
            title = _("Connect to %(name)s") % {"name": source}
            return ask(request, self, title=title, form=form, submit=gettext("Connect"))
        if token := form.cleaned_data["token"]:
            source.peer_token = token
            source.save(update_fields=["peer_token_encrypted"])
        services.switch_source(source_id=source.pk, is_on=True, at=timezone.now())
        audit(action="register", target=source, actor=request.user, reason=form.cleaned_data["reason"])
        tasks.register_source.delay(source.pk)
        messages.success(request, _("The handshake has started; the state changes here when it is done."))
        return back_to(self, object_id)

    @action(description=_("Invite"), url_path="invite")
    def invite(self, request: Any, object_id: str) -> HttpResponse:
        """A TOKEN_A of ours for a CPO that starts the handshake itself; shown once."""
        source = self._one(request, object_id)
        if source is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("A token with which %(name)s registers at ours") % {"name": source}
            return ask(request, self, title=title, form=form, submit=gettext("Make a token"))
        token = registration.new_token_for(source)
        audit(action="invite", target=source, actor=request.user, reason=form.cleaned_data["reason"])
        text = _("Token for {}: {} - give it to the CPO with our address {}; it is never shown again.")
        versions = f"{settings.PUBLIC_BASE_URL}/ocpi/versions"
        messages.warning(request, format_html(str(text), source.name, token, versions))
        return back_to(self, object_id)

    @action(description=_("Disconnect"), url_path="disconnect")
    def disconnect(self, request: Any, object_id: str) -> HttpResponse:
        source = self._one(request, object_id)
        if source is None or not source.endpoints:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("Leave %(name)s; its tokens die, its stations stay and fade") % {"name": source}
            return ask(request, self, title=title, form=form, submit=gettext("Disconnect"))
        audit(action="unregister", target=source, actor=request.user, reason=form.cleaned_data["reason"])
        tasks.unregister_source.delay(source.pk)
        return back_to(self, object_id)

    def _one(self, request: HttpRequest, object_id: str) -> Source | None:
        """An OCPI network that one may change, else None."""
        source: Source | None = self.get_object(request, object_id)
        may = source is not None and self.has_change_permission(request, source)
        return source if source and may and source.is_ocpi else None


def _plug_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "–"


class EVSEInline(RegistryScope, TenantScope, TabularInline):
    """Each unit with its plugs: a connector is looked at here and completed on its own page."""

    model = EVSE
    extra = 0
    organisation_path = "location__organisation"
    view_roles = EVERYBODY
    change_roles = KEEPERS
    fields = ["evse_number", "uid", "physical_reference", "charger", "plugs", "is_removed"]
    readonly_fields = ["uid", "charger", "plugs"]

    def get_queryset(self, request: Any) -> QuerySet[EVSE]:
        return super().get_queryset(request).select_related("charger").prefetch_related("connectors")

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def _is_own(self, request: Any, obj: Any) -> bool:
        """For an inline, `obj` is the site."""
        return obj is None or request.user.is_superuser or obj.organisation == request.organisation

    @admin.display(description=_("Connectors"))
    def plugs(self, evse: EVSE) -> str:
        return format_html_join(
            mark_safe("<br>"),
            '<a href="{}">{}</a>: {}',
            (
                (reverse("admin:stations_connector_change", args=[row.pk]), str(row), row.get_status_display())
                for row in evse.connectors.all()
            ),
        )


@admin.register(Location)
class LocationAdmin(RegistryScope, TenantAdmin):
    view_roles = EVERYBODY
    change_roles = KEEPERS
    list_display = ["name", "source", "city", "state", "organisation", "is_shown"]
    list_filter = ["source", "state", "is_removed"]
    list_select_related = ["source", "organisation"]
    search_fields = ["name", "address", "city", "public_id"]
    readonly_fields = [
        "public_id", "party", "source_updated_at", "created_at", "updated_at", "removed_because", "merged_into",
        "who_says_what",
    ]  # fmt: skip
    inlines = [EVSEInline]

    @admin.display(description=_("Shown"), boolean=True, ordering="is_removed")
    def is_shown(self, location: Location) -> bool:
        return not location.is_removed

    @admin.display(description=_("Who says what, and why it is shown"))
    def who_says_what(self, location: Location) -> str:
        return claims_table("location", location)

    def save_model(self, request: Any, obj: Location, form: Any, change: bool) -> None:
        """What a person writes over a source's word stays, whatever the source says later."""
        said = [name for name in form.changed_data if name in SITE_FIELDS]
        if change and said and obj.source.kind != Source.Kind.OWN_OCPP:
            say_by_hand(location=obj, fields=said)
        super().save_model(request, obj, form, change)


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
        "last_boot_at", "is_faulted", "is_inoperative", "clock_skew_seconds", "min_security_profile",
        "security_profile", "its_page",
    ]  # fmt: skip
    readonly_fields = [
        "its_page", "security_profile",
        "vendor", "model", "serial_number", "firmware_version", "protocol", "is_online", "node", "connected_at",
        "disconnected_at", "last_seen_at", "last_boot_at", "is_faulted", "is_inoperative", "clock_skew_seconds",
    ]  # fmt: skip
    actions_detail = ["replace_key", "prepare_key"]

    def save_model(self, request: HttpRequest, obj: Charger, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self._show_key(request, obj, "registered")

    @admin.display(description=_("Frames, settings, commands"))
    def its_page(self, charger: Charger) -> str:
        if not charger.pk:
            return "–"
        return format_html('<a href="{}">{}</a>', reverse("charger", args=[charger.ocpp_identity]), charger)

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

    @action(description=_("Next key"), url_path="next-key")
    def prepare_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        charger = self.get_object(request, object_id)
        if charger is None or not self.has_change_permission(request, charger):
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            self._show_key(request, charger, form.cleaned_data["reason"], make=stage_charger_key)
            return back_to(self, object_id)
        title = _("Next key for %(name)s; the present one works until it is used") % {"name": charger.ocpp_identity}
        return ask(request, self, title=title, form=form, submit=gettext("Make the next key"))

    def _show_key(self, request: Any, charger: Charger, reason: str, make: Any = new_charger_key) -> None:
        key = make(charger_id=charger.pk, actor=request.user, reason=reason)
        text = _("Key of {}: {} - write it down, it is never shown again.")
        messages.warning(request, format_html(str(text), charger.ocpp_identity, key))


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
    list_select_related = ["evse__location__source", "evse__charger"]
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


from stations import roaming_admin, tariff_admin, ubc_admin, webhook_admin  # noqa: E402, F401 (registered with the rest)
