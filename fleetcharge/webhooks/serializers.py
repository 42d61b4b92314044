"""Shapes of the webhooks API."""

from typing import Any

from rest_framework import serializers

from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint

EVENT_TYPES = [(name, name) for name in catalogue.CATALOGUE]
WEEK_HOURS = 7 * 24


class EventTypesField(serializers.ListField):
    """Names from `GET /api/v1/webhooks/events/`."""

    child = serializers.ChoiceField(EVENT_TYPES)


class WebhookSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    """An endpoint and how it does. `disabled_reason` says why it was switched off; `paused_until`: it failed, or asked
    to be left alone."""

    event_types = EventTypesField()

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id", "url", "description", "event_types", "is_active", "disabled_at", "disabled_reason", "failing_since",
            "failures_in_row", "last_success_at", "paused_until", "old_secret_until", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class WebhookRequestSerializer(serializers.Serializer[Any]):
    """`url` must be https and lead to a public address."""

    url = serializers.URLField(max_length=500)
    description = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")
    event_types = EventTypesField(allow_empty=False)


class WebhookChangeSerializer(serializers.Serializer[Any]):
    """Left out: as it is."""

    url = serializers.URLField(max_length=500, required=False)
    description = serializers.CharField(max_length=120, required=False, allow_blank=True)
    event_types = EventTypesField(allow_empty=False, required=False)
    is_active = serializers.BooleanField(required=False)


class WebhookSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="whsec_ and base64; never shown again.")


class WebhookCreatedSerializer(WebhookSerializer):
    secret = serializers.SerializerMethodField(help_text="whsec_ and base64; never shown again.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        return str(self.context["secret"])


class RotateSerializer(serializers.Serializer[Any]):
    keep_old_hours = serializers.IntegerField(
        min_value=0, max_value=WEEK_HOURS, required=False, default=24, help_text="0: the old secret dies at once."
    )


class ReplaySerializer(serializers.Serializer[Any]):
    """Either `delivery`, or `since`."""

    delivery = serializers.IntegerField(required=False, help_text="One delivery by its id.")
    since = serializers.DateTimeField(required=False, help_text="All kept messages from then on.")
    until = serializers.DateTimeField(required=False, help_text="Left out: until now.")
    event_types = EventTypesField(required=False, help_text="Left out: what the endpoint listens to.")
    only_undelivered = serializers.BooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("delivery" in attrs) == ("since" in attrs):
            raise serializers.ValidationError({"since": "Name one delivery, or a time to begin at."})
        return attrs


class ReplayedSerializer(serializers.Serializer[Any]):
    deliveries = serializers.IntegerField(help_text="How many are sent once more; 10,000 at most.")


class WebhookDeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """`message` is the webhook-id header; `last_status` null: no answer."""

    message = serializers.CharField(source="message.public_id")
    event_type = serializers.CharField(source="message.event_type")
    payload = serializers.JSONField(source="message.payload")

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "message", "event_type", "state", "attempts", "next_attempt_at", "last_attempt_at", "last_status",
            "last_error", "response_snippet", "duration_ms", "delivered_at", "created_at", "payload",
        ]  # fmt: skip


class WebhookEventSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    when = serializers.CharField()
    scope = serializers.CharField(help_text="What a key needs to ask for it.")
    data = serializers.DictField(  # type: ignore[assignment]
        child=serializers.CharField(), help_text="Every field of the payload's data."
    )
