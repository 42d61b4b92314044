"""Posting to the journal: every fact once, every row balanced by its shape, nothing ever changed."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from billing.models import LedgerAccount, LedgerTransfer
from fleetcharge.lib.api import Conflict

Kind = LedgerAccount.Kind

# the first part of an account's code decides what it is
CHART: dict[str, tuple[Kind, str]] = {
    "wallet": (Kind.LIABILITY, "Wallet"),
    "receivable": (Kind.ASSET, "Receivable"),
    "advance_gst": (Kind.ASSET, "GST on advances"),
    "bank": (Kind.ASSET, "Bank"),
    "razorpay_clearing": (Kind.ASSET, "Razorpay clearing"),
    "gateway_fees": (Kind.EXPENSE, "Gateway fees"),
    "gateway_gst_input": (Kind.ASSET, "GST input on gateway fees"),
    "cpo_payable": (Kind.LIABILITY, "Payable to CPO"),
    "cpo_prepaid": (Kind.ASSET, "Paid to CPO with orders"),
    "cpo_cost": (Kind.EXPENSE, "Charging bought from CPO"),
    "cpo_input_gst": (Kind.ASSET, "GST input on CPO bills"),
    "ubc_clearing": (Kind.LIABILITY, "UBC settlement"),
    "revenue": (Kind.INCOME, "Revenue"),
    "output_cgst": (Kind.LIABILITY, "Output CGST"),
    "output_sgst": (Kind.LIABILITY, "Output SGST"),
    "output_igst": (Kind.LIABILITY, "Output IGST"),
    "tds_receivable": (Kind.ASSET, "TDS receivable"),
    "rounding": (Kind.EXPENSE, "Rounding"),
    "suspense": (Kind.LIABILITY, "Suspense"),
    "refunds_payable": (Kind.LIABILITY, "Refunds on their way"),
    "writeoff": (Kind.EXPENSE, "Write-off"),
    "electricity": (Kind.EXPENSE, "Electricity of depots"),
    "utility_payable": (Kind.LIABILITY, "Payable to utilities"),
}
OF_AN_ORGANISATION = {"wallet", "receivable", "advance_gst", "electricity", "utility_payable"}
DEBIT_NORMAL = {Kind.ASSET, Kind.EXPENSE}


@dataclass(frozen=True)
class Leg:
    """`amount_paise` out of `debit` into `credit`, both account codes of the chart."""

    debit: str
    credit: str
    amount_paise: int
    kind: str
    memo: str = ""
    reverses_id: int | None = None


@dataclass(frozen=True)
class Dimensions:
    """What a posting is about; reports group by these."""

    organisation_id: int | None = None
    session_id: int | None = None
    vehicle_id: int | None = None
    driver_ref: UUID | None = None
    location_id: int | None = None
    cost_centre: str = ""


@dataclass(frozen=True)
class Posted:
    transfer_ids: tuple[int, ...]
    is_new: bool


def wallet_code(organisation_id: int) -> str:
    return f"wallet:{organisation_id}"


def receivable_code(organisation_id: int) -> str:
    return f"receivable:{organisation_id}"


def post(
    *,
    entry_key: str,
    legs: Sequence[Leg],
    occurred_at: datetime,
    about: Dimensions | None = None,
    currency: str = "INR",
    actor: str = "system",
) -> Posted:
    """Append one entry. The same key and content again is a no-op; other content raises Conflict."""
    about = about or Dimensions()
    request_hash = content_hash(legs, about, currency)
    if known := _posted(entry_key, request_hash):
        return known
    accounts = accounts_for({code for leg in legs for code in (leg.debit, leg.credit)}, currency=currency)
    rows = [
        LedgerTransfer(
            entry_key=entry_key,
            leg=number,
            debit=accounts[leg.debit],
            credit=accounts[leg.credit],
            amount_paise=leg.amount_paise,
            currency=currency,
            kind=leg.kind,
            memo=leg.memo,
            reverses_id=leg.reverses_id,
            organisation_id=about.organisation_id,
            session_id=about.session_id,
            vehicle_id=about.vehicle_id,
            driver_ref=about.driver_ref,
            location_id=about.location_id,
            cost_centre=about.cost_centre,
            request_hash=request_hash,
            actor=actor,
            occurred_at=occurred_at,
        )
        for number, leg in enumerate(legs, start=1)
    ]
    try:
        with transaction.atomic():
            created = LedgerTransfer.objects.bulk_create(rows)
    except IntegrityError:
        if known := _posted(entry_key, request_hash):  # somebody posted it between our look and our insert
            return known
        raise
    return Posted(tuple(row.pk for row in created), True)


def reverse(*, entry_key: str, reason: str, occurred_at: datetime, actor: str, as_key: str = "") -> Posted:
    """Post the mirror image of an entry (under `as_key`); a transfer can be reversed once (unique `reverses`)."""
    originals = list(
        LedgerTransfer.objects.filter(entry_key=entry_key).select_related("debit", "credit").order_by("leg")
    )
    if not originals:
        raise LedgerTransfer.DoesNotExist(entry_key)
    legs = [
        Leg(row.credit.code, row.debit.code, row.amount_paise, "reversal", reason[:200], row.pk) for row in originals
    ]
    first = originals[0]
    about = Dimensions(
        first.organisation_id,
        first.session_id,
        first.vehicle_id,
        first.driver_ref,
        first.location_id,
        first.cost_centre,
    )
    return post(
        entry_key=as_key or f"reverse:{entry_key}",
        legs=legs,
        occurred_at=occurred_at,
        about=about,
        currency=first.currency,
        actor=actor,
    )


def accounts_for(codes: Iterable[str], *, currency: str = "INR") -> Mapping[str, LedgerAccount]:
    """The accounts behind these codes; missing ones are opened."""
    wanted = set(codes)
    found = {account.code: account for account in LedgerAccount.objects.filter(code__in=wanted)}
    if missing := sorted(wanted - found.keys()):
        LedgerAccount.objects.bulk_create([_new_account(code, currency) for code in missing], ignore_conflicts=True)
        found |= {account.code: account for account in LedgerAccount.objects.filter(code__in=missing)}
    return found


def balance_paise(code: str) -> int:
    """The account's balance on its normal side, summed from the journal (two indexed queries)."""
    account = LedgerAccount.objects.filter(code=code).first()
    if account is None:
        return 0
    debits = LedgerTransfer.objects.filter(debit=account).aggregate(total=Sum("amount_paise"))["total"] or 0
    credits = LedgerTransfer.objects.filter(credit=account).aggregate(total=Sum("amount_paise"))["total"] or 0
    return int(debits - credits if account.kind in DEBIT_NORMAL else credits - debits)


def next_transaction_id() -> int:
    """A positive int32, never used before (OCPP 1.6 transactionId)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_transaction_id')")
        return int(cursor.fetchone()[0])


def _new_account(code: str, currency: str) -> LedgerAccount:
    prefix, _, rest = code.partition(":")
    kind, name = CHART[prefix]
    organisation_id = int(rest) if prefix in OF_AN_ORGANISATION else None
    title = f"{name} {rest}".strip() if organisation_id is None else name
    return LedgerAccount(code=code, kind=kind, name=title, currency=currency, organisation_id=organisation_id)


def _posted(entry_key: str, request_hash: str) -> Posted | None:
    rows = list(LedgerTransfer.objects.filter(entry_key=entry_key).order_by("leg").values_list("pk", "request_hash"))
    if not rows:
        return None
    if rows[0][1] != request_hash:
        raise Conflict(f"{entry_key} was already posted with other content.", code="entry_conflict")
    return Posted(tuple(pk for pk, _ in rows), False)


def content_hash(legs: Sequence[Leg], about: Dimensions, currency: str) -> str:
    """What the same key must come with again."""
    content = [
        currency,
        about.organisation_id,
        about.session_id,
        [[leg.debit, leg.credit, leg.amount_paise, leg.kind, leg.reverses_id] for leg in legs],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
