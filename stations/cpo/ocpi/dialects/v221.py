"""OCPI 2.2.1: prices are excl_vat and incl_vat, and tariffs always quote without tax."""

from decimal import Decimal, InvalidOperation
from typing import Any

from stations.cpo.ocpi.dialects.base import Dialect, Owner, Raw, listed

COSTS = (
    "total_cost", "total_fixed_cost", "total_energy_cost", "total_time_cost", "total_parking_cost",
    "total_reservation_cost",
)  # fmt: skip


def price_up(value: Any) -> Any:
    """{excl_vat, incl_vat?} as {before_taxes, taxes?}; a price that is one already is left alone."""
    if not isinstance(value, dict) or "before_taxes" in value or "excl_vat" not in value:
        return value
    before, after = value["excl_vat"], value.get("incl_vat")
    taxes = {} if after is None else {"taxes": [{"name": "VAT", "amount": _difference(after, before)}]}
    return {"before_taxes": before, **taxes}


def price_down(value: Any) -> Any:
    if not isinstance(value, dict) or "before_taxes" not in value:
        return value
    taxes = value.get("taxes")
    after = None if taxes is None else sum((_decimal(tax["amount"]) for tax in taxes), _decimal(value["before_taxes"]))
    return {"excl_vat": float(_decimal(value["before_taxes"])), **({} if after is None else {"incl_vat": float(after)})}


def with_prices(raw: Raw, owner: Owner) -> Raw:
    return {name: price_up(value) if name in COSTS else value for name, value in raw.items()}


def cdr_up(raw: Raw, owner: Owner) -> Raw:
    raw = with_prices(raw, owner)
    return {**raw, "tariffs": [tariff_up(t, owner) if isinstance(t, dict) else t for t in listed(raw.get("tariffs"))]}


def tariff_up(raw: Raw, owner: Owner) -> Raw:
    """min_price and max_price by their later names; some component with a vat means that prices exclude it."""
    for name in ("min_price", "max_price"):
        limit = raw.get(name)
        if isinstance(limit, dict) and "excl_vat" in limit:
            raw = {**raw, name: {"before_taxes": limit["excl_vat"], "after_taxes": limit.get("incl_vat")}}
    return {"tax_included": "NO" if _names_vat(raw) else "N/A", **raw}


def tariff_down(raw: Raw) -> Raw:
    plain = {name: value for name, value in raw.items() if name != "tax_included"}
    for name in ("min_price", "max_price"):
        limit = plain.get(name)
        if isinstance(limit, dict) and "before_taxes" in limit:
            after = limit.get("after_taxes")
            plain[name] = {
                "excl_vat": float(limit["before_taxes"]), **({} if after is None else {"incl_vat": float(after)})
            }  # fmt: skip
    return plain


def cdr_down(raw: Raw) -> Raw:
    return {name: price_down(value) if name in COSTS else value for name, value in raw.items()}


def _names_vat(raw: Raw) -> bool:
    components = [
        component
        for element in listed(raw.get("elements")) if isinstance(element, dict)
        for component in listed(element.get("price_components")) if isinstance(component, dict)
    ]  # fmt: skip
    return any(component.get("vat") is not None for component in components)


def _difference(after: Any, before: Any) -> str:
    return str(_decimal(after) - _decimal(before))


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no amount") from None


MODULES = {
    "locations": "RECEIVER",
    "tariffs": "RECEIVER",
    "sessions": "RECEIVER",
    "cdrs": "RECEIVER",
    "tokens": "SENDER",
    "commands": "SENDER",
    "chargingprofiles": "SENDER",
    "hubclientinfo": "RECEIVER",
}

V221 = Dialect(
    version="2.2.1",
    modules=MODULES,
    up={"tariff": tariff_up, "session": with_prices, "cdr": cdr_up},
    down={"tariff": tariff_down, "session": cdr_down, "cdr": cdr_down},
)
