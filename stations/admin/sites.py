"""Sites on the desk, with their units and who says what of them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from fleetcharge.accounts.admin import TenantAdmin, TenantScope
from stations.admin.scope import EVERYBODY, KEEPERS, RegistryScope
from stations.models import (
    EVSE,
    Location,
    Source,
)
from stations.registry_admin import claims_table
from stations.services.claims import SITE_FIELDS, say_by_hand


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
