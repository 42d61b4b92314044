"""The shape of a command on the wire, in and out."""

from typing import Any

from rest_framework import serializers

from ocpp_bridge import actions
from ocpp_bridge.discretion import without_secrets
from ocpp_bridge.models import Command
from ocpp_bridge.parameters import ParametersSerializer

WEEK_SECONDS = 7 * 24 * 3600
CLIENT_KEYS = "api:"
"""Before the keys of API clients, so that none of them is a key of our own making. Clients never see it."""


class CommandRequestSerializer(serializers.Serializer[Any]):
    """`idempotency_key` may come as the Idempotency-Key header instead."""

    charger = serializers.CharField(max_length=48, help_text="OCPP identity")
    action = serializers.ChoiceField(Command.Action.choices)
    parameters = ParametersSerializer(required=False)
    idempotency_key = serializers.CharField(max_length=60, required=False)
    expires_in_seconds = serializers.IntegerField(
        min_value=5, max_value=WEEK_SECONDS, required=False, help_text="Left out: as long as the action may wait."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = attrs.setdefault("parameters", {})
        if lacking := actions.missing(attrs["action"], given):
            raise serializers.ValidationError({"parameters": f"{attrs['action']} needs {', '.join(lacking)}."})
        return attrs


class CancelSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")


class CommandSerializer(serializers.ModelSerializer[Command]):
    charger = serializers.CharField(source="charger.ocpp_identity", read_only=True)
    idempotency_key = serializers.SerializerMethodField()
    parameters = serializers.SerializerMethodField()
    request = serializers.SerializerMethodField()

    class Meta:
        model = Command
        fields = [
            "id", "charger", "action", "parameters", "idempotency_key", "state", "reason", "actor", "protocol",
            "wire_action", "request", "response", "session", "attempts", "deadline_at", "created_at", "sent_at",
            "answered_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_idempotency_key(self, command: Command) -> str:
        return command.idempotency_key.removeprefix(CLIENT_KEYS)

    def get_parameters(self, command: Command) -> dict[str, Any]:
        return dict(without_secrets(command.parameters))

    def get_request(self, command: Command) -> dict[str, Any] | None:
        return None if command.request is None else dict(without_secrets(command.request))
