"""Finance's view of payments: what came in, what waits, failing mandates, refunds to decide, settlements to explain."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.operators import OperatorDeeds, operators_only
from billing.admin.shown import (
    FinanceAdmin,
    TotalsMixin,
    code_column,
    code_filter,
    group_indian,
    money,
    reference_column,
    user_of,
    yes_no_filter,
)
from billing.approvals.following import follow
from billing.desk import words
from billing.models import (
    BankLine,
    GatewayEvent,
    GatewayPayment,
    Mandate,
    PaymentDispute,
    PaymentIntent,
    PaymentReceiver,
    PaymentRule,
    Refund,
    Settlement,
    SettlementRow,
)
from billing.pages.wording import of_failure
from billing.payments import inbox, refunds, strangers
from billing.payments.statement_upload import StatementUpload
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict

METHOD = code_column("method", gettext_lazy("Paid by"), words.METHODS)
SETTLED = code_column("kind", gettext_lazy("Kind"), words.SETTLED)
DISPUTED = code_column("status", gettext_lazy("State"), words.DISPUTES)
WHY_DISPUTED = code_column("reason_code", gettext_lazy("Reason"), {})
KEY = reference_column("key", gettext_lazy("Receipt"))


class WhyColumn:
    """The gateway's last refusal in a clause."""

    @display(description=gettext_lazy("What went wrong"))
    def why(self, row: Any) -> str:
        return of_failure(row.error) or "—"


class MoneyColumn:
    """An amount as finance reads it."""

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: Any) -> str:
        return money(row.amount_paise)


class SumOfAmounts(TotalsMixin):
    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), total=Sum("amount_paise"))
        return [(_("Rows"), group_indian(sums["count"])), (_("Amount"), money(sums["total"] or 0))]


class OfTheOperator:
    """Rows of the gateway itself belong to no fleet: only who runs the installation sees them."""

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_module_permission(self, request: Any) -> bool:
        return bool(request.user.is_superuser)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()  # type: ignore[attr-defined]
        return rows if request.user.is_superuser else rows.none()


class OwnerForm(ReasonForm):
    field_order = ["organisation", "reason"]
    organisation = forms.ModelChoiceField(
        Organisation.objects.all(), label=gettext_lazy("Organisation"), widget=UnfoldAdminSelectWidget
    )


@admin.register(GatewayPayment)
class GatewayPaymentAdmin(OperatorDeeds, SumOfAmounts, MoneyColumn, FinanceAdmin):
    list_display = [
        "paid_at", "organisation", METHOD, "amount", "given_back", "status", "credited_at",
        reference_column("payment_id", gettext_lazy("Payment")),
    ]  # fmt: skip
    list_filter = [
        "status", code_filter("method", gettext_lazy("paid by"), words.METHODS),
        yes_no_filter(
            "organisation", gettext_lazy("organisation"), yes=gettext_lazy("Known"),
            no=gettext_lazy("Nobody knows whose"),
        ),
    ]  # fmt: skip
    list_select_related = ["organisation"]
    search_fields = ["payment_id", "order_id"]
    date_hierarchy = "paid_at"
    ordering = ["-pk"]
    fields = [
        "paid_at", "organisation", METHOD, "amount", "fee_paise", "tax_paise", "refunded_paise", "status",
        "error_reason", "credited_at", "intent", "receiver", "payment_id", "order_id", "seen_at",
    ]  # fmt: skip
    readonly_fields = ["amount"]

    @display(description=gettext_lazy("Given back"), ordering="refunded_paise")
    def given_back(self, row: GatewayPayment) -> str:
        return money(row.refunded_paise or None)

    actions_detail = ["ask_refund", "give"]

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    @action(description=gettext_lazy("Ask for a refund of all that is left"), url_path="refund", permissions=["decide"])
    def ask_refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        payment = self.get_object(request, object_id)
        if payment is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            try:
                refunds.ask(
                    payment_id=payment.pk, amount_paise=payment.amount_paise - payment.refunded_paise,
                    asked_by=user_of(request), reason=form.cleaned_data["reason"], now=timezone.now(),
                )  # fmt: skip
                messages.success(request, _("Another person has to approve it."))
            except ValueError as error:
                messages.error(request, str(error))
            return back_to(self, payment.pk)
        return ask(request, self, title=_("Refund %(id)s") % {"id": payment}, form=form, submit=_("Ask for a refund"))

    @operators_only
    @action(description=gettext_lazy("Belongs to a fleet"), url_path="give", permissions=["operate"])
    def give(self, request: HttpRequest, object_id: str) -> HttpResponse:
        payment = self.get_object(request, object_id)
        if payment is None:
            return back_to(self)
        form = OwnerForm(request.POST or None)
        if not form.is_valid():
            title = _("Whose is %(id)s?") % {"id": payment}
            return ask(request, self, title=title, form=form, submit=_("Ask to credit it"))
        try:
            wish = strangers.ask_to_give(
                payment_id=payment.pk, organisation_id=form.cleaned_data["organisation"].pk, now=timezone.now(),
                asked_by=user_of(request), reason=form.cleaned_data["reason"],
            )  # fmt: skip
        except Conflict as error:
            messages.error(request, str(error.detail))
            return back_to(self, payment.pk)
        return follow(request, self, wish, payment.pk, "")


@admin.register(PaymentIntent)
class PaymentIntentAdmin(SumOfAmounts, MoneyColumn, WhyColumn, FinanceAdmin):
    list_display = ["created_at", "organisation", "kind", "amount", "state", "attempts", "debit_due_at", "why", KEY]
    list_filter = ["state", "kind"]
    list_select_related = ["organisation"]
    search_fields = ["key", "order_id", "payment_id"]
    ordering = ["-pk"]
    fields = [
        "created_at", "organisation", "kind", "amount", "state", "step", "mandate", "debit_due_at", "sent_at",
        "expires_at", "settled_at", "attempts", "next_try_at", "why", "error", "asked_by", "reason", "key", "order_id",
        "payment_id",
    ]  # fmt: skip
    readonly_fields = ["amount", "why"]


@admin.register(PaymentReceiver)
class PaymentReceiverAdmin(WhyColumn, FinanceAdmin):
    list_display = ["created_at", "organisation", "kind", "amount", "state", "closes_at", "why", KEY]
    list_filter = ["state", "kind"]
    list_select_related = ["organisation"]
    search_fields = ["key", "gateway_id"]
    fields = [
        "created_at", "organisation", "kind", "amount", "state", "details", "allowed_payers", "closes_at", "closed_at",
        "attempts", "why", "error", "key", "gateway_id",
    ]  # fmt: skip
    readonly_fields = ["amount", "why"]

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: PaymentReceiver) -> str:
        return _("any") if row.amount_paise is None else money(row.amount_paise)


DEBITED = {value: PaymentIntent.State(value).label for value in ("confirmed", "failed")}
LAST_DEBIT = code_column("last_debit_state", gettext_lazy("Last debit"), dict(PaymentIntent.State.choices))


@admin.register(Mandate)
class MandateAdmin(WhyColumn, FinanceAdmin):
    list_display = [
        "created_at", "organisation", "kind", "state", "most", "payer_name", "payer_account", LAST_DEBIT,
        "consecutive_failures", "next_allowed_at", "expires_at",
    ]  # fmt: skip
    list_filter = ["state", "kind", code_filter("last_debit_state", gettext_lazy("last debit"), DEBITED)]
    list_select_related = ["organisation"]
    search_fields = ["key", "payer_name", "token_id"]
    fields = [
        "created_at", "organisation", "kind", "state", "most", "total_limit_paise", "payer_name", "payer_account",
        "payer_email", "payer_contact", "confirmed_at", "expires_at", "ended_at", "end_reason", "cancel_asked_at",
        "rests_since", LAST_DEBIT, "consecutive_failures", "next_allowed_at", "call", "why", "asked_by", "link_url",
        "key", "customer_id", "token_id",
    ]  # fmt: skip
    readonly_fields = ["most", "why"]

    @display(description=gettext_lazy("Per debit"), ordering="max_amount_paise")
    def most(self, row: Mandate) -> str:
        return money(row.max_amount_paise)


@admin.register(Refund)
class RefundAdmin(SumOfAmounts, MoneyColumn, WhyColumn, FinanceAdmin):
    """One asks, another decides; the database refuses one person for both."""

    list_display = ["created_at", "organisation", "amount", "state", "asked_by", "decided_by", "reason", "payment"]
    list_filter = ["state"]
    list_select_related = ["payment", "organisation", "asked_by", "decided_by"]
    search_fields = ["key", "refund_id", "payment__payment_id"]
    fields = [
        "created_at", "organisation", "payment", "amount", "state", "reason", "asked_by", "decided_by", "decided_at",
        "sent_at", "settled_at", "attempts", "why", "error", "key", "refund_id",
    ]  # fmt: skip
    readonly_fields = ["amount", "why"]
    actions_detail = ["approve", "decline"]

    def has_decide_permission(self, request: Any, obj: Any = None) -> bool:
        return self._has_role(request, DESK)

    @action(description=gettext_lazy("Approve"), url_path="approve", permissions=["decide"])
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, is_approved=True)

    @action(description=gettext_lazy("Decline"), url_path="decline", permissions=["decide"])
    def decline(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, is_approved=False)

    def _decide(self, request: HttpRequest, object_id: str, *, is_approved: bool) -> HttpResponse:
        refund = self.get_object(request, object_id)
        if refund is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            submit = _("Approve") if is_approved else _("Decline")
            title = _("Refund of %(amount)s") % {"amount": money(refund.amount_paise)}
            return ask(request, self, title=title, form=form, submit=submit)
        try:
            if is_approved:
                refunds.approve(
                    refund_id=refund.pk, decided_by=user_of(request), now=timezone.now(),
                    reason=form.cleaned_data["reason"],
                )  # fmt: skip
            else:
                refunds.decline(
                    refund_id=refund.pk, decided_by=user_of(request), reason=form.cleaned_data["reason"],
                    now=timezone.now(),
                )  # fmt: skip
        except (ValueError, Conflict) as error:
            messages.error(request, str(getattr(error, "detail", error)))
        return back_to(self, refund.pk)


@admin.register(PaymentDispute)
class PaymentDisputeAdmin(SumOfAmounts, MoneyColumn, FinanceAdmin):
    list_display = [
        "opened_at", "organisation", "amount", DISPUTED, WHY_DISPUTED, "respond_by", "payment",
        reference_column("dispute_id", gettext_lazy("Dispute")),
    ]  # fmt: skip
    list_filter = [code_filter("status", gettext_lazy("state"), words.DISPUTES)]
    list_select_related = ["payment", "organisation"]
    search_fields = ["dispute_id", "payment__payment_id"]
    fields = [
        "opened_at", "organisation", "payment", "amount", DISPUTED, WHY_DISPUTED, "respond_by", "ended_at",
        "dispute_id",
    ]  # fmt: skip
    readonly_fields = ["amount"]


@admin.register(GatewayEvent)
class GatewayEventAdmin(OfTheOperator, FinanceAdmin):
    list_display = [
        "received_at", "what", "state", "attempts", "error", reference_column("event_id", gettext_lazy("Event")),
    ]  # fmt: skip
    list_filter = ["state"]
    search_fields = ["event_id", "name"]
    fields = ["received_at", "name", "state", "attempts", "error", "next_try_at", "done_at", "event_id"]
    ordering = ["-pk"]
    actions = ["try_again"]

    @display(description=gettext_lazy("What happened"), ordering="name")
    def what(self, row: GatewayEvent) -> str:
        """`payment.captured` as "Payment captured"; the page of one has the gateway's own word."""
        return words.named({}, row.name.replace(".", " "))

    @action(description=gettext_lazy("Handle again"))
    def try_again(self, request: HttpRequest, rows: QuerySet[GatewayEvent]) -> None:
        count = inbox.try_again(event_ids=list(rows.values_list("pk", flat=True)), now=timezone.now())
        messages.success(request, _("%(count)d wait again.") % {"count": count})


@admin.register(Settlement)
class SettlementAdmin(OfTheOperator, SumOfAmounts, MoneyColumn, FinanceAdmin):
    list_display = [
        "settled_at", reference_column("settlement_id", gettext_lazy("Settlement")), "utr", "amount", "state",
        "posted_at",
    ]  # fmt: skip
    list_filter = ["state"]
    search_fields = ["settlement_id", "utr"]
    date_hierarchy = "settled_at"
    fields = [
        "settled_at", "utr", "amount", "fee_paise", "tax_paise", "state", "posted_at", "bank_line", "settlement_id",
    ]  # fmt: skip
    readonly_fields = ["amount"]


@admin.register(SettlementRow)
class SettlementRowAdmin(OfTheOperator, SumOfAmounts, MoneyColumn, FinanceAdmin):
    list_display = [
        "settlement", SETTLED, "amount", "outcome", "difference",
        reference_column("entity_id", gettext_lazy("The gateway's id")),
    ]  # fmt: skip
    list_filter = ["outcome", code_filter("kind", gettext_lazy("kind"), words.SETTLED)]
    list_select_related = ["settlement"]
    search_fields = ["entity_id", "payment_id", "settlement__utr"]
    fields = [
        "settlement", SETTLED, "amount", "credit_paise", "debit_paise", "fee_paise", "tax_paise", "is_on_hold",
        "outcome", "difference", "suspense_paise", "looked_at", "entity_id", "payment_id", "dispute_id",
    ]  # fmt: skip
    readonly_fields = ["amount", "difference"]

    @display(description=gettext_lazy("Difference"), ordering="difference_paise")
    def difference(self, row: SettlementRow) -> str:
        return money(row.difference_paise)


class PayoutFilter(admin.SimpleListFilter):
    """Whether a payout of the gateway is what came."""

    title = gettext_lazy("payout")
    parameter_name = "payout"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("A payout of the gateway")), ("no", _("Something else"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        is_other = {"yes": False, "no": True}.get(self.value() or "")
        return queryset if is_other is None else queryset.filter(settlement__isnull=is_other)


@admin.register(BankLine)
class BankLineAdmin(StatementUpload, OfTheOperator, SumOfAmounts, MoneyColumn, FinanceAdmin):
    list_display = ["booked_on", "reference", "amount", "text", "settlement"]
    list_filter = [PayoutFilter]
    list_select_related = ["settlement"]
    search_fields = ["reference", "text"]
    date_hierarchy = "booked_on"
    fields = ["booked_on", "amount", "text", "settlement", "imported_at", "reference"]
    readonly_fields = ["amount", "settlement"]
    actions_list = ["upload"]


@admin.register(PaymentRule)
class PaymentRuleAdmin(OfTheOperator, FinanceAdmin):
    list_display = ["what", "kind", "value_shown", "valid_from", "source"]
    list_filter = ["name", "kind"]
    fields = ["what", "kind", "value_shown", "valid_from", "source"]
    readonly_fields = ["what", "value_shown"]

    @display(description=gettext_lazy("Rule"), ordering="name")
    def what(self, row: PaymentRule) -> str:
        """Without the unit that its value is kept in."""
        return str(row.get_name_display()).partition(" (")[0]

    @display(description=gettext_lazy("Value"), ordering="value")
    def value_shown(self, row: PaymentRule) -> str:
        if row.name.endswith("_paise"):
            return money(row.value)
        return ngettext("%(count)d hour", "%(count)d hours", row.value) % {"count": row.value}
