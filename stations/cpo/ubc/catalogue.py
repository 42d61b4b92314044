"""Catalogues of a BPP as sites and tariffs of ours. Pure: messages in, documents out."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from stations import plugs
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc, TariffDoc
from stations.cpo.ubc import wire
from stations.cpo.ubc.wire import Catalog, Item, Offer

PLUGS = {
    "CCS2": "ccs2", "CCS": "ccs2", "CCS-2": "ccs2", "CHADEMO": "chademo", "GBT": "gbt_dc", "GB_T": "gbt_dc",
    "GB/T": "gbt_dc", "MCS": "mcs", "TYPE6": "is17017_2_6", "LEVDC": "is17017_2_6", "TYPE7": "is17017_2_7",
    "LECCS": "is17017_2_7", "BHARAT-AC-001": "bharat_ac001", "BHARAT-DC-001": "bharat_dc001", "AC001": "bharat_ac001",
    "DC001": "bharat_dc001",
}  # fmt: skip
STATUSES = {
    "AVAILABLE": "available", "PREPARING": "occupied", "OCCUPIED": "occupied", "CHARGING": "charging",
    "SUSPENDEDEV": "occupied", "SUSPENDEDEVSE": "occupied", "FINISHING": "occupied", "RESERVED": "reserved",
    "UNAVAILABLE": "unavailable", "INACTIVE": "unavailable", "OUTOFORDER": "faulted", "FAULTED": "faulted",
    "ACTIVE": "available", "OPERATIONAL": "available", "INOPERATIVE": "unavailable", "CLOSED": "unavailable",
}  # fmt: skip
"""What networks say of a connector, upper case without `_`; the words are OCPP's, OCPI's and the catalogue's own."""


@dataclass
class SoldItem:
    """One connector as it is sold, and where its row will be found."""

    item_id: str
    connector_key: str
    bpp_id: str
    bpp_uri: str
    provider_id: str
    provider_name: str
    qr: str
    can_reserve: bool
    offers: list[dict[str, Any]]


@dataclass
class Found:
    """What a catalogue holds. `refused` names what could not be used, and why."""

    locations: list[LocationDoc] = field(default_factory=list)
    tariffs: list[TariffDoc] = field(default_factory=list)
    items: list[SoldItem] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)


def read(raw: Mapping[str, Any], *, at: datetime) -> Found:
    """One catalogue; a bad item or offer is named and never stops the others. Raises BadMessage for no catalogue."""
    try:
        catalog = Catalog.model_validate(raw)
    except ValidationError as error:
        raise wire.BadMessage("bad_catalogue", str(error.errors()[0]["msg"])) from None
    found = Found()
    offers = _offers(catalog, found, at)
    grouped: dict[str, list[tuple[Item, SoldItem]]] = {}
    for entry in catalog.items:
        _take(catalog, entry, offers, grouped, found)
    for key, members in grouped.items():
        found.locations.append(_site(key, members, at))
        found.items += [sold for _, sold in members]
    return found


def _take(
    catalog: Catalog, entry: Any, offers: Mapping[str, list[Offer]],
    grouped: dict[str, list[tuple[Item, SoldItem]]], found: Found,
) -> None:  # fmt: skip
    try:
        item = Item.model_validate(entry)
        wire.position(_place(item).geo.get("coordinates"))
        key = _site_key(catalog, item)
    except (ValidationError, ValueError) as error:
        name = entry.get("beckn:id") or entry.get("id") if isinstance(entry, dict) else None
        found.refused.append({"id": name, "why": str(error)[:300]})
        return
    grouped.setdefault(key, []).append((item, _sold(catalog, item, key, offers.get(item.id, []))))


def _sold(catalog: Catalog, item: Item, site_key: str, offers: list[Offer]) -> SoldItem:
    provider_id, provider_name = _provider(item)
    key = f"{site_key}*{_evse_uid(item)}*{short(item.id, 36)}"
    return SoldItem(
        item_id=item.id, connector_key=key, bpp_id=catalog.bpp_id, bpp_uri=catalog.bpp_uri, provider_id=provider_id,
        provider_name=provider_name, qr=item.service.qr[:400], can_reserve=item.service.can_reserve,
        offers=[offer.as_sent() for offer in offers],
    )  # fmt: skip


def _provider(item: Item) -> tuple[str, str]:
    provider = item.provider
    if provider is None or isinstance(provider, str):
        return provider or "", provider or ""
    return provider.id[:120], (provider.descriptor.name if provider.descriptor else provider.id)[:120]


def _place(item: Item) -> wire.Place:
    """Where its station stands; some catalogues say it beside the attributes (`availableAt`)."""
    station = item.service.station
    if station is not None and station.place is not None and station.place.geo:
        return station.place
    return wire.Place.model_validate(item.available_at[0] if item.available_at else {})


def _site_key(catalog: Catalog, item: Item) -> str:
    station = item.service.station
    name = (station.id if station else "") or item.service.evse_id or item.id
    return short(f"{catalog.bpp_id}*{_provider(item)[0]}*{name}", 80)


def _evse_uid(item: Item) -> str:
    return short(item.service.evse_id or item.id, 36)


def short(text: str, limit: int) -> str:
    """The text, or its beginning and a digest of the whole where it is too long to be kept."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 13]}~{hashlib.sha256(text.encode()).hexdigest()[:12]}"


# --- sites --------------------------------------------------------------------------------------------------------
def _site(key: str, members: list[tuple[Item, SoldItem]], at: datetime) -> LocationDoc:
    first, sold = members[0]
    place = _place(first)
    latitude, longitude = wire.position(place.geo.get("coordinates"))
    address = (
        place.address if isinstance(place.address, wire.Address) else wire.Address(street=str(place.address or ""))
    )
    evses: dict[str, list[Item]] = {}
    for item, _ in members:
        evses.setdefault(_evse_uid(item), []).append(item)
    return LocationDoc(
        external_key=key, name=_name(address, sold, first)[:255], latitude=latitude, longitude=longitude,
        evses=tuple(_evse(uid, items, members, at) for uid, items in evses.items()),
        address=address.street[:255], city=address.city[:60], state=address.state[:60],
        postal_code=address.postal_code[:10], country_code=address.country[:2].upper() or "IN",
        party=("IN", short(sold.provider_id, 36), sold.provider_name) if sold.provider_id else None,
    )  # fmt: skip


def _name(address: wire.Address, sold: SoldItem, item: Item) -> str:
    """Catalogues give a station no name of its own: what its address begins with says most."""
    return address.street.split(",")[0].strip() or sold.provider_name or item.id


def _evse(uid: str, items: list[Item], members: list[tuple[Item, SoldItem]], at: datetime) -> EvseDoc:
    sold = {item.id: entry for item, entry in members}
    can_reserve = any(item.service.can_reserve for item in items)
    raw, status = status_of(items, at)
    return EvseDoc(
        uid=uid, connectors=tuple(_connector(item, sold[item.id]) for item in items), raw_status=raw, status=status,
        capabilities=("REMOTE_START_STOP_CAPABLE", *(("RESERVABLE",) if can_reserve else ())),
    )  # fmt: skip


def status_of(items: Iterable[Item], at: datetime) -> tuple[str, str]:
    """(word, our status) of an EVSE at the time of its catalogue.

    Its own word counts; else an active item is on offer within its windows, and closed outside them.
    """
    items = list(items)
    word = next((item.service.station_status for item in items if item.service.station_status), "")
    if word:
        return word[:30], known_status(word)
    active = [item for item in items if item.is_active]
    if not active:
        return "INACTIVE", "unavailable"
    is_open = any(not item.windows or wire.is_open(item.windows, at) for item in active)
    return ("ACTIVE", "available") if is_open else ("CLOSED", "unavailable")


def known_status(word: str) -> str:
    return STATUSES.get(word.upper().replace("_", "").replace(" ", ""), "unknown")


def _connector(item: Item, sold: SoldItem) -> ConnectorDoc:
    service = item.service
    power_w = int((service.max_power_kw or Decimal(0)) * 1000)
    current = power_type(service)
    return ConnectorDoc(
        external_id=short(item.id, 36), plug=plug_of(service, current), raw_plug=service.plug[:60],
        format="SOCKET" if service.format.upper() == "SOCKET" else "CABLE", power_type=current,
        max_power_w=power_w if 0 < power_w < 4_000_000 else 0,
        tariff_ids=tuple(tariff_id(sold.bpp_id, offer) for offer in sold.offers),
    )  # fmt: skip


def power_type(service: wire.ChargingService) -> str:
    word = service.power_type.upper()
    if word in {"AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"}:
        return word
    return "AC_1_PHASE" if word.startswith("AC") else "DC"


def plug_of(service: wire.ChargingService, current: str) -> str:
    """Our key; `unknown` for a word nobody knows (it is kept beside). GB/T of little power is Bharat DC-001."""
    word = service.plug.upper().replace(" ", "")
    if word in {"TYPE2", "TYPE-2", "IEC_62196_T2"}:
        return "type2_socket" if service.format.upper() == "SOCKET" else "type2_cable"
    plug = PLUGS.get(word) or plugs.FROM_OCPI.get(service.plug, plugs.UNKNOWN)
    is_light = current == "DC" and Decimal(0) < (service.max_power_kw or Decimal(0)) <= 15
    return "bharat_dc001" if plug == "gbt_dc" and is_light else plug


# --- prices -------------------------------------------------------------------------------------------------------
def _offers(catalog: Catalog, found: Found, at: datetime) -> dict[str, list[Offer]]:
    """Offers in force by item, cheapest first; each is a tariff once."""
    by_item: dict[str, list[Offer]] = {}
    for entry in catalog.offers:
        try:
            offer = Offer.model_validate(entry)
            if not is_valid(offer, at):
                continue
            found.tariffs.append(tariff(catalog.bpp_id, offer))
        except (ValidationError, ValueError) as error:
            name = entry.get("beckn:id") or entry.get("id") if isinstance(entry, dict) else None
            found.refused.append({"id": name, "why": str(error)[:300]})
            continue
        for item_id in offer.items:
            by_item.setdefault(item_id, []).append(offer)
    for offers in by_item.values():
        offers.sort(key=lambda offer: (offer.price.value or Decimal(0) if offer.price else Decimal(0), offer.id))
    return by_item


def is_valid(offer: Offer, at: datetime) -> bool:
    """In force at `at`; an offer without dates, or with dates nobody can read, is."""
    validity = offer.validity or {}
    for name, is_past in (("startDate", False), ("endDate", True)):
        text = str(validity.get(f"schema:{name}") or validity.get(name) or "")
        try:
            edge = wire.instant(text)
        except ValueError:
            continue
        if edge < at if is_past else edge > at:
            return False
    return True


def tariff_id(bpp_id: str, offer: Mapping[str, Any]) -> str:
    """Offers of two BPPs may have the same id."""
    return short(f"{bpp_id}/{offer.get('beckn:id') or offer.get('id')}", 36)


DIMENSIONS = {"PER_KWH": "ENERGY", "PER_MIN": "TIME", "PER_MINUTE": "TIME", "PER_HOUR": "TIME", "FLAT": "FLAT",
              "PER_SESSION": "FLAT"}  # fmt: skip
SECONDS = {"MIN": 60, "MINUTE": 60, "HUR": 3600, "HOUR": 3600, "SEC": 1}


def tariff(bpp_id: str, offer: Offer) -> TariffDoc:
    """An offer in OCPI's words: PER_KWH is ENERGY, the idle fee PARKING_TIME. ValueError for a model nobody knows."""
    model = str(offer.attributes.get("tariffModel") or "PER_KWH").upper()
    if model not in DIMENSIONS:
        raise ValueError(f"tariff model {model} is not known")
    if offer.price is None or offer.price.value is None:
        raise ValueError("the offer has no price")
    wire.paise(offer.price.value)
    quantity = offer.price.per.amount if offer.price.per else Decimal(1)
    components = [_component(DIMENSIONS[model], model, offer.price.value, quantity)]
    components += _idle_fee(offer)
    name = offer.descriptor.name if offer.descriptor else offer.id
    return TariffDoc(
        tariff_id(bpp_id, {"id": offer.id}), offer.price.currency[:3], [{"price_components": components}], name[:120]
    )


def _component(dimension: str, model: str, value: Decimal, quantity: Decimal) -> dict[str, Any]:
    """Prices of time are per hour in OCPI; a step of 1 is none."""
    if quantity <= 0:
        raise ValueError("a price for nothing")
    per_hour = {"PER_MIN": 60, "PER_MINUTE": 60}.get(model, 1)
    return {"type": dimension, "price": _text(value / quantity * per_hour), "step_size": 1}


def _idle_fee(offer: Offer) -> list[dict[str, Any]]:
    """`value` for every `unitQuantity` minutes that are begun after charging has ended."""
    fee = offer.attributes.get("idleFeePolicy")
    if not isinstance(fee, dict):
        return []
    price = wire.Price.model_validate(fee)
    per = price.per or wire.Quantity(unit="MIN", amount=Decimal(1))
    seconds = int(per.amount * SECONDS.get(per.unit.upper(), 60))
    if not price.value or seconds <= 0:
        return []
    return [{"type": "PARKING_TIME", "price": _text(price.value * 3600 / seconds), "step_size": seconds}]


def _text(value: Decimal) -> str:
    return format(value.quantize(Decimal("0.0001")).normalize(), "f")
