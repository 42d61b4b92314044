"""The command ledger for people: looked at, never edited."""

from django.contrib import admin

from fleetcharge.accounts.admin import ReadOnlyAdmin
from fleetcharge.accounts.models import Membership
from ocpp_bridge.models import Command

Role = Membership.Role


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """Everything one's own chargers were asked, and what they said."""

    view_roles = frozenset({Role.OWNER, Role.DISPATCHER, Role.FINANCE, Role.INTEGRATOR})
    list_display = ["created_at", "charger", "action", "state", "reason", "actor", "answered_at"]
    list_filter = ["state", "action"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity", "idempotency_key", "actor"]
