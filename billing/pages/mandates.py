"""Mandates in words: set up, followed, debited, paused and ended; and the automatic top-up that uses them."""

import re
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import AutoTopUp, Mandate, PaymentIntent, PaymentRule
from billing.models.payments import OPEN_INTENTS
from billing.pages import access, rupees, wording
from billing.pages.access import own, wallet_page
from billing.pages.mandate_cards import card_of, moment, without_approval
from billing.payments import auto_top_up, debits, intents, mandates, rules
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KEY = re.compile(r"MD-[A-Z0-9]{18}")
CONTACT = re.compile(r"\+?[0-9]{8,15}")
YEARS = (1, 3, 5, 10)
HOURS = (24, 48, 72, 168)
DEFAULT_MAX_PAISE = 15_000_00
FIELDS = ("kind", "max", "total", "years", "name", "email", "contact")
State = Mandate.State


@wallet_page
def mandate_list(request: FleetRequest) -> HttpResponse:
    """All of them, the live ones first; a POST sets one up, twice is once."""
    typed: dict[str, str] = {}
    errors: dict[str, str] = {}
    if request.method == "POST":
        typed = {
            name: request.POST.get(name, "").strip()
            for name in ("kind", "max", "total", "years", "name", "email", "contact")
        }
        errors = _set_up(request, typed)
        if not errors:
            return HttpResponseRedirect(reverse("wallet-mandates"))
    organisation, now = organisation_of(request), timezone.now()
    rows = list(Mandate.objects.for_organisation(organisation)[:60])
    rows.sort(key=lambda row: (row.is_over, -row.pk))
    user = access.person(request)
    context = {
        "at": "mandates", "may_act": access.may_act(request), "deeds": _deeds(), "years": YEARS, "hours": HOURS,
        "cards": [card_of(row, now=now) for row in rows if not row.is_over],
        "over": [card_of(row, now=now) for row in rows if row.is_over][:10],
        "key": intents.new_key("MD"), "errors": errors,
        "typed": typed or {"kind": "upi", "max": rupees.write(DEFAULT_MAX_PAISE), "years": "3",
                           "name": str(organisation), "email": user.email if user else ""},
        "kinds": Mandate.Kind.choices, "auto": AutoTopUp.objects.filter(organisation=organisation).first(),
        "free": without_approval(now), "has_wallet": access.wallet_of(request) is not None,
        "is_waiting": any(row.state in {State.DRAFT, State.LINK_SENT, State.INITIATED} for row in rows),
    }  # fmt: skip
    if request.GET.get("part") == "cards":
        return render(request, "wallet/_mandates.html", context)
    return render(request, "wallet/mandates.html", context, status=400 if errors else 200)


def _deeds() -> list[tuple[str, str, str, str]]:
    return [
        ("pause", _("Pause this mandate"), _("No debit begins until you resume it. The payer's bank hears nothing."),
         _("Pause")),
        ("resume", _("Resume this mandate"), _("Debits may begin again, automatic ones too."), _("Resume")),
        ("cancel", _("End this mandate"),
         _("For good: a new one needs the payer again. A debit that is under way may still come."), _("End it")),
    ]  # fmt: skip


def _set_up(request: FleetRequest, typed: dict[str, str]) -> dict[str, str]:
    """What is wrong, by field; nothing: it is asked for."""
    errors: dict[str, str] = {}
    amounts: dict[str, int | None] = {"max": None, "total": None}
    for name in amounts:
        try:
            amounts[name] = rupees.read(typed[name]) if typed[name] or name == "max" else None
        except rupees.NotAnAmount as error:
            errors[name] = str(error)
    if not typed["name"]:
        errors["name"] = _("Whose account is it?")
    try:
        validate_email(typed["email"])
    except ValidationError:
        errors["email"] = _("The payer gets the link at this e-mail address.")
    contact = re.sub(r"[\s-]", "", typed["contact"])
    if not CONTACT.fullmatch(contact):
        errors["contact"] = _("A mobile number with 8 to 15 digits; the link goes there, too.")
    if typed["kind"] not in Mandate.Kind.values or typed["years"] not in map(str, YEARS):
        errors["kind"] = _("Please choose from the list.")
    key = request.POST.get("key", "")
    if not KEY.fullmatch(key):
        errors["key"] = _("This form is too old. Please try again.")
    if not errors:
        errors = _ask(request, typed, amounts["max"] or 0, amounts["total"], contact, key)
    return errors


def _ask(
    request: FleetRequest, typed: dict[str, str], most: int, total: int | None, contact: str, key: str
) -> dict[str, str]:
    now = timezone.now()
    allowed = rules.value_of(PaymentRule.Name.MANDATE_MAX, kind=typed["kind"], on=rules.day_of(now))
    if most < 1_00 or (allowed is not None and most > allowed):
        words = _("%(kind)s allows from ₹1 to %(most)s per debit.")
        kind = Mandate.Kind(typed["kind"]).label
        return {"max": words % {"kind": kind, "most": format_inr(allowed) if allowed else "–"}}
    if total is not None and total < most:
        return {"total": _("All debits together cannot be less than one of them.")}
    try:
        mandates.start(
            organisation_id=organisation_of(request).pk, kind=typed["kind"], max_amount_paise=most,
            total_limit_paise=total, expires_at=now + timedelta(days=365 * int(typed["years"])), now=now,
            payer_name=typed["name"][:80], payer_email=typed["email"], payer_contact=contact,
            asked_by=access.person(request), key=key,
        )  # fmt: skip
    except ValueError as error:
        return {"max": str(error)}
    messages.success(request, _("Asked for. The payer allows it behind the link below."))
    return {}


@wallet_page
def mandate_act(request: FleetRequest, pk: int) -> HttpResponse:
    """Pause, resume, end or debit one; each with a reason, and harmless when it is sent twice."""
    mandate: Mandate = own(request, Mandate.objects.all(), pk=pk)
    if request.method == "POST":
        do, reason = request.POST.get("do", ""), request.POST.get("reason", "").strip()[:160]
        who: dict[str, Any] = {"actor": access.person(request), "reason": reason, "now": timezone.now()}
        try:
            if do in {"pause", "resume"}:
                mandates.rest(mandate_id=mandate.pk, is_resting=do == "pause", **who)
                said = _("Paused: no debit begins.") if do == "pause" else _("Resumed: debits may begin again.")
                messages.success(request, said)
            elif do == "cancel":
                mandates.cancel(mandate_id=mandate.pk, **who)
                messages.success(request, _("No debit begins any more; the payer's bank is being told."))
            elif do == "debit":
                return _debit(request, mandate, reason)
        except Conflict:
            messages.error(request, _("This mandate is over already."))
    return HttpResponseRedirect(f"{reverse('wallet-mandates')}#m{mandate.pk}")


def _debit(request: FleetRequest, mandate: Mandate, reason: str) -> HttpResponse:
    now = timezone.now()
    there = HttpResponseRedirect(f"{reverse('wallet-mandates')}#m{mandate.pk}")
    try:
        amount = rupees.read(request.POST.get("amount", ""))
    except rupees.NotAnAmount as error:
        messages.error(request, str(error))
        return there
    try:
        intent = debits.start(
            mandate_id=mandate.pk, amount_paise=amount, now=now, asked_by=access.person(request), reason=reason,
            with_approval=bool(request.POST.get("with_approval")),
        )  # fmt: skip
    except ValueError as error:
        last = mandate.debits.filter(state__in=OPEN_INTENTS, amount_paise=amount).first()
        if str(error) in {"debit_open", "too_early"} and last and now - last.created_at < timedelta(minutes=2):
            messages.success(request, _begun(last))  # the same click again
            return there
        verdict = debits.judge(mandate=mandate, now=now)
        messages.error(request, wording.why_no_debit(
            str(error), max_paise=mandate.max_amount_paise, most_paise=verdict.most_paise,
            next_at=moment(mandate.next_allowed_at), amount_paise=amount,
        ))  # fmt: skip
    else:
        messages.success(request, _begun(intent))
    return there


def _begun(intent: PaymentIntent) -> str:
    return _("A debit of %(amount)s has begun. The payer is told now; the money is here after %(at)s.") % {
        "amount": format_inr(intent.amount_paise), "at": moment(intent.debit_due_at),
    }  # fmt: skip


@wallet_page
def automatic(request: FleetRequest) -> HttpResponse:
    """Switch the automatic top-up on or off, or change it."""
    if request.method == "POST":
        hours = request.POST.get("cover_hours", "")
        try:
            auto_top_up.set_up(
                organisation_id=organisation_of(request).pk, safety_paise=rupees.read(request.POST.get("safety", "")),
                cover_hours=int(hours) if hours.isdecimal() and len(hours) < 4 else 0, actor=access.person(request),
                is_active=bool(request.POST.get("is_active")), now=timezone.now(),
                reason=request.POST.get("reason", "").strip()[:200],
            )  # fmt: skip
            messages.success(request, _("Saved."))
        except rupees.NotAnAmount as error:
            messages.error(request, str(error))
        except ValueError:
            messages.error(request, _("A debit covers between an hour and two weeks."))
    return HttpResponseRedirect(f"{reverse('wallet-mandates')}#automatic")
