"""The e-invoice portal as demo and tests meet it: an HTTP transport that keeps its rules, its memory in the database.

Kept: one IRN per (GSTIN, year, kind, number) whatever the letters' case, refusal of duplicates with the first IRN,
30 days to report, 24 hours to cancel, heads that must fit the place of supply and add up, a signed QR code (RS256).
"""

import base64
import functools
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.gst import gstin as gstins
from billing.gst import irn as irns
from billing.gst.numbering import INDIA, day_in_india, financial_year
from billing.invoicing.irp.base import DUPLICATE, TOO_LATE_TO_CANCEL, TOO_OLD, Refused
from billing.invoicing.irp.client import STAMP
from billing.invoicing.models import EmulatedEInvoice

REPORT_WITHIN, CANCEL_WITHIN = timedelta(days=30), timedelta(hours=24)
FIRST_ACK = 132_600_000_000_000


class EmulatedTransport(httpx.BaseTransport):
    """Answers in process, in the portal's own words."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            result = _ROUTES[request.method, request.url.path](request)
        except Refused as error:
            refusal = {"success": False, "error_code": error.code, "message": error.message}
            if error.details:
                refusal["result"] = [{"InfCd": "DUPIRN", "Desc": error.details}]
            return httpx.Response(200, json=refusal)
        return httpx.Response(200, json={"success": True, "result": result})


def _register(request: httpx.Request) -> dict[str, Any]:
    payload, now = json.loads(request.read()), timezone.now()
    document, seller = payload["DocDtls"], payload["SellerDtls"]
    day = datetime.strptime(document["Dt"], "%d/%m/%Y").date()
    _check(payload, day, now)
    irn = irns.predict(
        gstin=seller["Gstin"], year=financial_year(day), kind=document["Typ"], number=document["No"].upper()
    )
    stamp = now.astimezone(INDIA).strftime(STAMP)
    try:
        with transaction.atomic():
            row = EmulatedEInvoice.objects.create(irn=irn, answer={}, payload=payload, registered_at=now)
    except IntegrityError:
        known = EmulatedEInvoice.objects.get(irn=irn).answer
        details = {"Irn": irn, "AckNo": known["AckNo"], "AckDt": known["AckDt"]}
        raise Refused(DUPLICATE, "Duplicate IRN", details) from None
    row.answer = {
        "AckNo": FIRST_ACK + row.pk, "AckDt": stamp, "Irn": irn, "Status": "ACT",
        "SignedInvoice": _signed({**payload, "Irn": irn}), "SignedQRCode": _signed(_qr(payload, irn, stamp)),
    }  # fmt: skip
    row.save(update_fields=["answer"])
    return dict(row.answer)


def _fetch(request: httpx.Request) -> dict[str, Any]:
    row = EmulatedEInvoice.objects.filter(irn=request.url.params.get("irn", "")).first()
    if row is None:
        raise Refused("2148", "Requested IRN data is not available")
    return {**row.answer, "Status": "CNL" if row.cancelled_at else "ACT"}


def _cancel(request: httpx.Request) -> dict[str, Any]:
    asked, now = json.loads(request.read()), timezone.now()
    row = EmulatedEInvoice.objects.filter(irn=asked["Irn"]).first()
    if row is None:
        raise Refused("2148", "Requested IRN data is not available")
    if row.cancelled_at is not None:
        raise Refused("9999", "IRN is already cancelled")
    if now - row.registered_at > CANCEL_WITHIN:
        raise Refused(TOO_LATE_TO_CANCEL, "The allowed cancellation time limit is crossed")
    row.cancelled_at = now
    row.save(update_fields=["cancelled_at"])
    return {"Irn": row.irn, "CancelDate": now.astimezone(INDIA).strftime(STAMP)}


_ROUTES = {("POST", "/invoice"): _register, ("GET", "/invoice/irn"): _fetch, ("POST", "/invoice/cancel"): _cancel}


def _check(payload: dict[str, Any], day: date, now: datetime) -> None:
    today = day_in_india(now)
    if day > today:
        raise Refused("2211", "Document date cannot be in the future")
    if today - day > REPORT_WITHIN:
        raise Refused(TOO_OLD, "The document date is older than 30 days")
    for side in ("SellerDtls", "BuyerDtls"):
        if not gstins.is_valid(payload[side]["Gstin"]):
            raise Refused("3028", f"GSTIN of {side} is invalid")
    if len(payload["ItemList"]) > 1_000:
        raise Refused("2240", "More than 1000 items")
    _check_values(payload)


def _check_values(payload: dict[str, Any]) -> None:
    values, items = payload["ValDtls"], payload["ItemList"]
    for field, total in (("AssAmt", "AssVal"), ("CgstAmt", "CgstVal"), ("SgstAmt", "SgstVal"), ("IgstAmt", "IgstVal")):
        if sum((Decimal(str(item[field])) for item in items), Decimal(0)) != Decimal(str(values[total])):
            raise Refused("2189", f"{total} is not the sum of {field}")
    is_special = payload["TranDtls"]["SupTyp"].startswith("SEZ")
    is_interstate = is_special or payload["SellerDtls"]["Stcd"] != payload["BuyerDtls"]["Pos"]
    if values["CgstVal" if is_interstate else "IgstVal"]:
        raise Refused("2172", "The tax heads do not fit the place of supply")


def _qr(payload: dict[str, Any], irn: str, stamp: str) -> dict[str, Any]:
    document, items = payload["DocDtls"], payload["ItemList"]
    return {
        "SellerGstin": payload["SellerDtls"]["Gstin"], "BuyerGstin": payload["BuyerDtls"]["Gstin"],
        "DocNo": document["No"], "DocTyp": document["Typ"], "DocDt": document["Dt"],
        "TotInvVal": payload["ValDtls"]["TotInvVal"], "ItemCnt": len(items), "MainHsnCode": items[0]["HsnCd"],
        "Irn": irn, "IrnDt": stamp,
    }  # fmt: skip


def _signed(content: dict[str, Any]) -> str:
    """A JWT like the portal's; the key lives as long as the process and proves nothing to anybody."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "EMULATOR"}
    claims = {"data": json.dumps(content, separators=(",", ":")), "iss": "EMULATOR"}
    unsigned = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{unsigned}.{_base64(_key().sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
