"""Price lists on the desk: those of networks are looked at, those of one's own chargers are made here."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminTextareaWidget,
)

from fleetcharge.accounts.admin import DESK, TenantAdmin, actor_of
from stations import pricing, services
from stations.admin.scope import EVERYBODY, RegistryScope
from stations.models import Connector, Location, Source, Tariff


def price_field(label: Any, *, is_needed: bool = False) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, min_value=0, max_digits=10, decimal_places=4, required=is_needed,
        widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip


class TariffForm(forms.ModelForm):  # type: ignore[type-arg]
    """Plain prices; the OCPI elements are made from them."""

    per_kwh = price_field(_("Price per kWh, without GST"), is_needed=True)
    per_session = price_field(_("Fee per session"))
    idle_per_hour = price_field(_("Idle fee per hour, plugged in without charging"))
    hours = forms.CharField(
        label=_("Other prices per kWh by time of day"), required=False, widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text=_("One row per line, local time of the site: 22:00-06:00 12.50"),
    )  # fmt: skip
    locations = forms.ModelMultipleChoiceField(
        Location.objects.none(), required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, label=_("Sites"),
        help_text=_("All plugs of these sites get this price, also those that appear later."),
    )  # fmt: skip
    connectors = forms.ModelMultipleChoiceField(
        Connector.objects.none(),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label=_("Single plugs"),
    )

    class Meta:
        model = Tariff
        fields = ["source", "name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].required = True
        if self.instance.pk and (prices := pricing.prices_of(self.instance.elements)):
            self.initial.update(
                per_kwh=prices.per_kwh, per_session=prices.per_session, idle_per_hour=prices.idle_per_hour,
                hours=pricing.write_hours(prices.hours), locations=self.instance.locations.all(),
                connectors=self.instance.connectors.all(),
            )  # fmt: skip

    def clean_hours(self) -> tuple[pricing.Hours, ...]:
        try:
            return pricing.read_hours(self.cleaned_data["hours"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    @property
    def prices(self) -> pricing.Prices:
        data = self.cleaned_data
        session, idle = (data[name] or pricing.ZERO for name in ("per_session", "idle_per_hour"))
        return pricing.Prices(data["per_kwh"], session, idle, data["hours"])


@admin.register(Tariff)
class TariffAdmin(RegistryScope, TenantAdmin):
    """A change makes a new version; sessions keep the one they were priced by."""

    organisation_path = "source__organisation"
    view_roles = EVERYBODY
    change_roles = DESK
    form = TariffForm
    fields = ["source", "name", "per_kwh", "per_session", "idle_per_hour", "hours", "locations", "connectors"]
    list_display = ["__str__", "source", "external_id", "energy_price", "valid_from", "valid_to"]
    list_filter = ["source"]
    list_select_related = ["source"]
    search_fields = ["name", "external_id"]
    readonly_fields: list[str] = []

    @admin.display(description=_("Price per kWh"))
    def energy_price(self, tariff: Tariff) -> str:
        """As the tariff says it, the least and the most where it has several."""
        prices = pricing.energy_prices(tariff.elements)
        sign = "₹" if tariff.currency == "INR" else f"{tariff.currency} "
        return " – ".join(f"{sign}{price:.2f}" for price in dict.fromkeys([*prices[:1], *prices[-1:]])) or "–"

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Current prices of own chargers that were made here; what networks send is theirs."""
        if not super().has_change_permission(request, obj) or obj is None:
            return bool(super().has_change_permission(request, obj))
        is_ours = obj.source.kind == Source.Kind.OWN_OCPP and obj.valid_to is None
        return is_ours and pricing.prices_of(obj.elements) is not None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None or self.has_change_permission(request, obj):
            return self.fields
        return ["source", "external_id", "version", "name", "currency", "elements", "valid_from", "valid_to"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return []
        return ["source"] if self.has_change_permission(request, obj) else self.get_fields(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return super().get_form(request, obj, change, **{**kwargs, "form": forms.ModelForm})
        form = super().get_form(request, obj, change, **kwargs)
        sources = _own_sources(request) if obj is None else Source.objects.filter(pk=obj.source_id)
        form.base_fields["locations"].queryset = Location.objects.filter(source__in=sources, is_removed=False)
        plugs = Connector.objects.existing().filter(evse__location__source__in=sources)
        form.base_fields["connectors"].queryset = plugs.select_related("evse__location")
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "source":
            kwargs["queryset"] = _own_sources(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: Any, obj: Tariff, form: Any, change: bool) -> None:
        """Through the services: a new version, then its places."""
        made = services.set_prices(
            source=obj.source, external_id=obj.external_id if change else _new_id(obj.name), name=obj.name,
            prices=form.prices, location_ids=[row.pk for row in form.cleaned_data["locations"]],
            connector_ids=[row.pk for row in form.cleaned_data["connectors"]], at=timezone.now(),
            actor=actor_of(request),
        )  # fmt: skip
        obj.__dict__.update(made.__dict__)
        text = _("Version %(version)d; %(plugs)d plugs have this price.")
        messages.info(request, text % {"version": made.version, "plugs": made.connectors.count()})


def _own_sources(request: Any) -> QuerySet[Source]:
    own = Source.objects.filter(kind=Source.Kind.OWN_OCPP)
    return own if request.user.is_superuser else own.filter(organisation=request.organisation)


def _new_id(name: str) -> str:
    return f"{slugify(name)[:27]}-{uuid.uuid4().hex[:8]}".lstrip("-")
