"""The payment API: top-ups, codes and accounts to pay into, mandates, automatic top-up, refunds. Nothing here waits
for the gateway: a write is a row, a worker takes it there, and the row says how far it is.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from billing.api import BillingView
from billing.gateways.choice import gateway
from billing.models import AutoTopUp, GatewayPayment, Mandate, PaymentIntent, PaymentReceiver, Refund
from billing.payments import auto_top_up, debits, intents, mandates, receivers, refunds
from billing.payments import serializers as shapes
from fleetcharge.accounts.models import User
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import Conflict

T = TypeVar("T")


def _wanted(form: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    read = form(data=request.data)
    read.is_valid(raise_exception=True)
    wanted: dict[str, Any] = dict(read.validated_data)
    return wanted


def _or_refused(service: Callable[..., T], **arguments: Any) -> T:
    """What a service finds wrong with the request is a 400 with its words."""
    try:
        return service(**arguments)
    except ValueError as error:
        raise ValidationError(str(error), code="refused") from error


def _person(request: Request) -> User:
    """Four eyes are people's."""
    actor = author_of(request)["actor"]
    if actor is None:
        raise PermissionDenied("A person decides this, not a key.", code="person_needed")
    return actor


class TopUpList(BillingView, generics.ListAPIView[PaymentIntent]):
    """Payments that were asked for, newest first: top-ups by hand and debits of mandates."""

    queryset = PaymentIntent.objects.all()
    serializer_class = shapes.TopUpSerializer

    @extend_schema(request=shapes.NewTopUpSerializer, responses={202: shapes.TopUpSerializer})
    def post(self, request: Request) -> Response:
        """Ask for a top-up. Read it again for its `checkout`; the wallet has the money when the gateway says so."""
        wanted = _wanted(shapes.NewTopUpSerializer, request)
        actor = author_of(request)["actor"]
        intent = _or_refused(
            intents.start_order, organisation_id=organisation_of(request).pk, now=timezone.now(), asked_by=actor,
            **wanted,
        )  # fmt: skip
        return Response(self.get_serializer(intent).data, status=status.HTTP_202_ACCEPTED)


class TopUpDetail(BillingView, generics.RetrieveAPIView[PaymentIntent]):
    """One of them."""

    queryset = PaymentIntent.objects.all()
    serializer_class = shapes.TopUpSerializer


class TopUpPaid(BillingView):
    """The checkout says that it is paid: its signature is checked and the gateway asked. Nothing is credited for it."""

    queryset = PaymentIntent.objects.all()
    serializer_class = shapes.PaidSerializer

    @extend_schema(request=shapes.PaidSerializer, responses={202: shapes.TopUpSerializer})
    def post(self, request: Request, pk: int) -> Response:
        intent = self.get_object()
        wanted = _wanted(shapes.PaidSerializer, request)
        is_signed = gateway().is_checkout_signed(
            order_id=intent.order_id or "", payment_id=wanted["payment_id"], presented=wanted["signature"]
        )
        if not intent.order_id or not is_signed:
            raise ValidationError("The signature does not fit this order.", code="wrong_signature")
        intents.look_now(intent_id=intent.pk, now=timezone.now())
        return Response(shapes.TopUpSerializer(intent).data, status=status.HTTP_202_ACCEPTED)


class ReceiverList(BillingView, generics.ListAPIView[PaymentReceiver]):
    """UPI QR codes and the account for bank transfers."""

    queryset = PaymentReceiver.objects.all()
    serializer_class = shapes.ReceiverSerializer

    @extend_schema(request=shapes.NewReceiverSerializer, responses={202: shapes.ReceiverSerializer})
    def post(self, request: Request) -> Response:
        """Open one; 409 when there is an account already. It can be paid into when its state is `active`."""
        wanted, now = _wanted(shapes.NewReceiverSerializer, request), timezone.now()
        organisation_id = organisation_of(request).pk
        if wanted["kind"] == PaymentReceiver.Kind.QR:
            amount = wanted.get("amount_paise")
            row = receivers.open_qr(organisation_id=organisation_id, amount_paise=amount, now=now)
        else:
            payers = [dict(each) for each in wanted.get("allowed_payers", [])]
            row = receivers.open_virtual_account(organisation_id=organisation_id, now=now, allowed_payers=payers)
        return Response(self.get_serializer(row).data, status=status.HTTP_202_ACCEPTED)


class PaymentList(BillingView, generics.ListAPIView[GatewayPayment]):
    """Payments as the gateway says them, newest first."""

    queryset = GatewayPayment.objects.all()
    serializer_class = shapes.PaymentSerializer


class MandateList(BillingView, generics.ListAPIView[Mandate]):
    """Mandates (UPI AutoPay, e-mandate, NACH), newest first."""

    queryset = Mandate.objects.all()
    serializer_class = shapes.MandateSerializer

    @extend_schema(request=shapes.NewMandateSerializer, responses={202: shapes.MandateSerializer})
    def post(self, request: Request) -> Response:
        """Ask a payer for a mandate; the payer allows it behind `link_url`."""
        wanted = _wanted(shapes.NewMandateSerializer, request)
        actor = author_of(request)["actor"]
        mandate = _or_refused(
            mandates.start, organisation_id=organisation_of(request).pk, now=timezone.now(), asked_by=actor, **wanted
        )
        return Response(self.get_serializer(mandate).data, status=status.HTTP_202_ACCEPTED)


class MandateDetail(BillingView, generics.RetrieveAPIView[Mandate]):
    """One mandate."""

    queryset = Mandate.objects.all()
    serializer_class = shapes.MandateSerializer


class MandateCancel(BillingView):
    """End a mandate; no debit begins after this, and it is over when the gateway has ended it."""

    queryset = Mandate.objects.all()
    serializer_class = shapes.EndMandateSerializer

    @extend_schema(request=shapes.EndMandateSerializer, responses={202: shapes.MandateSerializer})
    def post(self, request: Request, pk: int) -> Response:
        mandate = mandates.cancel(
            mandate_id=self.get_object().pk, now=timezone.now(), **_wanted(shapes.EndMandateSerializer, request),
            **author_of(request),
        )  # fmt: skip
        return Response(shapes.MandateSerializer(mandate).data, status=status.HTTP_202_ACCEPTED)


class MandatePause(BillingView):
    """Begin no debits of this mandate until it is resumed; the payer's bank hears nothing."""

    queryset = Mandate.objects.all()
    serializer_class = shapes.EndMandateSerializer
    is_resting = True

    @extend_schema(request=shapes.EndMandateSerializer, responses=shapes.MandateSerializer)
    def post(self, request: Request, pk: int) -> Response:
        mandate = mandates.rest(
            mandate_id=self.get_object().pk, is_resting=self.is_resting, now=timezone.now(),
            **_wanted(shapes.EndMandateSerializer, request), **author_of(request),
        )  # fmt: skip
        return Response(shapes.MandateSerializer(mandate).data)


class MandateResume(MandatePause):
    """Debits may begin again."""

    is_resting = False


class MandateDebit(BillingView):
    """Begin a debit; the money is here after the 25th hour. 409 with the reason when the mandate cannot."""

    queryset = Mandate.objects.all()
    serializer_class = shapes.NewTopUpSerializer

    @extend_schema(request=shapes.NewTopUpSerializer, responses={202: shapes.TopUpSerializer})
    def post(self, request: Request, pk: int) -> Response:
        mandate, wanted = self.get_object(), _wanted(shapes.NewTopUpSerializer, request)
        actor = author_of(request)["actor"]
        try:
            intent = debits.start(mandate_id=mandate.pk, now=timezone.now(), asked_by=actor, **wanted)
        except ValueError as error:
            raise Conflict("This mandate cannot be debited so now.", code=str(error)) from error
        return Response(shapes.TopUpSerializer(intent).data, status=status.HTTP_202_ACCEPTED)


class AutoTopUpDetail(BillingView):
    """The automatic top-up: it begins debits before the wallet runs dry, a debit's day ahead."""

    queryset = AutoTopUp.objects.all()
    serializer_class = shapes.AutoTopUpSerializer

    def get(self, request: Request) -> Response:
        return Response(self.get_serializer(get_object_or_404(self.get_queryset())).data)

    def put(self, request: Request) -> Response:
        """Switch it on, off, or change it."""
        wanted = {"is_active": True, "cover_hours": 72, **_wanted(shapes.AutoTopUpSerializer, request)}
        actor = author_of(request)["actor"]
        row = _or_refused(
            auto_top_up.set_up, organisation_id=organisation_of(request).pk, actor=actor, reason="", now=timezone.now(),
            **wanted,
        )  # fmt: skip
        return Response(self.get_serializer(row).data)


class RefundList(BillingView, generics.ListAPIView[Refund]):
    """Refunds to where the money came from, newest first."""

    queryset = Refund.objects.select_related("payment", "asked_by", "decided_by")
    serializer_class = shapes.RefundSerializer

    @extend_schema(request=shapes.NewRefundSerializer, responses={201: shapes.RefundSerializer})
    def post(self, request: Request) -> Response:
        """Ask for one; a second person has to approve it."""
        wanted, person = _wanted(shapes.NewRefundSerializer, request), _person(request)
        own = GatewayPayment.objects.for_organisation(organisation_of(request))
        payment = get_object_or_404(own, pk=wanted.pop("payment"))
        refund = _or_refused(refunds.ask, payment_id=payment.pk, asked_by=person, now=timezone.now(), **wanted)
        return Response(self.get_serializer(refund).data, status=status.HTTP_201_CREATED)


class RefundDecide(BillingView):
    """Approve or decline a refund that somebody else asked for; 409 when it was decided or the money is spent."""

    queryset = Refund.objects.select_related("payment", "asked_by", "decided_by")
    serializer_class = shapes.DecisionSerializer

    @extend_schema(request=shapes.DecisionSerializer, responses=shapes.RefundSerializer)
    def post(self, request: Request, pk: int) -> Response:
        refund, wanted, person = self.get_object(), _wanted(shapes.DecisionSerializer, request), _person(request)
        decide: dict[str, Any] = {"refund_id": refund.pk, "decided_by": person, "now": timezone.now()}
        if wanted["approve"]:
            refund = _or_refused(refunds.approve, reason=wanted["reason"], **decide)
        else:
            refund = _or_refused(refunds.decline, reason=wanted["reason"], **decide)
        return Response(shapes.RefundSerializer(refund).data)
