"""Jobs that wait and those that were given up, with another try."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from billing.admin.shown import FinanceAdmin, code_column, code_filter
from billing.desk.words import JOBS
from billing.jobs import engine
from billing.jobs.about import names_of
from billing.jobs.models import Job
from fleetcharge.accounts.admin import DESK, actor_of

KIND = code_column("kind", gettext_lazy("Kind"), JOBS)


@admin.register(Job)
class JobAdmin(FinanceAdmin):
    """Work of the background. What is done is not here any more."""

    list_display = [KIND, "about", "organisation", "state", "attempts", "next_try_at", "error", "created_at"]
    list_filter = ["state", code_filter("kind", gettext_lazy("kind"), JOBS)]
    fields = [
        KIND, "about", "organisation", "state", "attempts", "next_try_at", "error", "created_at", "died_at", "key",
    ]  # fmt: skip
    readonly_fields = ["about"]
    list_select_related = ["organisation"]
    search_fields = ["key", "error"]
    ordering = ["state", "next_try_at"]
    actions = ["try_again"]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        _name(changelist.result_list)
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        _name([row] if row is not None else [])
        return row

    @display(description=gettext_lazy("About"), ordering="key")
    def about(self, row: Any) -> str:
        return str(row.name)

    def has_decide_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return self._has_role(request, DESK)

    @admin.action(description=gettext_lazy("Try again"), permissions=["decide"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        wanted = list(queryset.values_list("pk", flat=True))
        count = engine.try_again(job_ids=wanted, now=timezone.now(), actor=actor_of(request))
        messages.success(request, _("%(count)d wait again.") % {"count": count})


def _name(rows: Iterable[Any]) -> None:
    jobs = list(rows)
    for job, name in zip(jobs, names_of(jobs), strict=True):
        job.name = name
