"""Tax documents in the admin: looked at, downloaded, sent, credited; never edited."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget

from billing.admin.operators import OperatorDeeds, operators_only
from billing.admin.shown import (
    FinanceAdmin,
    Label,
    TotalsMixin,
    choices_filter,
    code_column,
    code_filter,
    money,
    user_of,
)
from billing.approvals import goodwill
from billing.approvals.following import follow
from billing.desk.words import SUPPLIES
from billing.gst.states import name_of
from billing.invoicing import files
from billing.invoicing.irp.client import portal
from billing.invoicing.models import EInvoice, OrganisationRegistration, SupplierRegistration, TaxDocument
from billing.invoicing.rendering.pdf import quantity_shown
from billing.invoicing.services import einvoices, late_notes, mailing, moving
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import PAISE_PER_RUPEE, group_indian

IRN_COLOURS = {
    "registered": "success", "pending": "info", "failed": "danger", "too_late": "danger", "cancelled": "warning",
}  # fmt: skip


class GoodwillForm(ReasonForm):
    field_order = ["amount", "reason"]
    amount = forms.DecimalField(
        label=gettext_lazy("Amount in rupees, with tax"), max_digits=13, decimal_places=2, required=False,
        min_value=Decimal("0.01"), widget=UnfoldAdminDecimalFieldWidget,
        help_text=gettext_lazy("Empty: all that is left of the invoice."),
    )  # fmt: skip

    def wanted(self) -> dict[str, Any]:
        amount = self.cleaned_data["amount"]
        paise = None if amount is None else int(amount * PAISE_PER_RUPEE)
        return {"amount_paise": paise, "reason": self.cleaned_data["reason"]}


class CancelForm(ReasonForm):
    """`reason` is what the portal is told, too."""

    field_order = ["code", "reason"]
    code = forms.ChoiceField(
        label=gettext_lazy("Why, in the portal's words"), choices=list(einvoices.REASONS.items()),
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip


class MoveForm(ReasonForm):
    """To which two GSTINs an advance goes."""

    field_order = ["supplier", "recipient", "reason"]
    supplier = forms.ModelChoiceField(
        SupplierRegistration.objects.filter(closed_on=None),
        label=gettext_lazy("From"),
        widget=UnfoldAdminSelectWidget(),
    )
    recipient = forms.ModelChoiceField(
        OrganisationRegistration.objects.none(), label=gettext_lazy("Billed to"), widget=UnfoldAdminSelectWidget()
    )

    def __init__(self, voucher: TaxDocument, data: Any = None) -> None:
        super().__init__(data)
        theirs = OrganisationRegistration.objects.filter(organisation=voucher.organisation_id)
        self.fields["recipient"].queryset = theirs  # type: ignore[attr-defined]


Kind = TaxDocument.Kind


def _net(field: str, plus: Q, minus: Q) -> Any:
    return Coalesce(Sum(field, filter=plus), 0) - Coalesce(Sum(field, filter=minus), 0)


SUPPLIED = code_column("supply_kind", gettext_lazy("Supply"), SUPPLIES)


@admin.register(TaxDocument)
class TaxDocumentAdmin(OperatorDeeds, TotalsMixin, FinanceAdmin):
    list_display = [
        "dated_on", "number", "kind", "organisation", "recipient", "taxable", "tax", "total", "sessions", "portal",
    ]  # fmt: skip
    list_filter = [
        "kind", "financial_year", ("e_invoice__state", choices_filter(gettext_lazy("portal"))),
        code_filter("supply_kind", gettext_lazy("supply"), SUPPLIES),
    ]  # fmt: skip
    list_select_related = ["organisation", "e_invoice", "original", "month", "supplier", "registration"]
    search_fields = ["number", "recipient_facts__gstin", "recipient_facts__legal_name"]
    date_hierarchy = "dated_on"
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": [
            "number", "kind", "dated_on", "month", "organisation", "original_shown", "reason", "late_shown",
        ]}),
        (gettext_lazy("Parties"), {"fields": ["from_shown", "recipient", "place", SUPPLIED]}),
        (gettext_lazy("Amounts"), {"fields": ["lines_shown", "taxable", "heads", "round_off", "total", "paid"]}),
        (gettext_lazy("E-invoice"), {"fields": ["portal", "irn_shown", "portal_error"]}),
        (gettext_lazy("Annexure"), {"fields": ["sessions", "annexure_sha256"]}),
        (gettext_lazy("Issued"), {"fields": ["issued_at", "issued_by"]}),
    ]  # fmt: skip
    readonly_fields = [
        "original_shown", "late_shown", "from_shown", "recipient", "place", "lines_shown", "taxable", "heads",
        "round_off", "total", "paid", "portal", "irn_shown", "portal_error", "sessions",
    ]  # fmt: skip
    actions_detail = [
        "as_pdf", "as_csv", "as_xlsx", "as_json", "mail", "credit", "report", "cancel_irn", "move", "confirm_late",
    ]  # fmt: skip

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """With what its page and its files show."""
        row = super().get_object(request, object_id, from_field)
        return row and TaxDocument.objects.select_related(*self.list_select_related).get(pk=row.pk)

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    def has_cancel_permission(self, request: Any, obj: Any = None) -> bool:
        """Only what is registered can be cancelled; after the portal's hours the deed says that it is too late."""
        registered = EInvoice.objects.filter(document=getattr(obj, "pk", obj), state=EInvoice.State.REGISTERED)
        return self.has_operate_permission(request) and registered.exists()

    def has_confirm_permission(self, request: Any, obj: Any = None) -> bool:
        """Only what came too late and nobody has confirmed yet."""
        if not self.has_operate_permission(request):
            return False
        question = late_notes.question_about(getattr(obj, "pk", obj) or 0)
        return question is not None and question.resolved_at is None

    def has_move_permission(self, request: Any, obj: Any = None) -> bool:
        """What is left of an advance; one that is used up says so."""
        vouchers = TaxDocument.objects.filter(pk=getattr(obj, "pk", obj), kind=Kind.RECEIPT_VOUCHER)
        return self.has_operate_permission(request) and vouchers.exists()

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        """Credit notes and refunds count against; an advance is no sale, so the two are never added up."""
        notes, sold = Q(kind=Kind.CREDIT_NOTE), Q(kind__in=[Kind.INVOICE, Kind.DEBIT_NOTE])
        received, refunded = Q(kind=Kind.RECEIPT_VOUCHER), Q(kind=Kind.REFUND_VOUCHER)
        sums = rows.aggregate(
            count=Count("pk"), taxable=_net("taxable_paise", sold, notes), total=_net("total_paise", sold, notes),
            advances=_net("total_paise", received, refunded),
        )  # fmt: skip
        return [
            (_("Documents"), group_indian(sums["count"])), (_("Taxable"), money(sums["taxable"])),
            (_("Invoiced"), money(sums["total"])), (_("Received in advance"), money(sums["advances"])),
        ]  # fmt: skip

    @display(description=gettext_lazy("Billed to"))
    def recipient(self, row: TaxDocument) -> str:
        facts = row.recipient_facts
        return f"{facts['legal_name']} {facts['gstin'] or _('(not registered)')}"

    @display(description=gettext_lazy("From"))
    def from_shown(self, row: TaxDocument) -> str:
        return f"{row.supplier_facts['legal_name']} {row.supplier_facts['gstin']}"

    @display(description=gettext_lazy("Place of supply"))
    def place(self, row: TaxDocument) -> str:
        return f"{name_of(row.place_of_supply)} ({row.place_of_supply})"

    @display(description=gettext_lazy("Refers to"))
    def original_shown(self, row: TaxDocument) -> str:
        return row.original.number if row.original else "—"

    @display(description=gettext_lazy("Came after the last day"))
    def late_shown(self, row: TaxDocument) -> str:
        question = late_notes.question_about(row.pk) if row.kind == Kind.CREDIT_NOTE else None
        if question is None:
            return "—"
        if question.resolved_at is None:
            return _("Waits to be confirmed by an operator")
        return _("Confirmed by %(who)s on %(day)s: %(reason)s") % {
            "who": question.resolved_by or "—", "day": date_format(timezone.localtime(question.resolved_at)),
            "reason": question.resolution,
        }  # fmt: skip

    @display(description=gettext_lazy("Taxable"), ordering="taxable_paise")
    def taxable(self, row: TaxDocument) -> str:
        return money(row.taxable_paise)

    @display(description=gettext_lazy("Tax"))
    def tax(self, row: TaxDocument) -> str:
        return money(row.tax_paise)

    @display(description=gettext_lazy("Tax"))
    def heads(self, row: TaxDocument) -> str:
        heads = [("CGST", row.cgst_paise), (row.state_head, row.sgst_paise), ("IGST", row.igst_paise)]
        return ", ".join(f"{name} {money(paise)}" for name, paise in heads if paise) or money(0)

    @display(description=gettext_lazy("Round off"))
    def round_off(self, row: TaxDocument) -> str:
        return money(row.round_off_paise)

    @display(description=gettext_lazy("Total"), ordering="total_paise")
    def total(self, row: TaxDocument) -> str:
        return money(row.total_paise)

    @display(description=gettext_lazy("Paid"))
    def paid(self, row: TaxDocument) -> str:
        later = row.payments.aggregate(paise=Sum("amount_paise"))["paise"] or 0
        return _("%(charged)s session by session, %(advance)s set off against advances, %(later)s by later top-ups") % {
            "charged": money(row.charged_paise), "advance": money(row.advance_paise), "later": money(later),
        }  # fmt: skip

    @display(description=gettext_lazy("Sessions"), ordering="annexure_rows")
    def sessions(self, row: TaxDocument) -> int:
        return row.annexure_rows

    @display(description=gettext_lazy("Lines"))
    def lines_shown(self, row: TaxDocument) -> SafeString:
        lines = [
            {"name": line.description, "sac": line.sac_code, "quantity": quantity_shown(line.quantity, line.unit),
             "rate": f"{line.rate_percent.normalize():f} %", "taxable": money(line.taxable_paise),
             "total": money(line.total_paise)}
            for line in row.lines.all()
        ]  # fmt: skip
        return render_to_string("admin/billing/document_lines.html", {"lines": lines})

    @display(description=gettext_lazy("Portal"), label=IRN_COLOURS)
    def portal(self, row: TaxDocument) -> Any:
        if not hasattr(row, "e_invoice"):
            return None
        return Label(row.e_invoice.state, row.e_invoice.get_state_display())

    @display(description="IRN")
    def irn_shown(self, row: TaxDocument) -> str:
        return row.e_invoice.irn or "—" if hasattr(row, "e_invoice") else "—"

    @display(description=gettext_lazy("What the portal complains of"))
    def portal_error(self, row: TaxDocument) -> str:
        return row.e_invoice.last_error or "—" if hasattr(row, "e_invoice") else "—"

    @action(description=gettext_lazy("PDF"), url_path="pdf", permissions=["view"])
    def as_pdf(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._file(request, object_id, "pdf")

    @action(description=gettext_lazy("Sessions (CSV)"), url_path="csv", permissions=["view"])
    def as_csv(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._file(request, object_id, "csv")

    @action(description=gettext_lazy("Sessions (XLSX)"), url_path="xlsx", permissions=["view"])
    def as_xlsx(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._file(request, object_id, "xlsx")

    @action(description=gettext_lazy("INV-01 (JSON)"), url_path="json", permissions=["view"])
    def as_json(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._file(request, object_id, "json")

    def _file(self, request: HttpRequest, object_id: str, form: str) -> HttpResponseBase:
        row = self.get_object(request, object_id)
        return back_to(self) if row is None else files.download(files.OF_A_DOCUMENT[form](row))

    @action(description=gettext_lazy("Send by e-mail"), url_path="mail", permissions=["decide"])
    def mail(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            rows = mailing.addresses_of(row) or [_("Nobody has an address.")]
            return ask(request, self, title=_("Send %(row)s to") % {"row": row}, form=form, submit=_("Send"), rows=rows)
        addresses = mailing.send(document_id=row.pk, actor=user_of(request))
        messages.success(request, _("Sent to %(who)s.") % {"who": ", ".join(addresses) or "—"})
        return back_to(self, row.pk)

    @operators_only
    @action(description=gettext_lazy("Credit note"), url_path="credit", permissions=["operate"])
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is left of an invoice, or a part of it, by an operator: our money."""
        row = self.get_object(request, object_id)
        if row is None or row.kind != TaxDocument.Kind.INVOICE:
            messages.info(request, _("Only an invoice can be credited."))
            return back_to(self) if row is None else back_to(self, row.pk)
        form = GoodwillForm(request.POST or None)
        title = _("Credit %(number)s") % {"number": row.number}
        if not form.is_valid():
            return ask(request, self, title=title, form=form, submit=_("Ask for the credit note"))
        try:
            wish = goodwill.ask(document_id=row.pk, asked_by=user_of(request), now=timezone.now(), **form.wanted())
        except Conflict as error:
            messages.error(request, str(error.detail))
            return back_to(self, row.pk)
        return follow(request, self, wish, row.pk, _("%(number)s is issued.") % {"number": wish.outcome})

    @operators_only
    @action(description=gettext_lazy("Report again"), url_path="report", permissions=["operate"])
    def report(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        waiting = EInvoice.objects.filter(document=row).first() if row is not None else None
        if row is None or waiting is None:
            messages.info(request, _("It needs no IRN."))
            return back_to(self) if row is None else back_to(self, row.pk)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            return ask(request, self, title=_("Report %(row)s again") % {"row": row}, form=form, submit=_("Report"))
        now = timezone.now()
        einvoices.try_again(
            e_invoice_id=waiting.pk, now=now, actor=user_of(request), reason=form.cleaned_data["reason"]
        )
        einvoices.report(e_invoice_id=waiting.pk, portal=portal(), now=now)
        return back_to(self, row.pk)

    @operators_only
    @action(description=gettext_lazy("Cancel the IRN"), url_path="cancel-irn", permissions=["cancel"])
    def cancel_irn(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The document keeps its number and its place in the books; a credit note takes back what it says."""
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = CancelForm(request.POST or None)
        if not form.is_valid():
            title = _("Cancel the IRN of %(number)s") % {"number": row.number}
            return ask(request, self, title=title, form=form, submit=_("Cancel the IRN"), rows=[row])
        try:
            einvoices.cancel(
                e_invoice_id=row.e_invoice.pk, portal=portal(), reason_code=form.cleaned_data["code"],
                remark=form.cleaned_data["reason"], now=timezone.now(), actor=user_of(request),
            )  # fmt: skip
            messages.success(request, _("Its IRN is cancelled."))
        except Conflict as error:
            messages.error(request, str(error.detail))
        return back_to(self, row.pk)

    @operators_only
    @action(description=gettext_lazy("Move the advance"), url_path="move", permissions=["move"])
    def move(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Its tax was paid for two GSTINs, and what it is for is invoiced between others."""
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = MoveForm(row, request.POST or None)
        if not form.is_valid():
            title = _("Move what is left of %(number)s") % {"number": row.number}
            return ask(request, self, title=title, form=form, submit=_("Move the advance"), rows=[row])
        try:
            made = moving.move(voucher_id=row.pk, at=timezone.now(), actor=user_of(request), **form.cleaned_data)
            messages.success(request, _("%(number)s is issued.") % {"number": made.number})
            return back_to(self, made.pk)
        except Conflict as error:
            messages.error(request, str(error.detail))
            return back_to(self, row.pk)

    @operators_only
    @action(description=gettext_lazy("Confirm the late note"), url_path="confirm-late", permissions=["confirm"])
    def confirm_late(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("Confirm %(number)s, which came too late") % {"number": row.number}
            return ask(request, self, title=title, form=form, submit=_("Confirm"), rows=[row])
        try:
            late_notes.confirm(
                document_id=row.pk, actor=user_of(request), reason=form.cleaned_data["reason"], at=timezone.now()
            )
            messages.success(request, _("It is confirmed."))
        except Conflict as error:
            messages.error(request, str(error.detail))
        return back_to(self, row.pk)
