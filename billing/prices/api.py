"""What a fleet pays by, over the API: open plans, its subscription with what is left of it, its rates, its fees."""

from datetime import date
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import generics, serializers

from billing.api import BillingView
from billing.gst.numbering import day_in_india
from billing.prices import periods
from billing.prices.models import NegotiatedRate, Plan, PlanVersion, Subscription, SubscriptionFee
from billing.prices.services import allowances, resolution
from fleetcharge.accounts.models import Scope


class PlanVersionSerializer(serializers.ModelSerializer[PlanVersion]):
    """`fee_paise` for a month, without tax. Without `elements` the public tariff less `discount_percent`."""

    class Meta:
        model = PlanVersion
        fields = ["id", "number", "fee_paise", "included_wh", "pool", "discount_percent", "elements", "currency"]


class SubscriptionPlanSerializer(serializers.ModelSerializer[Plan]):
    current = serializers.SerializerMethodField()

    class Meta:
        model = Plan
        fields = ["slug", "name", "description", "current"]

    @extend_schema_field(PlanVersionSerializer(allow_null=True))
    def get_current(self, plan: Plan) -> dict[str, Any] | None:
        versions = list(plan.versions.all())  # prefetched, newest first
        return PlanVersionSerializer(versions[0]).data if versions else None


class AllowanceSerializer(serializers.Serializer[Any]):
    """Included energy of the month that is running; a pool by vehicle is told for one vehicle."""

    period_start = serializers.DateField()
    period_end = serializers.DateField(help_text="The day after its last one.")
    pool = serializers.ChoiceField(choices=PlanVersion.Pool.choices)
    included_wh = serializers.IntegerField()
    left_wh = serializers.IntegerField(allow_null=True, help_text="Null where each vehicle has its own.")


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    plan = serializers.SerializerMethodField()
    plan_version = serializers.SerializerMethodField()
    allowance = serializers.SerializerMethodField()

    class Meta:
        model = Subscription
        fields = ["id", "cycle", "starts_on", "ends_before", "plan", "plan_version", "allowance"]

    def _today(self, row: Subscription) -> resolution.Subscribed | None:
        """Read once per row: the last day for one that is over, the first for one that is to come."""
        known: resolution.Subscribed | None
        if not hasattr(row, "_on_day"):
            today = max(day_in_india(timezone.now()), row.starts_on)
            last = periods.day_before(row.ends_before or date.max)
            setattr(row, "_on_day", resolution.on_day(row, min(today, last)))  # noqa: B010 (no field of the model)
        known = getattr(row, "_on_day")  # noqa: B009
        return known

    def get_plan(self, row: Subscription) -> str:
        found = self._today(row)
        return found.version.plan.slug if found else ""

    @extend_schema_field(PlanVersionSerializer(allow_null=True))
    def get_plan_version(self, row: Subscription) -> dict[str, Any] | None:
        found = self._today(row)
        return PlanVersionSerializer(found.version).data if found else None

    @extend_schema_field(AllowanceSerializer(allow_null=True))
    def get_allowance(self, row: Subscription) -> dict[str, Any] | None:
        found = self._today(row)
        if found is None:
            return None
        is_shared = found.version.pool == PlanVersion.Pool.ORGANISATION
        return {
            "period_start": found.period.start.isoformat(), "period_end": found.period.end.isoformat(),
            "pool": found.version.pool, "included_wh": allowances.pool_wh(found),
            "left_wh": allowances.left_wh(found, vehicle_id=None) if is_shared else None,
        }  # fmt: skip


class FeeSerializer(serializers.ModelSerializer[SubscriptionFee]):
    invoice = serializers.CharField(source="document.number", default=None, allow_null=True)

    class Meta:
        model = SubscriptionFee
        fields = [
            "id", "subscription", "period_start", "period_end", "taxable_paise", "cgst_paise", "sgst_paise",
            "igst_paise", "total_paise", "charged_at", "invoice",
        ]  # fmt: skip


class RateSerializer(serializers.ModelSerializer[NegotiatedRate]):
    network = serializers.CharField(source="source.slug")
    site = serializers.CharField(source="location.public_id", default=None, allow_null=True)

    class Meta:
        model = NegotiatedRate
        fields = [
            "id", "name", "version", "network", "site", "currency", "elements", "terms", "valid_from", "valid_to",
            "is_end",
        ]  # fmt: skip


class SubscriptionPlanList(generics.ListAPIView[Plan]):
    """Plans a fleet can subscribe to, with the version that new subscriptions get."""

    read_scope = Scope.BILLING_READ
    queryset = Plan.objects.filter(is_open=True).prefetch_related(
        Prefetch("versions", PlanVersion.objects.order_by("-number"))
    )
    serializer_class = SubscriptionPlanSerializer


class SubscriptionList(BillingView, generics.ListAPIView[Subscription]):
    """The organisation's subscriptions, the running one first, with what is left of its included energy."""

    queryset = Subscription.objects.all()
    serializer_class = SubscriptionSerializer


class FeeList(BillingView, generics.ListAPIView[SubscriptionFee]):
    """What was charged for subscriptions, period by period."""

    queryset = SubscriptionFee.objects.select_related("document")
    serializer_class = FeeSerializer


class RateList(BillingView, generics.ListAPIView[NegotiatedRate]):
    """What the organisation has agreed with networks: every version, newest first."""

    queryset = NegotiatedRate.objects.select_related("source", "location")
    serializer_class = RateSerializer
