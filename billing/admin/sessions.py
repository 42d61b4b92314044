"""Sessions with what they cost, their records, and what the evidence says of them."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from billing import evidence
from billing.admin.shown import (
    VERDICT_COLOURS,
    FinanceAdmin,
    Label,
    TotalsMixin,
    code_column,
    code_filter,
    explained_in_rows,
    findings_shown,
    group_indian,
    kwh,
    money,
    plain_column,
    yes_no_filter,
)
from billing.desk import words
from billing.models import CDR, ChargingSession, ReconciliationVerdict


class VerdictFilter(admin.SimpleListFilter):
    title = gettext_lazy("verdict")
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*ReconciliationVerdict.Verdict.choices, ("none", _("Not judged yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "none":
            return queryset.filter(verdict=None)
        return queryset.filter(verdict__verdict=self.value()) if self.value() else queryset


AUTHORISED = ("authorisation_reason", gettext_lazy("Allowed to charge?"), words.AUTHORISATION)
TOKEN = plain_column("id_token_uid", gettext_lazy("Token"))
STOPPED = code_column("stop_reason", gettext_lazy("Why it stopped"), words.STOPPED)


@admin.register(ChargingSession)
class ChargingSessionAdmin(TotalsMixin, FinanceAdmin):
    list_display = [
        "started_at", "vehicle", "driver", "location", "energy", "duration", "cost", "judged", "state", "quality",
    ]  # fmt: skip
    list_filter = [VerdictFilter, "state", "quality", code_filter(*AUTHORISED)]
    list_select_related = ["vehicle", "driver", "connector__evse__location", "cdr", "verdict"]
    search_fields = ["vehicle__registration", "id_token_uid", "transaction_ref", "connector__evse__location__name"]
    date_hierarchy = "started_at"
    ordering = ["-started_at"]
    fieldsets = [
        (None, {"fields": [
            "vehicle", "driver", "location", "connector", "source", TOKEN, code_column(*AUTHORISED),
            plain_column("transaction_ref", gettext_lazy("Transaction")),
        ]}),
        (gettext_lazy("What happened"), {"fields": [
            "state", "quality", "started_at", "ended_at", STOPPED, "energy", "meter_start_wh", "meter_stop_wh",
            "soc_start_percent", "soc_percent",
        ]}),
        (gettext_lazy("Is it complete?"), {"fields": ["reasons", "missing", "corrected"]}),
        (gettext_lazy("What it costs"), {"fields": ["cost", "explanation"]}),
        (gettext_lazy("Does the evidence agree?"), {"fields": ["verdict_shown", "findings"]}),
    ]  # fmt: skip
    readonly_fields = [
        "location", "energy", "cost", "reasons", "missing", "corrected", "explanation", "verdict_shown", "findings",
    ]  # fmt: skip

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(
            count=Count("pk"), energy=Sum("energy_wh"), cost=Sum("cdr__total_paise"), adjusted=Sum("adjusted_paise")
        )
        return [
            (_("Sessions"), group_indian(sums["count"])),
            (_("Energy, kWh"), kwh(sums["energy"] or 0)),
            (_("Cost incl. GST"), money((sums["cost"] or 0) + (sums["adjusted"] or 0))),
        ]

    @display(description=gettext_lazy("Site"), ordering="connector__evse__location__name")
    def location(self, row: ChargingSession) -> str:
        return str(row.connector.evse.location)

    @display(description=gettext_lazy("Energy, kWh"), ordering="energy_wh")
    def energy(self, row: ChargingSession) -> str:
        return kwh(row.energy_wh)

    @display(description=gettext_lazy("Duration"))
    def duration(self, row: ChargingSession) -> str:
        return words.duration(row.duration_seconds)

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
        return Label(row.verdict.verdict, row.verdict.get_verdict_display())

    @display(description=gettext_lazy("Explanation"))
    def explanation(self, row: ChargingSession) -> SafeString:
        return explained_in_rows(row.cdr.explanation if hasattr(row, "cdr") else [])

    @display(description=gettext_lazy("Verdict"))
    def verdict_shown(self, row: ChargingSession) -> str:
        if not hasattr(row, "verdict"):
            return _("Not judged yet")
        return _("%(verdict)s (%(points)d points)") % {
            "verdict": row.verdict.get_verdict_display(), "points": row.verdict.points,
        }  # fmt: skip

    @display(description=gettext_lazy("Findings"))
    def findings(self, row: ChargingSession) -> SafeString | str:
        return findings_shown(row.verdict) if hasattr(row, "verdict") else _("Not judged yet.")


@admin.register(CDR)
class CDRAdmin(TotalsMixin, FinanceAdmin):
    list_display = [
        "ended_at", "vehicle", "location", "energy", "taxable", "tax", "total", "price", "waits", "booked_at",
    ]  # fmt: skip
    list_filter = [
        "is_blocked",
        yes_no_filter(
            "captured_at", gettext_lazy("ledger"), yes=gettext_lazy("In the ledger"), no=gettext_lazy("Not there yet")
        ),
    ]
    list_select_related = [
        "session__vehicle", "session__connector__evse__location", "tariff", "negotiated_rate", "plan_version__plan",
    ]  # fmt: skip
    search_fields = ["session__vehicle__registration", "session__transaction_ref"]
    date_hierarchy = "ended_at"
    ordering = ["-ended_at"]
    fields = [
        "session", "started_at", "ended_at", "energy", "charging_seconds", "idle_seconds", "price", "taxable", "tax",
        "total", "explained", "is_blocked", "rated_at", "captured_at",
    ]  # fmt: skip
    readonly_fields = ["energy", "price", "taxable", "tax", "total", "explained"]

    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(
            count=Count("pk"), taxable=Sum("taxable_paise"), tax=Sum("tax_paise"), total=Sum("total_paise")
        )
        return [
            (_("Records"), group_indian(sums["count"])),
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

    @display(description=gettext_lazy("Energy, kWh"), ordering="energy_wh")
    def energy(self, row: CDR) -> str:
        return kwh(row.energy_wh)

    @display(description=gettext_lazy("Price by"))
    def price(self, row: CDR) -> str:
        """What came first: the fleet's own agreement, its subscription, the tariff."""
        return str(row.negotiated_rate or row.plan_version or row.tariff or "—")

    @display(description=gettext_lazy("Waits"), ordering="is_blocked", label={"blocked": "warning"})
    def waits(self, row: CDR) -> Any:
        return Label("blocked", _("In the queue")) if row.is_blocked else None

    @display(description=gettext_lazy("In the ledger since"), ordering="captured_at")
    def booked_at(self, row: CDR) -> Any:
        return row.captured_at

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
        return explained_in_rows(row.explanation)
