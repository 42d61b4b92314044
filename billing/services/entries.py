"""Several entries of the journal at once, in three statements however many: for the documents of a month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.models import LedgerTransfer
from billing.services import ledger
from billing.services.ledger import Dimensions, Leg
from fleetcharge.lib.api import Conflict


@dataclass(frozen=True)
class Entry:
    """What `ledger.post` is given."""

    key: str
    legs: Sequence[Leg]
    occurred_at: datetime
    about: Dimensions
    actor: str = "system"


def post_together(entries: Sequence[Entry], *, currency: str = "INR") -> int:
    """Append those that are not there yet; how many. Other content under a known key raises Conflict.

    Who posts the same key at the same moment elsewhere gets, or causes, an IntegrityError: nothing is posted twice.
    """
    hashes = {entry.key: ledger.content_hash(entry.legs, entry.about, currency) for entry in entries}
    known = dict(
        LedgerTransfer.objects.filter(entry_key__in=list(hashes), leg=1)
        .order_by()
        .values_list("entry_key", "request_hash")
    )
    for key, request_hash in known.items():
        if request_hash != hashes[key]:
            raise Conflict(f"{key} was already posted with other content.", code="entry_conflict")
    fresh = [entry for entry in entries if entry.key not in known]
    accounts = ledger.accounts_for(
        {code for entry in fresh for leg in entry.legs for code in (leg.debit, leg.credit)}, currency=currency
    )
    LedgerTransfer.objects.bulk_create(
        LedgerTransfer(
            entry_key=entry.key, leg=number, debit=accounts[leg.debit], credit=accounts[leg.credit],
            amount_paise=leg.amount_paise, currency=currency, kind=leg.kind, memo=leg.memo,
            reverses_id=leg.reverses_id, organisation_id=entry.about.organisation_id,
            session_id=entry.about.session_id, vehicle_id=entry.about.vehicle_id, driver_ref=entry.about.driver_ref,
            location_id=entry.about.location_id, cost_centre=entry.about.cost_centre,
            request_hash=hashes[entry.key], actor=entry.actor, occurred_at=entry.occurred_at,
        )
        for entry in fresh
        for number, leg in enumerate(entry.legs, start=1)
    )  # fmt: skip
    return len(fresh)
