"""The page on which an owner sets how the fleet works, and from which everything else that is set can be reached."""

from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from fleetcharge.accounts.models import Membership, Organisation
from fleetcharge.accounts.services import audit
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of

ZONES = ["UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]


def _percent(label: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=0, max_value=100, widget=forms.NumberInput(attrs={"class": "input num"})
    )


class OrganisationForm(forms.Form):
    """What people set; the currency comes with the wallet and does not change."""

    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"), choices=[(name, name) for name in ZONES],
        widget=forms.Select(attrs={"class": "input"}),
    )  # fmt: skip
    dispatch_mode = forms.ChoiceField(
        label=gettext_lazy("New plans"), choices=Organisation.DispatchMode.choices,
        widget=forms.Select(attrs={"class": "input"}),
    )  # fmt: skip
    soc_low_percent = _percent(gettext_lazy("Low charge below, %"))
    soc_clear_percent = _percent(gettext_lazy("No longer low from, %"))
    reserve_soc_percent = _percent(gettext_lazy("Never plan below, %"))
    target_soc_percent = _percent(gettext_lazy("Charge up to, %"))
    rupees_per_minute = forms.DecimalField(
        label=gettext_lazy("A minute is worth, ₹"), min_value=0, max_value=Decimal(10_000), decimal_places=2,
        widget=forms.NumberInput(attrs={"class": "input num", "step": "0.01"}),
    )  # fmt: skip
    shows_status = forms.BooleanField(label=gettext_lazy("Public status page"), required=False)

    def clean(self) -> dict[str, Any]:
        asked: dict[str, Any] = super().clean() or self.cleaned_data
        low, clear = asked.get("soc_low_percent"), asked.get("soc_clear_percent")
        if low is not None and clear is not None and clear <= low:
            self.add_error("soc_clear_percent", _("This has to be above the low limit."))
        reserve, target = asked.get("reserve_soc_percent"), asked.get("target_soc_percent")
        if reserve is not None and target is not None and target <= reserve:
            self.add_error("target_soc_percent", _("This has to be above what is never planned below."))
        return asked

    def values(self) -> dict[str, Any]:
        """By field of the organisation."""
        told = dict(self.cleaned_data)
        rupees = told.pop("rupees_per_minute")
        return {**told, "cost_per_minute_paise": int(rupees * 100)}


@never_cache
def settings_page(request: FleetRequest) -> HttpResponse:
    if request.organisation is None or request.role == Membership.Role.DRIVER:
        return render(request, "no_access.html", status=403)
    organisation, is_owner = organisation_of(request), request.role == Membership.Role.OWNER
    form = OrganisationForm(request.POST or None, initial=_initial(organisation), label_suffix="", auto_id="s-%s")
    if request.method == "POST" and not is_owner:
        return render(request, "no_access.html", {"why": _("Only owners change these settings.")}, status=403)
    if request.method == "POST" and form.is_valid():
        change_organisation(organisation_id=organisation.pk, values=form.values(), **author_of(request))
        messages.success(request, _("Saved."))
        return redirect("settings")
    context = {"form": form, "is_owner": is_owner}
    return render(request, "settings/index.html", context, status=400 if form.errors else 200)


def _initial(organisation: Organisation) -> dict[str, Any]:
    names = [name for name in OrganisationForm.base_fields if name != "rupees_per_minute"]
    told = {name: getattr(organisation, name) for name in names}
    return {**told, "rupees_per_minute": Decimal(organisation.cost_per_minute_paise) / 100}


@transaction.atomic
def change_organisation(*, organisation_id: int, values: dict[str, Any], actor: Any, actor_label: str) -> bool:
    """One entry in the trail with what was different; False when nothing was."""
    organisation = Organisation.objects.select_for_update().get(pk=organisation_id)
    held = {name: getattr(organisation, name) for name in values}
    before = {name: value for name, value in held.items() if value != values[name]}
    if not before:
        return False
    for name in before:
        setattr(organisation, name, values[name])
    organisation.save(update_fields=list(before))
    after = {name: values[name] for name in before}
    audit(
        action="change", target=organisation, actor=actor, actor_label=actor_label, organisation=organisation,
        before=before, after=after,
    )  # fmt: skip
    return True
