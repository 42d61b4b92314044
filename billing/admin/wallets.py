"""Wallets: what is in them and held, top-ups and terms."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.operators import OperatorDeeds, operators_only
from billing.admin.shortfalls import DecidesShortfalls
from billing.admin.shown import FinanceAdmin, money, user_of
from billing.approvals import top_ups, wallet_terms
from billing.approvals.following import follow
from billing.models import ChargingSession, Hold, Wallet
from billing.wallet_opening import OpensWallets
from fleetcharge.accounts.admin import ReasonForm, ask, back_to
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.ids import short
from fleetcharge.lib.money import PAISE_PER_RUPEE


class TopUpForm(ReasonForm):
    field_order = ["rupees", "reference", "reason"]
    rupees = forms.DecimalField(
        label=gettext_lazy("Amount in rupees"), min_value=1, max_digits=11, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    reference = forms.CharField(
        label=gettext_lazy("Bank reference (UTR)"), max_length=60, widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("The same reference is credited only once."),
    )  # fmt: skip

    @property
    def amount_paise(self) -> int:
        return int(self.cleaned_data["rupees"] * PAISE_PER_RUPEE)


class TermsForm(ReasonForm):
    field_order = ["credit_limit", "low_threshold", "state", "reason"]
    credit_limit = forms.DecimalField(
        label=gettext_lazy("Credit limit in rupees"), min_value=0, max_digits=11, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    low_threshold = forms.DecimalField(
        label=gettext_lazy("Warn below, in rupees"), min_value=0, max_digits=11, decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    state = forms.ChoiceField(label=gettext_lazy("State"), choices=Wallet.State.choices, widget=UnfoldAdminSelectWidget)


@admin.register(Wallet)
class WalletAdmin(OpensWallets, OperatorDeeds, DecidesShortfalls):
    """A fleet pays in and sets its warning level on its own pages; credit and entries by hand are ours to give."""

    list_display = ["organisation", "available", "posted", "held", "credit", "state"]
    list_select_related = ["organisation"]
    list_filter = ["state"]
    search_fields = ["organisation__name"]
    fields = ["organisation", "available", "posted", "held", "credit", "low", "state", "when_short"]
    readonly_fields = ["available", "posted", "held", "credit", "low"]
    actions_detail = ["top_up", "change_terms", "set_when_short"]

    @display(description=gettext_lazy("Available"))
    def available(self, row: Wallet) -> str:
        return money(row.available_paise)

    @display(description=gettext_lazy("Balance"), ordering="posted_paise")
    def posted(self, row: Wallet) -> str:
        return money(row.posted_paise)

    @display(description=gettext_lazy("Held for running sessions"), ordering="held_paise")
    def held(self, row: Wallet) -> str:
        return money(row.held_paise)

    @display(description=gettext_lazy("Credit limit"), ordering="credit_limit_paise")
    def credit(self, row: Wallet) -> str:
        return money(row.credit_limit_paise)

    @display(description=gettext_lazy("Warn below"))
    def low(self, row: Wallet) -> str:
        return money(row.low_threshold_paise)

    @operators_only
    @action(description=gettext_lazy("Top up"), url_path="top-up", permissions=["operate"])
    def top_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = self.get_object(request, object_id)
        if wallet is None:
            return back_to(self)
        form = TopUpForm(request.POST or None)
        if form.is_valid():
            return self._top_up(request, wallet, form)
        title = _("Top up the wallet of %(name)s") % {"name": wallet.organisation}
        return ask(request, self, title=title, form=form, submit=_("Credit the wallet"))

    def _top_up(self, request: HttpRequest, wallet: Wallet, form: TopUpForm) -> HttpResponse:
        try:
            wish = top_ups.ask(
                organisation_id=wallet.organisation_id, amount_paise=form.amount_paise, now=timezone.now(),
                reference=form.cleaned_data["reference"], asked_by=user_of(request),
                reason=form.cleaned_data["reason"],
            )  # fmt: skip
        except Conflict as error:
            messages.error(request, str(error.detail))
            return back_to(self, wallet.pk)
        return follow(request, self, wish, wallet.pk, _("%(amount)s credited.") % {"amount": money(form.amount_paise)})

    @operators_only
    @action(description=gettext_lazy("Change terms"), url_path="terms", permissions=["operate"])
    def change_terms(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = self.get_object(request, object_id)
        if wallet is None:
            return back_to(self)
        initial = {
            "credit_limit": f"{wallet.credit_limit_paise / PAISE_PER_RUPEE:.2f}",
            "low_threshold": f"{wallet.low_threshold_paise / PAISE_PER_RUPEE:.2f}",
            "state": wallet.state,
        }
        form = TermsForm(request.POST or None, initial=initial)
        if form.is_valid():
            try:
                wish = wallet_terms.change(
                    organisation_id=wallet.organisation_id, now=timezone.now(), actor=user_of(request),
                    credit_limit_paise=int(form.cleaned_data["credit_limit"] * PAISE_PER_RUPEE),
                    low_threshold_paise=int(form.cleaned_data["low_threshold"] * PAISE_PER_RUPEE),
                    state=form.cleaned_data["state"], reason=form.cleaned_data["reason"],
                )  # fmt: skip
                return follow(request, self, wish, wallet.pk, _("The terms hold from now on."))
            except (ValueError, Conflict) as error:
                form.add_error("credit_limit", str(getattr(error, "detail", error)))
        title = _("Terms of the wallet of %(name)s") % {"name": wallet.organisation}
        return ask(request, self, title=title, form=form, submit=_("Save"))


@admin.register(Hold)
class HoldAdmin(FinanceAdmin):
    organisation_path = "wallet__organisation"
    list_display = [
        "created_at", "organisation", "vehicle", "site", "amount", "state", "expires_at", "closed_at", "held_for",
    ]  # fmt: skip
    list_filter = ["state"]
    list_select_related = ["wallet__organisation"]
    search_fields = ["session_key"]
    ordering = ["-created_at"]
    fields = [
        "created_at", "organisation", "vehicle", "site", "amount", "energy_wh", "limits", "state", "expires_at",
        "closed_at", "session_key",
    ]  # fmt: skip
    readonly_fields = ["organisation", "vehicle", "site", "amount"]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        _name_sessions(changelist.result_list)
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        _name_sessions([row] if row is not None else [])
        return row

    @display(description=gettext_lazy("Organisation"), ordering="wallet__organisation__name")
    def organisation(self, row: Hold) -> Any:
        return row.wallet.organisation

    @display(description=gettext_lazy("Vehicle"))
    def vehicle(self, row: Any) -> Any:
        return row.session and row.session.vehicle

    @display(description=gettext_lazy("Site"))
    def site(self, row: Any) -> Any:
        return row.session and row.session.connector.evse.location

    @display(description=gettext_lazy("For"), ordering="session_key")
    def held_for(self, row: Any) -> str:
        return str(row.session or short(row.session_key))

    @display(description=gettext_lazy("Amount"), ordering="amount_paise")
    def amount(self, row: Hold) -> str:
        return money(row.amount_paise)


OF_A_SESSION = "session:"


def _name_sessions(holds: Iterable[Any]) -> None:
    """Which session each is for, with one question for all of them; None: it is for something else."""
    rows = list(holds)
    wanted = {pk for row in rows if (pk := _session_of(row)) is not None}
    related = ("vehicle", "connector__evse__location")
    found = ChargingSession.objects.select_related(*related).in_bulk(wanted)
    for row in rows:
        row.session = found.get(_session_of(row) or 0)


def _session_of(hold: Hold) -> int | None:
    kind, _colon, key = hold.session_key.partition(":")
    return int(key) if f"{kind}:" == OF_A_SESSION and key.isdecimal() else None
