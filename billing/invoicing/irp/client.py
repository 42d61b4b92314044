"""A portal over HTTP: the plain JSON that GST suvidha providers offer before NIC's own encryption.

Answers are `{"success": true, "result": {...}}` or `{"success": false, "error_code", "message", "result": [...]}`.
"""

from datetime import datetime
from typing import Any

import httpx
from django.conf import settings

from billing.gst.numbering import INDIA
from billing.invoicing.irp.base import PortalUnavailable, Refused, Registered

STAMP = "%Y-%m-%d %H:%M:%S"


class HTTPPortal:
    """One request at a time, a time limit on each; never a second try by itself: registering twice is told apart by
    the portal, and by us only after looking."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def register(self, payload: dict[str, Any]) -> Registered:
        return _registered(self._ask("POST", "/invoice", json=payload))

    def fetch(self, irn: str) -> Registered:
        return _registered(self._ask("GET", "/invoice/irn", params={"irn": irn}))

    def cancel(self, irn: str, *, reason_code: str, remark: str) -> datetime:
        told = self._ask("POST", "/invoice/cancel", json={"Irn": irn, "Cnlrsn": reason_code, "Cnlrem": remark})
        return _moment(told["CancelDate"])

    def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **what)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise PortalUnavailable(str(error) or type(error).__name__) from error
        if not isinstance(body, dict) or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise PortalUnavailable(f"HTTP {answer.status_code}")
        if not body.get("success"):
            raise Refused(str(body.get("error_code", answer.status_code)), str(body.get("message", ""))[:400],
                          _details(body.get("result")))  # fmt: skip
        return dict(body["result"])


def portal() -> HTTPPortal:
    """The one of the settings; without an address the bundled emulator, over the same client."""
    timeout = settings.IRP_TIMEOUT_SECONDS
    if not settings.IRP_URL:
        from billing.invoicing.irp.emulator import EmulatedTransport

        return HTTPPortal(httpx.Client(base_url="http://irp.emulator", transport=EmulatedTransport(), timeout=timeout))
    headers = {"Authorization": f"Bearer {settings.IRP_TOKEN}"}
    return HTTPPortal(httpx.Client(base_url=settings.IRP_URL, headers=headers, timeout=timeout))


def _registered(told: dict[str, Any]) -> Registered:
    return Registered(
        told["Irn"], str(told["AckNo"]), _moment(told["AckDt"]), told.get("SignedQRCode") or "",
        told.get("SignedInvoice") or "", told.get("Status") == "CNL",
    )  # fmt: skip


def _moment(text: str) -> datetime:
    """The portal's clock is India's."""
    return datetime.strptime(text, STAMP).replace(tzinfo=INDIA)


def _details(result: Any) -> dict[str, Any]:
    first = result[0] if isinstance(result, list) and result else result
    inner = first.get("Desc", first) if isinstance(first, dict) else {}
    return inner if isinstance(inner, dict) else {}
