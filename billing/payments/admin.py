"""Finance's view of payments: what came in, what waits, failing mandates, refunds to decide, settlements to explain."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.operators import OperatorDeeds, operators_only
from billing.admin.shown import TotalsMixin, money, user_of
from billing.approvals.following import follow
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
from billing.payments import inbox, refunds, strangers
from billing.payments.statement_upload import StatementUpload
from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, ReasonForm, ask, back_to
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict


class MoneyColumn:
    """An amount as finance reads it."""

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: Any) -> str:
        return money(row.amount_paise)


class SumOfAmounts(TotalsMixin):
    def totals(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        sums = rows.aggregate(count=Count("pk"), total=Sum("amount_paise"))
        return [(_("Rows"), f"{sums['count']}"), (_("Amount"), money(sums["total"] or 0))]


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
class GatewayPaymentAdmin(OperatorDeeds, SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    list_display = ["paid_at", "payment_id", "organisation", "method", "amount", "status", "credited_at"]
    list_filter = ["status", "method", ("organisation", admin.EmptyFieldListFilter)]
    list_select_related = ["organisation"]
    search_fields = ["payment_id", "order_id"]
    date_hierarchy = "paid_at"
    ordering = ["-pk"]
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
class PaymentIntentAdmin(SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    list_display = ["created_at", "key", "kind", "organisation", "amount", "state", "attempts", "debit_due_at", "error"]
    list_filter = ["state", "kind"]
    list_select_related = ["organisation"]
    search_fields = ["key", "order_id", "payment_id"]
    ordering = ["-pk"]


@admin.register(PaymentReceiver)
class PaymentReceiverAdmin(MoneyColumn, ReadOnlyAdmin):
    list_display = ["created_at", "key", "kind", "organisation", "amount", "state", "gateway_id"]
    list_filter = ["state", "kind"]
    list_select_related = ["organisation"]
    search_fields = ["key", "gateway_id"]


@admin.register(Mandate)
class MandateAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at", "organisation", "kind", "state", "most", "payer_account", "last_debit_state",
        "consecutive_failures", "next_allowed_at", "expires_at",
    ]  # fmt: skip
    list_filter = ["state", "kind", "last_debit_state"]
    list_select_related = ["organisation"]
    search_fields = ["key", "payer_name", "token_id"]

    @display(description=gettext_lazy("Per debit"), ordering="max_amount_paise")
    def most(self, row: Mandate) -> str:
        return money(row.max_amount_paise)


@admin.register(Refund)
class RefundAdmin(SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    """One asks, another decides; the database refuses one person for both."""

    list_display = ["created_at", "payment", "organisation", "amount", "state", "asked_by", "decided_by", "reason"]
    list_filter = ["state"]
    list_select_related = ["payment", "organisation", "asked_by", "decided_by"]
    search_fields = ["key", "refund_id", "payment__payment_id"]
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
class PaymentDisputeAdmin(SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    list_display = ["opened_at", "dispute_id", "payment", "organisation", "amount", "status", "respond_by"]
    list_filter = ["status"]
    list_select_related = ["payment", "organisation"]
    search_fields = ["dispute_id", "payment__payment_id"]


@admin.register(GatewayEvent)
class GatewayEventAdmin(OfTheOperator, ReadOnlyAdmin):
    list_display = ["received_at", "name", "event_id", "state", "attempts", "error"]
    list_filter = ["state"]
    search_fields = ["event_id", "name"]
    fields = ["event_id", "name", "state", "attempts", "error", "received_at", "next_try_at", "done_at"]
    ordering = ["-pk"]
    actions = ["try_again"]

    @action(description=gettext_lazy("Handle again"))
    def try_again(self, request: HttpRequest, rows: QuerySet[GatewayEvent]) -> None:
        count = inbox.try_again(event_ids=list(rows.values_list("pk", flat=True)), now=timezone.now())
        messages.success(request, _("%(count)d wait again.") % {"count": count})


@admin.register(Settlement)
class SettlementAdmin(OfTheOperator, SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    list_display = ["settled_at", "settlement_id", "utr", "amount", "state", "posted_at"]
    list_filter = ["state"]
    search_fields = ["settlement_id", "utr"]
    date_hierarchy = "settled_at"


@admin.register(SettlementRow)
class SettlementRowAdmin(OfTheOperator, SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    list_display = ["settlement", "kind", "entity_id", "amount", "outcome", "difference"]
    list_filter = ["outcome", "kind"]
    list_select_related = ["settlement"]
    search_fields = ["entity_id", "payment_id", "settlement__utr"]

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
class BankLineAdmin(StatementUpload, OfTheOperator, SumOfAmounts, MoneyColumn, ReadOnlyAdmin):
    list_display = ["booked_on", "reference", "amount", "text", "settlement"]
    list_filter = [PayoutFilter]
    list_select_related = ["settlement"]
    search_fields = ["reference", "text"]
    date_hierarchy = "booked_on"
    actions_list = ["upload"]


@admin.register(PaymentRule)
class PaymentRuleAdmin(OfTheOperator, ReadOnlyAdmin):
    list_display = ["name", "kind", "value", "valid_from", "source"]
    list_filter = ["name", "kind"]
