"""The shape of a driver's link on the wire."""

from typing import Any

from rest_framework import serializers


class DriverLinkSerializer(serializers.Serializer[Any]):
    """Whoever has `url` sees the plan and may start and stop charging for this vehicle, until `expires_at`."""

    url = serializers.URLField()
    expires_at = serializers.DateTimeField()
