"""What is asked of the past, and how it is answered."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from dispatch.past.span import Box

LONGEST, USUAL = timedelta(hours=3), timedelta(hours=2)


class BoxField(serializers.CharField):
    """`west,south,east,north` in degrees."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            west, south, east, north = (float(part) for part in str(data).split(","))
        except ValueError as error:
            raise serializers.ValidationError("Four numbers: west,south,east,north.") from error
        if not (-360 <= west <= east <= 360 and -90 <= south <= north <= 90):
            raise serializers.ValidationError("A box in degrees: west,south,east,north.")
        return Box(west, south, east, north)


class PastQuerySerializer(serializers.Serializer[Any]):
    """`from` and `to`, ISO 8601; the last two hours unless said otherwise, at most three."""

    from_ = serializers.DateTimeField(required=False)
    to = serializers.DateTimeField(required=False)
    bbox = BoxField(required=False)

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        fields["from"] = fields.pop("from_")
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        now = timezone.now()
        end = min(attrs.get("to") or now, now)
        start = attrs.get("from") or end - USUAL
        if not timedelta(0) < end - start <= LONGEST:
            raise serializers.ValidationError({"to": ["`to` must lie after `from`, by at most three hours."]})
        return {"start": start, "end": end, "box": attrs.get("bbox", Box())}


_TRACK = inline_serializer(
    "PastTrack",
    {
        "id": serializers.IntegerField(help_text="Key of the vehicle."),
        "points": serializers.ListField(
            child=serializers.IntegerField(),
            help_text=(
                "Seven numbers a point: seconds, latitude and longitude in 0.00001 degrees (each as the difference "
                "to the point before; the first to `from`, 0 and 0), km/h, heading, charge in percent or -1, "
                "1 while it charges."
            ),
        ),
    },
    many=True,
)
_SITE = inline_serializer(
    "PastStation",
    {
        "id": serializers.IntegerField(help_text="Key of the site."),
        "total": serializers.IntegerField(help_text="Plugs it has today."),
        "steps": serializers.ListField(
            child=serializers.IntegerField(),
            help_text="Three numbers a step: from which second on, free plugs, colour (0 free, 1 busy, 2 reserved, "
            "3 faulted, 4 unknown).",
        ),
    },
    many=True,
)
_ALERT = inline_serializer(
    "PastAlert",
    {
        "id": serializers.IntegerField(),
        "second": serializers.IntegerField(help_text="When it was opened, since `from`."),
        "severity": serializers.CharField(),
        "title": serializers.CharField(),
        "vehicle_id": serializers.IntegerField(allow_null=True),
    },
    many=True,
)
PastSerializer = inline_serializer(
    "LivePast",
    {
        "from": serializers.DateTimeField(),
        "to": serializers.DateTimeField(),
        "step_seconds": serializers.IntegerField(help_text="At most one point per vehicle in so many seconds."),
        "is_complete": serializers.BooleanField(help_text="False when there were more vehicles or plugs in the box."),
        "vehicles": _TRACK,
        "stations": _SITE,
        "alerts": _ALERT,
    },
)
