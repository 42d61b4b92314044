"""Shapes of the billing API. Money is integer paise, energy Wh, time UTC."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.models import (
    CDR,
    AuthorisationDecision,
    BillingException,
    CDRAdjustment,
    ChargingSession,
    LedgerTransfer,
    ReconciliationVerdict,
    SessionCorrection,
    Wallet,
)
from billing.services import tariffs


class VerdictSerializer(serializers.ModelSerializer[ReconciliationVerdict]):
    class Meta:
        model = ReconciliationVerdict
        fields = ["verdict", "points", "findings", "ruleset_version", "decided_at"]


class SessionVehicleSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    registration = serializers.CharField()


class SessionSerializer(serializers.ModelSerializer[ChargingSession]):
    """One charging session; `total_paise` includes GST and adjustments and is null until priced.

    `quality_reasons` says why it is not simply billable.
    """

    vehicle = SessionVehicleSerializer(allow_null=True)
    driver = serializers.CharField(source="driver.name", default=None)
    connector = serializers.CharField(source="connector.public_id")
    location = serializers.CharField(source="connector.evse.location.public_id")
    location_name = serializers.CharField(source="connector.evse.location.name")
    id_token = serializers.CharField(source="id_token_uid")
    total_paise = serializers.SerializerMethodField()
    quality_reasons = serializers.ListField(child=serializers.CharField())
    verdict = serializers.CharField(source="verdict.verdict", default=None, allow_null=True)

    class Meta:
        model = ChargingSession
        fields = [
            "id", "transaction_ref", "state", "quality", "quality_reasons", "authorisation_reason", "vehicle", "driver",
            "id_token", "connector", "location", "location_name", "started_at", "ended_at", "stop_reason", "energy_wh",
            "power_w", "soc_start_percent", "soc_percent", "total_paise", "verdict",
        ]  # fmt: skip

    def get_total_paise(self, row: ChargingSession) -> int | None:
        total: int | None = row.cdr.total_paise if hasattr(row, "cdr") else None
        return None if total is None else total + row.adjusted_paise


class GapSerializer(serializers.Serializer[Any]):
    """`kind` is start, stop, samples (`from` and `to` are instants) or messages (sequence numbers)."""

    kind = serializers.ChoiceField(["start", "stop", "samples", "messages"])

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        ends = {name: serializers.JSONField(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **ends}


class CorrectionSerializer(serializers.ModelSerializer[SessionCorrection]):
    """One audited change: `cause` is the message, or the sweep, that brought it about."""

    class Meta:
        model = SessionCorrection
        fields = ["field", "before", "after", "reason", "cause", "at"]


class AdjustmentSerializer(serializers.ModelSerializer[CDRAdjustment]):
    """What was posted after pricing: corrected figures, and the signed difference in money."""

    class Meta:
        model = CDRAdjustment
        fields = [
            "number", "started_at", "ended_at", "energy_wh", "charging_seconds", "idle_seconds", "taxable_paise",
            "tax_paise", "total_paise", "reason", "created_at",
        ]  # fmt: skip


class MeterSampleSerializer(serializers.Serializer[Any]):
    """`is_after_stop`: said of a moment after the session's end; kept, not billed."""

    at = serializers.DateTimeField()
    is_after_stop = serializers.BooleanField(default=False)
    energy_wh = serializers.IntegerField(allow_null=True)
    power_w = serializers.IntegerField(allow_null=True)
    soc_percent = serializers.FloatField(allow_null=True)


class ExplanationLineSerializer(serializers.Serializer[Any]):
    """`unit_price_paise` is exact: a whole number or a fraction like `37/2`; taxes have a rate in `quantity`."""

    dimension = serializers.CharField()
    quantity = serializers.CharField()
    unit = serializers.CharField()
    unit_price_paise = serializers.CharField(required=False)
    vat_percent = serializers.CharField(required=False, help_text="As the tariff says; absent where it does not.")
    amount_paise = serializers.IntegerField()


class CDRSerializer(serializers.ModelSerializer[CDR]):
    session = serializers.IntegerField(source="session_id")
    tariff = serializers.IntegerField(source="tariff_id", allow_null=True)
    price_kind = serializers.ChoiceField(
        choices=["contract", "subscription", "tariff", ""], help_text="Whose price: agreed, of a plan, or public."
    )
    negotiated_rate = serializers.IntegerField(source="negotiated_rate_id", allow_null=True)
    plan_version = serializers.IntegerField(source="plan_version_id", allow_null=True)
    explanation = ExplanationLineSerializer(many=True)

    class Meta:
        model = CDR
        fields = [
            "id", "session", "started_at", "ended_at", "energy_wh", "charging_seconds", "idle_seconds", "tariff",
            "price_kind", "negotiated_rate", "plan_version", "included_wh", "currency", "taxable_paise", "cgst_paise",
            "sgst_paise", "igst_paise", "tax_paise", "total_paise", "explanation", "is_blocked", "rated_at",
            "captured_at",
        ]  # fmt: skip


class SessionDetailSerializer(SessionSerializer):
    """With the meter series, the price line by line, the evidence, what is missing and what was corrected."""

    gaps = GapSerializer(many=True)
    corrections = CorrectionSerializer(many=True)
    adjustments = AdjustmentSerializer(many=True, source="cdr.adjustments", default=list)
    cdr = CDRSerializer(allow_null=True, default=None)
    evidence = VerdictSerializer(source="verdict", allow_null=True, default=None)
    meter_values = serializers.SerializerMethodField()
    running_paise = serializers.SerializerMethodField(
        help_text="What a running session costs so far, with tax; null once it is over, or where no price is known."
    )

    class Meta(SessionSerializer.Meta):
        fields = [
            *SessionSerializer.Meta.fields, "meter_start_wh", "meter_stop_wh", "is_start_reported",
            "is_stop_estimated", "running_paise", "gaps", "corrections", "adjustments", "cdr", "evidence",
            "meter_values",
        ]  # fmt: skip

    @extend_schema_field(MeterSampleSerializer(many=True))  # type: ignore[untyped-decorator]
    def get_meter_values(self, row: ChargingSession) -> Any:
        return MeterSampleSerializer(self.context["meter_values"](row), many=True).data

    def get_running_paise(self, row: ChargingSession) -> int | None:
        if row.state != ChargingSession.State.ACTIVE:
            return None
        offer = tariffs.running_offer(row, now=timezone.now())
        return None if offer is None else offer.rated.total_paise


class AuthorisationSerializer(serializers.ModelSerializer[AuthorisationDecision]):
    """One decision; `at` is the moment that was judged, `inputs` what was known of it."""

    id_token = serializers.CharField(source="id_token_uid")
    vehicle = SessionVehicleSerializer(allow_null=True)
    driver = serializers.CharField(source="driver.name", default=None, allow_null=True)
    charger = serializers.CharField(source="charger.ocpp_identity", default=None, allow_null=True)
    session = serializers.IntegerField(source="session_id", allow_null=True)

    class Meta:
        model = AuthorisationDecision
        fields = [
            "id", "id_token", "vehicle", "driver", "charger", "session", "door", "is_accepted", "reason",
            "max_energy_wh", "max_paise", "inputs", "duration_us", "at", "decided_at",
        ]  # fmt: skip


class WalletSerializer(serializers.ModelSerializer[Wallet]):
    available_paise = serializers.IntegerField()
    currency = serializers.CharField(source="account.currency")

    class Meta:
        model = Wallet
        fields = [
            "available_paise", "posted_paise", "held_paise", "credit_limit_paise", "low_threshold_paise", "currency",
            "state",
        ]  # fmt: skip


class OpenWalletSerializer(serializers.Serializer[Any]):
    low_threshold_paise = serializers.IntegerField(min_value=0, default=0, help_text="Warn below this.")
    reason = serializers.CharField(max_length=500, required=False, default="")


class TransferSerializer(serializers.ModelSerializer[LedgerTransfer]):
    debit = serializers.CharField(source="debit.code")
    credit = serializers.CharField(source="credit.code")
    session = serializers.IntegerField(source="session_id", allow_null=True)
    vehicle = serializers.IntegerField(source="vehicle_id", allow_null=True)
    reverses = serializers.IntegerField(source="reverses_id", allow_null=True)

    class Meta:
        model = LedgerTransfer
        fields = [
            "id", "entry_key", "leg", "debit", "credit", "amount_paise", "currency", "kind", "memo", "session",
            "vehicle", "cost_centre", "reverses", "actor", "occurred_at", "recorded_at",
        ]  # fmt: skip


class ExceptionSerializer(serializers.ModelSerializer[BillingException]):
    session = serializers.IntegerField(source="session_id", allow_null=True)
    owner = serializers.CharField(source="owner.full_name", default=None, allow_null=True)

    class Meta:
        model = BillingException
        fields = [
            "id", "kind", "title", "session", "details", "amount_paise", "owner", "opened_at", "resolved_at",
            "resolution",
        ]  # fmt: skip


class ResolveSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)
