"""Money into the wallet: an order paid in the gateway's own checkout, a UPI code, or a bank transfer."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.gateways import choice
from billing.models import GatewayPayment, PaymentIntent, PaymentReceiver
from billing.pages import access, codes, rupees, wording
from billing.pages.access import own, wallet_page
from billing.payments import intents, receivers
from billing.services.standing import standing
from fleetcharge.accounts.middleware import policy
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from fleetcharge.lib.api import Conflict

KEY = re.compile(r"(TU|QR)-[A-Z0-9]{18}")
QUICK = (5_000_00, 10_000_00, 25_000_00, 50_000_00)
ROUND_TO = 1_000_00
LISTED = 20
Receiver, Intent = PaymentReceiver, PaymentIntent


@wallet_page
def top_up(request: FleetRequest) -> HttpResponse:
    """The form, the account for transfers, and what was paid lately; a POST begins a payment, twice is once."""
    if request.method != "POST":
        return _form(request)
    wallet = access.wallet_of(request)
    key = request.POST.get("key", "")
    try:
        amount = rupees.read(request.POST.get("amount", ""))
        if wallet is None:
            raise ValueError(_("Open the wallet first."))
        if not intents.LEAST_PAISE <= amount <= intents.MOST_PAISE:
            raise ValueError(_("A top-up is between ₹1 and ₹5 crore."))
        if not KEY.fullmatch(key):
            raise ValueError(_("This form is too old. Please try again."))
        return HttpResponseRedirect(_begin(request, amount, key))
    except ValueError as error:
        return _form(request, error=str(error), typed=request.POST.get("amount", ""), status=400)


def _begin(request: FleetRequest, amount_paise: int, key: str) -> str:
    organisation_id, now = organisation_of(request).pk, timezone.now()
    if request.POST.get("way") == "qr":
        code = receivers.open_qr(
            organisation_id=organisation_id, amount_paise=amount_paise, now=now, key=f"QR-{key.partition('-')[2]}"
        )
        return reverse("wallet-code", args=[code.pk])
    intent = intents.start_order(
        organisation_id=organisation_id, amount_paise=amount_paise, now=now, asked_by=access.person(request), key=key
    )
    return reverse("wallet-top-up-one", args=[intent.pk])


def _form(request: FleetRequest, *, error: str = "", typed: str = "", status: int = 200) -> HttpResponse:
    organisation = organisation_of(request)
    wallet = access.wallet_of(request)
    payments = GatewayPayment.objects.for_organisation(organisation).select_related("intent", "receiver")
    wish = request.GET.get("amount", "")
    context = {
        "at": "top-up", "may_act": access.may_act(request), "wallet": wallet, "error": error,
        "typed": typed or (wish if wish.isdecimal() else ""), "key": intents.new_key("TU"), "quick": _quick(wallet),
        "account": _account(organisation.pk), "payments": payments[:LISTED], "is_emulated": choice.is_emulated(),
        "waiting": Intent.objects.for_organisation(organisation).filter(
            kind=Intent.Kind.ORDER, state__in=["created", "sent", "unknown"], expires_at__gt=timezone.now()
        )[:5],
    }  # fmt: skip
    return render(request, "wallet/top_up.html", context, status=status)


def _quick(wallet: Any) -> list[tuple[str, int, bool]]:
    """Amounts to tap; the first is what two weeks cost, where that is known."""
    found = [(rupees.write(paise), paise, False) for paise in QUICK]
    if wallet is None:
        return found
    stands = standing(wallet, now=timezone.now())
    needed = stands.per_day_paise * 14 - stands.spendable_paise + stands.low_threshold_paise
    if stands.spent_paise and needed > 0:
        paise = -(-needed // ROUND_TO) * ROUND_TO
        return [(rupees.write(paise), paise, True), *(each for each in found if each[1] != paise)]
    return found


def _account(organisation_id: int) -> PaymentReceiver | None:
    rows = Receiver.objects.filter(organisation_id=organisation_id, kind=Receiver.Kind.VIRTUAL_ACCOUNT)
    return rows.exclude(state__in=[Receiver.State.CLOSED]).first()


@wallet_page
def one_top_up(request: FleetRequest, pk: int) -> HttpResponse:
    """How far it is, and the way into the checkout; `?part=state` for its script."""
    intent: PaymentIntent = own(request, Intent.objects.all(), pk=pk)
    is_payable = intent.kind == Intent.Kind.ORDER and intent.state == Intent.State.SENT and intent.order_id
    context = {
        "at": "top-up", "may_act": access.may_act(request), "intent": intent, "is_payable": is_payable,
        "why": wording.of_failure(intent.error), "checkout": _checkout(request, intent) if is_payable else None,
        "is_waiting": intent.state in {"created", "sent", "unknown"}, "has_failed_once": bool(intent.error),
        "is_back": "back" in request.GET, "wallet": access.wallet_of(request),
    }  # fmt: skip
    part = request.GET.get("part") == "state"
    answer = render(request, "wallet/_top_up_state.html" if part else "wallet/top_up_one.html", context)
    if intent.kind == Intent.Kind.ORDER and context["is_waiting"]:  # the button comes by itself, the policy does not
        answer["Content-Security-Policy"] = _with_checkout(policy(request))
    return answer


def _checkout(request: FleetRequest, intent: PaymentIntent) -> dict[str, Any]:
    """The gateway's hosted checkout: a form of ours that leads there, and back with a signed answer."""
    back = f"{settings.PUBLIC_BASE_URL}{reverse('wallet-paid')}"
    there = request.build_absolute_uri(reverse("wallet-paid"))
    user = access.person(request)
    return {
        "url": choice.checkout_url(),
        "fields": [
            ("key_id", choice.credentials()[0]), ("order_id", intent.order_id), ("amount", intent.amount_paise),
            ("currency", "INR"), ("name", "FleetCharge"), ("description", f"Top-up {intent.key}"),
            ("prefill[name]", str(user or "")), ("prefill[email]", user.email if user else ""),
            ("callback_url", there if choice.is_emulated() else back),
            ("cancel_url", request.build_absolute_uri(reverse("wallet-top-up-one", args=[intent.pk]))),
        ],
    }  # fmt: skip


def _with_checkout(csp: str) -> str:
    """Only the page with the button may post to the gateway."""
    where = urlsplit(choice.checkout_url())
    return csp.replace("form-action 'self'", f"form-action 'self' {where.scheme}://{where.netloc}")


@csrf_exempt
@require_POST
def paid(request: HttpRequest) -> HttpResponse:
    """The browser comes back from the checkout, without our cookies. A signature makes us look sooner, nothing else."""
    order_id, payment_id = request.POST.get("razorpay_order_id", ""), request.POST.get("razorpay_payment_id", "")
    presented = request.POST.get("razorpay_signature", "")
    intent = Intent.objects.filter(order_id=order_id or _failed_order(request) or "-").first()
    if intent is None:
        return HttpResponseRedirect(reverse("wallet-top-up"))
    if presented and choice.gateway().is_checkout_signed(order_id=order_id, payment_id=payment_id, presented=presented):
        intents.look_now(intent_id=intent.pk, now=timezone.now())
    return HttpResponseRedirect(f"{reverse('wallet-top-up-one', args=[intent.pk])}?back=1")


def _failed_order(request: HttpRequest) -> str:
    """A payment that failed names its order in `error[metadata]`."""
    try:
        told = json.loads(request.POST.get("error[metadata]", "") or "{}")
    except ValueError:
        return ""
    return str(told.get("order_id") or "") if isinstance(told, dict) else ""


@wallet_page
def one_code(request: FleetRequest, pk: int) -> HttpResponse:
    """A UPI code to scan, drawn by us; `?part=state` for its script."""
    code: PaymentReceiver = own(request, Receiver.objects.filter(kind=Receiver.Kind.QR), pk=pk)
    payment = code.payments.filter(credited_at__isnull=False).first()
    link = str(code.details.get("image_content") or "")
    context = {
        "at": "top-up", "code": code, "payment": payment, "wallet": access.wallet_of(request),
        "is_waiting": payment is None and code.state in {"created", "sent", "unknown", "active"},
        "drawing": codes.upi_svg(link) if link and code.state == Receiver.State.ACTIVE else "",
        "picture_url": code.details.get("image_url") or "", "why": wording.of_failure(code.error),
        "emulated": choice.emulated_page("pay", code.gateway_id) if code.gateway_id else "",
    }  # fmt: skip
    part = request.GET.get("part") == "state"
    return render(request, "wallet/_code_state.html" if part else "wallet/code.html", context)


@wallet_page
def open_account(request: FleetRequest) -> HttpResponse:
    """An account number of the fleet's own for NEFT, RTGS and IMPS; asking again changes nothing."""
    if request.method == "POST":
        try:
            receivers.open_virtual_account(organisation_id=organisation_of(request).pk, now=timezone.now())
            messages.success(request, _("The account number is being opened; it appears below in a moment."))
        except Conflict:
            messages.info(request, _("There is an account number already."))
    return HttpResponseRedirect(f"{reverse('wallet-top-up')}#transfer")
