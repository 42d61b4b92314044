"""UBC messages as they are on the wire: tolerant readers that keep what they do not know. Pure.

Money is read as Decimal from the very digits that were sent. Names come with or without their `beckn:` prefix, and
`@context` addresses are not looked at: only `@type` and the names count.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from stations.cpo.ubc.profiles import UBC_09, Profile

INDIA = ZoneInfo("Asia/Kolkata")
LATITUDES, LONGITUDES = (6.0, 38.0), (68.0, 98.0)


class BadMessage(Exception):
    """A message that cannot be used; `code` is ours: not_json, no_context, bad_message, unknown_action, ..."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Wire(BaseModel):
    """Unknown names survive, so that a message goes out as it came in."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    def as_sent(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_unset=True)


def _b(name: str, prefix: str = "beckn", default: Any = None) -> Any:
    """A field that is called `prefix:name` on the wire, or just `name`."""
    alias = f"{prefix}:{name}"
    return Field(default=default, validation_alias=AliasChoices(alias, name), serialization_alias=alias)


class Context(Wire):
    """Who says what to whom, in our own names (the profile translates)."""

    action: str = Field(min_length=1, max_length=24)
    transaction_id: str = Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")
    message_id: str = Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")
    timestamp: str = Field(max_length=40)
    version: str = ""
    domain: str = ""
    ttl: str = ""
    bap_id: str = Field(default="", max_length=120)
    bap_uri: str = ""
    bpp_id: str = Field(default="", max_length=120)
    bpp_uri: str = ""

    @field_validator("timestamp")
    @classmethod
    def _is_instant(cls, value: str) -> str:
        instant(value)
        return value

    @property
    def at(self) -> datetime:
        return instant(self.timestamp)


class Error(Wire):
    code: str | int | None = None
    message: str | None = None
    details: Any = None

    @property
    def text(self) -> str:
        """The most telling of its words; '' when there is no error."""
        inner = self.details.get("description") if isinstance(self.details, dict) else self.details
        return str(inner or self.message or self.code or "")[:255]


class Descriptor(Wire):
    name: str = _b("name", "schema", "")
    short: str = _b("shortDesc", default="")


class Quantity(Wire):
    unit: str = Field(default="", alias="unitCode")
    amount: Decimal = Field(default=Decimal(1), alias="unitQuantity")


class Price(Wire):
    currency: str = "INR"
    value: Decimal | None = None
    per: Quantity | None = Field(default=None, alias="applicableQuantity")


class Component(Wire):
    type: str = ""
    value: Decimal = Decimal(0)
    description: str = ""


class OrderValue(Price):
    components: list[Component] = []


class Offer(Wire):
    id: str = _b("id", default="")
    descriptor: Descriptor | None = _b("descriptor")
    items: list[str] = _b("items", default=[])
    price: Price | None = _b("price")
    validity: dict[str, Any] | None = _b("validity")
    attributes: dict[str, Any] = _b("offerAttributes", default={})


class Address(Wire):
    street: str = Field(default="", alias="streetAddress")
    city: str = Field(default="", alias="addressLocality")
    state: str = Field(default="", alias="addressRegion")
    postal_code: str = Field(default="", alias="postalCode")
    country: str = Field(default="IN", alias="addressCountry")


class Place(Wire):
    geo: dict[str, Any] = {}
    address: Address | str | None = None


class Station(Wire):
    id: str = ""
    place: Place | None = Field(default=None, alias="serviceLocation")


class ChargingService(Wire):
    """`itemAttributes`: the connector itself."""

    plug: str = Field(default="", alias="connectorType")
    max_power_kw: Decimal | None = Field(default=None, alias="maxPowerKW")
    power_type: str = Field(default="", alias="powerType")
    format: str = Field(default="", alias="connectorFormat")
    can_reserve: bool = Field(default=False, alias="reservationSupported")
    evse_id: str = Field(default="", alias="evseId")
    station: Station | None = Field(default=None, alias="chargingStation")
    station_status: str = Field(default="", alias="stationStatus")
    qr: str = Field(default="", alias="qrIdentifier")


class Provider(Wire):
    id: str = _b("id", default="")
    descriptor: Descriptor | None = _b("descriptor")


class Item(Wire):
    """One connector of a catalogue."""

    id: str = Field(
        validation_alias=AliasChoices("beckn:id", "id"), serialization_alias="beckn:id", min_length=1, max_length=255
    )
    descriptor: Descriptor | None = _b("descriptor")
    windows: list[dict[str, Any]] = _b("availabilityWindow", default=[])
    is_active: bool = _b("isActive", default=True)
    provider: Provider | str | None = _b("provider")
    available_at: list[dict[str, Any]] = _b("availableAt", default=[])
    service: ChargingService = Field(
        validation_alias=AliasChoices("beckn:itemAttributes", "itemAttributes"),
        serialization_alias="beckn:itemAttributes",
    )


class Catalog(Wire):
    """Items and offers stay raw, so that one bad one never stops the rest."""

    id: str = _b("id", default="")
    bpp_id: str = _b("bppId", default="")
    bpp_uri: str = _b("bppUri", default="")
    items: list[Any] = _b("items", default=[])
    offers: list[Any] = _b("offers", default=[])


class Metric(Wire):
    name: str = ""
    value: Decimal | None = None


class Telemetry(Wire):
    at: str = Field(default="", alias="eventTime")
    metrics: list[Metric] = []


class Delivery(Wire):
    session_status: str = Field(default="", alias="sessionStatus")
    connector_status: str = Field(default="", alias="connectorStatus")
    telemetry: list[Telemetry] = Field(default=[], alias="chargingTelemetry")


class Fulfillment(Wire):
    id: str = _b("id", default="")
    mode: str = _b("mode", default="")
    delivery: Delivery | None = _b("deliveryAttributes")
    tracking: dict[str, Any] | None = Field(default=None, alias="trackingAction")


class Payment(Wire):
    id: str = _b("id", default="")
    amount: Price | None = _b("amount")
    status: str = _b("paymentStatus", default="")
    url: str = _b("paymentURL", default="")
    beneficiary: str = _b("beneficiary", default="")


class Invoice(Wire):
    id: str = _b("id", default="")
    totals: Price | None = _b("totals")
    attributes: dict[str, Any] = _b("invoiceAttributes", default={})


class Order(Wire):
    id: str = _b("id", default="")
    status: str = _b("orderStatus", default="")
    seller: str = _b("seller", default="")
    items: list[dict[str, Any]] = _b("orderItems", default=[])
    value: OrderValue | None = _b("orderValue")
    fulfillment: Fulfillment | None = _b("fulfillment")
    payment: Payment | None = _b("payment")
    invoice: Invoice | None = _b("invoice")


class OrderMessage(Wire):
    order: Order = Field(validation_alias=AliasChoices("order", "contract"), serialization_alias="order")


class Catalogs(Wire):
    catalogs: list[Any]


class Discovery(Wire):
    """discover: somewhere, or something, is asked for."""

    filters: dict[str, Any] | None = None
    spatial: list[dict[str, Any]] | None = None


class Ratings(Wire):
    ratings: list[dict[str, Any]]


class RatingReceived(Wire):
    received: bool = False


class Support(Wire):
    support: dict[str, Any] = {}
    feedback: dict[str, Any] = {}


class PublishResults(Wire):
    results: list[dict[str, Any]]


_ORDERS = ("select", "init", "confirm", "status", "update", "track", "cancel")
BODIES: Mapping[str, type[Wire]] = {
    "discover": Discovery,
    "on_discover": Catalogs,
    "catalog_publish": Catalogs,
    "on_catalog_publish": PublishResults,
    "rating": Ratings,
    "on_rating": RatingReceived,
    "support": Support,
    "on_support": Support,
    **{action: OrderMessage for name in _ORDERS for action in (name, f"on_{name}")},
}


class Envelope(Wire):
    """A whole message, understood."""

    context: Context
    message: Any
    error: Error | None = None


def parse(raw: bytes) -> Any:
    """JSON with money as Decimal. Raises BadMessage: not_json."""
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadMessage("not_json", f"The body is not JSON: {error}"[:200]) from None


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def dump(value: object) -> bytes:
    """The bytes that are signed and sent; decimals as numbers."""
    return orjson.dumps(value, default=_number)


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
    raise TypeError(type(value).__name__)


def read(raw: bytes, profile: Profile = UBC_09) -> Envelope:
    """A message of any action. Raises BadMessage with a named code and what is wrong where."""
    return understand(parse(raw), profile)


def read_context(body: Any, profile: Profile) -> Context:
    """Only who says what. Raises BadMessage: no_context, bad_context."""
    context = body.get("context") if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise BadMessage("no_context", "There is no context.")
    known: Context = _valid(Context, profile.context_in(context), "bad_context")
    return known


def understand(body: Any, profile: Profile = UBC_09) -> Envelope:
    context = read_context(body, profile)
    model = BODIES.get(context.action)
    if model is None:
        raise BadMessage("unknown_action", f"There is no action {context.action}.")
    known = {"context": context, "message": _valid(model, body.get("message"), "bad_message")}
    if isinstance(body.get("error"), dict):
        known["error"] = _valid(Error, body["error"], "bad_error")
    return Envelope(**known, **{name: value for name, value in body.items() if name not in {*known, "error"}})


def _valid(model: type[Any], value: Any, code: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadMessage(code, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:250]) from None


def instant(text: str) -> datetime:
    """RFC 3339; without an offset it is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def paise(value: Decimal | None) -> int | None:
    """Rupees as the peer wrote them, in paise; half-paise away from zero. None stays None; nonsense is ValueError."""
    if value is None:
        return None
    if not value.is_finite() or abs(value) > Decimal(10) ** 9:
        raise ValueError(f"{value} is no price")
    return int((value * 100 + (Decimal("0.5") if value >= 0 else Decimal("-0.5"))).to_integral_value("ROUND_DOWN"))


def position(coordinates: Any) -> tuple[float, float]:
    """(latitude, longitude) of a GeoJSON pair in either order: in India the two ranges never overlap.

    Raises ValueError for a pair that is not in India either way (0, 0 above all).
    """
    try:
        first, second = float(coordinates[0]), float(coordinates[1])
    except (TypeError, ValueError, IndexError, KeyError):
        raise ValueError(f"{coordinates!r} is no position") from None
    for longitude, latitude in ((first, second), (second, first)):
        if LATITUDES[0] <= latitude <= LATITUDES[1] and LONGITUDES[0] <= longitude <= LONGITUDES[1]:
            return latitude, longitude
    raise ValueError(f"[{first}, {second}] is not in India")


def is_open(windows: Iterable[Mapping[str, Any]], now: datetime) -> bool:
    """Does one of the windows hold `now`? They are dated instants (UBC) or times of a day in India (DEG)."""
    return any(_holds(_edge(window, "startTime"), _edge(window, "endTime"), now) for window in windows)


def _edge(window: Mapping[str, Any], name: str) -> str:
    return str(window.get(f"schema:{name}") or window.get(name) or "")


def _holds(start: str, end: str, now: datetime) -> bool:
    try:
        return instant(start) <= now < instant(end)
    except ValueError:
        pass
    try:
        opens, closes = time.fromisoformat(start[:8]), time.fromisoformat("00:00" if end[:2] == "24" else end[:8])
    except ValueError:
        return False
    clock = now.astimezone(INDIA).time()
    return opens <= clock < closes if opens < closes else clock >= opens or clock < closes
