"""What the desk asks before it changes what somebody pays."""

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.prepared import prepare
from billing.prices.models import PlanVersion, Subscription
from fleetcharge.accounts.admin import ReasonForm
from fleetcharge.accounts.models import Organisation
from stations.models import Location, Source

PAISE_PER_RUPEE, WH_PER_KWH = 100, 1000


def _rupees(label: Any, **fields: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, min_value=0, max_digits=10, decimal_places=2, widget=UnfoldAdminDecimalFieldWidget(), **fields
    )


class ElementsField(forms.JSONField):
    """OCPI TariffElements, read as rating reads them."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 8})

    def clean(self, value: Any) -> Any:
        elements = super().clean(value)
        if elements:
            try:
                prepare(elements).for_sessions()
            except ValueError as error:
                raise forms.ValidationError(str(error)) from None
        return elements or []


class RateForm(ReasonForm):
    """Asks for a negotiated rate; without prices for the end of one."""

    organisation = forms.ModelChoiceField(
        Organisation.objects.all(), label=gettext_lazy("Organisation"), widget=UnfoldAdminSelectWidget()
    )
    source = forms.ModelChoiceField(
        Source.objects.all(), label=gettext_lazy("Network"), widget=UnfoldAdminSelectWidget()
    )
    site = forms.CharField(
        label=gettext_lazy("Site"), required=False, widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Its public id. Empty: at all sites of the network."),
    )  # fmt: skip
    name = forms.CharField(label=gettext_lazy("Name"), max_length=120, widget=UnfoldAdminTextInputWidget())
    elements = ElementsField(
        label=gettext_lazy("Prices"), required=False,
        help_text=gettext_lazy("OCPI tariff elements. Empty: nothing is agreed from that day on."),
    )  # fmt: skip
    valid_from = forms.SplitDateTimeField(
        label=gettext_lazy("From"), initial=timezone.now, widget=UnfoldAdminSplitDateTimeWidget()
    )
    valid_to = forms.SplitDateTimeField(
        label=gettext_lazy("Until"), required=False, widget=UnfoldAdminSplitDateTimeWidget()
    )
    field_order = ["organisation", "source", "site", "name", "elements", "valid_from", "valid_to", "reason"]

    def clean_site(self) -> Location | None:
        text = self.cleaned_data["site"].strip()
        if not text:
            return None
        found = Location.objects.filter(public_id__iexact=text, source=self.cleaned_data.get("source")).first()
        if found is None:
            raise forms.ValidationError(gettext_lazy("The network has no such site."))
        return found


class VersionForm(ReasonForm):
    fee = _rupees(gettext_lazy("Fee for a month, without tax"))
    included_kwh = forms.DecimalField(
        label=gettext_lazy("Included kWh in a month"), min_value=0, max_digits=10, decimal_places=3, initial=0,
        widget=UnfoldAdminDecimalFieldWidget(),
    )  # fmt: skip
    pool = forms.ChoiceField(
        label=gettext_lazy("Included energy"), choices=PlanVersion.Pool.choices, widget=UnfoldAdminSelectWidget()
    )
    discount_percent = forms.DecimalField(
        label=gettext_lazy("Discount on the public tariff, percent"), min_value=0, max_value=100, decimal_places=2,
        initial=0, widget=UnfoldAdminDecimalFieldWidget(),
    )  # fmt: skip
    elements = ElementsField(
        label=gettext_lazy("Prices of its own"), required=False,
        help_text=gettext_lazy("OCPI tariff elements. Empty: the public tariff with the discount."),
    )  # fmt: skip
    field_order = ["fee", "included_kwh", "pool", "discount_percent", "elements", "reason"]


class PlanChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # not subscriptable at run time
    """The newest version of each open plan."""

    widget = UnfoldAdminSelectWidget

    def __init__(self, **fields: Any) -> None:
        newest = PlanVersion.objects.filter(plan__is_open=True).order_by("plan_id", "-number").distinct("plan_id")
        versions = PlanVersion.objects.filter(pk__in=newest.values("pk")).select_related("plan")
        super().__init__(versions, label=gettext_lazy("Plan"), **fields)


class SubscribeForm(ReasonForm):
    organisation = forms.ModelChoiceField(
        Organisation.objects.all(), label=gettext_lazy("Organisation"), widget=UnfoldAdminSelectWidget()
    )
    plan = PlanChoice()
    cycle = forms.ChoiceField(
        label=gettext_lazy("Month"), choices=Subscription.Cycle.choices, widget=UnfoldAdminSelectWidget()
    )
    starts_on = forms.DateField(label=gettext_lazy("First day"), widget=UnfoldAdminSingleDateWidget())
    field_order = ["organisation", "plan", "cycle", "starts_on", "reason"]


class ChangeForm(ReasonForm):
    plan = PlanChoice()
    on = forms.DateField(label=gettext_lazy("From this day on"), widget=UnfoldAdminSingleDateWidget())
    field_order = ["plan", "on", "reason"]


class EndForm(ReasonForm):
    before = forms.DateField(label=gettext_lazy("First day without it"), widget=UnfoldAdminSingleDateWidget())
    field_order = ["before", "reason"]


class GuidelineForm(ReasonForm):
    source = forms.ModelChoiceField(
        Source.objects.filter(kind=Source.Kind.OWN_OCPP), label=gettext_lazy("Network"),
        widget=UnfoldAdminSelectWidget(),
    )  # fmt: skip
    external_id = forms.SlugField(
        label=gettext_lazy("Tariff id"), max_length=36, widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("An id that is there already gets a new version."),
    )  # fmt: skip
    name = forms.CharField(label=gettext_lazy("Name"), max_length=120, widget=UnfoldAdminTextInputWidget())
    state = forms.CharField(label=gettext_lazy("State"), max_length=40, widget=UnfoldAdminTextInputWidget())
    service_solar = _rupees(gettext_lazy("Service charge in solar hours, rupees per kWh"))
    service_other = _rupees(gettext_lazy("Service charge in other hours, rupees per kWh"))
    field_order = ["source", "external_id", "name", "state", "service_solar", "service_other", "reason"]
