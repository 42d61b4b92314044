"""Letters on finance's desk: which went out, which did not, and another try."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.admin.operators import is_operator
from billing.admin.shown import FinanceAdmin, user_of
from billing.approvals import services as approvals
from billing.notices import sending
from billing.notices.models import Letter
from fleetcharge.accounts.admin import DESK

OF_WISHES = [Letter.Kind.APPROVAL_ASKED, Letter.Kind.APPROVAL_DECIDED]


@admin.register(Letter)
class LetterAdmin(FinanceAdmin):
    """Newest first; the filter shows what was given up or may not have arrived."""

    list_display = ["kind", "organisation", "address", "state", "attempts", "error", "created_at", "sent_at"]
    list_filter = ["state", "kind"]
    list_select_related = ["organisation"]
    search_fields = ["address", "key", "error"]
    fields = [
        "kind", "organisation", "address", "language", "state", "attempts", "next_try_at", "error", "created_at",
        "sent_at",
    ]  # fmt: skip
    ordering = ["-pk"]
    actions = ["send_again"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Letter]:
        """A fleet sees no letters of our operators among themselves, though they are about its wallet."""
        rows = super().get_queryset(request)
        return rows if is_operator(request) else rows.exclude(kind__in=OF_WISHES, facts__kind__in=approvals.ours())

    def has_decide_permission(self, request: HttpRequest, obj: Letter | None = None) -> bool:
        return self._has_role(request, DESK)

    @admin.action(description=gettext_lazy("Send again"), permissions=["decide"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Letter]) -> None:
        count = sending.send_again(letters=queryset, actor=user_of(request), now=timezone.now())
        messages.success(request, _("%(count)d are sent again.") % {"count": count})
