"""What the desk asks for to set or change a spending limit; amounts as a person writes them."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing.models import SpendLimit
from fleetcharge.accounts.admin import ReasonForm
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.money import PAISE_PER_RUPEE

WH_PER_KWH = 1_000


class BoundsForm(ReasonForm):
    """How much. Whose it is and its period never change, so that what is counted on a limit stays its own."""

    field_order = ["rupees", "kwh", "reason"]
    rupees = forms.DecimalField(
        label=gettext_lazy("At most, in rupees with GST"), min_value=0, max_digits=12, decimal_places=2, required=False,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip
    kwh = forms.DecimalField(
        label=gettext_lazy("At most, in kWh"), min_value=0, max_digits=12, decimal_places=3, required=False,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip

    @property
    def bounds(self) -> dict[str, Any]:
        rupees, kwh = self.cleaned_data["rupees"], self.cleaned_data["kwh"]
        return {
            "amount_paise": None if rupees is None else int(rupees * PAISE_PER_RUPEE),
            "energy_wh": None if kwh is None else int(kwh * WH_PER_KWH),
        }


class NewLimitForm(BoundsForm):
    """Whose, per what, how much."""

    field_order = ["organisation", "scope", "name", "period", "rupees", "kwh", "is_hard", "reason"]
    organisation = forms.ModelChoiceField(
        Organisation.objects.none(), label=gettext_lazy("Organisation"), widget=UnfoldAdminSelectWidget
    )
    scope = forms.ChoiceField(
        label=gettext_lazy("For"), choices=SpendLimit.Scope.choices, widget=UnfoldAdminSelectWidget
    )
    name = forms.CharField(
        label=gettext_lazy("Plate, driver, site, cost centre or the tariff's id"), max_length=120, required=False,
        widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip
    period = forms.ChoiceField(
        label=gettext_lazy("Per"), choices=SpendLimit.Period.choices, widget=UnfoldAdminSelectWidget
    )
    is_hard = forms.BooleanField(
        label=gettext_lazy("Refuse beyond it (otherwise finance is only told)"), initial=True, required=False,
        widget=UnfoldBooleanWidget,
    )  # fmt: skip

    def __init__(self, *args: Any, request: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fleets = Organisation.objects.all()
        if not request.user.is_superuser:
            fleets = fleets.filter(pk=getattr(request.organisation, "pk", 0))
        self.fields["organisation"].queryset = fleets  # type: ignore[attr-defined]
        self.fields["organisation"].initial = request.organisation
