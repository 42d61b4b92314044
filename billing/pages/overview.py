"""The wallet at a glance: what is there, what is held and why, how long it lasts, what moved last."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import AutoTopUp, BillingException, Mandate, PaymentIntent, Wallet
from billing.models.payments import OPEN_INTENTS
from billing.pages import access, rupees, wording
from billing.pages.access import wallet_page
from billing.services import statements, wallets
from billing.services.standing import BURN_DAYS, standing
from billing.services.tariffs import zone_of
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of

RECENT = 8
MONEY_TROUBLE = (
    BillingException.Kind.MANDATE_FAILED, BillingException.Kind.TOP_UP_SHORT, BillingException.Kind.REFUND_FAILED,
    BillingException.Kind.PAYMENT_DISPUTE, BillingException.Kind.OVER_CAPTURE,
)  # fmt: skip


@wallet_page
def overview(request: FleetRequest) -> HttpResponse:
    """`?part=figures` is what its script asks for again and again."""
    wallet = access.wallet_of(request)
    if wallet is None:
        return render(request, "wallet/none.html", {"may_act": access.may_act(request)})
    context = {"at": "overview", "may_act": access.may_act(request), **_figures(wallet)}
    template = "wallet/_figures.html" if request.GET.get("part") == "figures" else "wallet/overview.html"
    return render(request, template, context)


def _figures(wallet: Wallet) -> dict[str, Any]:
    now = timezone.now()
    stretch = last_days(wallet, 31)
    opening = statements.sums(wallet.account_id, stretch).opening_paise
    lines, _count = statements.page(wallet.account_id, stretch, opening_paise=opening, limit=RECENT)
    stands = standing(wallet, now=now)
    own = {"organisation_id": wallet.organisation_id}
    coming = PaymentIntent.objects.filter(**own, kind=PaymentIntent.Kind.DEBIT, state__in=OPEN_INTENTS)
    return {
        "wallet": wallet,
        "stands": stands,
        "burn_days": BURN_DAYS,
        "per_day_paise": stands.per_day_paise,
        "held": [(wording.of_hold(each.reason), each) for each in stands.held],
        "lines": [(wording.of_kind(line.kind), line) for line in lines],
        "coming_paise": sum(coming.values_list("amount_paise", flat=True)),
        "trouble": list(
            BillingException.objects.open().filter(**own, kind__in=MONEY_TROUBLE).order_by("-opened_at")[:4]
        ),
        "mandates_in_force": Mandate.objects.filter(**own, state=Mandate.State.CONFIRMED).count(),
        "auto": AutoTopUp.objects.filter(**own).first(),
        "threshold": rupees.write(wallet.low_threshold_paise),
        "now": now,
    }


def last_days(wallet: Wallet, days: int) -> statements.Stretch:
    zone = zone_of(wallet.organisation.time_zone)
    today = timezone.now().astimezone(zone).date()
    return statements.Stretch(today - timedelta(days=days - 1), today, zone)


@wallet_page
def open_wallet(request: FleetRequest) -> HttpResponse:
    """Empty; asking again changes nothing."""
    if request.method == "POST":
        wallets.open_wallet(organisation_id=organisation_of(request).pk, **author_of(request))
    return HttpResponseRedirect(reverse("wallet-overview"))


@wallet_page
def warning_limit(request: FleetRequest) -> HttpResponse:
    """From which balance on owners and finance are warned."""
    wallet = access.wallet_of(request)
    if request.method == "POST" and wallet is not None:
        try:
            paise = rupees.read(request.POST.get("low_threshold", ""))
        except rupees.NotAnAmount as error:
            messages.error(request, str(error))
        else:
            wallets.set_warning(
                organisation_id=wallet.organisation_id, low_threshold_paise=paise, actor=access.person(request),
                reason=request.POST.get("reason", "").strip()[:200],
            )  # fmt: skip
            messages.success(request, _("Saved. Owners and finance are warned once below it."))
    return HttpResponseRedirect(reverse("wallet-overview"))
