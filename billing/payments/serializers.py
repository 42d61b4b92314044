"""Shapes of the payment API; amounts are paise, instants UTC."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.gateways import choice
from billing.models import AutoTopUp, GatewayPayment, Mandate, PaymentIntent, PaymentReceiver, Refund
from billing.payments.intents import LEAST_PAISE, MOST_PAISE


def _amount(**more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=LEAST_PAISE, max_value=MOST_PAISE, **more)


class CheckoutSerializer(serializers.Serializer[Any]):
    """What the gateway's checkout wants; `url` is there with the emulator only."""

    gateway = serializers.CharField()
    key_id = serializers.CharField()
    order_id = serializers.CharField()
    url = serializers.CharField(allow_blank=True)


class TopUpSerializer(serializers.ModelSerializer[PaymentIntent]):
    """A payment that was asked for; `checkout` is null until the gateway knows the order, and after it is paid."""

    mandate = serializers.IntegerField(source="mandate_id", allow_null=True)
    checkout = serializers.SerializerMethodField()

    class Meta:
        model = PaymentIntent
        fields = [
            "id", "key", "kind", "state", "amount_paise", "mandate", "payment_id", "error", "created_at",
            "debit_due_at", "expires_at", "settled_at", "checkout",
        ]  # fmt: skip

    @extend_schema_field(CheckoutSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_checkout(self, row: PaymentIntent) -> dict[str, str] | None:
        if row.kind != PaymentIntent.Kind.ORDER or row.state != PaymentIntent.State.SENT or not row.order_id:
            return None
        return {
            "gateway": "emulator" if choice.is_emulated() else "razorpay", "key_id": choice.credentials()[0],
            "order_id": row.order_id, "url": choice.emulated_page("pay", row.order_id),
        }  # fmt: skip


class NewTopUpSerializer(serializers.Serializer[Any]):
    amount_paise = _amount()


class PaidSerializer(serializers.Serializer[Any]):
    """What the checkout handed to the browser."""

    payment_id = serializers.RegexField(r"^pay_[A-Za-z0-9]{1,36}$")
    signature = serializers.CharField(max_length=128)


class ReceiverSerializer(serializers.ModelSerializer[PaymentReceiver]):
    class Meta:
        model = PaymentReceiver
        fields = ["id", "key", "kind", "state", "amount_paise", "details", "created_at", "closes_at", "closed_at"]


class PayerSerializer(serializers.Serializer[Any]):
    account_number = serializers.RegexField(r"^[A-Za-z0-9]{5,35}$")
    ifsc = serializers.RegexField(r"^[A-Z]{4}0[A-Z0-9]{6}$")


class NewReceiverSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(PaymentReceiver.Kind.choices)
    amount_paise = _amount(required=False, help_text="Of a code for one payment; any amount, if left out.")
    allowed_payers = PayerSerializer(many=True, required=False, help_text="Of a bank account; anybody, if left out.")


class PaymentSerializer(serializers.ModelSerializer[GatewayPayment]):
    class Meta:
        model = GatewayPayment
        fields = [
            "id", "payment_id", "status", "method", "currency", "amount_paise", "refunded_paise", "error_reason",
            "paid_at", "credited_at",
        ]  # fmt: skip


class MandateSerializer(serializers.ModelSerializer[Mandate]):
    class Meta:
        model = Mandate
        fields = [
            "id", "key", "kind", "state", "max_amount_paise", "total_limit_paise", "payer_name", "payer_account",
            "link_url", "confirmed_at", "expires_at", "ended_at", "end_reason", "cancel_asked_at", "rests_since",
            "last_debit_state", "next_allowed_at", "consecutive_failures", "created_at",
        ]  # fmt: skip


class NewMandateSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(Mandate.Kind.choices, default=Mandate.Kind.UPI)
    max_amount_paise = _amount(help_text="Per debit.")
    total_limit_paise = _amount(required=False)
    expires_at = serializers.DateTimeField()
    payer_name = serializers.CharField(max_length=80)
    payer_email = serializers.EmailField()
    payer_contact = serializers.RegexField(r"^\+?[0-9]{8,15}$")


class EndMandateSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=160)


class AutoTopUpSerializer(serializers.ModelSerializer[AutoTopUp]):
    """`found` is the last look: what is there and coming, the forecast, and what was begun."""

    class Meta:
        model = AutoTopUp
        fields = ["is_active", "safety_paise", "cover_hours", "looked_at", "found"]
        read_only_fields = ["looked_at", "found"]


class RefundSerializer(serializers.ModelSerializer[Refund]):
    payment = serializers.CharField(source="payment.payment_id")
    asked_by = serializers.CharField(source="asked_by.full_name")
    decided_by = serializers.CharField(source="decided_by.full_name", default=None, allow_null=True)

    class Meta:
        model = Refund
        fields = [
            "id", "key", "state", "payment", "amount_paise", "reason", "asked_by", "decided_by", "created_at",
            "decided_at", "settled_at", "error",
        ]  # fmt: skip


class NewRefundSerializer(serializers.Serializer[Any]):
    payment = serializers.IntegerField(min_value=1, max_value=(1 << 63) - 1, help_text="Id of the payment.")
    amount_paise = _amount()
    reason = serializers.CharField(max_length=200)


class DecisionSerializer(serializers.Serializer[Any]):
    approve = serializers.BooleanField()
    reason = serializers.CharField(max_length=200, required=False, default="")
