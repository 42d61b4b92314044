"""Messages that broke their schema, in the admin; imported by admin.py."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

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
    list_display = ["received_at", "charger", "action", "is_taken", "flaw", "message_id"]
    list_filter = ["is_taken", "action", "protocol"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity", "message_id", "flaw"]
    exclude = ["payload"]
    readonly_fields = ["said"]

    @admin.display(description=_("Payload"))
    def said(self, odd: OddMessage) -> str:
        return oddities.shown(odd.action, odd.payload)
