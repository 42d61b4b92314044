"""The wallet over the API, as its pages show it: how it stands, its statement and its files."""

from datetime import date
from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing import statement_files
from billing.api import BillingView
from billing.invoicing.files import XLSX, download
from billing.models import Wallet
from billing.services import statements, wallets
from billing.services.standing import standing
from billing.services.tariffs import zone_of
from fleetcharge.accounts.tenancy import author_of

MOST_LINES, USUAL_LINES = 1_000, 100
LONGEST_DAYS = 3_660


class HeldSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(help_text="charging, pricing, other, or the kind of an open exception.")
    count = serializers.IntegerField()
    amount_paise = serializers.IntegerField()
    needs_decision = serializers.BooleanField()


class StandingSerializer(serializers.Serializer[Any]):
    """`spendable` = posted - held + credit; `spent` is of the last seven days, `runway_days` null without any."""

    state = serializers.CharField()
    posted_paise = serializers.IntegerField()
    held_paise = serializers.IntegerField()
    credit_limit_paise = serializers.IntegerField()
    spendable_paise = serializers.IntegerField()
    owed_paise = serializers.IntegerField()
    low_threshold_paise = serializers.IntegerField()
    is_low = serializers.BooleanField()
    spent_paise = serializers.IntegerField()
    runway_days = serializers.IntegerField(allow_null=True)
    held = HeldSerializer(many=True)


class WarningSerializer(serializers.Serializer[Any]):
    low_threshold_paise = serializers.IntegerField(min_value=0, max_value=10**14)
    reason = serializers.CharField(max_length=200)


class StatementLineSerializer(serializers.Serializer[Any]):
    """One entry; above zero came in. `balance_paise` is the one after it."""

    entry_key = serializers.CharField()
    kind = serializers.CharField()
    memo = serializers.CharField()
    session = serializers.IntegerField(source="session_id", allow_null=True)
    vehicle = serializers.CharField()
    site = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()
    amount_paise = serializers.IntegerField()
    balance_paise = serializers.IntegerField()


class StatementSerializer(serializers.Serializer[Any]):
    """Whole days of the fleet's time zone, both included; opening + in + out (below zero) = closing."""

    first_day = serializers.DateField()
    last_day = serializers.DateField()
    opening_paise = serializers.IntegerField()
    in_paise = serializers.IntegerField()
    out_paise = serializers.IntegerField()
    closing_paise = serializers.IntegerField()
    count = serializers.IntegerField()
    lines = StatementLineSerializer(many=True)


DAYS = [
    OpenApiParameter("from", OpenApiTypes.DATE, description="First day; the first of the month unless said."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="Last day; today unless said."),
]


def _wallet(view: BillingView) -> Wallet:
    wallet: Wallet | None = view.get_queryset().first()
    if wallet is None:
        raise Http404("This organisation has no wallet yet.")
    return wallet


def _stretch(request: Request, wallet: Wallet) -> statements.Stretch:
    zone = zone_of(wallet.organisation.time_zone)
    today = timezone.now().astimezone(zone).date()
    last = _day(request, "to") or today
    first = _day(request, "from") or min(last, today).replace(day=1)
    if first > last or (last - first).days > LONGEST_DAYS:
        raise ValidationError({"from": ["Not after `to`, and at most ten years before it."]})
    return statements.Stretch(first, last, zone)


def _day(request: Request, name: str) -> date | None:
    text = request.query_params.get(name, "")
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        raise ValidationError({name: ["A day as 2026-11-30."]}) from None
    if day is not None and not 2000 <= day.year <= 2200:
        raise ValidationError({name: ["Between 2000 and 2200."]})
    return day


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValidationError({name: ["A whole number."]})
    return min(int(text), most) if text else default


class WalletStanding(BillingView):
    """What can be spent, what is held and why, and how long it lasts."""

    queryset = Wallet.objects.select_related("account")
    serializer_class = StandingSerializer

    def get(self, request: Request) -> Response:
        return Response(StandingSerializer(standing(_wallet(self), now=timezone.now())).data)


class WalletWarning(BillingView):
    """The balance below which owners and finance are warned."""

    queryset = Wallet.objects.select_related("account")
    serializer_class = WarningSerializer

    @extend_schema(request=WarningSerializer, responses=StandingSerializer)  # type: ignore[untyped-decorator]
    def put(self, request: Request) -> Response:
        wallet = _wallet(self)
        form = WarningSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wallets.set_warning(
            organisation_id=wallet.organisation_id,
            low_threshold_paise=form.validated_data["low_threshold_paise"], reason=form.validated_data["reason"],
            actor=author_of(request)["actor"],
        )  # fmt: skip
        return Response(StandingSerializer(standing(_wallet(self), now=timezone.now())).data)


class WalletStatement(BillingView):
    """The wallet's entries in the order they were booked, the newest first, each with the balance after it."""

    queryset = Wallet.objects.select_related("account", "organisation")
    serializer_class = StatementSerializer

    @extend_schema(  # type: ignore[untyped-decorator]
        parameters=[
            *DAYS,
            OpenApiParameter("limit", int, description=f"Lines, {USUAL_LINES} unless said, {MOST_LINES} at most."),
            OpenApiParameter("offset", int, description="Lines to leave out, the newest ones."),
        ]
    )
    def get(self, request: Request) -> Response:
        wallet = _wallet(self)
        stretch = _stretch(request, wallet)
        sums = statements.sums(wallet.account_id, stretch)
        lines, count = statements.page(
            wallet.account_id, stretch, opening_paise=sums.opening_paise,
            limit=max(1, _number(request, "limit", USUAL_LINES, MOST_LINES)),
            offset=_number(request, "offset", 0, 10**8),
        )  # fmt: skip
        told = {
            "first_day": stretch.first, "last_day": stretch.last, "opening_paise": sums.opening_paise,
            "in_paise": sums.in_paise, "out_paise": sums.out_paise, "closing_paise": sums.closing_paise,
            "count": count, "lines": lines,
        }  # fmt: skip
        return Response(StatementSerializer(told).data)


class WalletStatementFile(BillingView):
    """The statement as CSV, XLSX or PDF, streamed."""

    queryset = Wallet.objects.select_related("account", "organisation")
    serializer_class = StatementSerializer

    @extend_schema(  # type: ignore[untyped-decorator]
        operation_id="wallet_statement_file",
        parameters=[
            *DAYS, OpenApiParameter("as", str, enum=list(statement_files.FORMS), description="csv unless said."),
        ],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, XLSX): OpenApiResponse(OpenApiTypes.BINARY),
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY),
        },
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        form = request.query_params.get("as", "csv")
        if form not in statement_files.FORMS:
            raise ValidationError({"as": [f"One of {', '.join(statement_files.FORMS)}."]})
        wallet = _wallet(self)
        return download(statement_files.FORMS[form](wallet, _stretch(request, wallet)))
