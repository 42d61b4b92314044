"""Finance says on the desk what happens when no more can be held for a running session."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.shown import FinanceAdmin, user_of
from billing.limits import shortfalls
from billing.models import Wallet
from fleetcharge.accounts.admin import DESK, ReasonForm, ask, back_to


class PolicyForm(ReasonForm):
    field_order = ["when_short", "reason"]
    when_short = forms.ChoiceField(
        label=gettext_lazy("When no more can be held for a session that runs"), choices=Wallet.WhenShort.choices,
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip


class DecidesShortfalls(FinanceAdmin):
    """For the wallet's page; the fleet's own owner and finance may."""

    def has_decide_permission(self, request: HttpRequest, obj: Wallet | None = None) -> bool:
        return self._has_role(request, DESK)

    @action(description=gettext_lazy("When money runs out"), url_path="when-short", permissions=["decide"])
    def set_when_short(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = self.get_object(request, object_id)
        if wallet is None:
            return back_to(self)
        form = PolicyForm(request.POST or None, initial={"when_short": wallet.when_short})
        if form.is_valid():
            shortfalls.set_policy(
                organisation_id=wallet.organisation_id, when_short=form.cleaned_data["when_short"],
                actor=user_of(request), reason=form.cleaned_data["reason"],
            )  # fmt: skip
            messages.success(request, _("It holds from now on."))
            return back_to(self, wallet.pk)
        title = _("When money runs out for %(name)s") % {"name": wallet.organisation}
        return ask(request, self, title=title, form=form, submit=_("Save"))
