"""What may be spent by whom in which period: how far each limit is used, set and removed with a reason."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.approvals import spend_limits
from billing.approvals.models import Approval
from billing.limits import changing, standing
from billing.models import SpendLimit
from billing.pages import access, rupees
from billing.pages.access import own, wallet_page
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of
from fleetcharge.lib.api import Conflict

OFFERED = ("organisation", "vehicle", "driver", "site", "cost_centre")
FIELDS = ("scope", "name", "period", "amount", "kwh", "reason")
WARN_PERCENT, FULL = 80, 100


@wallet_page
def limit_list(request: FleetRequest) -> HttpResponse:
    """How far each is used now; a POST sets one, and the same again changes nothing."""
    organisation = organisation_of(request)
    typed: dict[str, str] = {}
    error = ""
    if request.method == "POST":
        typed = {name: request.POST.get(name, "").strip()[:120] for name in FIELDS}
        typed["is_hard"] = request.POST.get("is_hard", "")
        error, wish = _set(request, typed)
        if not error:
            access.tell(request, wish, _("Saved. It holds for what begins from now on."))
            return HttpResponseRedirect(reverse("wallet-limits"))
    rows = [(row, *_used(row)) for row in standing.of_organisation(organisation, now=timezone.now())]
    context = {
        "at": "limits", "may_act": access.may_act(request), "rows": rows, "typed": typed or {"is_hard": "1"},
        "error": error, "offered": [choice for choice in SpendLimit.Scope.choices if choice[0] in OFFERED],
        "periods": SpendLimit.Period.choices,
    }  # fmt: skip
    return render(request, "wallet/limits.html", context, status=400 if error else 200)


def _used(row: standing.Standing) -> tuple[int | None, str]:
    """Percent of the bound that is nearest, and the tone of its bar."""
    shares = []
    if row.limit.amount_paise:
        shares.append((row.reserved_paise + row.spent_paise) * 100 // row.limit.amount_paise)
    if row.limit.energy_wh:
        shares.append((row.reserved_wh + row.spent_wh) * 100 // row.limit.energy_wh)
    if row.period_start is None and row.limit.period == SpendLimit.Period.SESSION:
        return None, ""
    most = max(shares, default=0)
    return most, "bad" if most >= FULL else "warn" if most >= WARN_PERCENT else ""


def _set(request: FleetRequest, typed: dict[str, str]) -> tuple[str, Approval | None]:
    """What is wrong with it, '' when it is set or asked for; and the wish, when another person has to agree."""
    organisation = organisation_of(request)
    if typed["scope"] not in OFFERED or typed["period"] not in SpendLimit.Period.values:
        return _("Please choose from the list."), None
    if not typed["reason"]:
        return _("Please say why; it is kept in the audit trail."), None
    try:
        amount = rupees.read(typed["amount"]) if typed["amount"] else None
        energy_wh = _energy(typed["kwh"])
        of: dict[str, Any] = changing.whose(organisation=organisation, scope=typed["scope"], name=typed["name"])
        return "", spend_limits.set_or_ask(
            organisation=organisation, scope=typed["scope"], period=typed["period"], amount_paise=amount,
            energy_wh=energy_wh, is_hard=bool(typed["is_hard"]), reason=typed["reason"], now=timezone.now(),
            **author_of(request), **of,
        )  # fmt: skip
    except rupees.NotAnAmount as error:
        return str(error), None
    except changing.NobodyOfThatName:
        told = _("Your fleet has no “%(name)s” of this kind. Please write it as on its own page.")
        return told % {"name": typed["name"]}, None
    except Conflict:
        return _("A wish about this limit waits for a second person already."), None
    except ValueError:
        return _("A limit is an amount between ₹1 and ₹5 crore, at least one kWh, or both."), None


def _energy(text: str) -> int | None:
    bare = text.replace(",", "")
    if not bare:
        return None
    if not (bare.isascii() and bare.isdecimal()) or len(bare) > 9:
        raise ValueError(text)
    return int(bare) * 1000


@wallet_page
def limit_remove(request: FleetRequest, pk: int) -> HttpResponse:
    limit: SpendLimit = own(request, SpendLimit.objects.select_related("organisation", *standing.WHOSE), pk=pk)
    reason = request.POST.get("reason", "").strip()[:200]
    if request.method == "POST" and not reason:
        messages.error(request, _("Please say why; it is kept in the audit trail."))
    elif request.method == "POST":
        try:
            wish = spend_limits.remove_or_ask(limit=limit, reason=reason, now=timezone.now(), **author_of(request))
            access.tell(request, wish, _("Removed: it bounds nothing any more."))
        except Conflict:
            messages.error(request, _("A wish about this limit waits for a second person already."))
    return HttpResponseRedirect(reverse("wallet-limits"))
