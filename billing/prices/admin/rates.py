"""Negotiated rates: looked at by the fleet, asked for by who keeps our books, decided by a second person."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing.admin.shown import FinanceAdmin, user_of
from billing.prices.admin.forms import RateForm
from billing.prices.models import NegotiatedRate
from billing.prices.services import rates
from fleetcharge.accounts.admin import ask, back_to
from fleetcharge.lib.api import Conflict


class Operators:
    """Deeds of who keeps our own books."""

    def has_operate_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)


@admin.register(NegotiatedRate)
class NegotiatedRateAdmin(Operators, FinanceAdmin):
    list_display = ["name", "version", "organisation", "source", "site", "prices", "valid_from", "valid_to", "ends"]
    list_filter = ["source"]
    list_select_related = ["organisation", "source", "location"]
    search_fields = ["name", "organisation__name", "location__name"]
    fields = [
        "name", "version", "organisation", "source", "site", "currency", "prices", "terms", "valid_from", "valid_to",
        "ends", "asked_by", "approved_by", "reason", "created_at",
    ]  # fmt: skip
    readonly_fields = ["site", "prices", "ends"]
    actions_list = ["ask_rate"]

    @display(description=gettext_lazy("Site"), ordering="location__name")
    def site(self, row: NegotiatedRate) -> str:
        return row.location.name if row.location else _("All sites")

    @display(description=gettext_lazy("Prices"))
    def prices(self, row: NegotiatedRate) -> str:
        return rates.in_words(row.elements) if row.elements else "—"

    @display(description=gettext_lazy("Ends what was agreed"), boolean=True, ordering="is_end")
    def ends(self, row: NegotiatedRate) -> bool:
        return row.is_end

    @action(description=gettext_lazy("Ask for a rate"), url_path="ask", permissions=["operate"])
    def ask_rate(self, request: HttpRequest) -> HttpResponse:
        form = RateForm(request.POST or None)
        if form.is_valid():
            told = form.cleaned_data
            try:
                rates.ask(
                    organisation_id=told["organisation"].pk, source_id=told["source"].pk,
                    location_id=told["site"].pk if told["site"] else None, name=told["name"],
                    elements=told["elements"], valid_from=told["valid_from"], valid_to=told["valid_to"],
                    asked_by=user_of(request), reason=told["reason"], now=timezone.now(),
                )  # fmt: skip
                messages.success(request, _("Another person has to approve it."))
                return back_to(self)
            except (ValueError, Conflict) as error:
                form.add_error(None, str(error))
        return ask(request, self, title=_("A negotiated rate"), form=form, submit=_("Ask for it"))
