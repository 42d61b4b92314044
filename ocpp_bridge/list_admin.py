"""Local lists for people: which charger has the list it should have, and why another has not."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.admin import ReadOnlyAdmin
from fleetcharge.accounts.models import Membership
from fleetcharge.accounts.services import audit
from ocpp_bridge import local_lists
from ocpp_bridge.models import LocalList

Role = Membership.Role


@admin.register(LocalList)
class LocalListAdmin(ReadOnlyAdmin):
    view_roles = frozenset({Role.OWNER, Role.DISPATCHER, Role.FINANCE, Role.INTEGRATOR})
    list_display = [
        "charger", "state", "tokens", "left_out", "version_wanted", "version_there", "last_result", "last_result_at",
        "retry_at",
    ]  # fmt: skip
    list_filter = ["state"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity"]
    exclude = ["pending", "asked"]
    actions = ["send_anew"]

    @admin.display(description=_("Tokens"))
    def tokens(self, row: LocalList) -> int:
        return len(row.entries)

    @admin.action(description=_("Compare and send anew"), permissions=["send"])
    def send_anew(self, request: HttpRequest, queryset: QuerySet[LocalList]) -> None:
        for row in queryset:
            local_lists.send_anew(charger_id=row.pk, now=timezone.now())
            audit(action="local_list.send", target=row, actor=request.user)  # type: ignore[arg-type]
        messages.success(request, gettext("They are sent within half a minute, or when the charger is back."))

    def has_send_permission(self, request: HttpRequest) -> bool:
        return self._has_role(request, frozenset({Role.OWNER, Role.DISPATCHER}))
