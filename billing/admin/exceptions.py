"""The queue of what finance must decide."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import TotalsMixin, money, user_of
from billing.models import BillingException
from billing.services import exceptions
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict


class OpenFilter(admin.SimpleListFilter):
    """Open ones unless asked otherwise: a queue, not an archive."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("resolved", _("Decided")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        choices = list(super().choices(changelist))
        choices[0]["display"] = _("Open")
        return iter(choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return queryset.filter(resolved_at__isnull=self.value() != "resolved")


@admin.register(BillingException)
class BillingExceptionAdmin(TotalsMixin, ReadOnlyAdmin):
    list_display = ["title", "kind", "vehicle", "amount", "age_shown", "owner", "resolved_at"]
    list_filter = [OpenFilter, "kind", "owner"]
    list_select_related = ["session__vehicle", "owner"]
    search_fields = ["title", "session__vehicle__registration", "reference"]
    ordering = ["opened_at"]
    actions = ["resolve_selected", "take"]
    actions_detail = ["resolve"]

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), amount=Sum("amount_paise"))
        return [(_("Exceptions"), f"{sums['count']}"), (_("Amount"), money(sums["amount"] or 0))]

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: BillingException) -> Any:
        return row.session.vehicle if row.session else None

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: BillingException) -> str:
        return money(row.amount_paise or None)

    @display(description=gettext_lazy("Age"), ordering="opened_at")
    def age_shown(self, row: BillingException) -> str:
        return timesince(row.opened_at, row.resolved_at, depth=1)

    @action(description=gettext_lazy("Resolve"), url_path="resolve", permissions=["decide"])
    def resolve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            self._resolve(request, [row], form)
            return back_to(self)
        return ask(request, self, title=_("Resolve"), form=form, submit=_("Resolve"), rows=[row])

    @admin.action(description=gettext_lazy("Resolve with a reason"), permissions=["decide"])
    def resolve_selected(self, request: HttpRequest, queryset: QuerySet[BillingException]) -> HttpResponse | None:
        rows = list(queryset.filter(resolved_at=None))
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            self._resolve(request, rows, form)
            return None
        chosen = [("_selected_action", row.pk) for row in rows]
        hidden = [("action", "resolve_selected"), *chosen]
        title = _("Resolve %(count)d exceptions") % {"count": len(rows)}
        return ask(request, self, title=title, form=form, submit=_("Resolve"), rows=rows, hidden=hidden)

    @admin.action(description=gettext_lazy("Take over"), permissions=["decide"])
    def take(self, request: HttpRequest, queryset: QuerySet[BillingException]) -> None:
        user = user_of(request)
        for row in queryset:
            exceptions.assign_exception(exception_id=row.pk, owner=user, actor=user)
        messages.success(request, _("They are yours now."))

    def _resolve(self, request: HttpRequest, rows: list[BillingException], form: ReasonForm) -> None:
        done = 0
        for row in rows:
            try:
                exceptions.resolve_exception(
                    exception_id=row.pk, actor=user_of(request), reason=form.cleaned_data["reason"], at=timezone.now()
                )
                done += 1
            except Conflict:
                messages.warning(request, _("%(title)s was decided already.") % {"title": row.title})
        messages.success(request, _("%(count)d resolved.") % {"count": done})
