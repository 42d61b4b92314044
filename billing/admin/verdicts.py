"""Finance's reconciliation page: map, track, gap, evidence in words; bill it or keep it off, with a reason."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.shown import VERDICT_COLOURS, FinanceAdmin, Label, findings_shown, user_of
from billing.models import ReconciliationVerdict
from billing.reconciliation import deciding, files, page
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict

Outcome = ReconciliationVerdict.Outcome
OUTCOME_COLOURS = {"dismissed": "success", "accepted": "success", "disputed": "warning", "charged_back": "danger"}
BILL = [Outcome.DISMISSED, Outcome.ACCEPTED]
KEEP_OFF = [Outcome.DISPUTED, Outcome.CHARGED_BACK]


class ToLookAtFilter(admin.SimpleListFilter):
    title = gettext_lazy("decision")
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Waits for a decision")), ("no", _("Decided"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(outcome="", verdict__in=["review", "blocked", "invalid"])
        return queryset.exclude(outcome="") if self.value() == "no" else queryset


def outcome_form(choices: list[Outcome]) -> type[ReasonForm]:
    class OutcomeForm(ReasonForm):
        outcome = forms.ChoiceField(
            label=gettext_lazy("Decision"), choices=[(each.value, each.label) for each in choices],
            widget=UnfoldAdminSelectWidget,
        )  # fmt: skip
        field_order = ["outcome", "reason"]

    return OutcomeForm


@admin.register(ReconciliationVerdict)
class ReconciliationVerdictAdmin(FinanceAdmin):
    organisation_path = "session__organisation"
    change_form_before_template = "admin/billing/verdict.html"
    list_display = [
        "decided_at", "vehicle", "driver", "site", "started", "judged", "points", "first_finding", "decision",
    ]  # fmt: skip
    list_filter = [ToLookAtFilter, "verdict", "outcome", "ruleset_version"]
    list_select_related = ["session__vehicle", "session__driver", "session__connector__evse__location"]
    search_fields = ["session__vehicle__registration", "session__transaction_ref"]
    ordering = ["-decided_at"]
    fields = [
        "session", "site", "driver", "judged", "points", "shown", "decision", "outcome_reason", "outcome_by",
        "outcome_at",
        "ruleset_version", "input_hash", "decided_at",
    ]  # fmt: skip
    readonly_fields = ["site", "driver", "judged", "shown", "decision"]
    actions_detail = ["bill", "keep_off", "evidence_csv", "evidence_json"]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row.page = page.page_of(row)
        return row

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        """The list shows no evidence: it is not read for it."""
        rows = super().get_queryset(request)
        is_list = request.resolver_match is not None and request.resolver_match.url_name.endswith("_changelist")
        return rows.defer("evidence", "thresholds") if is_list else rows

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: ReconciliationVerdict) -> Any:
        return row.session.vehicle

    @display(description=gettext_lazy("Driver"))
    def driver(self, row: ReconciliationVerdict) -> Any:
        return row.session.driver

    @display(description=gettext_lazy("Site"))
    def site(self, row: ReconciliationVerdict) -> Any:
        return row.session.connector.evse.location

    @display(description=gettext_lazy("Session began"), ordering="session__started_at")
    def started(self, row: ReconciliationVerdict) -> Any:
        return row.session.started_at

    @display(description=gettext_lazy("Verdict"), label=VERDICT_COLOURS)
    def judged(self, row: ReconciliationVerdict) -> Any:
        return Label(row.verdict, row.get_verdict_display())

    @display(description=gettext_lazy("Decision"), label=OUTCOME_COLOURS)
    def decision(self, row: ReconciliationVerdict) -> Any:
        return Label(row.outcome, row.get_outcome_display()) if row.outcome else None

    @display(description=gettext_lazy("First finding"))
    def first_finding(self, row: ReconciliationVerdict) -> str:
        return row.findings[0]["text"] if row.findings else "—"

    @display(description=gettext_lazy("Findings"))
    def shown(self, row: ReconciliationVerdict) -> SafeString:
        return findings_shown(row, has_track=False)

    @action(description=gettext_lazy("Bill it"), url_path="bill", permissions=["decide"])
    def bill(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, BILL, _("Bill it"))

    @action(description=gettext_lazy("Keep it off the invoice"), url_path="keep-off", permissions=["decide"])
    def keep_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, KEEP_OFF, _("Keep it off the invoice"))

    @action(description=gettext_lazy("Evidence (CSV)"), url_path="evidence-csv", permissions=["view"])
    def evidence_csv(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._file(request, object_id, "csv")

    @action(description=gettext_lazy("Evidence (JSON)"), url_path="evidence-json", permissions=["view"])
    def evidence_json(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._file(request, object_id, "json")

    def _decide(self, request: HttpRequest, object_id: str, choices: list[Outcome], title: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = outcome_form(choices)(request.POST or None)
        if not form.is_valid():
            return ask(request, self, title=title, form=form, submit=title, rows=[row.session])
        try:
            deciding.decide(
                verdict_id=row.pk, outcome=form.cleaned_data["outcome"], reason=form.cleaned_data["reason"],
                actor=user_of(request), at=timezone.now(),
            )  # fmt: skip
        except Conflict as conflict:
            messages.error(request, str(conflict.detail))
        return back_to(self, row.pk)

    def _file(self, request: HttpRequest, object_id: str, form: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        packed = files.pack(ReconciliationVerdict.objects.select_related(*files.RELATED).get(pk=row.pk))
        answer = JsonResponse(packed) if form == "json" else HttpResponse(files.as_csv(packed), content_type="text/csv")
        answer["Content-Disposition"] = f'attachment; filename="{files.file_name(row, form)}"'
        return answer
