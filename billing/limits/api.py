"""Spending limits over the API: read with what is used of them, set and removed with a reason."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api import BillingView
from billing.approvals import spend_limits
from billing.approvals.models import Approval
from billing.limits import changing
from billing.limits import standing as limits
from billing.models import SpendLimit
from fleetcharge.accounts.tenancy import author_of, organisation_of
from stations.models import Location
from vehicles.models import Driver, Vehicle

BIGGEST = (1 << 63) - 1
Scope = SpendLimit.Scope


class LimitSerializer(serializers.ModelSerializer[SpendLimit]):
    """`reserved` and `spent` are of the period that runs now; both 0 for the limit of a single session."""

    reserved_paise = serializers.IntegerField()
    spent_paise = serializers.IntegerField()
    reserved_wh = serializers.IntegerField()
    spent_wh = serializers.IntegerField()
    period_start = serializers.DateField(allow_null=True)

    class Meta:
        model = SpendLimit
        fields = [
            "id", "scope", "vehicle", "driver", "location", "tariff", "cost_centre", "period", "amount_paise",
            "energy_wh", "is_hard", "period_start", "reserved_paise", "spent_paise", "reserved_wh", "spent_wh",
        ]  # fmt: skip


class NewLimitSerializer(serializers.Serializer[Any]):
    """The scope's own field says whose it is; the whole fleet's needs none."""

    scope = serializers.ChoiceField(choices=[each for each in Scope.choices if each[0] != Scope.TARIFF])
    vehicle = serializers.IntegerField(required=False, min_value=1, max_value=BIGGEST)
    driver = serializers.IntegerField(required=False, min_value=1, max_value=BIGGEST)
    location = serializers.IntegerField(required=False, min_value=1, max_value=BIGGEST)
    cost_centre = serializers.CharField(required=False, max_length=40)
    period = serializers.ChoiceField(choices=SpendLimit.Period.choices)
    amount_paise = serializers.IntegerField(
        required=False, min_value=changing.LEAST_PAISE, max_value=changing.MOST_PAISE, help_text="With GST."
    )
    energy_wh = serializers.IntegerField(required=False, min_value=1_000, max_value=10**12)
    is_hard = serializers.BooleanField(default=True, help_text="Refuse beyond it; otherwise finance is told.")
    reason = serializers.CharField(max_length=200)


class LimitList(BillingView):
    """Spending limits of the fleet, each with what is used of it now."""

    queryset = SpendLimit.objects.all()
    serializer_class = LimitSerializer
    pagination_class = None  # type: ignore[assignment]

    @extend_schema(responses=LimitSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = limits.of_organisation(organisation_of(request), now=timezone.now())
        return Response(LimitSerializer([_shown(row) for row in rows], many=True).data)

    @extend_schema(request=NewLimitSerializer, responses={200: LimitSerializer, 202: LimitSerializer})
    def post(self, request: Request) -> Response:
        """Set or change the limit of a scope and period; the same again changes nothing.

        202 with the limit as it still is: your fleet wants a second person for such a raise.
        """
        form = NewLimitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = dict(form.validated_data)
        organisation = organisation_of(request)
        of = self._whose(wanted)
        try:
            wish = spend_limits.set_or_ask(
                organisation=organisation, scope=wanted["scope"], period=wanted["period"], reason=wanted["reason"],
                amount_paise=wanted.get("amount_paise"), energy_wh=wanted.get("energy_wh"), is_hard=wanted["is_hard"],
                now=timezone.now(), **author_of(request), **of,
            )  # fmt: skip
        except ValueError as error:
            raise ValidationError(str(error), code="refused") from error
        key = {name: wanted[name] for name in ("scope", "period", "is_hard")} | of
        limit = SpendLimit.objects.get(organisation=organisation, **key)
        rows = limits.of_organisation(organisation, now=timezone.now())
        shown = LimitSerializer(_shown(next(row for row in rows if row.limit.pk == limit.pk))).data
        return Response(shown, status=_status(wish))

    def _whose(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The row behind the scope's field, of the caller's fleet; 400 when it is missing or somebody else's."""
        scope, organisation = wanted["scope"], organisation_of(self.request)
        if scope == Scope.ORGANISATION:
            return {}
        name = {Scope.SITE: "location"}.get(scope, scope)
        if not (value := wanted.get(name)):
            raise ValidationError({name: ["Says whose limit it is."]})
        if scope == Scope.COST_CENTRE:
            return {name: value}
        rows: Any = {
            Scope.VEHICLE: Vehicle.objects.filter(organisation=organisation),
            Scope.DRIVER: Driver.objects.filter(organisation=organisation),
            Scope.SITE: Location.objects.visible_to(organisation),
        }[scope]  # fmt: skip
        found = rows.filter(pk=value).first()
        if found is None:
            raise ValidationError({name: ["Your fleet has none with this id."]})
        return {name: found}


class LimitDetail(BillingView):
    """One limit."""

    queryset = SpendLimit.objects.select_related("organisation", *limits.WHOSE)
    serializer_class = LimitSerializer

    @extend_schema(
        parameters=[OpenApiParameter("reason", str, description="Kept in the audit trail; refused (400) without one.")],
        responses={204: None, 202: None},
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Remove it: it bounds nothing from now on. 202: another person has to agree first."""
        limit, reason = self.get_object(), request.query_params.get("reason", "").strip()[:200]
        if not reason:
            raise ValidationError({"reason": ["Say why; it is kept in the audit trail."]})
        wish = spend_limits.remove_or_ask(limit=limit, reason=reason, now=timezone.now(), **author_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT if _status(wish) == status.HTTP_200_OK else _status(wish))


def _status(wish: Approval | None) -> int:
    """202: nothing has changed yet, another person has to agree."""
    waits = wish is not None and wish.state == Approval.State.ASKED
    return status.HTTP_202_ACCEPTED if waits else status.HTTP_200_OK


def _shown(row: limits.Standing) -> SpendLimit:
    """The limit with its usage beside it, as the serializer reads it."""
    for name in ("period_start", "reserved_paise", "spent_paise", "reserved_wh", "spent_wh"):
        setattr(row.limit, name, getattr(row, name))
    return row.limit
