"""What a stream is asked for: which connectors, and from where on."""

from collections.abc import Callable
from typing import Any

from django.http import QueryDict
from rest_framework import serializers

from stations import changes
from stations.serializers import StationQuery
from stations.stream.hub import Change


class StreamQuery(StationQuery):
    """Filters of the status stream; without any, every connector the fleet may see."""

    station = serializers.CharField(required=False, max_length=2_000, help_text="Public ids, separated by commas.")
    cursor = serializers.CharField(
        required=False, max_length=changes.MAX_CURSOR_LENGTH,
        help_text="Go on after this one: of an earlier message, or of `/connectors/status/`. "
        "The header `Last-Event-ID` does the same.",
    )  # fmt: skip

    near = available = radius_km = q = limit = None  # type: ignore[assignment]  # of lists, not of a stream

    def validate_cursor(self, text: str) -> str:
        if not changes.is_cursor(text):
            raise serializers.ValidationError("This is no cursor of ours.")
        return text

    def validate(self, query: dict[str, Any]) -> dict[str, Any]:
        return query


def query_of(raw: bytes, last_event_id: str) -> dict[str, Any]:
    """The filters of a query string; rest_framework's ValidationError names what cannot be used."""
    given = QueryDict(raw, mutable=True)
    if last_event_id:
        given["cursor"] = last_event_id
    wanted = StreamQuery(data=given)
    wanted.is_valid(raise_exception=True)
    return dict(wanted.validated_data)


def hears(query: dict[str, Any], organisation_id: int) -> Callable[[Change], bool]:
    """Public sites and the fleet's own, as `Connector.objects.visible_to` has it; then what was asked for."""
    stations = frozenset(filter(None, query.get("station", "").split(",")))
    plugs, network, box = query.get("plug", set()), query.get("network", ""), query.get("bbox")
    min_power_w = query.get("min_kw", 0) * 1000

    def decide(change: Change) -> bool:
        return (
            change.organisation_id in (None, organisation_id)
            and (not stations or change.station in stations)
            and (not plugs or change.plug in plugs)
            and (not network or change.network == network)
            and change.max_power_w >= min_power_w
            and (box is None or (box[0] <= change.longitude <= box[2] and box[1] <= change.latitude <= box[3]))
        )

    return decide
