"""What a person types to make a policy, to begin an experiment with some, or to give one to vehicles."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from dispatch.policies.assignment import FIGURES
from dispatch.policies.models import DispatchPolicy
from fleetcharge.accounts.models import Organisation
from vehicles.models import Vehicle

PERCENTS = FIGURES[:4]
MOST_RUPEES = 10_000
IN_ORDER = _("The limits must rise: reserve, low, clear, charge to (clear may be the same as charge to).")
SPLIT = re.compile(r"[,;\n]+")


def newest(organisation: Organisation) -> list[DispatchPolicy]:
    """The last version of each policy of a fleet, by name."""
    rows = DispatchPolicy.objects.for_organisation(organisation).order_by("name", "-version").distinct("name")
    return list(rows)


class OurForm(forms.Form):
    """Fields as our pages draw them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            _dress(field)


def _dress(field: forms.Field) -> None:
    is_number = isinstance(field, forms.IntegerField | forms.DecimalField)
    field.widget.attrs |= {"class": "input num" if is_number else "input"}


class PolicyForm(OurForm):
    """Its figures in percent and rupees; the order of the limits is the database's, too."""

    name = forms.CharField(max_length=60, label=_("Name"))
    reserve_soc_percent = forms.IntegerField(min_value=0, max_value=100, label=_("Kept in reserve, %"))
    soc_low_percent = forms.IntegerField(min_value=0, max_value=100, label=_("Low below, %"))
    soc_clear_percent = forms.IntegerField(min_value=0, max_value=100, label=_("Clear above, %"))
    target_soc_percent = forms.IntegerField(min_value=0, max_value=100, label=_("Charge to, %"))
    rupees_per_minute = forms.DecimalField(
        min_value=0, max_value=MOST_RUPEES, decimal_places=2, label=_("What a minute is worth, ₹")
    )

    @staticmethod
    def figures_of(rules: DispatchPolicy | Organisation) -> dict[str, Any]:
        """What the form begins with: a version that is to be changed, or the fleet's own rules without a name."""
        name = rules.name if isinstance(rules, DispatchPolicy) else ""
        figures = {field: getattr(rules, field) for field in PERCENTS}
        return {"name": name, **figures, "rupees_per_minute": Decimal(rules.cost_per_minute_paise) / 100}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if all(name in cleaned for name in PERCENTS):
            low, clear = cleaned["soc_low_percent"], cleaned["soc_clear_percent"]
            if not cleaned["reserve_soc_percent"] < low < clear <= cleaned["target_soc_percent"]:
                raise forms.ValidationError(IN_ORDER)
        return cleaned

    def figures(self) -> dict[str, Any]:
        paise = round(self.cleaned_data["rupees_per_minute"] * 100)
        return {name: self.cleaned_data[name] for name in ("name", *PERCENTS)} | {"cost_per_minute_paise": paise}


class BeginForm(OurForm):
    """One share per policy; an empty one leaves the policy out."""

    name = forms.CharField(max_length=60, label=_("Name"))

    def __init__(self, *args: Any, policies: Sequence[DispatchPolicy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policies = policies
        for policy in policies:
            label = _("%(policy)s, %% of the fleet") % {"policy": policy}
            share = forms.IntegerField(min_value=0, max_value=100, required=False, label=label)
            _dress(share)
            self.fields[f"share_{policy.pk}"] = share

    def shares(self) -> dict[int, int]:
        told = {policy.pk: self.cleaned_data.get(f"share_{policy.pk}") for policy in self.policies}
        return {key: share for key, share in told.items() if share}


class GiveForm(OurForm):
    """A policy, and plates as they are typed or pasted: by line or comma, with or without blanks."""

    policy = forms.ModelChoiceField(queryset=DispatchPolicy.objects.none(), label=_("Policy"))
    plates = forms.CharField(
        max_length=200_000, widget=forms.Textarea(attrs={"rows": 4}), label=_("Vehicles, by their plates")
    )

    def __init__(
        self, *args: Any, policies: Sequence[DispatchPolicy], organisation: Organisation, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.organisation = organisation
        own = DispatchPolicy.objects.filter(pk__in=[policy.pk for policy in policies])
        policy = forms.ModelChoiceField(queryset=own, label=_("Policy"))
        _dress(policy)
        self.fields["policy"] = policy
        self.order_fields(["policy", "plates"])

    def clean_plates(self) -> list[int]:
        """Their vehicles; those that are not of the fleet are named."""
        wanted = {_plain(text): text.strip() for text in SPLIT.split(self.cleaned_data["plates"]) if text.strip()}
        fleet = Vehicle.objects.for_organisation(self.organisation).filter(is_active=True)
        known = {_plain(plate): pk for pk, plate in fleet.values_list("pk", "registration")}
        if unknown := [text for plain, text in wanted.items() if plain not in known]:
            raise forms.ValidationError(_("Not a vehicle of yours: %(plates)s.") % {"plates": ", ".join(unknown[:5])})
        return [known[plain] for plain in wanted]


def _plain(plate: str) -> str:
    return "".join(plate.split()).upper()
