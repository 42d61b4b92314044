"""Vehicles, people, tokens and the catalogue in the admin; positions and states are looked at, never edited."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminPasswordWidget

from fleetcharge.accounts.admin import DESK, ReadOnlyAdmin, TenantAdmin
from fleetcharge.accounts.models import Membership
from vehicles.claims import DeviceNotHeard, DeviceTaken, check_device
from vehicles.geofences import admin as _geofences  # noqa: F401  (registers its pages)
from vehicles.models import (
    FIGURES,
    DeviceAssignment,
    Driver,
    IdToken,
    Shift,
    Stop,
    UnknownDevice,
    Vehicle,
    VehicleCloud,
    VehicleModel,
    VehicleState,
)

FLEET_DESK = DESK | {Membership.Role.DISPATCHER}


class VehicleModelForm(forms.ModelForm):  # type: ignore[type-arg]  # a plain class at run time
    verified_figures = forms.MultipleChoiceField(
        choices=[(name, name) for name in FIGURES], required=False, help_text="Read at the source."
    )


@admin.register(VehicleModel)
class VehicleModelAdmin(ModelAdmin):
    """The catalogue every fleet shares: staff look, superusers edit."""

    form = VehicleModelForm
    list_display = [
        "manufacturer", "name", "vehicle_class", "battery_wh", "max_dc_power_w", "consumption_wh_per_km", "verified",
    ]  # fmt: skip
    list_filter = ["vehicle_class", "is_verified"]
    search_fields = ["manufacturer", "name"]
    readonly_fields: list[str] = []
    show_full_result_count = False

    @admin.display(description="Read at the source", ordering="is_verified")
    def verified(self, model: VehicleModel) -> str:
        return "all" if model.is_verified else ", ".join(model.verified_figures) or "nothing"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


class StopInline(TabularInline):
    """Where the vehicle is to go; changed through the API."""

    model = Stop
    extra = 0
    can_delete = False
    fields = readonly_fields = ["sequence", "name", "latitude", "longitude", "due_at", "done_at"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeviceInline(TabularInline):
    """Which device reported for it when; the newest first."""

    model = DeviceAssignment
    extra = 0
    can_delete = False
    fields = readonly_fields = ["device_id", "starts_at", "ends_at"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class VehicleForm(forms.ModelForm):  # type: ignore[type-arg]  # a plain class at run time
    """The operator may give any tracker to any vehicle; a fleet what it may claim."""

    is_operator = False

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        organisation, device_id = cleaned.get("organisation"), cleaned.get("device_id")
        organisation_id = organisation.pk if organisation else self.instance.organisation_id
        if device_id and organisation_id:
            try:
                check_device(
                    device_id=device_id, organisation_id=organisation_id, vehicle_id=self.instance.pk,
                    is_operator=self.is_operator,
                )  # fmt: skip
            except (DeviceTaken, DeviceNotHeard) as error:
                is_taken = isinstance(error, DeviceTaken)
                self.add_error("device_id", "This device reports for another vehicle." if is_taken else str(error))
        return cleaned


@admin.register(Vehicle)
class VehicleAdmin(TenantAdmin):
    """A fleet's vehicles; one that leaves becomes inactive."""

    view_roles = FLEET_DESK
    form = VehicleForm
    list_display = [
        "registration",
        "model",
        "soc",
        "seen_at",
        "device_id",
        "default_driver",
        "cost_centre",
        "is_active",
    ]
    list_select_related = ["model", "state", "default_driver"]
    list_filter = ["is_active", "state__is_soc_low", "model__vehicle_class"]
    search_fields = ["registration", "device_id", "cost_centre"]
    readonly_fields = ["created_at"]
    autocomplete_fields = ["model"]
    inlines = [StopInline, DeviceInline]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.is_operator = bool(request.user.is_superuser)
        return form

    @admin.display(description="Charge", ordering="state__soc_percent")
    def soc(self, vehicle: Vehicle) -> str:
        state: VehicleState | None = getattr(vehicle, "state", None)
        return "—" if state is None or state.soc_percent is None else f"{state.soc_percent:.0f} %"

    @admin.display(description="Last seen", ordering="state__position_at")
    def seen_at(self, vehicle: Vehicle) -> Any:
        state: VehicleState | None = getattr(vehicle, "state", None)
        return state and state.position_at

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Driver)
class DriverAdmin(TenantAdmin):
    view_roles = FLEET_DESK
    list_display = ["name", "phone", "is_active", "driver_ref"]
    list_filter = ["is_active"]
    search_fields = ["name", "phone"]
    readonly_fields = ["driver_ref"]

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Shift)
class ShiftAdmin(TenantAdmin):
    view_roles = FLEET_DESK
    list_display = ["vehicle", "driver", "starts_at", "ends_at"]
    list_select_related = ["vehicle", "driver"]
    search_fields = ["vehicle__registration", "driver__name"]
    readonly_fields: list[str] = []
    date_hierarchy = "starts_at"


@admin.register(IdToken)
class IdTokenAdmin(TenantAdmin):
    list_display = ["uid", "kind", "vehicle", "driver", "is_active", "valid_until"]
    list_select_related = ["vehicle", "driver"]
    list_filter = ["kind", "is_active"]
    search_fields = ["uid", "vehicle__registration", "driver__name"]
    readonly_fields: list[str] = []


class VehicleCloudForm(forms.ModelForm):  # type: ignore[type-arg]  # a plain class at run time
    """The secret is typed once and never shown again."""

    secret_password = forms.CharField(
        label="Application management token", required=False, widget=UnfoldAdminPasswordWidget(render_value=False),
        help_text="From the cloud's dashboard. Empty: keep the stored one.",
    )  # fmt: skip

    class Meta:
        model = VehicleCloud
        fields = ["organisation", "name", "is_active"]

    def save(self, commit: bool = True) -> VehicleCloud:
        if secret := self.cleaned_data.get("secret_password"):
            self.instance.secret = secret
        row: VehicleCloud = super().save(commit)
        return row


@admin.register(VehicleCloud)
class VehicleCloudAdmin(TenantAdmin):
    """Subscriptions at vehicle clouds, with the address to give them."""

    view_roles = FLEET_DESK
    form = VehicleCloudForm
    list_display = ["name", "address", "is_active", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["address", "created_at"]

    @admin.display(description="Address for the cloud's dashboard")
    def address(self, cloud: VehicleCloud) -> str:
        return f"{settings.PUBLIC_BASE_URL}/ingest/smartcar/{cloud.token}" if cloud.pk else "—"


@admin.register(UnknownDevice)
class UnknownDeviceAdmin(ReadOnlyAdmin):
    """Trackers that reported with one of the fleet's keys and belong to no vehicle yet."""

    view_roles = FLEET_DESK
    list_display = ["device_id", "messages", "first_seen_at", "last_seen_at"]
    search_fields = ["device_id"]
    readonly_fields = ["last_message"]
