"""What waits for a second person, and what was decided."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.operators import is_operator
from billing.admin.shown import FinanceAdmin, Label, TotalsMixin, group_indian, money, user_of
from billing.approvals import services
from billing.approvals.models import Approval
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict

STATE_COLOURS = {
    "asked": "warning", "approved": "success", "declined": "danger", "withdrawn": "info", "expired": "info",
    "free": "success",
}  # fmt: skip
DEEDS: dict[str, tuple[Any, Any]] = {
    "approve": (gettext_lazy("Approve"), lambda row, user, reason, now: services.approve(
        approval_id=row.pk, decided_by=user, reason=reason, now=now
    )),
    "decline": (gettext_lazy("Decline"), lambda row, user, reason, now: services.decline(
        approval_id=row.pk, decided_by=user, reason=reason, now=now
    )),
    "withdraw": (gettext_lazy("Withdraw"), lambda row, user, reason, now: services.withdraw(
        approval_id=row.pk, by=user, reason=reason, now=now
    )),
}  # fmt: skip


class WaitingFilter(admin.SimpleListFilter):
    """What waits, unless asked otherwise."""

    title = gettext_lazy("state")
    parameter_name = "decided"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Decided")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        choices = list(super().choices(changelist))
        choices[0]["display"] = _("Waiting")
        return iter(choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        waits = Approval.State.ASKED
        return queryset.exclude(state=waits) if self.value() == "yes" else queryset.filter(state=waits)


class KindFilter(admin.SimpleListFilter):
    """By what would happen; only the kinds that the person sees at all."""

    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        hidden = set() if is_operator(request) else set(services.ours())
        return [(name, kind.label) for name, kind in services.kinds().items() if name not in hidden]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Approval)
class ApprovalAdmin(TotalsMixin, FinanceAdmin):
    """A fleet sees the wishes that are its own to decide; those about our own money are the operators'."""

    list_display = [
        "asked_at", "title", "kind_shown", "amount", "asked_by", "judged", "expires_at", "decided_by", "organisation",
    ]  # fmt: skip
    list_filter = [WaitingFilter, KindFilter]
    list_select_related = ["asked_by", "decided_by", "organisation"]
    search_fields = ["title", "reason", "subject"]
    fields = [
        "title", "kind_shown", "amount", "changes", "reason", "asked_by", "asked_at", "expires_at", "judged",
        "decided_by", "decided_at", "decided_because", "outcome", "organisation",
    ]  # fmt: skip
    readonly_fields = ["kind_shown", "amount", "changes", "judged"]
    actions_detail = ["approve", "decline", "withdraw"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows if is_operator(request) else rows.exclude(kind__in=services.ours())

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        """Buttons for whom the service would listen to, while it waits (unfold passes the row's id)."""
        row = self._open(request, obj)
        return self._has_role(request, DESK) and (row is None or services.may_decide(row, user_of(request)))

    def has_withdraw_permission(self, request: Any, obj: Any = None) -> bool:
        row = self._open(request, obj)
        return self._has_role(request, DESK) and (row is None or row.asked_by_id == request.user.pk)

    def _open(self, request: Any, obj: Any) -> Approval | None:
        row = self.get_object(request, str(obj)) if isinstance(obj, str | int) else obj
        return row if row is not None and row.state == Approval.State.ASKED else None

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), total=Sum("amount_paise"))
        return [(_("Wishes"), group_indian(sums["count"])), (_("Amount"), money(sums["total"] or 0))]

    @display(description=gettext_lazy("Kind"), ordering="kind")
    def kind_shown(self, row: Approval) -> Any:
        kind = services.kinds().get(row.kind)
        return kind.label if kind else row.kind.replace("_", " ")

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: Approval) -> str:
        return money(row.amount_paise)

    @display(description=gettext_lazy("Would change"))
    def changes(self, row: Approval) -> str:
        return "; ".join(told(row)) or "—"

    @display(description=gettext_lazy("State"), label=STATE_COLOURS)
    def judged(self, row: Approval) -> Any:
        return Label(row.state, row.get_state_display())

    @action(description=gettext_lazy("Approve"), url_path="approve", permissions=["decide"])
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, "approve")

    @action(description=gettext_lazy("Decline"), url_path="decline", permissions=["decide"])
    def decline(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, "decline")

    @action(description=gettext_lazy("Withdraw"), url_path="withdraw", permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, "withdraw")

    def _decide(self, request: HttpRequest, object_id: str, deed: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        label, do = DEEDS[deed]
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            facts = [f"{_('Asked by')} {row.asked_by}: {row.reason}", money(row.amount_paise), *told(row)]
            return ask(request, self, title=row.title, form=form, submit=str(label), rows=facts)
        try:
            do(row, user_of(request), form.cleaned_data["reason"], timezone.now())
            messages.success(request, _("Done: %(title)s.") % {"title": row.title})
        except (ValueError, Conflict) as error:
            messages.error(request, str(getattr(error, "detail", error)))
        return back_to(self, row.pk)


def told(row: Approval) -> list[str]:
    """What would change, a sentence each."""
    return [f"{what}: {before} → {after}" for what, before, after in services.changes(row)]
