"""The billing API: sessions, records, wallet, ledger and the exception queue of the caller's organisation."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import serializers as shapes
from billing.models import (
    CDR,
    AuthorisationDecision,
    BillingException,
    ChargingSession,
    LedgerTransfer,
    MeterValue,
    Wallet,
)
from billing.services import exceptions, wallets
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import CursorPagination

METER_POINTS = 2_000


class NewestFirst(CursorPagination):
    ordering = "-pk"


class SessionFilter(django_filters.FilterSet):
    """`?state=active&vehicle=12&started_after=2026-11-01T00:00:00Z&verdict=review`"""

    started_after = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    started_before = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")
    verdict = django_filters.CharFilter(field_name="verdict__verdict")

    class Meta:
        model = ChargingSession
        fields = ["state", "quality", "vehicle", "started_after", "started_before", "verdict"]


class CDRFilter(django_filters.FilterSet):
    ended_after = django_filters.IsoDateTimeFilter(field_name="ended_at", lookup_expr="gte")
    ended_before = django_filters.IsoDateTimeFilter(field_name="ended_at", lookup_expr="lt")

    class Meta:
        model = CDR
        fields = ["is_blocked", "ended_after", "ended_before"]


class TransferFilter(django_filters.FilterSet):
    account = django_filters.CharFilter(method="touching", help_text="Account code on either side.")
    occurred_after = django_filters.IsoDateTimeFilter(field_name="occurred_at", lookup_expr="gte")
    occurred_before = django_filters.IsoDateTimeFilter(field_name="occurred_at", lookup_expr="lt")

    class Meta:
        model = LedgerTransfer
        fields = ["kind", "session", "vehicle", "account", "occurred_after", "occurred_before"]

    def touching(self, queryset: QuerySet[LedgerTransfer], name: str, value: str) -> QuerySet[LedgerTransfer]:
        return queryset.filter(debit__code=value) | queryset.filter(credit__code=value)


class ExceptionFilter(django_filters.FilterSet):
    is_open = django_filters.BooleanFilter(field_name="resolved_at", lookup_expr="isnull")

    class Meta:
        model = BillingException
        fields = ["kind", "is_open", "session"]


class AuthorisationFilter(django_filters.FilterSet):
    """`?id_token=CARD17&is_accepted=false&reason=day_limit&charger=BLR-017&decided_after=2026-11-01T00:00:00Z`"""

    id_token = django_filters.CharFilter(field_name="id_token_uid", method="of_token", help_text="Without case.")
    charger = django_filters.CharFilter(field_name="charger__ocpp_identity")
    decided_after = django_filters.IsoDateTimeFilter(field_name="decided_at", lookup_expr="gte")
    decided_before = django_filters.IsoDateTimeFilter(field_name="decided_at", lookup_expr="lt")

    class Meta:
        model = AuthorisationDecision
        fields = ["id_token", "charger", "is_accepted", "reason", "door", "vehicle", "decided_after", "decided_before"]

    def of_token(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(id_token_uid__lower=value.lower())


class BillingView(generics.GenericAPIView[Any]):
    """Rows of the caller's organisation, and nobody else's."""

    read_scope = Scope.BILLING_READ
    write_scope = Scope.BILLING_WRITE
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        return rows.filter(organisation=organisation_of(self.request))


SESSIONS = ChargingSession.objects.select_related("vehicle", "driver", "connector__evse__location", "cdr", "verdict")


class SessionList(BillingView, generics.ListAPIView[ChargingSession]):
    """Charging sessions, newest first."""

    queryset = SESSIONS
    serializer_class = shapes.SessionSerializer
    filterset_class = SessionFilter


class SessionDetail(BillingView, generics.RetrieveAPIView[ChargingSession]):
    """One session with its meter series, its price line by line, and what the evidence says."""

    queryset = SESSIONS
    serializer_class = shapes.SessionDetailSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "meter_values": meter_values}


class CDRList(BillingView, generics.ListAPIView[CDR]):
    """Charge detail records, newest first."""

    queryset = CDR.objects.all()
    serializer_class = shapes.CDRSerializer
    filterset_class = CDRFilter


class AuthorisationList(BillingView, generics.ListAPIView[AuthorisationDecision]):
    """Who was allowed to charge and who was not, with the reason; newest first."""

    queryset = AuthorisationDecision.objects.select_related("vehicle", "driver", "charger")
    serializer_class = shapes.AuthorisationSerializer
    filterset_class = AuthorisationFilter


class WalletDetail(BillingView):
    """The organisation's wallet, exact at this instant."""

    queryset = Wallet.objects.select_related("account")
    serializer_class = shapes.WalletSerializer

    def get(self, request: Request) -> Response:
        wallet = self.get_queryset().first()
        if wallet is None:
            raise Http404("This organisation has no wallet yet.")
        return Response(self.get_serializer(wallet).data)

    @extend_schema(request=shapes.OpenWalletSerializer, responses={201: shapes.WalletSerializer})
    def post(self, request: Request) -> Response:
        """Open the wallet, empty; asking again changes nothing."""
        wanted = shapes.OpenWalletSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        wallets.open_wallet(organisation_id=organisation_of(request).pk, **wanted.validated_data, **author_of(request))
        return Response(self.get_serializer(self.get_queryset().get()).data, status=status.HTTP_201_CREATED)


class TransferList(BillingView, generics.ListAPIView[LedgerTransfer]):
    """The journal, newest first. It is only ever added to."""

    queryset = LedgerTransfer.objects.select_related("debit", "credit")
    serializer_class = shapes.TransferSerializer
    filterset_class = TransferFilter


class ExceptionList(BillingView, generics.ListAPIView[BillingException]):
    """What finance must decide."""

    queryset = BillingException.objects.select_related("owner")
    serializer_class = shapes.ExceptionSerializer
    filterset_class = ExceptionFilter


class ExceptionResolve(BillingView, APIView):
    """Decide one exception, with a reason; 409 when it was decided already."""

    queryset = BillingException.objects.all()
    serializer_class = shapes.ResolveSerializer

    @extend_schema(request=shapes.ResolveSerializer, responses=shapes.ExceptionSerializer)
    def post(self, request: Request, pk: int) -> Response:
        row = self.get_object()
        form = shapes.ResolveSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        row = exceptions.resolve_exception(
            exception_id=row.pk,
            reason=form.validated_data["reason"],
            at=timezone.now(),
            **author_of(request),
        )
        return Response(shapes.ExceptionSerializer(row).data)


def meter_values(session: ChargingSession) -> list[MeterValue]:
    """The session's samples in time order, thinned to what a chart can show; none for a network's session."""
    if session.charger_id is None:
        return []
    rows = list(
        MeterValue.objects.filter(charger_id=session.charger_id, transaction_ref=session.transaction_ref)
        .only("at", "energy_wh", "power_w", "soc_percent")
        .order_by("at")
    )
    for row in rows:
        row.is_after_stop = session.ended_at is not None and row.at > session.ended_at  # type: ignore[attr-defined]
    return rows[:: len(rows) // METER_POINTS + 1]
