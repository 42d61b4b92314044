"""Opening a wallet on the desk: the first thing a fleet does before it can charge."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.operators import is_operator
from billing.admin.shown import user_of
from billing.approvals import top_ups
from billing.approvals.following import follow
from billing.approvals.models import Approval
from billing.models import Wallet
from billing.services import wallets
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import PAISE_PER_RUPEE, format_inr


def rupees(label: Any, **more: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, max_digits=11, decimal_places=2, required=False, widget=UnfoldAdminDecimalFieldWidget, **more
    )


class OpenWalletForm(ReasonForm):
    """Whose, when to warn, and money that has really arrived."""

    field_order = ["organisation", "low_threshold", "amount", "reference", "reason"]
    organisation = forms.ModelChoiceField(
        Organisation.objects.none(), label=gettext_lazy("Organisation"), widget=UnfoldAdminSelectWidget
    )
    low_threshold = rupees(gettext_lazy("Warn below, in rupees"), min_value=0)
    amount = rupees(
        gettext_lazy("Opening top-up in rupees"), min_value=1,
        help_text=gettext_lazy("Only money that is in the bank; leave it empty to open an empty wallet."),
    )  # fmt: skip
    reference = forms.CharField(
        label=gettext_lazy("Bank reference (UTR)"), max_length=60, required=False, widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, fleets: Any, is_operator: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_operator:  # a fleet pays in by the gateway; only we see what is in the bank
            del self.fields["amount"], self.fields["reference"]
        self.fields["organisation"].queryset = fleets  # type: ignore[attr-defined]
        if len(fleets) == 1:
            self.fields["organisation"].initial = fleets[0]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if bool(data.get("amount")) != bool(data.get("reference")):
            self.add_error("reference", _("A top-up has an amount and the bank's reference, or there is none."))
        return data


class OpensWallets:
    """Mixed into the admin of wallets: "Add" is "Open wallet", once per fleet."""

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        is_at_the_desk: bool = self._has_role(request, DESK)  # type: ignore[attr-defined]
        return is_at_the_desk and bool(_without_wallet(request).exists())

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            return self._refuse(request)
        form = OpenWalletForm(request.POST or None, fleets=_without_wallet(request), is_operator=is_operator(request))
        if form.is_valid():
            try:
                wallet, wish = _open(request, form.cleaned_data)
            except (Conflict, ValueError) as error:
                form.add_error(None, str(getattr(error, "detail", error)))
            else:
                return follow(request, self, wish, wallet.pk, _done(form.cleaned_data.get("amount")))
        return ask(request, self, title=_("Open a wallet"), form=form, submit=_("Open wallet"))

    def _refuse(self, request: HttpRequest) -> HttpResponse:
        """Told to who was not fast enough, or clicked twice; forbidden to everybody else."""
        if request.method != "POST" or not self._has_role(request, DESK):  # type: ignore[attr-defined]
            raise PermissionDenied("There is a wallet already, or it is not yours to open.")
        messages.warning(request, _("There is a wallet already."))
        return back_to(self)


def _done(amount: Any) -> str:
    return _("%(amount)s credited.") % {"amount": format_inr(_paise(amount))} if amount else _("It is open.")


def _without_wallet(request: Any) -> Any:
    fleets = Organisation.objects.filter(wallet=None)
    return fleets if request.user.is_superuser else fleets.filter(pk=getattr(request.organisation, "pk", 0))


@transaction.atomic
def _open(request: HttpRequest, wanted: dict[str, Any]) -> tuple[Wallet, Approval | None]:
    """The wallet, and the wish for its first money where that needs a second person.

    Raises Conflict when it has one, Conflict and ValueError as `top_ups.ask`; then none is opened.
    """
    fleet, actor = wanted["organisation"], user_of(request)
    Organisation.objects.select_for_update(no_key=True).get(pk=fleet.pk)  # two at once are one after the other
    if Wallet.objects.filter(organisation=fleet).exists():
        raise Conflict(_("There is a wallet already."), code="already_open")
    wallet = wallets.open_wallet(
        organisation_id=fleet.pk, low_threshold_paise=_paise(wanted["low_threshold"] or 0),
        actor=actor, reason=wanted["reason"],
    )  # fmt: skip
    if not wanted.get("amount"):
        return wallet, None
    return wallet, top_ups.ask(
        organisation_id=fleet.pk, amount_paise=_paise(wanted["amount"]), reference=wanted["reference"],
        asked_by=actor, reason=wanted["reason"], now=timezone.now(),
    )  # fmt: skip


def _paise(rupees: Any) -> int:
    return int(rupees * PAISE_PER_RUPEE)
