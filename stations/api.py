"""The unified JSON API over every network: sites, connectors, live status, tariffs, networks."""

from typing import Any

from django.db import connection
from django.db.models import Count, Exists, Max, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import etag_of
from stations import services
from stations.examples import A_STATION, A_STATUS_TABLE, BAD_PARAMETER
from stations.models import EVSE, Connector, Location, LocationQuerySet, NetworkAccess, Source, StatusChange, Tariff
from stations.nearest import Near, nearest
from stations.serializers import (
    ConnectorSerializer,
    NetworkSerializer,
    PriceListSerializer,
    StationQuery,
    StationSerializer,
    TariffSerializer,
)


def registry_version() -> str:
    """Changes with any status, site or tariff, and once a minute because freshness decays."""
    change = StatusChange.objects.aggregate(last=Max("pk"))["last"]
    site = Location.objects.aggregate(last=Max("updated_at"))["last"]
    tariff = Tariff.objects.aggregate(last=Max("pk"))["last"]
    return f"{change}-{site}-{tariff}-{int(timezone.now().timestamp() // 60)}"


class NotModified(Exception):
    """The caller's copy is still right."""


class RegistryView(GenericAPIView[Any]):
    """Answers 304 while nothing the caller may see has changed."""

    read_scope = Scope.STATIONS_READ

    etag = ""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks, and whether they hold the answer already: then nothing else is read."""
        super().initial(request, *args, **kwargs)
        self.etag = etag_of(registry_version(), self.organisation().pk, request.get_full_path())
        if self.etag in map(str.strip, request.headers.get("If-None-Match", "").split(",")):
            raise NotModified

    def handle_exception(self, exc: Exception) -> Response:
        return Response(status=304) if isinstance(exc, NotModified) else super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.etag and answer.status_code in {200, 304}:
            answer["ETag"], answer["Cache-Control"] = self.etag, "private, no-cache"
        return answer

    def organisation(self) -> Organisation:
        if getattr(self, "swagger_fake_view", False):
            return Organisation()
        return organisation_of(self.request)

    def query(self) -> dict[str, Any]:
        parameters = StationQuery(data=self.request.query_params)
        parameters.is_valid(raise_exception=True)
        return dict(parameters.validated_data)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": timezone.now()}


def matching_connectors(query: dict[str, Any]) -> Q:
    """The connector part of the filters, as a condition on Connector."""
    condition = Q()
    if query.get("plug"):
        condition &= Q(plug__in=query["plug"])
    if "min_kw" in query:
        condition &= Q(max_power_w__gte=query["min_kw"] * 1000)
    return condition


def visible_stations(organisation: Organisation, query: dict[str, Any]) -> QuerySet[Location]:
    stations = Location.objects.visible_to(organisation).select_related("source")
    condition = matching_connectors(query)
    if condition or query.get("available"):
        connectors = Connector.objects.existing().filter(condition, evse__location=OuterRef("pk"))
        stations = stations.filter(Exists(connectors.available() if query.get("available") else connectors))
    return matching_sites(stations, query)


def matching_sites(stations: LocationQuerySet, query: dict[str, Any]) -> LocationQuerySet:
    """The part of the filters that is about the site."""
    if bbox := query.get("bbox"):
        stations = stations.in_box(west=bbox[0], south=bbox[1], east=bbox[2], north=bbox[3])
    if network := query.get("network"):
        stations = stations.filter(source__slug=network)
    if text := query.get("q"):
        stations = stations.filter(Q(name__icontains=text) | Q(address__icontains=text) | Q(city__icontains=text))
    return stations


def with_connectors(stations: QuerySet[Location]) -> QuerySet[Location]:
    evses = EVSE.objects.select_related("charger").prefetch_related("connectors")
    return stations.prefetch_related(Prefetch("evses", evses))


class StationList(RegistryView, ListAPIView[Location]):
    """Sites of every network this fleet may see. With `near`: the closest first, at most `limit`, on one page."""

    serializer_class = StationSerializer
    queryset = Location.objects.none()

    @extend_schema(
        parameters=[StationQuery],
        responses={200: StationSerializer(many=True), 400: BAD_PARAMETER},
        examples=[A_STATION],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        query = self.query()
        if "near" in query:
            return self._nearest(query)
        page = self.paginate_queryset(with_connectors(visible_stations(self.organisation(), query))) or []
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def _nearest(self, query: dict[str, Any]) -> Response:
        """Distances first, in one fast statement; then the rows of those few sites."""
        organisation = self.organisation()
        distance_m = _distances(organisation, query)
        stations = Location.objects.visible_to(organisation).select_related("source").filter(pk__in=distance_m)
        rows = list(with_connectors(stations))
        for row in rows:
            row.distance_m = distance_m[row.pk]  # type: ignore[attr-defined]
        rows.sort(key=lambda row: distance_m[row.pk])
        results = self.get_serializer(rows, many=True).data
        return Response({"next": None, "previous": None, "results": results})


def _distances(organisation: Organisation, query: dict[str, Any]) -> dict[int, float]:
    """Metres by site id, nearest first, within `radius_km`."""
    reach_m = query.get("radius_km", float("inf")) * 1000
    return {pk: metres for pk, metres in nearest(_near(organisation, query)) if metres <= reach_m}


def _near(organisation: Organisation, query: dict[str, Any]) -> Near:
    latitude, longitude = query["near"]
    return Near(
        latitude, longitude, organisation.pk, plugs=sorted(query.get("plug", ())), limit=query["limit"],
        min_power_w=int(query.get("min_kw", 0) * 1000), is_available=query["available"],
        network=query.get("network", ""), text=query.get("q", ""), bbox=query.get("bbox", ()),
    )  # fmt: skip


class StationDetail(RegistryView, RetrieveAPIView[Location]):
    """One site with its connectors."""

    serializer_class = StationSerializer
    lookup_field = "public_id"

    def get_queryset(self) -> QuerySet[Location]:
        return with_connectors(Location.objects.visible_to(self.organisation()).select_related("source"))


class ConnectorList(RegistryView, ListAPIView[Connector]):
    """Connectors of every network this fleet may see. With `near`: those of the `limit` closest sites, on one page."""

    serializer_class = ConnectorSerializer
    queryset = Connector.objects.none()

    def get_queryset(self) -> QuerySet[Connector]:
        query = self.query()
        connectors = Connector.objects.visible_to(self.organisation()).filter(matching_connectors(query))
        if query.get("available"):
            connectors = connectors.available()
        if query.keys() & {"bbox", "network", "q"}:
            connectors = connectors.filter(evse__location__in=matching_sites(Location.objects.all(), query))
        return connectors.select_related("evse__charger", "evse__location__source")

    @extend_schema(parameters=[StationQuery])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        query = self.query()
        if "near" not in query:
            return super().get(request, *args, **kwargs)
        distance_m = _distances(self.organisation(), query)
        found = list(self.get_queryset().filter(evse__location__in=distance_m))
        found.sort(key=lambda connector: (distance_m[connector.evse.location_id], connector.pk))
        return Response({"next": None, "previous": None, "results": self.get_serializer(found, many=True).data})


class ConnectorDetail(RegistryView, RetrieveAPIView[Connector]):
    """One connector with its live status."""

    serializer_class = ConnectorSerializer
    lookup_field = "public_id"

    def get_queryset(self) -> QuerySet[Connector]:
        connectors = Connector.objects.visible_to(self.organisation())
        return connectors.select_related("evse__charger", "evse__location__source")


COMPACT = """
SELECT coalesce(json_agg(json_build_array(c.public_id, c.status, c.heard_at, l.public_id) ORDER BY c.id), '[]')::text
FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id JOIN stations_location l ON l.id = e.location_id
WHERE NOT c.is_removed AND NOT e.is_removed AND NOT l.is_removed
  AND (l.organisation_id IS NULL OR l.organisation_id = %s)
"""


class ConnectorStatusList(RegistryView):
    """Every connector's status in one compact answer: `{"columns": [...], "rows": [[...], ...]}`."""

    serializer_class = None

    @extend_schema(
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT, "Compact table, made by the database.")},
        examples=[A_STATUS_TABLE],
    )
    def get(self, request: Request) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute(COMPACT, [self.organisation().pk])
            (rows,) = cursor.fetchone()
        body = f'{{"columns":["connector","status","heard_at","station"],"rows":{rows}}}'
        return HttpResponse(body, content_type="application/json")


class TariffList(RegistryView, ListAPIView[Tariff]):
    """Current price lists of the networks this fleet may see."""

    serializer_class = TariffSerializer
    queryset = Tariff.objects.none()
    write_scope = Scope.STATIONS_WRITE

    def get_queryset(self) -> QuerySet[Tariff]:
        return _visible_tariffs(self.organisation()).filter(valid_to=None)

    @extend_schema(request=PriceListSerializer, responses={201: TariffSerializer})
    def post(self, request: Request) -> Response:
        """Price one's own chargers. Another price under the same `external_id` is its next version."""
        wanted = PriceListSerializer(data=request.data, context={"organisation": self.organisation()})
        wanted.is_valid(raise_exception=True)
        tariff = services.set_prices(**wanted.validated_data, at=timezone.now(), **author_of(request))
        return Response(TariffSerializer(tariff).data, status=status.HTTP_201_CREATED)


class TariffDetail(RegistryView, RetrieveAPIView[Tariff]):
    """One version of a price list; sessions keep the version they were priced by."""

    serializer_class = TariffSerializer

    def get_queryset(self) -> QuerySet[Tariff]:
        return _visible_tariffs(self.organisation())


def _visible_tariffs(organisation: Organisation) -> QuerySet[Tariff]:
    own_or_public = Q(source__organisation=None) | Q(source__organisation=organisation)
    return Tariff.objects.filter(own_or_public).select_related("source")


class NetworkList(RegistryView, ListAPIView[Source]):
    """The networks behind the registry, and how they are doing."""

    serializer_class = NetworkSerializer
    pagination_class = None
    queryset = Source.objects.none()

    def get_queryset(self) -> QuerySet[Any]:
        organisation = self.organisation()
        access = NetworkAccess.objects.filter(organisation=organisation, source=OuterRef("pk"))
        own = Q(organisation=organisation)
        return (
            Source.objects.filter(Q(organisation=None) | own)
            .annotate(
                stations=Count("locations", filter=Q(locations__is_removed=False)),
                has_access=Exists(access) | Q(organisation__isnull=False),
            )
            .order_by("name")
        )
