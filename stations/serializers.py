"""The public shapes of sites, connectors, tariffs and networks."""

from decimal import Decimal
from functools import cached_property
from math import isfinite
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from stations import pricing
from stations.belief import BELIEVED, freshness_of
from stations.credits import Credit, credits_of
from stations.models import EVSE, Connector, Location, Plug, Source, Tariff

COARSE = {"available": "available", "occupied": "charging", "charging": "charging", "reserved": "charging"}


class ConnectorSerializer(serializers.ModelSerializer[Connector]):
    """One plug with its live status."""

    evse = serializers.CharField(source="evse.public_id", help_text="The unit; one vehicle at a time.")
    station = serializers.CharField(source="evse.location.public_id")
    plug_label = serializers.CharField(source="get_plug_display")
    coarse_status = serializers.SerializerMethodField(help_text="available | charging | faulted")
    freshness = serializers.SerializerMethodField(help_text="How far to believe it: live | recent | stale | none")
    is_reservable = serializers.BooleanField(source="evse.is_reservable")
    tariff = serializers.IntegerField(source="tariff_id", allow_null=True)

    class Meta:
        model = Connector
        fields = [
            "public_id",
            "station",
            "evse",
            "connector_id",
            "plug",
            "plug_label",
            "format",
            "power_type",
            "max_power_w",
            "status",
            "coarse_status",
            "status_reason",
            "raw_status",
            "status_since",
            "heard_at",
            "freshness",
            "error_code",
            "is_reservable",
            "tariff",
        ]

    def get_coarse_status(self, connector: Connector) -> str:
        return COARSE.get(connector.status, "faulted")

    def get_freshness(self, connector: Connector) -> str:
        return freshness_of(connector, self.context.get("now") or timezone.now())


class CreditSerializer(serializers.Serializer[Any]):
    """A source of what is shown. Show `attribution` wherever you show its data."""

    source = serializers.CharField(help_text="Name of the network.")  # type: ignore[assignment]
    licence = serializers.CharField(allow_blank=True, help_text="Terms of its data; may be empty.")
    attribution = serializers.CharField(allow_blank=True, help_text="What it wants said; may be empty.")


class StationSerializer(serializers.ModelSerializer[Location]):
    """A site with its connectors."""

    network = serializers.CharField(source="source.name")
    is_private = serializers.SerializerMethodField()
    distance_m = serializers.SerializerMethodField(help_text="Only with `near`.")
    connectors_total = serializers.SerializerMethodField()
    connectors_available = serializers.SerializerMethodField()
    connectors = serializers.SerializerMethodField()
    attribution = serializers.SerializerMethodField(help_text="Whose data this is; those that ask for it.")

    class Meta:
        model = Location
        fields = [
            "public_id",
            "name",
            "network",
            "address",
            "city",
            "state",
            "postal_code",
            "country_code",
            "latitude",
            "longitude",
            "time_zone",
            "opening_times",
            "is_private",
            "distance_m",
            "connectors_total",
            "connectors_available",
            "connectors",
            "attribution",
        ]

    def get_is_private(self, location: Location) -> bool:
        return location.organisation_id is not None

    def get_distance_m(self, location: Location) -> int | None:
        distance = getattr(location, "distance_m", None)
        return None if distance is None else round(distance)

    def get_connectors_total(self, location: Location) -> int:
        return len(connectors_of(location))

    def get_connectors_available(self, location: Location) -> int:
        now = self.context.get("now") or timezone.now()
        return sum(c.status == "available" and freshness_of(c, now) in BELIEVED for c in connectors_of(location))

    @extend_schema_field(ConnectorSerializer(many=True))  # type: ignore[untyped-decorator]
    def get_connectors(self, location: Location) -> list[dict[str, Any]]:
        return [self._connector.to_representation(connector) for connector in connectors_of(location)]

    @extend_schema_field(CreditSerializer(many=True))  # type: ignore[untyped-decorator]
    def get_attribution(self, location: Location) -> list[Credit]:
        return credits_of(location)

    @cached_property
    def _connector(self) -> ConnectorSerializer:
        """One for all sites of an answer: building its fields costs more than reading a row."""
        return ConnectorSerializer(context=self.context)


def connectors_of(location: Location) -> list[Connector]:
    """From the prefetched EVSEs; sets the back references so that nothing is queried again."""
    found = []
    for evse in location.evses.all():
        if not evse.is_removed:
            evse.location = location
            found += with_evse(evse)
    return found


def with_evse(evse: EVSE) -> list[Connector]:
    """Its plugs, each knowing it."""
    rows = [connector for connector in evse.connectors.all() if not connector.is_removed]
    for connector in rows:
        connector.evse = evse
    return rows


class TariffSerializer(serializers.ModelSerializer[Tariff]):
    """One version of a price list in OCPI form."""

    network = serializers.CharField(source="source.name")
    terms = serializers.DictField(
        child=serializers.JSONField(),
        help_text="What holds for all of it, as far as told: type, min_price, max_price, tax_included (YES, "
        "NO), start_date_time, end_date_time.",
    )

    class Meta:
        model = Tariff
        fields = [
            "id", "external_id", "version", "name", "network", "currency", "elements", "terms", "valid_from",
            "valid_to",
        ]  # fmt: skip


class HoursSerializer(serializers.Serializer[Any]):
    """Another energy price by time of day, local time of the site."""

    start = serializers.TimeField(format="%H:%M", input_formats=["%H:%M"])
    end = serializers.TimeField(format="%H:%M", input_formats=["%H:%M"], help_text="Before `start`: over midnight.")
    per_kwh = serializers.DecimalField(10, 4, min_value=0)


class StatusTableSerializer(serializers.Serializer[Any]):
    """Rows as lists, in the order of `columns`."""

    cursor = serializers.CharField(help_text="The stream goes on from here, without a gap.")
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.ListField(child=serializers.CharField(allow_null=True)))


class PriceListSerializer(serializers.Serializer[Any]):
    """Prices of one's own chargers in rupees, without GST."""

    network = serializers.SlugField(help_text="Slug of your own network.")
    external_id = serializers.CharField(max_length=36)
    name = serializers.CharField(max_length=120)
    per_kwh = serializers.DecimalField(10, 4, min_value=0)
    per_session = serializers.DecimalField(10, 4, min_value=0, default=Decimal(0))
    idle_per_hour = serializers.DecimalField(10, 4, min_value=0, default=Decimal(0))
    hours = HoursSerializer(many=True, default=list)
    stations = serializers.ListField(child=serializers.CharField(), default=list, help_text="Public ids.")
    connectors = serializers.ListField(child=serializers.CharField(), default=list, help_text="Public ids.")

    def validate(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `services.set_prices`, everything of one's own."""
        source = Source.objects.filter(
            slug=wanted["network"], kind=Source.Kind.OWN_OCPP, organisation=self.context["organisation"]
        ).first()
        if source is None:
            raise serializers.ValidationError({"network": "No network of your own has this slug."})
        places = Location.objects.filter(source=source, public_id__in=wanted["stations"])
        plugs = Connector.objects.filter(evse__location__source=source, public_id__in=wanted["connectors"])
        for name, rows in (("stations", places), ("connectors", plugs)):
            if unknown := set(wanted[name]) - set(rows.values_list("public_id", flat=True)):
                raise serializers.ValidationError({name: f"Not of this network: {', '.join(sorted(unknown))[:200]}"})
        try:
            hours = pricing.without_overlap(pricing.Hours(**row) for row in wanted["hours"])
        except ValueError as error:
            raise serializers.ValidationError({"hours": str(error)}) from error
        return {
            "source": source, "external_id": wanted["external_id"], "name": wanted["name"],
            "prices": pricing.Prices(wanted["per_kwh"], wanted["per_session"], wanted["idle_per_hour"], hours),
            "location_ids": [row.pk for row in places], "connector_ids": [row.pk for row in plugs],
        }  # fmt: skip


def _numbers(text: str, count: int, names: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(isfinite, values)):
        raise serializers.ValidationError(f"Give {names} as {count} numbers separated by commas.")
    return values


class StationQuery(serializers.Serializer[Any]):
    """Filters of the station and connector lists."""

    plug = serializers.MultipleChoiceField(choices=Plug.choices, required=False)
    min_kw = serializers.FloatField(required=False, min_value=0)
    available = serializers.BooleanField(
        required=False, default=False, help_text="Only with a free, believable connector."
    )
    near = serializers.CharField(required=False, help_text="latitude,longitude; ordered by distance.")
    radius_km = serializers.FloatField(required=False, min_value=0.01, max_value=500, help_text="With `near`.")
    bbox = serializers.CharField(required=False, help_text="west,south,east,north")
    network = serializers.SlugField(required=False)
    q = serializers.CharField(required=False, max_length=80, help_text="Part of a name or address.")
    limit = serializers.IntegerField(required=False, default=20, min_value=1, max_value=200, help_text="With `near`.")

    def validate_near(self, text: str) -> tuple[float, ...]:
        latitude, longitude = _numbers(text, 2, "latitude,longitude")
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise serializers.ValidationError("That point is not on earth; latitude comes first.")
        return latitude, longitude

    def validate_bbox(self, text: str) -> tuple[float, ...]:
        west, south, east, north = _numbers(text, 4, "west,south,east,north")
        if west > east or south > north:
            raise serializers.ValidationError("The box is inside out; give west,south,east,north.")
        if not (-90 <= south <= north <= 90 and -180 <= west <= east <= 180):
            raise serializers.ValidationError("That box is not on earth; give west,south,east,north in degrees.")
        return west, south, east, north

    def validate(self, query: dict[str, Any]) -> dict[str, Any]:
        if "radius_km" in query and "near" not in query:
            raise serializers.ValidationError({"radius_km": "Say near which point: near=latitude,longitude."})
        return query
