"""Messages that broke their schema, in the admin; imported by admin.py."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from fleetcharge.accounts.admin import ReadOnlyAdmin
from fleetcharge.accounts.models import Membership
from ocpp_bridge import oddities
from ocpp_bridge.models import OddMessage

Role = Membership.Role


@admin.register(OddMessage)
class OddMessageAdmin(ReadOnlyAdmin):
    """What one's own chargers said in their own way, and whether we could use it."""

    organisation_path = "charger__organisation"
    view_roles = frozenset({Role.OWNER, Role.DISPATCHER, Role.FINANCE, Role.INTEGRATOR})
    list_display = ["received_at", "charger", "action", "fate", "flaw"]
    list_filter = ["is_taken", "action", "protocol"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity", "message_id", "flaw"]
    fields = ["received_at", "charger", "protocol", "action", "message_id", "outcome", "code", "flaw", "said"]
    readonly_fields = ["outcome", "said"]

    @display(description=_("We"), ordering="is_taken", label={"taken": "success", "refused": "danger"})
    def fate(self, odd: OddMessage) -> Any:
        return ("taken", gettext("Taken")) if odd.is_taken else ("refused", gettext("Refused"))

    @admin.display(description=_("What we did"))
    def outcome(self, odd: OddMessage) -> str:
        if odd.is_taken:
            return gettext("Taken: what we needed of it was there, and the charger got an ordinary answer.")
        return gettext("Refused with the error below: something we need was missing.")

    @admin.display(description=_("Payload"))
    def said(self, odd: OddMessage) -> SafeString:
        return format_html('<pre class="said">{}</pre>', oddities.shown(odd.action, odd.payload))
