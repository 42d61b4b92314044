"""Operators upload the statement of our bank account: tried first, every odd line told, taken whole or in part."""

import csv
import hashlib
import io
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from billing.admin.operators import OperatorDeeds, operators_only
from billing.admin.shown import user_of
from billing.cpo_bills import workbook
from billing.models import BankLine
from billing.payments import bank
from fleetcharge.accounts.services import audit

MOST_BYTES = 25_000_000
LABELS = {
    "date": gettext_lazy("Column of the day"), "reference": gettext_lazy("Column of the UTR"),
    "amount": gettext_lazy("Column of the credit"), "text": gettext_lazy("Column of the text"),
}  # fmt: skip


class StatementForm(forms.Form):
    file = forms.FileField(label=gettext_lazy("File (CSV or XLSX)"), widget=UnfoldAdminFileFieldWidget)
    date_format = forms.CharField(
        label=gettext_lazy("How dates are written"), initial=bank.ISO, widget=UnfoldAdminTextInputWidget
    )
    is_trial = forms.BooleanField(
        label=gettext_lazy("Only try: check everything, keep nothing"), required=False, initial=True,
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    skips_problems = forms.BooleanField(
        label=gettext_lazy("Leave out the lines that cannot be used"), required=False, widget=UnfoldBooleanSwitchWidget
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for name, label in LABELS.items():
            self.fields[name] = forms.CharField(
                label=label, initial=bank.COLUMNS[name], required=name != "text", widget=UnfoldAdminTextInputWidget
            )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(_("The file is too large."))
        return file


class StatementUpload(OperatorDeeds):
    """Mixed into the admin of bank lines."""

    admin_site: Any
    model: Any

    @operators_only
    @action(description=gettext_lazy("Upload a statement"), url_path="upload", permissions=["operate"])  # type: ignore[untyped-decorator]
    def upload(self, request: HttpRequest) -> HttpResponse:
        form, told = StatementForm(request.POST or None, request.FILES or None), []
        rejected: list[dict[str, object]] = []
        unusable = 0
        if form.is_valid():
            content = form.cleaned_data["file"].read()
            try:
                taken = self._take(request, form.cleaned_data, content)
            except (bank.UnreadableStatement, workbook.UnusableWorkbook, UnicodeDecodeError, csv.Error) as error:
                rejected = [{"why": str(error)}]
            else:
                told = [
                    (_("Lines"), f"{taken.lines:,}"), (_("New"), f"{taken.new:,}"),
                    (_("Cannot be used"), f"{taken.unusable:,}"),
                ]  # fmt: skip
                rejected = [{"line": line, "why": why} for line, why in taken.problems]
                unusable = taken.unusable
        context = {
            **self.admin_site.each_context(request), "opts": self.model._meta, "form": form, "told": told,
            "title": _("Upload a statement of our bank account"), "rejected": rejected,
            "not_shown": max(0, unusable - len(rejected)),
            "was_trial": bool(told) and form.cleaned_data["is_trial"],
            "is_kept": bool(told) and form.cleaned_data["skips_problems"] and not form.cleaned_data["is_trial"],
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/utility_import.html", context)

    @transaction.atomic
    def _take(self, request: HttpRequest, told: dict[str, Any], content: bytes) -> bank.Taken:
        """With lines that cannot be used nothing is kept, unless they are to be left out."""
        taken = bank.take(
            lines_of(content, told["date_format"]), now=timezone.now(), date_format=told["date_format"],
            columns={name: told[name] for name in LABELS}, is_dry_run=told["is_trial"],
        )  # fmt: skip
        if told["is_trial"]:
            return taken
        if taken.problems and not told["skips_problems"]:
            transaction.set_rollback(True)
            return taken
        audit(
            action="bank_statement.take", target=BankLine(), actor=user_of(request),
            after={"file": told["file"].name, "sha256": hashlib.sha256(content).hexdigest(), "lines": taken.lines,
                   "new": taken.new, "left_out": taken.unusable},
        )  # fmt: skip
        messages.success(request, _("The statement is taken: %(count)d new lines.") % {"count": taken.new})
        return taken


def lines_of(content: bytes, date_format: str) -> Iterator[str]:
    """Of a CSV in UTF-8, or of the first sheet of an XLSX."""
    if not content.startswith(workbook.MAGIC):
        yield from content.decode("utf-8-sig").splitlines(keepends=True)
        return
    last = 0
    for number, row in workbook.rows(io.BytesIO(content), date_format=date_format):
        yield from ("\r\n" for _ in range(number - last - 1))  # what is told of a line names the row of the sheet
        last = number
        line = io.StringIO()
        csv.writer(line).writerow(row)
        yield line.getvalue()
