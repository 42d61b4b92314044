"""Finance uploads a network's bill: tried first, every row reported, then taken, and what differs argued about."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.admin.big import stream
from billing.admin.bill_lines import rows_shown
from billing.admin.shown import FinanceAdmin, Label, group_indian, money, user_of
from billing.cpo_bills import files, services, uploads
from billing.cpo_bills.reading import NAMES, NEEDED, Layout
from billing.models import BillUpload, NetworkBillRow
from billing.utility.admin.forms import DayWidget
from fleetcharge.accounts.admin import DESK, ask, back_to
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict
from stations.models import Source

OUTCOMES = NetworkBillRow.Outcome.choices
COLOURS = {"waiting": "info", "tried": "info", "taken": "success", "refused": "danger"}
SHORT = 20
OFFERED = {"tried": ("take", "report"), "refused": ("try_again",), "taken": ("report",)}
KEPT_COLUMNS = gettext_lazy("Left empty: the columns stored for this network are used.")


DATES = gettext_lazy("%d/%m/%Y %H:%M for 21/11/2026 11:30; %d day, %m month, %Y year, %H hour, %M minute, %S second.")


class UploadForm(forms.Form):
    """Columns may be left out when the network's format is stored."""

    source = forms.ModelChoiceField(
        Source.objects.none(), label=gettext_lazy("Network"), widget=UnfoldAdminSelectWidget
    )  # fmt: skip
    number = forms.CharField(label=gettext_lazy("Bill number"), max_length=60, widget=UnfoldAdminTextInputWidget)
    starts_on = forms.DateField(label=gettext_lazy("From"), widget=DayWidget)
    ends_on = forms.DateField(label=gettext_lazy("To (last day)"), widget=DayWidget)
    file = forms.FileField(label=gettext_lazy("File (CSV or XLSX)"), widget=UnfoldAdminFileFieldWidget)
    reference = forms.CharField(label=gettext_lazy("Column of the record's id"), help_text=KEPT_COLUMNS)
    started_at = forms.CharField(label=gettext_lazy("Column of the start"))
    energy = forms.CharField(label=gettext_lazy("Column of the energy"))
    total = forms.CharField(label=gettext_lazy("Column of the amount"))
    date_format = forms.CharField(
        label=gettext_lazy("How dates are written"), initial=Layout({}).date_format, help_text=DATES
    )
    is_energy_in_wh = forms.BooleanField(label=gettext_lazy("Energy is in Wh"))
    is_trial = forms.BooleanField(label=gettext_lazy("Only try: check everything, keep nothing"), initial=True)

    def __init__(self, organisation: Organisation | None, *args: Any) -> None:
        super().__init__(*args)
        self.organisation = organisation
        networks: Any = self.fields["source"]
        shared = Source.objects.exclude(kind=Source.Kind.OWN_OCPP).order_by("name")
        whose = Q(organisation=None) | Q(organisation=organisation)
        networks.queryset = shared.filter(whose) if organisation is not None else shared
        for name in (*NAMES, "date_format"):
            self.fields[name].required, self.fields[name].widget = False, UnfoldAdminTextInputWidget()
        for name in ("is_energy_in_wh", "is_trial"):
            self.fields[name].required, self.fields[name].widget = False, UnfoldBooleanSwitchWidget()
        if organisation is None:
            rows = Organisation.objects.order_by("name")
            label = gettext_lazy("Organisation")
            chosen = forms.ModelChoiceField(rows, label=label, widget=UnfoldAdminSelectWidget)
            self.fields = {"organisation": chosen, **self.fields}

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > uploads.MOST_BYTES:
            raise forms.ValidationError(_("The file is too large."))
        return file

    def clean(self) -> Any:
        told = super().clean() or self.cleaned_data
        if told.get("starts_on") and told.get("ends_on") and told["ends_on"] < told["starts_on"]:
            self.add_error("ends_on", _("The last day is before the first."))
        self.organisation = self.organisation or told.get("organisation")
        if self.organisation is None or told.get("source") is None:
            return told
        columns = {name: told[name].strip() for name in NAMES if (told.get(name) or "").strip()}
        stored = services.layout_of(self.organisation, told["source"])
        if not columns and stored is not None:
            told["layout"] = stored
        elif missing := [name for name in NEEDED if name not in columns]:
            for name in missing:
                self.add_error(name, _("Which column is it? No format of this network is stored."))
        else:
            told["layout"] = Layout(
                columns, told.get("date_format") or Layout({}).date_format, is_energy_in_wh=told["is_energy_in_wh"]
            )
        return told


class TakeForm(forms.Form):
    """Asks about lines that cannot be used where there are any."""

    skips_problems = forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget)

    def __init__(self, unusable: int, *args: Any) -> None:
        super().__init__(*args)
        if not unusable:
            del self.fields["skips_problems"]
            return
        told = ngettext(
            "Leave out the line that cannot be used", "Leave out the %(count)d lines that cannot be used", unusable
        )
        self.fields["skips_problems"].label = told % {"count": unusable}


@admin.register(BillUpload)
class BillUploadAdmin(FinanceAdmin):
    change_form_before_template = "admin/billing/bill_upload.html"
    list_display = [
        "uploaded_at", "source", "number", "starts_on", "ends_on", "shown", "counted", "total", "uploaded_by",
    ]  # fmt: skip
    list_filter = ["state"]
    list_select_related = ["source", "uploaded_by", "bill__source"]
    search_fields = ["number", "file_name"]
    ordering = ["-pk"]
    fields = [
        "source", "number", "starts_on", "ends_on", "file_name", "shown", "taken_as", "uploaded_by", "uploaded_at",
        "finished_at", "forgotten_at",
    ]  # fmt: skip
    readonly_fields = ["shown", "taken_as"]
    actions_list = ["upload"]
    actions_detail = ["take", "try_again", "report"]

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        """The list reads no file and no report."""
        rows = super().get_queryset(request).defer("content")
        is_list = request.resolver_match is not None and request.resolver_match.url_name.endswith("_changelist")
        return rows.defer("report", "problems") if is_list else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row.page = page_of(row)
        return row

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """What can be done with it as it is."""
        row = self.get_queryset(request).only("state", "forgotten_at").filter(pk=object_id).first()
        names = OFFERED.get(row.state, ()) if row is not None and row.forgotten_at is None else ("report",)
        offered = {f"billing_billupload_{name}" for name in names}
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name in offered]

    @display(description=gettext_lazy("State"), ordering="state", label=COLOURS)
    def shown(self, row: BillUpload) -> Any:
        return Label(row.state, row.get_state_display())

    @display(description=gettext_lazy("Lines"), ordering="lines")
    def counted(self, row: BillUpload) -> str:
        return group_indian(row.lines)

    @display(description=gettext_lazy("Bill"))
    def taken_as(self, row: BillUpload) -> Any:
        """What was only tried holds a draft, which is nobody's business."""
        if row.bill is None or row.bill.is_draft:
            return "—"
        url = reverse("admin:billing_networkbill_change", args=[row.bill_id])
        return format_html('<a class="underline" href="{}">{}</a>', url, row.bill)

    @display(description=gettext_lazy("Total"), ordering="total_paise")
    def total(self, row: BillUpload) -> str:
        return money(row.total_paise)

    @action(description=gettext_lazy("Upload a bill"), url_path="upload", permissions=["decide"])
    def upload(self, request: HttpRequest) -> HttpResponse:
        own = None if request.user.is_superuser else request.organisation  # type: ignore[attr-defined]
        form = UploadForm(own, request.POST or None, request.FILES or None)
        if form.is_valid():
            told = form.cleaned_data
            row = uploads.upload(
                organisation=own or told["organisation"], source=told["source"], number=told["number"],
                starts_on=told["starts_on"], ends_on=told["ends_on"], file_name=told["file"].name,
                content=told["file"].read(), layout=told["layout"], is_trial=told["is_trial"], skips_problems=False,
                actor=user_of(request), at=timezone.now(),
            )  # fmt: skip
            return back_to(self, row.pk)
        context = {
            **self.admin_site.each_context(request), "opts": self.model._meta, "form": form,
            "title": _("Upload a network's bill"),
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/utility_import.html", context)

    @action(description=gettext_lazy("Take it"), url_path="take", permissions=["decide"])
    def take(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = TakeForm(row.unusable, request.POST if request.method == "POST" else None)
        if not form.is_valid():
            title = _("Take %(count)d lines of %(amount)s") % {"count": row.lines, "amount": money(row.total_paise)}
            return ask(request, self, title=title, form=form, submit=_("Take it"))
        try:
            uploads.take(
                upload_id=row.pk, skips_problems=form.cleaned_data.get("skips_problems", False), actor=user_of(request),
                at=timezone.now(),
            )  # fmt: skip
        except Conflict as conflict:
            messages.error(request, str(conflict.detail))
        return back_to(self, row.pk)

    @action(description=gettext_lazy("Try again"), url_path="try-again", permissions=["decide"])
    def try_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        if request.method != "POST":
            title = _("Try %(file)s again, and keep nothing yet") % {"file": row.file_name}
            return ask(request, self, title=title, form=forms.Form(), submit=_("Try again"))
        try:
            uploads.try_again(upload_id=row.pk, actor=user_of(request), at=timezone.now())
        except Conflict as conflict:
            messages.error(request, str(conflict.detail))
        return back_to(self, row.pk)

    @action(description=gettext_lazy("Report (CSV)"), url_path="report", permissions=["decide"])
    def report(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        return stream(f"bill-report-{row.pk}", files.report(row))


def page_of(row: BillUpload) -> dict[str, Any]:
    """Template context: what the file holds, how far we are, every row as far as it is shown."""
    return {
        "waits": row.state == BillUpload.State.WAITING, "job": uploads.job_of(row),
        "stage": row.get_stage_display(), "is_read": row.stage == BillUpload.Stage.READ,
        "was_tried": row.state == BillUpload.State.TRIED and row.forgotten_at is None, "problems": row.problems,
        "not_shown": row.unusable - len(row.problems), "is_short": row.unusable <= SHORT,
        "told": [
            (_("Lines"), group_indian(row.lines), ""), (_("Billed"), money(row.total_paise), ""),
            *((label, group_indian(row.outcomes[name]), "") for name, label in OUTCOMES if name in row.outcomes),
            (_("Cannot be used"), group_indian(row.unusable), ""),
        ],
        "rows": rows_shown(row.report),
    }  # fmt: skip
