"""Finance's desk: sessions with their verdict, the ledger as it is, wallets, and the queue of decisions."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing import evidence
from billing.models import (
    CDR,
    BillingException,
    ChargingSession,
    Hold,
    LedgerAccount,
    LedgerTransfer,
    ReconciliationVerdict,
    Wallet,
)
from billing.services import exceptions, wallets
from billing.wallet_opening import OpensWallets
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, ReasonForm, ask, back_to
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import PAISE_PER_RUPEE, format_inr

VERDICT_COLOURS = {"verified": "success", "inconclusive": "info", "review": "warning", "blocked": "danger"}


def money(paise: int | None) -> str:
    return "—" if paise is None else format_inr(paise)


def kwh(energy_wh: int) -> str:
    return f"{energy_wh / 1000:.2f}"


class TotalsMixin:
    """Totals over the filtered set, above the list (one aggregate query)."""

    list_before_template = "admin/billing/totals.html"

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        raise NotImplementedError

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        context = getattr(response, "context_data", None)
        if context and "cl" in context:
            context["totals"] = self.totals(context["cl"].queryset.order_by())
        return response


class VerdictFilter(admin.SimpleListFilter):
    title = gettext_lazy("verdict")
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*ReconciliationVerdict.Verdict.choices, ("none", _("Not judged yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "none":
            return queryset.filter(verdict=None)
        return queryset.filter(verdict__verdict=self.value()) if self.value() else queryset


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


@admin.register(ChargingSession)
class ChargingSessionAdmin(TotalsMixin, ReadOnlyAdmin):
    list_display = [
        "started_at", "vehicle", "driver", "location", "energy", "duration", "cost", "judged", "state", "quality",
    ]  # fmt: skip
    list_filter = [VerdictFilter, "state", "quality", "authorisation_reason"]
    list_select_related = ["vehicle", "driver", "connector__evse__location", "cdr", "verdict"]
    search_fields = ["vehicle__registration", "id_token_uid", "transaction_ref", "connector__evse__location__name"]
    date_hierarchy = "started_at"
    ordering = ["-started_at"]
    fieldsets = [
        (None, {"fields": ["vehicle", "driver", "id_token_uid", "authorisation_reason", "connector", "source"]}),
        (gettext_lazy("What happened"), {"fields": [
            "state", "quality", "started_at", "ended_at", "stop_reason", "energy", "meter_start_wh", "meter_stop_wh",
            "soc_start_percent", "soc_percent",
        ]}),
        (gettext_lazy("Is it complete?"), {"fields": ["reasons", "missing", "corrected"]}),
        (gettext_lazy("What it costs"), {"fields": ["cost", "explanation"]}),
        (gettext_lazy("Does the evidence agree?"), {"fields": ["verdict_shown", "findings"]}),
    ]  # fmt: skip
    readonly_fields = [
        "energy", "cost", "reasons", "missing", "corrected", "explanation", "verdict_shown", "findings",
    ]  # fmt: skip

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(
            count=Count("pk"), energy=Sum("energy_wh"), cost=Sum("cdr__total_paise"), adjusted=Sum("adjusted_paise")
        )
        return [
            (_("Sessions"), f"{sums['count']}"),
            (_("Energy, kWh"), kwh(sums["energy"] or 0)),
            (_("Cost incl. GST"), money((sums["cost"] or 0) + (sums["adjusted"] or 0))),
        ]

    @display(description=gettext_lazy("Site"), ordering="connector__evse__location__name")
    def location(self, row: ChargingSession) -> str:
        return str(row.connector.evse.location)

    @display(description="kWh", ordering="energy_wh")
    def energy(self, row: ChargingSession) -> str:
        return kwh(row.energy_wh)

    @display(description=gettext_lazy("Duration"))
    def duration(self, row: ChargingSession) -> str:
        return str(timedelta(seconds=row.duration_seconds))

    @display(description=gettext_lazy("Cost incl. GST"), ordering="cdr__total_paise")
    def cost(self, row: ChargingSession) -> str:
        if not hasattr(row, "cdr") or row.cdr.total_paise is None:
            return "—"
        return money(row.cdr.total_paise + row.adjusted_paise)

    @display(description=gettext_lazy("Why not simply billable"))
    def reasons(self, row: ChargingSession) -> str:
        return ", ".join(evidence.in_words(reason) for reason in row.quality_reasons) or "—"

    @display(description=gettext_lazy("What is missing"))
    def missing(self, row: ChargingSession) -> str:
        return "; ".join(evidence.gap_in_words(gap) for gap in row.gaps) or "—"

    @display(description=gettext_lazy("Corrections"))
    def corrected(self, row: ChargingSession) -> SafeString:
        adjustments = row.cdr.adjustments.all() if hasattr(row, "cdr") else []
        lines = evidence.correction_rows(row.corrections.all(), adjustments)
        return render_to_string("admin/billing/corrections.html", {"lines": lines})

    @display(description=gettext_lazy("Verdict"), ordering="verdict__points", label=VERDICT_COLOURS)
    def judged(self, row: ChargingSession) -> Any:
        if not hasattr(row, "verdict"):
            return None
        return row.verdict.verdict, row.verdict.get_verdict_display()

    @display(description=gettext_lazy("Explanation"))
    def explanation(self, row: ChargingSession) -> SafeString:
        return _explained(row.cdr.explanation if hasattr(row, "cdr") else [])

    @display(description=gettext_lazy("Verdict"))
    def verdict_shown(self, row: ChargingSession) -> str:
        if not hasattr(row, "verdict"):
            return _("Not judged yet")
        return _("%(verdict)s (%(points)d points)") % {
            "verdict": row.verdict.get_verdict_display(), "points": row.verdict.points,
        }  # fmt: skip

    @display(description=gettext_lazy("Findings"))
    def findings(self, row: ChargingSession) -> SafeString | str:
        return _findings(row.verdict) if hasattr(row, "verdict") else _("Not judged yet.")


@admin.register(CDR)
class CDRAdmin(TotalsMixin, ReadOnlyAdmin):
    list_display = [
        "ended_at",
        "vehicle",
        "location",
        "energy",
        "taxable",
        "tax",
        "total",
        "tariff",
        "is_blocked",
        "captured_at",
    ]
    list_filter = ["is_blocked", ("captured_at", admin.EmptyFieldListFilter)]
    list_select_related = ["session__vehicle", "session__connector__evse__location", "tariff"]
    search_fields = ["session__vehicle__registration", "session__transaction_ref"]
    date_hierarchy = "ended_at"
    ordering = ["-ended_at"]
    fields = [
        "session", "started_at", "ended_at", "energy", "charging_seconds", "idle_seconds", "tariff", "taxable", "tax",
        "total", "explained", "is_blocked", "rated_at", "captured_at",
    ]  # fmt: skip
    readonly_fields = ["energy", "taxable", "tax", "total", "explained"]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(
            count=Count("pk"), taxable=Sum("taxable_paise"), tax=Sum("tax_paise"), total=Sum("total_paise")
        )
        return [
            (_("Records"), f"{sums['count']}"),
            (_("Taxable"), money(sums["taxable"] or 0)),
            ("GST", money(sums["tax"] or 0)),
            (_("Total"), money(sums["total"] or 0)),
        ]

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: CDR) -> Any:
        return row.session.vehicle

    @display(description=gettext_lazy("Site"))
    def location(self, row: CDR) -> Any:
        return row.session.connector.evse.location

    @display(description="kWh", ordering="energy_wh")
    def energy(self, row: CDR) -> str:
        return kwh(row.energy_wh)

    @display(description=gettext_lazy("Taxable"), ordering="taxable_paise")
    def taxable(self, row: CDR) -> str:
        return money(row.taxable_paise)

    @display(description="GST", ordering="tax_paise")
    def tax(self, row: CDR) -> str:
        return money(row.tax_paise)

    @display(description=gettext_lazy("Total"), ordering="total_paise")
    def total(self, row: CDR) -> str:
        return money(row.total_paise)

    @display(description=gettext_lazy("Explanation"))
    def explained(self, row: CDR) -> SafeString:
        return _explained(row.explanation)


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(TotalsMixin, ReadOnlyAdmin):
    """Append-only: the database refuses what this page does not offer."""

    list_display = ["occurred_at", "kind", "debit", "credit", "amount", "vehicle", "memo", "entry_key", "actor"]
    list_filter = ["kind", "debit__kind", "credit__kind"]
    list_select_related = ["debit", "credit", "vehicle"]
    search_fields = ["entry_key", "memo", "debit__code", "credit__code", "vehicle__registration"]
    date_hierarchy = "occurred_at"
    ordering = ["-pk"]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), total=Sum("amount_paise"))
        out = rows.filter(debit__code__startswith="wallet:").aggregate(total=Sum("amount_paise"))
        into = rows.filter(credit__code__startswith="wallet:").aggregate(total=Sum("amount_paise"))
        return [
            (_("Transfers"), f"{sums['count']}"),
            (_("Into wallets"), money(into["total"] or 0)),
            (_("Out of wallets"), money(out["total"] or 0)),
            (_("Moved in all"), money(sums["total"] or 0)),
        ]

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: LedgerTransfer) -> str:
        return money(row.amount_paise)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ["code", "name", "kind", "currency", "organisation", "closed_at"]
    list_filter = ["kind"]
    list_select_related = ["organisation"]
    search_fields = ["code", "name"]


class TopUpForm(ReasonForm):
    field_order = ["rupees", "reference", "reason"]
    rupees = forms.DecimalField(
        label=gettext_lazy("Amount in rupees"), min_value=1, max_digits=11, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    reference = forms.CharField(
        label=gettext_lazy("Bank reference (UTR)"), max_length=60, widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("The same reference is credited only once."),
    )  # fmt: skip

    @property
    def amount_paise(self) -> int:
        return int(self.cleaned_data["rupees"] * PAISE_PER_RUPEE)


class TermsForm(ReasonForm):
    field_order = ["credit_limit", "low_threshold", "state", "reason"]
    credit_limit = forms.DecimalField(
        label=gettext_lazy("Credit limit in rupees"), min_value=0, max_digits=11, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    low_threshold = forms.DecimalField(
        label=gettext_lazy("Warn below, in rupees"), min_value=0, max_digits=11, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    state = forms.ChoiceField(label=gettext_lazy("State"), choices=Wallet.State.choices, widget=UnfoldAdminSelectWidget)


@admin.register(Wallet)
class WalletAdmin(OpensWallets, ReadOnlyAdmin):
    list_display = ["organisation", "available", "posted", "held", "credit", "state"]
    list_select_related = ["organisation"]
    list_filter = ["state"]
    search_fields = ["organisation__name"]
    fields = ["organisation", "available", "posted", "held", "credit", "low", "state"]
    readonly_fields = ["available", "posted", "held", "credit", "low"]
    actions_detail = ["top_up", "change_terms"]

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    @display(description=gettext_lazy("Available"))
    def available(self, row: Wallet) -> str:
        return money(row.available_paise)

    @display(description=gettext_lazy("Balance"), ordering="posted_paise")
    def posted(self, row: Wallet) -> str:
        return money(row.posted_paise)

    @display(description=gettext_lazy("Held for running sessions"), ordering="held_paise")
    def held(self, row: Wallet) -> str:
        return money(row.held_paise)

    @display(description=gettext_lazy("Credit limit"), ordering="credit_limit_paise")
    def credit(self, row: Wallet) -> str:
        return money(row.credit_limit_paise)

    @display(description=gettext_lazy("Warn below"))
    def low(self, row: Wallet) -> str:
        return money(row.low_threshold_paise)

    @action(description=gettext_lazy("Top up"), url_path="top-up", permissions=["decide"])
    def top_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = self.get_object(request, object_id)
        if wallet is None:
            return back_to(self)
        form = TopUpForm(request.POST or None)
        if form.is_valid():
            return self._top_up(request, wallet, form)
        title = _("Top up the wallet of %(name)s") % {"name": wallet.organisation}
        return ask(request, self, title=title, form=form, submit=_("Credit the wallet"))

    def _top_up(self, request: HttpRequest, wallet: Wallet, form: TopUpForm) -> HttpResponse:
        try:
            is_new = wallets.top_up(
                organisation_id=wallet.organisation_id,
                amount_paise=form.amount_paise,
                key=form.cleaned_data["reference"],
                at=timezone.now(),
                actor=_user(request),
                reason=form.cleaned_data["reason"],
            )
        except Conflict:
            messages.error(request, _("This reference was credited already, with another amount."))
            return back_to(self, wallet.pk)
        if is_new:
            messages.success(request, _("%(amount)s credited.") % {"amount": money(form.amount_paise)})
        else:
            messages.info(request, _("This reference was credited already; nothing changed."))
        return back_to(self, wallet.pk)

    @action(description=gettext_lazy("Change terms"), url_path="terms", permissions=["decide"])
    def change_terms(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = self.get_object(request, object_id)
        if wallet is None:
            return back_to(self)
        initial = {
            "credit_limit": f"{wallet.credit_limit_paise / PAISE_PER_RUPEE:.2f}",
            "low_threshold": f"{wallet.low_threshold_paise / PAISE_PER_RUPEE:.2f}",
            "state": wallet.state,
        }
        form = TermsForm(request.POST or None, initial=initial)
        if form.is_valid():
            try:
                wallets.change_terms(
                    organisation_id=wallet.organisation_id,
                    credit_limit_paise=int(form.cleaned_data["credit_limit"] * PAISE_PER_RUPEE),
                    low_threshold_paise=int(form.cleaned_data["low_threshold"] * PAISE_PER_RUPEE),
                    state=form.cleaned_data["state"],
                    actor=_user(request),
                    reason=form.cleaned_data["reason"],
                )
                return back_to(self, wallet.pk)
            except ValueError as error:
                form.add_error("credit_limit", str(error))
        title = _("Terms of the wallet of %(name)s") % {"name": wallet.organisation}
        return ask(request, self, title=title, form=form, submit=_("Save"))


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    organisation_path = "wallet__organisation"
    list_display = ["created_at", "session_key", "amount", "state", "expires_at", "closed_at"]
    list_filter = ["state"]
    list_select_related = ["wallet__organisation"]
    search_fields = ["session_key"]
    ordering = ["-created_at"]

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: Hold) -> str:
        return money(row.amount_paise)


@admin.register(ReconciliationVerdict)
class ReconciliationVerdictAdmin(ReadOnlyAdmin):
    organisation_path = "session__organisation"
    list_display = ["decided_at", "session", "vehicle", "judged", "points", "first_finding"]
    list_filter = ["verdict", "ruleset_version"]
    list_select_related = ["session__vehicle"]
    search_fields = ["session__vehicle__registration", "session__transaction_ref"]
    ordering = ["-decided_at"]
    fields = ["session", "verdict", "points", "shown", "ruleset_version", "input_hash", "decided_at"]
    readonly_fields = ["shown"]

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: ReconciliationVerdict) -> Any:
        return row.session.vehicle

    @display(description=gettext_lazy("Verdict"), label=VERDICT_COLOURS)
    def judged(self, row: ReconciliationVerdict) -> Any:
        return row.verdict, row.get_verdict_display()

    @display(description=gettext_lazy("First finding"))
    def first_finding(self, row: ReconciliationVerdict) -> str:
        return row.findings[0]["text"] if row.findings else "—"

    @display(description=gettext_lazy("Findings"))
    def shown(self, row: ReconciliationVerdict) -> SafeString:
        return _findings(row)


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
        user = _user(request)
        for row in queryset:
            exceptions.assign_exception(exception_id=row.pk, owner=user, actor=user)
        messages.success(request, _("They are yours now."))

    def _resolve(self, request: HttpRequest, rows: list[BillingException], form: ReasonForm) -> None:
        done = 0
        for row in rows:
            try:
                exceptions.resolve_exception(
                    exception_id=row.pk, actor=_user(request), reason=form.cleaned_data["reason"], at=timezone.now()
                )
                done += 1
            except Conflict:
                messages.warning(request, _("%(title)s was decided already.") % {"title": row.title})
        messages.success(request, _("%(count)d resolved.") % {"count": done})


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 (the admin admits nobody else)
    return request.user


def _explained(lines: list[dict[str, Any]]) -> SafeString:
    return render_to_string("admin/billing/explanation.html", {"lines": evidence.explanation_rows(lines)})


def _findings(verdict: ReconciliationVerdict) -> SafeString:
    return render_to_string("admin/billing/findings.html", evidence.findings_view(verdict.findings, verdict.evidence))


from billing import admin_authorisation, admin_networks  # noqa: E402, F401 (registered with the rest)
