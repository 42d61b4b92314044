"""Forms of the electricity pages; a bill's form has the slots of its supply."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.utility import allocation as a
from billing.utility.clock import ALL_DAY, BadSlots, slots_of
from billing.utility.facts import BillFacts, ChargeFacts, paise, watt_hours
from billing.utility.models import UtilityCharge, UtilitySupply

MOST_UPLOAD = 25_000_000
PLAIN = (a.DEMAND, a.PENALTY, a.FIXED, a.FUEL, a.POWER_FACTOR, a.DUTY, a.LATE, a.OTHER, a.ARREARS)


class SupplyForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = UtilitySupply
        fields = (
            "organisation", "location", "utility", "consumer_number", "sanctioned_va", "contract_va", "slots",
            "block_minutes", "demand_rule", "losses_rule", "fixed_rule", "loss_alarm_percent",
        )  # fmt: skip

    def clean_slots(self) -> Any:
        slots = self.cleaned_data["slots"] or []
        try:
            if not isinstance(slots, list) or not all(isinstance(row, dict) for row in slots):
                raise BadSlots(_("A list of slots is needed."))
            slots_of(slots)
        except BadSlots as error:
            raise forms.ValidationError(str(error)) from error
        return slots

    def clean(self) -> Any:
        data = super().clean() or self.cleaned_data
        place, owner = data.get("location"), data.get("organisation") or getattr(self.instance, "organisation", None)
        if place is not None and owner is not None and place.organisation_id != owner.pk:
            self.add_error("location", _("This is no depot of the organisation."))
        return data


class FileForm(forms.Form):
    file = forms.FileField(label=gettext_lazy("File"), widget=UnfoldAdminFileFieldWidget)
    is_trial = forms.BooleanField(
        label=gettext_lazy("Only try: check everything, keep nothing"), required=False, initial=True,
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MOST_UPLOAD:
            raise forms.ValidationError(_("The file is too large."))
        return file


class _Whole(forms.DecimalField):
    """Decimal input, taken as whole thousandths or paise."""

    def __init__(self, label: Any, **options: Any) -> None:
        defaults = {"required": False, "max_digits": 14, "widget": UnfoldAdminDecimalFieldWidget}
        super().__init__(label=label, **{**defaults, **options})


class DayWidget(UnfoldAdminTextInputWidget):
    """The browser's own calendar."""

    input_type = "date"


class BillForm(forms.Form):
    """Energy fields are named by the slot's place, as a slot's name may hold anything."""

    number = forms.CharField(label=gettext_lazy("Bill number"), max_length=40, widget=UnfoldAdminTextInputWidget)
    starts_on = forms.DateField(label=gettext_lazy("From"), widget=DayWidget)
    ends_on = forms.DateField(label=gettext_lazy("To (last day)"), widget=DayWidget)
    due_on = forms.DateField(label=gettext_lazy("Due on"), required=False, widget=DayWidget)

    def __init__(self, supply: UtilitySupply, data: Any = None) -> None:
        super().__init__(data)
        self.names = list(dict.fromkeys(slot.name for slot in slots_of(supply.slots)))
        self.fields["recorded_kva"] = _Whole(_("Recorded demand, kVA"), decimal_places=3, min_value=0)
        self.fields["billing_kva"] = _Whole(_("Billing demand, kVA"), decimal_places=3, min_value=0)
        for place, name in enumerate(self.names):
            self.fields[f"kwh_{place}"] = _Whole(f"{name}: kWh", decimal_places=3, min_value=0)
            self.fields[f"kvah_{place}"] = _Whole(f"{name}: kVAh", decimal_places=3, min_value=0)
            self.fields[f"energy_{place}"] = _Whole(f"{name}: ₹", decimal_places=2, min_value=0)
        for kind in PLAIN:
            label = UtilityCharge.Kind(kind).label
            self.fields[kind] = _Whole(f"{label}, ₹", decimal_places=2)

    def facts(self) -> BillFacts:
        told = self.cleaned_data
        return BillFacts(
            told["number"], told["starts_on"], told["ends_on"], tuple(self._charges()), told["due_on"],
            self._milli("recorded_kva") or 0, self._milli("billing_kva") or 0,
        )  # fmt: skip

    def _charges(self) -> Iterable[ChargeFacts]:
        for place, name in enumerate(self.names):
            amount, energy = self._paise(f"energy_{place}"), self._milli(f"kwh_{place}")
            if amount is not None or energy is not None:
                slot = "" if name == ALL_DAY else name
                yield ChargeFacts(a.ENERGY, amount or 0, slot, energy, self._milli(f"kvah_{place}"))
        for kind in PLAIN:
            if amount := self._paise(kind):
                yield ChargeFacts(kind, amount)

    def _milli(self, name: str) -> int | None:
        value = self.cleaned_data.get(name)
        return None if value is None else watt_hours(str(value))

    def _paise(self, name: str) -> int | None:
        value = self.cleaned_data.get(name)
        return None if value is None else paise(str(value))
