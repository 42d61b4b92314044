"""Webhooks on the desk: the owner makes, rotates, tests and switches them; deliveries are looked at and sent again."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import CHECKBOX_CLASSES, UnfoldAdminTextInputWidget

from fleetcharge.accounts.admin import OWNERS, ReadOnlyAdmin, ReasonForm, TenantAdmin, actor_of, ask, back_to
from fleetcharge.accounts.services import audit
from fleetcharge.lib.outbound import RefusedAddress, check_url
from fleetcharge.webhooks import catalogue, services
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookMessage

SHOWN_OF_AN_ADDRESS = 60
EDITABLE = ("url", "description", "event_types", "is_active")


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses an address that we would not call."""

    url = forms.URLField(label="URL", max_length=500, assume_scheme="https", widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = WebhookEndpoint
        fields = ["organisation", *EDITABLE]

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        try:
            check_url(url, allow_private=settings.WEBHOOK_ALLOW_PRIVATE_HOSTS)
        except RefusedAddress as error:
            raise forms.ValidationError(str(error)) from None
        return url


class EventBoxes(forms.CheckboxSelectMultiple):
    """In the looks of the theme, a line each."""

    def create_option(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(*args, **kwargs)
        option["attrs"]["class"] = " ".join(CHECKBOX_CLASSES)
        return option


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(TenantAdmin):
    """The secret is shown once, when it is made."""

    form = WebhookForm
    view_roles = OWNERS
    list_display = ["__str__", "address", "state", "last_success_at", "why", "organisation"]
    list_filter = ["is_active"]
    list_select_related = ["organisation"]
    search_fields = ["url", "description"]
    fieldsets = [
        (None, {"fields": ["organisation", *EDITABLE]}),
        (_("How it does"), {"fields": [
            "how", "disabled_at", "failing_since", "failures_in_row", "last_success_at", "paused_until",
            "old_secret_until", "created_at",
        ]}),
    ]  # fmt: skip
    readonly_fields = [
        "how", "disabled_at", "failing_since", "failures_in_row", "last_success_at", "paused_until",
        "old_secret_until", "created_at",
    ]  # fmt: skip
    actions_detail = ["rotate", "try_it"]

    @admin.display(description=_("Address"), ordering="url")
    def address(self, endpoint: WebhookEndpoint) -> str:
        return endpoint.url if len(endpoint.url) <= SHOWN_OF_AN_ADDRESS else f"{endpoint.url[:SHOWN_OF_AN_ADDRESS]}…"

    @display(
        description=_("State"),
        ordering="is_active",
        label={"well": "success", "new": "info", "failing": "warning", "off": "danger"},
    )
    def state(self, endpoint: WebhookEndpoint) -> Any:
        if not endpoint.is_active:
            return "off", gettext("Switched off")
        if endpoint.failing_since is not None:
            return "failing", gettext("Failing")
        return ("well", gettext("Works")) if endpoint.last_success_at else ("new", gettext("Nothing sent yet"))

    @admin.display(description=_("State"))
    def how(self, endpoint: WebhookEndpoint) -> str:
        return ": ".join(part for part in (self.state(endpoint)[1], endpoint.disabled_reason) if part)

    @admin.display(description=_("Why"))
    def why(self, endpoint: WebhookEndpoint) -> str:
        if endpoint.is_active and endpoint.failing_since is not None:
            return gettext("Failing since %(when)s.") % {"when": date_format(
                timezone.localtime(endpoint.failing_since), "DATETIME_FORMAT"
            )}  # fmt: skip
        return endpoint.disabled_reason or "—"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one has not done anything yet."""
        return self.fieldsets if obj else self.fieldsets[:1]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [*self.readonly_fields, "organisation"] if obj else [*self.readonly_fields, "is_active"]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "event_types":
            choices = [(kind.name, _told(kind)) for kind in catalogue.CATALOGUE.values()]
            return forms.MultipleChoiceField(choices=choices, widget=EventBoxes)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data if name in EDITABLE}
            services.change_endpoint(endpoint_id=obj.pk, changes=changes, actor=actor_of(request), now=timezone.now())
            return
        endpoint, secret = services.create_endpoint(
            organisation=obj.organisation, url=obj.url, event_types=obj.event_types, description=obj.description,
            actor=actor_of(request), now=timezone.now(),
        )  # fmt: skip
        obj.__dict__.update(endpoint.__dict__)
        self._show(request, secret)

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        services.delete_endpoint(endpoint_id=obj.pk, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    @action(description=_("New secret"), url_path="rotate")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._one(request, object_id)
        if endpoint is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            self._show(request, services.rotate_secret(
                endpoint_id=endpoint.pk, actor=actor_of(request), now=timezone.now()
            ))  # fmt: skip
            return back_to(self, object_id)
        title = _("New secret for %(name)s; the old one signs beside it for a day") % {"name": endpoint}
        return ask(request, self, title=title, form=form, submit=gettext("Make a new secret"))

    @action(description=_("Send a test"), url_path="test")
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._one(request, object_id)
        if endpoint is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("Send a test message to %(name)s") % {"name": endpoint}
            return ask(request, self, title=title, form=form, submit=gettext("Send"))
        try:
            services.send_test(endpoint_id=endpoint.pk, now=timezone.now())
        except services.NotActive:
            messages.error(request, gettext("It is switched off."))
        else:
            audit(action="webhook.test", target=endpoint, actor=actor_of(request), reason=form.cleaned_data["reason"])
            messages.success(request, gettext("It is on its way; look at the deliveries."))
        return back_to(self, object_id)

    def _one(self, request: HttpRequest, object_id: str) -> WebhookEndpoint | None:
        """One that the person may change, else None."""
        endpoint: WebhookEndpoint | None = self.get_object(request, object_id)
        return endpoint if endpoint and self.has_change_permission(request, endpoint) else None

    def _show(self, request: HttpRequest, secret: str) -> None:
        text = gettext("Copy this secret now, it is never shown again: %(secret)s")
        messages.warning(request, text % {"secret": secret})


def _told(kind: catalogue.EventType) -> SafeString:
    """The name of an event, and when it comes."""
    return format_html("<span><b>{}</b> {}</span>", kind.name, kind.when.replace("`", ""))


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """What was sent, what was answered, when it is tried again."""

    organisation_path = "endpoint__organisation"
    view_roles = OWNERS
    list_display = ["created_at", "kind", "endpoint", "became", "attempts", "last_error", "next_attempt_at"]
    list_filter = ["state", "endpoint"]
    list_select_related = ["endpoint", "message"]
    search_fields = ["message__public_id", "message__event_type", "last_error"]
    ordering = ["-pk"]
    actions = ["send_again"]

    @display(
        description=_("State"),
        ordering="state",
        label={"pending": "info", "delivered": "success", "failed": "danger"},
    )
    def became(self, row: WebhookDelivery) -> Any:
        return row.state, row.get_state_display()

    @admin.display(description=_("Event"))
    def kind(self, row: WebhookDelivery) -> str:
        return row.message.event_type

    @admin.action(description=_("Send again"), permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        sent = queryset.filter(endpoint__is_active=True).order_by("pk")
        for delivery in sent.select_related("endpoint"):
            services.replay_one(delivery_id=delivery.pk, now=timezone.now())
            audit(action="webhook.replay", target=delivery, actor=actor_of(request),
                  organisation=delivery.endpoint.organisation)  # fmt: skip
        messages.success(request, gettext("They are sent within a few seconds; not those of a switched-off webhook."))

    def has_send_permission(self, request: HttpRequest) -> bool:
        return self._has_role(request, OWNERS)


@admin.register(WebhookMessage)
class WebhookMessageAdmin(ReadOnlyAdmin):
    """The outbox: what was said, and when."""

    view_roles = OWNERS
    list_display = ["created_at", "event_type", "public_id"]
    list_filter = ["event_type"]
    search_fields = ["public_id", "dedupe_key"]
    ordering = ["-pk"]
