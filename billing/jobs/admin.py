"""Jobs that wait and those that were given up, with another try."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.jobs import engine
from billing.jobs.models import Job
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, actor_of


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Work of the background. What is done is not here any more."""

    list_display = ["kind", "key", "state", "attempts", "next_try_at", "error", "created_at"]
    list_filter = ["state", "kind"]
    list_select_related = ["organisation"]
    search_fields = ["key", "error"]
    ordering = ["state", "next_try_at"]
    actions = ["try_again"]

    def has_decide_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return self._has_role(request, DESK)

    @admin.action(description=gettext_lazy("Try again"), permissions=["decide"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        wanted = list(queryset.values_list("pk", flat=True))
        count = engine.try_again(job_ids=wanted, now=timezone.now(), actor=actor_of(request))
        messages.success(request, _("%(count)d wait again.") % {"count": count})
