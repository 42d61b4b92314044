"""What can be asked of a report; an answer that is none is said to be none."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from dispatch.reports.periods import MOST_DAYS, Period, usual
from dispatch.tables.forms import Choices, day


class ReportFilter(forms.Form):
    by = forms.ChoiceField(label=_("By"), required=False, widget=forms.Select(attrs={"class": "input"}))
    since = day(_("From"))
    until = day(_("Until"))

    def __init__(self, data: Any, ways: Choices, today: date, zone: ZoneInfo) -> None:
        self.usual = usual(today, zone)
        filled = {"since": f"{self.usual.first}", "until": f"{self.usual.last}", **{k: v for k, v in data.items() if v}}
        super().__init__(filled, auto_id="f-%s", label_suffix="")
        self.fields["by"].choices = list(ways)  # type: ignore[attr-defined]  # a ChoiceField

    def clean(self) -> dict[str, Any]:
        asked: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = asked.get("since"), asked.get("until")
        if first and last and last < first:
            self.add_error("until", _("This is before the first day."))
        elif first and last and (last - first).days >= MOST_DAYS:
            self.add_error("until", _("A report is of 366 days at most."))
        return asked

    def period(self) -> Period:
        return Period(self.cleaned_data["since"], self.cleaned_data["until"], self.usual.zone)
