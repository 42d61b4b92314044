"""Our own chargers on the desk, and their keys."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from fleetcharge.accounts.admin import ReasonForm, TenantAdmin, ask, back_to
from stations.admin.scope import EVERYBODY, KEEPERS
from stations.models import (
    Charger,
)
from stations.services.keys import new_charger_key, stage_charger_key

WITHIN_SECONDS = {
    "registration": _(
        "Rejected and Pending hold within seconds, also for an open socket; Accepted with its next boot."
    ),
    "min_security_profile": _("It only ever rises. An open socket below it is closed within seconds."),
}


@admin.register(Charger)
class ChargerAdmin(TenantAdmin):
    """Our own chargers. The key is shown once, when it is made."""

    view_roles = EVERYBODY
    change_roles = KEEPERS
    list_display = ["ocpp_identity", "location", "vendor", "model", "is_online", "last_seen_at", "registration"]
    list_filter = ["is_online", "registration", "protocol"]
    list_select_related = ["location"]
    search_fields = ["ocpp_identity", "serial_number", "location__name"]
    fields = [
        "organisation", "location", "ocpp_identity", "registration", "subprotocols", "vendor", "model", "serial_number",
        "firmware_version", "protocol", "is_online", "node", "connected_at", "disconnected_at", "last_seen_at",
        "last_boot_at", "is_faulted", "is_inoperative", "clock_skew_seconds", "min_security_profile",
        "security_profile", "its_page",
    ]  # fmt: skip
    readonly_fields = [
        "its_page", "security_profile",
        "vendor", "model", "serial_number", "firmware_version", "protocol", "is_online", "node", "connected_at",
        "disconnected_at", "last_seen_at", "last_boot_at", "is_faulted", "is_inoperative", "clock_skew_seconds",
    ]  # fmt: skip
    actions_detail = ["replace_key", "prepare_key"]

    def get_form(self, request: HttpRequest, obj: Charger | None = None, **more: Any) -> Any:
        form = super().get_form(request, obj, **more)
        for name, text in WITHIN_SECONDS.items():
            if name in form.base_fields:
                form.base_fields[name].help_text = text
        return form

    def save_model(self, request: HttpRequest, obj: Charger, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self._show_key(request, obj, "registered")

    @admin.display(description=_("Frames, settings, commands"))
    def its_page(self, charger: Charger) -> str:
        if not charger.pk:
            return "–"
        return format_html('<a href="{}">{}</a>', reverse("charger", args=[charger.ocpp_identity]), charger)

    @action(description=_("New key"), url_path="new-key")
    def replace_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        charger = self.get_object(request, object_id)
        if charger is None or not self.has_change_permission(request, charger):
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            self._show_key(request, charger, form.cleaned_data["reason"])
            return back_to(self, object_id)
        title = _("New key for %(name)s; the old one stops working, and a socket opened with it is closed") % {
            "name": charger.ocpp_identity
        }
        return ask(request, self, title=title, form=form, submit=gettext("Make a new key"))

    @action(description=_("Next key"), url_path="next-key")
    def prepare_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        charger = self.get_object(request, object_id)
        if charger is None or not self.has_change_permission(request, charger):
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            self._show_key(request, charger, form.cleaned_data["reason"], make=stage_charger_key)
            return back_to(self, object_id)
        title = _("Next key for %(name)s; the present one works until it is used") % {"name": charger.ocpp_identity}
        return ask(request, self, title=title, form=form, submit=gettext("Make the next key"))

    def _show_key(self, request: Any, charger: Charger, reason: str, make: Any = new_charger_key) -> None:
        key = make(charger_id=charger.pk, actor=request.user, reason=reason)
        text = _("Key of {}: {} - write it down, it is never shown again.")
        messages.warning(request, format_html(str(text), charger.ocpp_identity, key))
