"""EVSEs of the unified API: units that charge one vehicle at a time, with what their plugs say together."""

from typing import Any

import orjson
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request

from fleetcharge.accounts.models import Organisation
from stations import evse_status, reads
from stations.api import ConnectorPages, RegistryView, distances, matching_connectors, matching_sites
from stations.belief import freshness_of
from stations.examples import AN_EVSE, BAD_PARAMETER, ONE_EVSE
from stations.models import EVSE, Connector, Location
from stations.serializers import COARSE, ConnectorSerializer, StationQuery, with_evse
from stations.status import NONE


class EvseSerializer(serializers.ModelSerializer[EVSE]):
    """A unit that charges one vehicle at a time: its status is that of the plug in use, else of the best one."""

    station = serializers.CharField(source="location.public_id")
    network = serializers.CharField(source="location.source.name")
    uid = serializers.CharField(help_text="As its network calls it; may be empty.")
    physical_reference = serializers.CharField(help_text="What is painted beside it; may be empty.")
    capabilities = serializers.ListField(child=serializers.CharField(), help_text="OCPI's words for what it can do.")
    status = serializers.SerializerMethodField()
    coarse_status = serializers.SerializerMethodField(help_text="available | charging | faulted")
    status_since = serializers.SerializerMethodField()
    heard_at = serializers.SerializerMethodField()
    freshness = serializers.SerializerMethodField(help_text="How far to believe it: live | recent | stale | none")
    max_power_w = serializers.SerializerMethodField(help_text="Of its strongest plug; 0: unknown.")
    connectors = serializers.SerializerMethodField()

    class Meta:
        model = EVSE
        fields = [
            "public_id",
            "station",
            "network",
            "evse_number",
            "uid",
            "physical_reference",
            "capabilities",
            "is_reservable",
            "status",
            "coarse_status",
            "status_since",
            "heard_at",
            "freshness",
            "max_power_w",
            "connectors",
        ]

    @extend_schema_field(serializers.ChoiceField(Connector.Status.choices))  # type: ignore[untyped-decorator]
    def get_status(self, evse: EVSE) -> str:
        plug = evse_status.deciding(with_evse(evse))
        return plug.status if plug else Connector.Status.UNKNOWN.value

    def get_coarse_status(self, evse: EVSE) -> str:
        return COARSE.get(self.get_status(evse), "faulted")

    @extend_schema_field(serializers.DateTimeField(allow_null=True))  # type: ignore[untyped-decorator]
    def get_status_since(self, evse: EVSE) -> Any:
        plug = evse_status.deciding(with_evse(evse))
        return plug.status_since if plug else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))  # type: ignore[untyped-decorator]
    def get_heard_at(self, evse: EVSE) -> Any:
        plug = evse_status.deciding(with_evse(evse))
        return plug.heard_at if plug else None

    def get_freshness(self, evse: EVSE) -> str:
        plug = evse_status.deciding(with_evse(evse))
        return freshness_of(plug, self.context.get("now") or timezone.now()) if plug else NONE

    def get_max_power_w(self, evse: EVSE) -> int:
        return max((plug.max_power_w for plug in with_evse(evse)), default=0)

    @extend_schema_field(ConnectorSerializer(many=True))  # type: ignore[untyped-decorator]
    def get_connectors(self, evse: EVSE) -> list[dict[str, Any]]:
        rows = sorted(with_evse(evse), key=lambda plug: (plug.connector_id, plug.public_id))
        return [dict(ConnectorSerializer(row, context=self.context).data) for row in rows]


def visible_evses(organisation: Organisation) -> QuerySet[EVSE]:
    """Units of public sites and of the fleet's own."""
    public_or_own = Q(location__organisation=None) | Q(location__organisation=organisation)
    return EVSE.objects.filter(public_or_own, is_removed=False, location__is_removed=False)


def matching_evses(evses: QuerySet[EVSE], query: dict[str, Any]) -> QuerySet[EVSE]:
    """Those with a plug that fits; `available`: with a free one that is believed, while no other is in use."""
    condition = matching_connectors(query)
    plugs = Connector.objects.filter(is_removed=False, evse=OuterRef("pk"))
    if query.get("available"):
        evses = evses.filter(
            Exists(plugs.filter(condition).available()), ~Exists(plugs.filter(status__in=evse_status.BUSY))
        )
    elif condition:
        evses = evses.filter(Exists(plugs.filter(condition)))
    if query.keys() & {"bbox", "network", "q"}:
        evses = evses.filter(location__in=matching_sites(Location.objects.all(), query))
    return evses


class EvseList(RegistryView, ListAPIView[EVSE]):
    """EVSEs of every network this fleet may see. With `near`: those of the `limit` closest sites, on one page."""

    serializer_class = EvseSerializer
    pagination_class = ConnectorPages
    queryset = EVSE.objects.none()

    @extend_schema(  # type: ignore[untyped-decorator]
        parameters=[StationQuery],
        responses={200: EvseSerializer(many=True), 400: BAD_PARAMETER},
        examples=[AN_EVSE],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        query = self.query()
        found = matching_evses(visible_evses(self.organisation()), query)
        if "near" not in query:
            return self.results(found, reads.EVSES)
        distance_m = distances(self.organisation(), query)
        rows = found.filter(location__in=distance_m).values_list("pk", "location_id")
        ids = [pk for pk, site in sorted(rows, key=lambda row: (distance_m[row[1]], row[0]))]
        return HttpResponse(reads.page(reads.evses_json(ids, timezone.now())), content_type="application/json")


class EvseDetail(RegistryView):
    """One EVSE with its connectors and their live status."""

    serializer_class = EvseSerializer
    lookup_field = "public_id"

    def get_queryset(self) -> QuerySet[EVSE]:
        return visible_evses(self.organisation())

    @extend_schema(responses={200: EvseSerializer}, examples=[ONE_EVSE])  # type: ignore[untyped-decorator]
    def get(self, request: Request, public_id: str) -> HttpResponse:
        [row] = orjson.loads(reads.evses_json([self.get_object().pk], timezone.now()))
        return HttpResponse(orjson.dumps(row), content_type="application/json")
