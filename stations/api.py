"""The unified JSON API over every network: sites, connectors, live status, tariffs, networks."""

from functools import lru_cache
from typing import Any

import orjson
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.http import HttpResponse, HttpResponseNotModified, QueryDict
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import author_of, organisation_of
from fleetcharge.lib.api import CursorPagination, etag_of
from stations import etags, reads, services
from stations.examples import (
    A_CONNECTOR,
    A_NETWORK,
    A_NEW_TARIFF,
    A_PRICE_LIST,
    A_STATION,
    A_STATUS_TABLE,
    A_TARIFF,
    BAD_PARAMETER,
    ONE_STATION,
)
from stations.models import Connector, Location, LocationQuerySet, NetworkAccess, PollRun, Source, Tariff
from stations.nearest import Near, nearest
from stations.network_shapes import NetworkSerializer
from stations.schema import RegistrySchema
from stations.serializers import (
    ConnectorSerializer,
    PriceListSerializer,
    StationQuery,
    StationSerializer,
    StatusTableSerializer,
    TariffSerializer,
)


class KeyPages(CursorPagination):
    """Pages of bare primary keys; the database writes the rows (reads.Keys)."""

    def _get_position_from_instance(self, instance: int, ordering: Any) -> str:
        return str(instance)


class NotModified(Exception):
    """The caller's copy is still right."""


class RegistryView(GenericAPIView[Any]):
    """Answers 304 while nothing the caller may see has changed."""

    read_scope = Scope.STATIONS_READ
    schema = RegistrySchema()

    etag = ""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks, and whether they hold the answer already: then nothing else is read."""
        super().initial(request, *args, **kwargs)
        minute = int(timezone.now().timestamp() // 60)
        asked = etag_of(self.organisation().pk, request.get_full_path(), minute, *self.beside())
        known = etags.matching(request.headers.get("If-None-Match", ""), asked)
        now, is_unchanged = etags.look(known)
        self.etag = etags.write(known if is_unchanged else now, asked)
        if is_unchanged:
            raise NotModified

    def handle_exception(self, exc: Exception) -> Any:
        return HttpResponseNotModified() if isinstance(exc, NotModified) else super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.etag and answer.status_code in {200, 304}:
            answer["ETag"], answer["Cache-Control"] = self.etag, "private, no-cache"
        return answer

    def beside(self) -> list[Any]:
        """What else the answer holds that no change of the registry tells of."""
        return []

    def organisation(self) -> Organisation:
        if getattr(self, "swagger_fake_view", False):
            return Organisation()
        return organisation_of(self.request)

    def query(self) -> dict[str, Any]:
        return _filters(self.request.query_params.urlencode())

    def results(self, rows: QuerySet[Any], write: str) -> HttpResponse:
        """One page of a list, written by the database: reads.CONNECTORS, EVSES or STATIONS."""
        keys, links = reads.Keys(rows, write, timezone.now()), self.paginator
        assert isinstance(links, CursorPagination)  # noqa: S101 (of every list here)
        links.paginate_queryset(keys, self.request, view=self)  # type: ignore[arg-type]
        body = reads.page(keys.written, following=links.get_next_link(), previous=links.get_previous_link())
        return HttpResponse(body, content_type="application/json")


@lru_cache(maxsize=512)
def _filters(query_string: str) -> dict[str, Any]:
    """What a good question means, which is asked again and again; nobody changes it. ValidationError for a bad one."""
    parameters = StationQuery(data=QueryDict(query_string))
    parameters.is_valid(raise_exception=True)
    return dict(parameters.validated_data)


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


class StationList(RegistryView, ListAPIView[Location]):
    """Sites of every network this fleet may see. With `near`: the closest first, at most `limit`, on one page."""

    serializer_class = StationSerializer
    pagination_class = KeyPages
    queryset = Location.objects.none()

    @extend_schema(
        parameters=[StationQuery],
        responses={200: StationSerializer(many=True), 400: BAD_PARAMETER},
        examples=[A_STATION],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        query = self.query()
        if "near" in query:
            return self._nearest(query)
        return self.results(visible_stations(self.organisation(), query), reads.STATIONS)

    def _nearest(self, query: dict[str, Any]) -> HttpResponse:
        """Distances first, in one fast statement; then those few sites."""
        distance_m = distances(self.organisation(), query)
        results = reads.stations_json(list(distance_m), timezone.now(), distance_m)
        return HttpResponse(reads.page(results), content_type="application/json")


def distances(organisation: Organisation, query: dict[str, Any]) -> dict[int, float]:
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


class StationDetail(RegistryView):
    """One site with its connectors. The id of a site that was merged into another leads to that one."""

    serializer_class = StationSerializer
    lookup_field = "public_id"

    def get_queryset(self) -> QuerySet[Location]:
        return Location.objects.visible_to(self.organisation())

    def get_object(self) -> Location:
        merged = Location.objects.filter(public_id=self.kwargs["public_id"], merged_into__isnull=False)
        if kept := merged.values_list("merged_into__public_id", flat=True).first():
            self.kwargs["public_id"] = kept
        found: Location = super().get_object()
        return found

    @extend_schema(responses={200: StationSerializer}, examples=[ONE_STATION])
    def get(self, request: Request, public_id: str) -> HttpResponse:
        [row] = orjson.loads(reads.stations_json([self.get_object().pk], timezone.now()))
        return HttpResponse(orjson.dumps(row), content_type="application/json")


class ConnectorPages(KeyPages):
    """Big enough for every plug of a thousand sites at once."""

    max_page_size = 5_000


class ConnectorList(RegistryView, ListAPIView[Connector]):
    """Connectors of every network this fleet may see. With `near`: those of the `limit` closest sites, on one page."""

    serializer_class = ConnectorSerializer
    queryset = Connector.objects.none()

    pagination_class = ConnectorPages

    def get_queryset(self) -> QuerySet[Connector]:
        query = self.query()
        connectors = Connector.objects.visible_to(self.organisation()).filter(matching_connectors(query))
        if query.get("available"):
            connectors = connectors.available()
        if query.keys() & {"bbox", "network", "q"}:
            connectors = connectors.filter(evse__location__in=matching_sites(Location.objects.all(), query))
        return connectors

    @extend_schema(
        parameters=[StationQuery],
        responses={200: ConnectorSerializer(many=True), 400: BAD_PARAMETER},
        examples=[A_CONNECTOR],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        query = self.query()
        if "near" not in query:
            return self.results(self.get_queryset(), reads.CONNECTORS)
        distance_m = distances(self.organisation(), query)
        found = self.get_queryset().filter(evse__location__in=distance_m).values_list("pk", "evse__location_id")
        ids = [pk for pk, site in sorted(found, key=lambda row: (distance_m[row[1]], row[0]))]
        body = reads.page(reads.connectors_json(ids, timezone.now()))
        return HttpResponse(body, content_type="application/json")


class ConnectorDetail(RegistryView):
    """One connector with its live status."""

    serializer_class = ConnectorSerializer
    lookup_field = "public_id"

    def get_queryset(self) -> QuerySet[Connector]:
        return Connector.objects.visible_to(self.organisation())

    @extend_schema(responses={200: ConnectorSerializer}, examples=[A_CONNECTOR])
    def get(self, request: Request, public_id: str) -> HttpResponse:
        [row] = orjson.loads(reads.connectors_json([self.get_object().pk], timezone.now()))
        return HttpResponse(orjson.dumps(row), content_type="application/json")


class ConnectorStatusList(RegistryView):
    """Every connector's status in one compact answer, and the cursor from which `/api/v1/stream/` goes on."""

    serializer_class = StatusTableSerializer

    @extend_schema(responses={200: StatusTableSerializer}, examples=[A_STATUS_TABLE])
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(reads.status_table(self.organisation().pk), content_type="application/json")


@extend_schema_view(get=extend_schema(examples=[A_TARIFF]))
class TariffList(RegistryView, ListAPIView[Tariff]):
    """Current price lists of the networks this fleet may see."""

    serializer_class = TariffSerializer
    queryset = Tariff.objects.none()
    write_scope = Scope.STATIONS_WRITE

    def get_queryset(self) -> QuerySet[Tariff]:
        return _visible_tariffs(self.organisation()).filter(valid_to=None)

    @extend_schema(
        request=PriceListSerializer, responses={201: TariffSerializer}, examples=[A_PRICE_LIST, A_NEW_TARIFF]
    )
    def post(self, request: Request) -> Response:
        """Price one's own chargers. Another price under the same `external_id` is its next version."""
        wanted = PriceListSerializer(data=request.data, context={"organisation": self.organisation()})
        wanted.is_valid(raise_exception=True)
        tariff = services.set_prices(**wanted.validated_data, at=timezone.now(), **author_of(request))
        return Response(TariffSerializer(tariff).data, status=status.HTTP_201_CREATED)


@extend_schema_view(get=extend_schema(examples=[A_TARIFF]))
class TariffDetail(RegistryView, RetrieveAPIView[Tariff]):
    """One version of a price list; sessions keep the version they were priced by."""

    serializer_class = TariffSerializer

    def get_queryset(self) -> QuerySet[Tariff]:
        return _visible_tariffs(self.organisation())


def _visible_tariffs(organisation: Organisation) -> QuerySet[Tariff]:
    own_or_public = Q(source__organisation=None) | Q(source__organisation=organisation)
    return Tariff.objects.filter(own_or_public).select_related("source")


@extend_schema_view(get=extend_schema(examples=[A_NETWORK]))
class NetworkList(RegistryView, ListAPIView[Source]):
    """The networks behind the registry, and how they are doing."""

    serializer_class = NetworkSerializer
    pagination_class = None
    queryset = Source.objects.none()

    def beside(self) -> list[Any]:
        """A page of a poll is no news of the registry."""
        return list(PollRun.objects.aggregate(Max("heard_at"), Max("last_ended_at")).values())

    def get_queryset(self) -> QuerySet[Any]:
        organisation = self.organisation()
        access = NetworkAccess.objects.filter(organisation=organisation, source=OuterRef("pk"))
        own = Q(organisation=organisation)
        return (
            Source.objects.filter(Q(organisation=None) | own)
            .select_related("poll_run")
            .annotate(
                stations=Count("locations", filter=Q(locations__is_removed=False)),
                has_access=Exists(access) | Q(organisation__isnull=False),
            )
            .order_by("name")
        )
