"""What can be asked of each table; an answer that is none is said to be none, not left out."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from dispatch.models import Alert, Reservation
from vehicles.models import VehicleState

Choices = Iterable[tuple[str, str | Promise]]
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2200, 1, 1)
GROUPS: list[tuple[str, Promise]] = [
    ("low", _("Low charge")), ("charging", _("Charging")), ("driving", _("On road")), ("parked", _("Parked")),
    ("offline", _("No signal")),
]  # fmt: skip


def choice(label: Any, choices: Choices, everything: Any) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, choices=[("", everything), *choices], required=False,
        widget=forms.Select(attrs={"class": "input"}),
    )  # fmt: skip


def day(label: Any) -> forms.DateField:
    return forms.DateField(
        label=label, required=False, validators=[MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)],
        widget=forms.DateInput(attrs={"class": "input num", "type": "date"}, format="%Y-%m-%d"),
    )  # fmt: skip


class Filter(forms.Form):
    """Every table is searched and sorted; `sort` gets its choices from the table."""

    q = forms.CharField(
        label=_("Find"), max_length=80, required=False,
        widget=forms.TextInput(attrs={"class": "input", "type": "search"}),
    )  # fmt: skip

    def __init__(self, data: Any, sorts: Choices, hint: Promise) -> None:
        super().__init__(data, auto_id="f-%s", label_suffix="")
        self.fields["q"].widget.attrs["placeholder"] = hint
        self.fields["sort"] = forms.ChoiceField(
            label=_("Sort by"), choices=list(sorts), required=False, widget=forms.Select(attrs={"class": "input"})
        )


class StationFilter(Filter):
    free = choice(_("Plugs"), [("yes", _("with a free plug")), ("no", _("without a free plug"))], _("any"))


class FleetFilter(Filter):
    state = choice(_("State"), GROUPS, _("any"))
    source = choice(_("Charge told by"), VehicleState.SocSource.choices, _("anybody"))


class SessionFilter(Filter):
    state = choice(_("State"), ChargingSession.State.choices, _("any"))
    since = day(_("From"))
    until = day(_("Until"))


class AlertFilter(Filter):
    kind = choice(_("About"), Alert.Kind.choices, _("anything"))
    severity = choice(_("Severity"), Alert.Severity.choices, _("any"))
    state = choice(_("State"), [("closed", _("Closed")), ("all", _("Open and closed"))], _("Open"))


class ReservationFilter(Filter):
    state = choice(_("State"), Reservation.State.choices, _("any"))
    since = day(_("From"))
    until = day(_("Until"))
