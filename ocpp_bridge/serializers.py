"""The shape of a command on the wire, in and out."""

from typing import Any

from rest_framework import serializers

from ocpp_bridge.models import Command
from ocpp_bridge.station import MAX_SMALL

MESSAGES = ("BootNotification", "Heartbeat", "StatusNotification", "MeterValues")
NEEDS: dict[str, tuple[str, ...]] = {
    Command.Action.REMOTE_START: ("id_token",),
    Command.Action.REMOTE_STOP: ("transaction_ref",),
    Command.Action.RESERVE_NOW: ("evse_number", "id_token", "reservation_number", "expires_at"),
    Command.Action.CANCEL_RESERVATION: ("reservation_number",),
    Command.Action.TRIGGER_MESSAGE: ("message",),
}


class ParametersSerializer(serializers.Serializer[Any]):
    """Version-neutral; which ones an action needs is checked beside it."""

    evse_number = serializers.IntegerField(min_value=1, max_value=MAX_SMALL, required=False)
    id_token = serializers.CharField(max_length=36, required=False)
    token_type = serializers.CharField(max_length=20, required=False)
    transaction_ref = serializers.CharField(max_length=36, required=False)
    reservation_number = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    expires_at = serializers.DateTimeField(required=False)
    group_id = serializers.CharField(max_length=36, required=False)
    message = serializers.ChoiceField(MESSAGES, required=False)


class CommandRequestSerializer(serializers.Serializer[Any]):
    """`idempotency_key` may come as the Idempotency-Key header instead."""

    charger = serializers.CharField(max_length=48, help_text="OCPP identity")
    action = serializers.ChoiceField(Command.Action.choices)
    parameters = ParametersSerializer(required=False)
    idempotency_key = serializers.CharField(max_length=60, required=False)
    expires_in_seconds = serializers.IntegerField(min_value=5, max_value=86_400, default=60)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = attrs.setdefault("parameters", {})
        missing = [name for name in NEEDS[attrs["action"]] if name not in given]
        if missing:
            raise serializers.ValidationError({"parameters": f"{attrs['action']} needs {', '.join(missing)}."})
        return attrs


class CommandSerializer(serializers.ModelSerializer[Command]):
    charger = serializers.CharField(source="charger.ocpp_identity", read_only=True)

    class Meta:
        model = Command
        fields = [
            "id", "charger", "action", "parameters", "idempotency_key", "state", "reason", "actor", "request",
            "response", "deadline_at", "created_at", "sent_at", "answered_at",
        ]  # fmt: skip
        read_only_fields = fields

    idempotency_key = serializers.SerializerMethodField()

    def get_idempotency_key(self, command: Command) -> str:
        """As the client chose it, without the tenant we keep it under."""
        return command.idempotency_key.removeprefix(f"{command.organisation_id}:")
