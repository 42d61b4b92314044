"""OCPI 2.3.0 with Bookings 1.1 and Invoice Reconciliation: what our readers are made after."""

from stations.cpo.ocpi.dialects import v221
from stations.cpo.ocpi.dialects.base import Dialect, Owner, Raw, renamed


def booking_location_up(raw: Raw, owner: Owner) -> Raw:
    """The printed table says `tariff_id` for a list of them."""
    raw = renamed(raw, {"tariff_id": "tariff_ids"})
    terms = raw.get("booking_terms")
    return {**raw, "booking_terms": [terms]} if isinstance(terms, dict) else raw


def calendar_up(raw: Raw, owner: Owner) -> Raw:
    """`step_size` in the draft, `timeslot_increment` since."""
    return renamed(raw, {"step_size": "timeslot_increment"})


V230 = Dialect(
    version="2.3.0",
    modules={**v221.MODULES, "bookings": "RECEIVER", "invoicereconciliation": "RECEIVER"},
    # peers that were upgraded keep sending prices of 2.2.1 for a while: those are read as well
    up={
        "session": v221.with_prices,
        "cdr": v221.cdr_up,
        "tariff": v221.tariff_up,
        "booking_location": booking_location_up,
        "calendar": calendar_up,
    },
    down={},
)
