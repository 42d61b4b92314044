"""The queue of what finance must decide."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, Label, TotalsMixin, group_indian, money, user_of
from billing.approvals import write_offs
from billing.dashboard import AGES, AT_STAKE
from billing.desk import fixes
from billing.models import BillingException
from billing.services import exceptions, ledger
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
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


class AgeFilter(admin.SimpleListFilter):
    """The columns of finance's home."""

    title = gettext_lazy("age")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(f"{index}", label) for index, (_age, label) in enumerate(AGES)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        if not value.isdecimal() or int(value) >= len(AGES):
            return queryset
        now, index = timezone.now(), int(value)
        youngest = now - AGES[index - 1][0] if index else now
        return queryset.filter(opened_at__gt=now - AGES[index][0], opened_at__lte=youngest)


class OwnerFilter(admin.SimpleListFilter):
    title = gettext_lazy("owner")
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("mine", _("Mine")), ("nobody", _("Nobody's"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "mine":
            return queryset.filter(owner=request.user.pk)
        return queryset.filter(owner=None) if self.value() == "nobody" else queryset


EVIDENCE = ("session__verdict__evidence", "session__verdict__findings", "session__cdr__explanation")


@admin.register(BillingException)
class BillingExceptionAdmin(TotalsMixin, FinanceAdmin):
    list_display = ["title", "kind", "vehicle", "amount", "age_shown", "due_shown", "owner", "fix_shown"]
    list_filter = [OpenFilter, AgeFilter, OwnerFilter, "kind"]
    list_select_related = ["session__vehicle", "session__verdict", "session__cdr", "owner"]
    search_fields = ["title", "session__vehicle__registration", "reference"]
    ordering = ["opened_at"]
    fields = [
        "title", "kind", "organisation", "session", "vehicle", "amount", "details", "reference", "opened_at",
        "due_shown", "owner", "resolved_at", "resolved_by", "resolution",
    ]  # fmt: skip
    readonly_fields = ["vehicle", "amount", "due_shown"]
    actions = ["resolve_selected", "take"]
    actions_detail = ["fix", "take_one", "resolve", "ask_write_off"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the evidence, which a list does not show."""
        return super().get_queryset(request).defer(*EVIDENCE)

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), amount=Sum(AT_STAKE))
        return [(_("Exceptions"), group_indian(sums["count"])), (_("Amount"), money(sums["amount"] or 0))]

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: BillingException) -> Any:
        return row.session.vehicle if row.session else None

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: BillingException) -> str:
        """What it is about, else what its session cost: as at home."""
        cdr = getattr(row.session, "cdr", None)
        return money(row.amount_paise or (cdr.total_paise if cdr is not None else None) or None)

    @display(description=gettext_lazy("Age"), ordering="opened_at")
    def age_shown(self, row: BillingException) -> str:
        return timesince(row.opened_at, row.resolved_at, depth=1)

    @display(description=gettext_lazy("Due"), label={"late": "danger", "soon": "warning", "fine": "info"})
    def due_shown(self, row: BillingException) -> Any:
        if row.resolved_at is not None:
            return Label("fine", _("decided"))
        due, now = fixes.due_at(row), timezone.now()
        if due < now:
            return Label("late", _("late by %(time)s") % {"time": timesince(due, now, depth=1)})
        is_soon = due - now < timedelta(hours=12)
        return Label("soon" if is_soon else "fine", _("in %(time)s") % {"time": timeuntil(due, now, depth=1)})

    @display(description=gettext_lazy("Settle"))
    def fix_shown(self, row: BillingException) -> SafeString | str:
        fix = fixes.fix_for(row)
        if fix is None:
            return "—"
        return render_to_string("admin/billing/fix.html", {
            "fix": fix, "row": row, "url": reverse("admin:billing_billingexception_fix", args=[row.pk]),
        })  # fmt: skip

    @action(description=gettext_lazy("Settle"), url_path="fix", permissions=["decide"])
    def fix(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One click: the deed of its kind, on a POST; asked first when somebody only opens the address."""
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        fix = fixes.fix_for(row)
        if fix is not None and fix.link:
            return HttpResponseRedirect(fix.link)
        if fix is not None and request.method != "POST":
            return ask(request, self, title=row.title, form=forms.Form(), submit=fix.label, rows=[row])
        try:
            done = fixes.apply(exception_id=row.pk, actor=user_of(request), now=timezone.now())
            messages.success(request, f"{row.title}: {done.resolution or _('Another person has to approve it.')}")
        except Conflict as error:
            messages.warning(request, f"{row.title}: {error.detail}")
        return back_to(self)

    @action(description=gettext_lazy("Take over"), url_path="take", permissions=["decide"])
    def take_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        if request.method != "POST":
            return ask(request, self, title=_("Take over: %(title)s") % {"title": row.title}, form=forms.Form(),
                       submit=_("Take over"))  # fmt: skip
        exceptions.assign_exception(exception_id=row.pk, owner=user_of(request), actor=user_of(request))
        messages.success(request, _("It is yours now."))
        return back_to(self, row.pk)

    @action(description=gettext_lazy("Ask for a write-off"), url_path="write-off", permissions=["write_off"])
    def ask_write_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None or row.organisation_id is None:
            return back_to(self)
        owed = ledger.balance_paise(ledger.receivable_code(row.organisation_id))
        form = ReasonForm(request.POST or None)
        title = _("Write off %(amount)s that %(name)s owes") % {"amount": money(owed), "name": row.organisation}
        if not form.is_valid():
            return ask(request, self, title=title, form=form, submit=_("Ask a second person"), rows=[row])
        try:
            wish = write_offs.ask(
                organisation_id=row.organisation_id, amount_paise=owed, asked_by=user_of(request),
                reason=form.cleaned_data["reason"], now=timezone.now(), exception_id=row.pk,
            )  # fmt: skip
            messages.success(request, _("Another person has to approve it."))
            return back_to(self.admin_site.get_model_admin(type(wish)), wish.pk)
        except (ValueError, Conflict) as error:
            messages.error(request, str(getattr(error, "detail", error)))
            return back_to(self, row.pk)

    def has_write_off_permission(self, request: Any, obj: Any = None) -> bool:
        """What a fleet owes us is ours to write off."""
        return bool(request.user.is_active and request.user.is_superuser)

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
