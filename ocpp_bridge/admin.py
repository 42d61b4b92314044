"""The command ledger for people: looked at, never edited."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.admin import ReadOnlyAdmin
from fleetcharge.accounts.models import Membership
from fleetcharge.accounts.services import audit
from ocpp_bridge import charger_desk, commands
from ocpp_bridge.discretion import without_secrets
from ocpp_bridge.models import Command, Node
from stations.admin import ChargerAdmin

Role = Membership.Role

ChargerAdmin.actions = [*(ChargerAdmin.actions or []), *charger_desk.ACTIONS]


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """Everything one's own chargers were asked, and what they said."""

    view_roles = frozenset({Role.OWNER, Role.DISPATCHER, Role.FINANCE, Role.INTEGRATOR})
    list_display = ["created_at", "charger", "action", "state", "reason", "actor", "attempts", "answered_at"]
    list_filter = ["state", "action", "protocol"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity", "idempotency_key", "actor"]
    exclude = ["parameters", "request"]
    readonly_fields = ["asked", "said"]
    actions = ["take_back"]

    @admin.display(description=_("Parameters"))
    def asked(self, command: Command) -> str:
        return json.dumps(without_secrets(command.parameters), indent=1, ensure_ascii=False)

    @admin.display(description=_("Request on the wire"))
    def said(self, command: Command) -> str:
        return json.dumps(without_secrets(command.request), indent=1, ensure_ascii=False)

    @admin.action(description=_("Take back what is still queued"), permissions=["take_back"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Command]) -> None:
        now, done = timezone.now(), 0
        for command in queryset.filter(state=Command.State.QUEUED):
            if commands.cancel(command_id=command.pk, reason=f"Taken back by {request.user}.", at=now):
                audit(action="command.cancel", target=command, actor=request.user)  # type: ignore[arg-type]
                done += 1
        messages.success(request, gettext("%(count)d taken back.") % {"count": done})

    def has_take_back_permission(self, request: HttpRequest) -> bool:
        return self._has_role(request, frozenset({Role.OWNER, Role.DISPATCHER}))


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    """The realtime processes that are alive; for whoever runs the house."""

    list_display = ["name", "sockets", "seen_at", "started_at", "is_draining"]
    search_fields = ["name"]
    view_roles: frozenset[str] = frozenset()

    def get_queryset(self, request: Any) -> QuerySet[Node]:
        return Node.objects.all() if request.user.is_superuser else Node.objects.none()


from ocpp_bridge import configuration_admin, list_admin, odd_admin  # noqa: E402, F401 (registered with the rest)
from ocpp_bridge.charging import admin as charging_admin  # noqa: E402, F401
