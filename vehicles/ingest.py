"""Where pings come in: raw ASGI routes, because a Django view costs twenty times as much as the work itself."""

import time
from typing import Any
from urllib.parse import parse_qsl

from fleetcharge.lib.asgi import Receive, Scope, Send, header, read_body, send_bytes, send_json
from vehicles.decoders import osmand as osmand_decoder
from vehicles.decoders import pings as ping_decoder
from vehicles.decoders import traccar_client
from vehicles.doors import abrp, leafspy, smartcar, traccar
from vehicles.doors.devices import accept_from_device, problem_header, raise_if_broken
from vehicles.doors.report import report
from vehicles.doors.requests import MAX_BODY_BYTES, Refused, answer_failure, body_of, keys, plain, sender_of
from vehicles.fixes import Fix, Problem
from vehicles.intake import accept

__all__ = ["http_routes", "keys", "osmand", "pings", "report"]


async def pings(scope: Scope, receive: Receive, send: Send) -> None:
    """`POST /ingest/v1/pings`: our JSON, one ping or up to 1,000; the fields are in decoders/pings.py."""
    try:
        if scope["path"].rstrip("/") != "/ingest/v1/pings":
            raise Refused(404, "not_found", "There is nothing at this address.")
        if scope["method"] != "POST":
            raise Refused(405, "method_not_allowed", "Send pings with POST.")
        sender = await sender_of(scope)
        body = plain(scope, await read_body(receive, MAX_BODY_BYTES))
        verdicts = await accept(_decode(scope, body), sender.organisation_id, body)
    except Exception as error:
        return await answer_failure(send, error)
    return await send_json(send, 200, report(verdicts))


def _decode(scope: Scope, body: bytes) -> list[Fix | Problem]:
    if b"ndjson" in header(scope, b"content-type"):
        return ping_decoder.decode_lines(body)
    return ping_decoder.decode(body)


async def osmand(scope: Scope, receive: Receive, send: Send) -> None:
    """`/ingest/osmand`: Traccar Client and OsmAnd, unchanged apps. The device's id is the credential.

    Answers 200 with an empty body, 400 with our error body when the device is unknown or the message broken. A ping
    that is readable but refused (too old, impossible place) is answered 200 with a header: the app would repeat it for
    ever and never send what is queued behind it.
    """
    try:
        if scope["method"] not in ("GET", "POST"):
            raise Refused(405, "method_not_allowed", "Use GET or POST.")
        body = await body_of(scope, receive)
        device, decoded = _decode_app(scope, body)
        verdicts = await accept_from_device(device, decoded, body or scope["query_string"])
        raise_if_broken(verdicts)
    except Exception as error:
        return await answer_failure(send, error)
    return await send_bytes(send, 200, b"", problem_header(verdicts))


def _decode_app(scope: Scope, body: bytes) -> tuple[str, list[Fix | Problem]]:
    """The device and its pings, from JSON or from query and form together."""
    if b"json" in header(scope, b"content-type"):
        return traccar_client.decode(body)
    query, form = (parse_qsl(part.decode("utf-8", "replace")) for part in (scope["query_string"], body))
    fields = {**dict(form), **dict(query)}
    fix = osmand_decoder.decode(fields, time.time_ns() // 1000)
    return osmand_decoder.device_of(fields), [] if fix is None else [fix]


http_routes: list[tuple[str, Any]] = [
    ("/ingest/v1/pings", pings),
    ("/ingest/osmand", osmand),
    ("/ingest/traccar", traccar.forwarded),
    ("/ingest/abrp", abrp.telemetry),
    ("/ingest/leafspy", leafspy.telemetry),
    ("/ingest/smartcar", smartcar.delivered),
]
