"""Months in the admin, for those who keep our own books: checklist, preview, close, exports."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.admin.shown import FinanceAdmin, money, user_of
from billing.invoicing import files
from billing.invoicing.models import AccountingMonth, NumberSeries, TaxDocument
from billing.invoicing.rendering import pdf
from billing.invoicing.rendering.sheet import sheet_of_draft
from billing.invoicing.services import checklist, drafting, months
from fleetcharge.accounts.admin import ask, back_to
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict

FIGURES = {
    "charged_paise": gettext_lazy("Charged for sessions"), "billed_paise": gettext_lazy("On documents"),
    "held_paise": gettext_lazy("Held: the evidence blocks them"),
    "unjudged_paise": gettext_lazy("Not checked against evidence yet"),
    "late_paise": gettext_lazy("Came while it was closed: on the next month's documents"),
    "unexplained_paise": gettext_lazy("Unexplained"),
}  # fmt: skip
EXPORTS = {
    "general-ledger": (
        gettext_lazy("General ledger, CSV"), gettext_lazy("Every transfer of the month, twice: debit and credit."),
    ),
    "trial-balance": (
        gettext_lazy("Trial balance, CSV"), gettext_lazy("Every account: opening, debit, credit, closing."),
    ),
    "tally-masters": (
        gettext_lazy("Tally, masters, XML"), gettext_lazy("Ledgers, parties and cost centres: import it first."),
    ),
    "tally": (
        gettext_lazy("Tally, vouchers, XML"),
        gettext_lazy("Invoices, notes and vouchers; a second import doubles nothing."),
    ),
    "zoho-invoices": (
        gettext_lazy("Zoho Books, invoices, CSV"), gettext_lazy("Invoices and debit notes, a row per line."),
    ),
    "zoho-credit-notes": (gettext_lazy("Zoho Books, credit notes, CSV"), gettext_lazy("For its own import.")),
}  # fmt: skip
RETURN = gettext_lazy("The return as the portal's offline tool and every GSP take it.")
RETURN_TABLE = gettext_lazy("The same as a table, to look through.")
FLEETS_PER_PAGE = 20  # each draft is worked out anew, as the close would


class OurOwn(FinanceAdmin):
    """Rows of the supplier, not of a fleet: superusers alone see them."""

    view_roles: frozenset[str] = frozenset()

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows = self.model._default_manager.get_queryset()
        return rows if request.user.is_superuser else rows.none()


class CloseForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why it is closed although something is open"), max_length=500, required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )  # fmt: skip


@admin.register(AccountingMonth)
class AccountingMonthAdmin(OurOwn):
    list_display = ["__str__", "is_closed", "closed_at", "closed_by", "invoiced", "unexplained"]
    ordering = ["-starts_on"]
    fields = [
        "starts_on", "closed_at", "closed_by", "accepted_because", "checks_shown", "documents_shown", "figures_shown",
    ]  # fmt: skip
    readonly_fields = ["checks_shown", "documents_shown", "figures_shown"]
    actions_detail = ["preview", "close_month", "exports"]
    actions_list = ["open_last_month"]

    def has_close_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_end_permission(self, request: Any, obj: Any = None) -> bool:
        """What is closed is closed: there is no button then."""
        is_open = not AccountingMonth.objects.filter(pk=getattr(obj, "pk", obj), closed_at__isnull=False).exists()
        return self.has_close_permission(request) and is_open

    @display(description=gettext_lazy("Closed"), boolean=True, ordering="closed_at")
    def is_closed(self, row: AccountingMonth) -> bool:
        return row.is_closed

    @display(description=gettext_lazy("Invoiced"))
    def invoiced(self, row: AccountingMonth) -> str:
        return money(row.figures.get("documents", {}).get("invoice", {}).get("total"))

    @display(description=gettext_lazy("Unexplained"))
    def unexplained(self, row: AccountingMonth) -> str:
        return money(row.figures.get("unexplained_paise"))

    @display(description=gettext_lazy("Checklist"))
    def checks_shown(self, row: AccountingMonth) -> SafeString:
        """As it was when it was closed; as it is now while it is open."""
        checks = row.checklist if row.is_closed else [
            check.as_dict() for check in checklist.run(row, now=timezone.now())
        ]  # fmt: skip
        return render_to_string("admin/billing/month_checks.html", {"checks": checks})

    @display(description=gettext_lazy("Documents"))
    def documents_shown(self, row: AccountingMonth) -> SafeString:
        kinds = [
            {"name": TaxDocument.Kind(kind).label, "count": sums["count"], "taxable": money(sums["taxable"]),
             "tax": money(sums["cgst"] + sums["sgst"] + sums["igst"]), "total": money(sums["total"])}
            for kind, sums in row.figures.get("documents", {}).items()
        ]  # fmt: skip
        return render_to_string("admin/billing/month_documents.html", {"kinds": kinds})

    @display(description=gettext_lazy("Where the money stands"))
    def figures_shown(self, row: AccountingMonth) -> SafeString | str:
        found = [(name, money(row.figures[key])) for key, name in FIGURES.items() if key in row.figures]
        return render_to_string("admin/billing/month_figures.html", {"figures": found}) if found else "—"

    @action(description=gettext_lazy("Begin last month"), url_path="begin", permissions=["close"])
    def open_last_month(self, request: HttpRequest) -> HttpResponse:
        day = timezone.localdate().replace(day=1) - timedelta(days=1)
        return back_to(self, months.month_of(day).pk)

    @action(description=gettext_lazy("Preview the invoices"), url_path="preview", permissions=["close"])
    def preview(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """What would be issued now; each draft as PDF."""
        month = self.get_object(request, object_id)
        if month is None:
            return back_to(self)
        if (wanted := request.GET.get("organisation", "")).isdigit():
            return self._draft(month, int(wanted), request.GET.get("number", "0"))
        fleets = Paginator(months.with_something(month), FLEETS_PER_PAGE).get_page(request.GET.get("page"))
        drafts = [
            {"organisation": organisation, "number": number, "draft": draft, "taxable": money(draft.taxable_paise),
             "tax": money(draft.heads.total_paise), "total": money(draft.total_paise), "sessions": len(draft.items)}
            for organisation in fleets
            for number, draft in enumerate(months.drafts(day=month.starts_on, organisation=organisation))
        ]  # fmt: skip
        context = {
            **self.admin_site.each_context(request), "opts": self.model._meta, "drafts": drafts, "fleets": fleets,
            "title": _("What closing %(month)s would invoice") % {"month": month},
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/month_preview.html", context)

    def _draft(self, month: AccountingMonth, organisation_id: int, number: str) -> HttpResponseBase:
        organisation = Organisation.objects.filter(pk=organisation_id).first()
        found: list[drafting.Draft] = []
        if organisation is not None:
            found = months.drafts(day=month.starts_on, organisation=organisation)
        if not number.isdigit() or int(number) >= len(found):
            return back_to(self, month.pk)
        sheet = sheet_of_draft(found[int(number)], month)
        return files.download(files.File("draft.pdf", "application/pdf", [pdf.render(sheet)]))

    @action(description=gettext_lazy("Close the month"), url_path="close", permissions=["end"])
    def close_month(self, request: HttpRequest, object_id: str) -> HttpResponse:
        month = self.get_object(request, object_id)
        if month is None or month.is_closed:
            return back_to(self)
        form = CloseForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                closed = months.close(
                    day=month.starts_on, now=timezone.now(), actor=user_of(request), reason=form.cleaned_data["reason"]
                )
            except Conflict as error:
                form.add_error("reason", str(error.detail))
            else:
                messages.success(request, _("%(month)s is closed with %(count)d documents.") % {
                    "month": month, "count": closed.documents,
                })  # fmt: skip
                return back_to(self, month.pk)
        rows = [
            f"{check.title}: {check.count}"
            for check in checklist.run(month, now=timezone.now())
            if not check.is_fine
        ]  # fmt: skip
        title = _("Close %(month)s for good") % {"month": month}
        return ask(request, self, title=title, form=form, submit=_("Close"), rows=rows or [_("Nothing is open.")])

    @action(description=gettext_lazy("Exports"), url_path="exports", permissions=["close"])
    def exports(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        month = self.get_object(request, object_id)
        if month is None:
            return back_to(self)
        makers = files.of_month(month)
        if (name := request.GET.get("file", "")) in makers:
            return files.download(makers[name]())
        context = {
            **self.admin_site.each_context(request), "opts": self.model._meta, "exports": [*map(_export, makers)],
            "title": _("Exports of %(month)s") % {"month": month},
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/month_exports.html", context)


def _export(name: str) -> tuple[str, str, str]:
    """Its name in the address, what it is called, and what it is for."""
    if not name.startswith("gstr1-"):
        label, what = EXPORTS[name]
        return name, str(label), str(what)
    gstin, _dash, form = name.removeprefix("gstr1-").partition("-")
    return name, f"GSTR-1, {gstin}, {form.upper() or 'JSON'}", str(RETURN if not form else RETURN_TABLE)


@admin.register(NumberSeries)
class NumberSeriesAdmin(OurOwn):
    list_display = ["prefix", "financial_year", "supplier", "last_number", "last_on"]
    list_select_related = ["supplier"]
    list_filter = ["financial_year"]
