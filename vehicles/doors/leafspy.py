"""`/ingest/leafspy`: the LeafSpy app's server setting, unchanged; its password is the device's id."""

import time
from urllib.parse import parse_qsl

from fleetcharge.lib.asgi import Receive, Scope, Send, send_bytes
from vehicles.decoders.leafspy import decode, device_of
from vehicles.doors.devices import accept_from_device, problem_header, raise_if_broken
from vehicles.doors.requests import Refused, answer_failure, body_of

DONE = b'"status":"0"'  # what the app waits for, as Traccar answers it


async def telemetry(scope: Scope, receive: Receive, send: Send) -> None:
    """GET with the reading in the query, or POST with a form. Answers what the app waits for."""
    try:
        if scope["method"] not in ("GET", "POST"):
            raise Refused(405, "method_not_allowed", "Use GET or POST.")
        body = await body_of(scope, receive)
        parts = (body, scope["query_string"])
        fields = {key: value for part in parts for key, value in parse_qsl(part.decode("utf-8", "replace"))}
        decoded = decode(fields, time.time_ns() // 1000)
        shown = "&".join(f"{key}={value}" for key, value in fields.items() if key not in ("pass", "user"))
        verdicts = await accept_from_device(device_of(fields), [decoded], shown.encode())
        raise_if_broken(verdicts)
    except Exception as error:
        return await answer_failure(send, error)
    return await send_bytes(send, 200, DONE, problem_header(verdicts))
