"""`/ingest/abrp/1/tlm/send`: what speaks to A Better Routeplanner speaks to us; its token is the device's id."""

import time
from urllib.parse import parse_qsl

import msgspec

from fleetcharge.lib.asgi import Receive, Scope, Send, header, send_json
from vehicles.decoders.abrp import decode
from vehicles.decoders.pings import BadBody
from vehicles.doors.devices import accept_from_device, problem_header, raise_if_broken
from vehicles.doors.requests import Refused, answer_failure, body_of


class Message(msgspec.Struct):
    """The JSON form of a request."""

    token: str = ""
    tlm: msgspec.Raw = msgspec.Raw(b"{}")


_message = msgspec.json.Decoder(Message)


async def telemetry(scope: Scope, receive: Receive, send: Send) -> None:
    """GET or POST; `token` and `tlm` in the query, a form or a JSON body. Answers `{"status": "ok"}` as ABRP does."""
    try:
        if scope["method"] not in ("GET", "POST"):
            raise Refused(405, "method_not_allowed", "Use GET or POST.")
        body = await body_of(scope, receive)
        token, reading = _parts(scope, body)
        decoded = decode(token, reading, time.time_ns() // 1000)
        verdicts = await accept_from_device(token, [decoded], bytes(reading))
        raise_if_broken(verdicts)
    except Exception as error:
        return await answer_failure(send, error)
    return await send_json(send, 200, {"status": "ok"}, problem_header(verdicts))


def _parts(scope: Scope, body: bytes) -> tuple[str, bytes]:
    query = dict(parse_qsl(scope["query_string"].decode("utf-8", "replace")))
    if b"json" in header(scope, b"content-type"):
        try:
            message = _message.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadBody("bad_json", f"The body is not ABRP telemetry: {error}") from error
        return message.token or query.get("token", ""), bytes(message.tlm)
    fields = {**dict(parse_qsl(body.decode("utf-8", "replace"))), **query}
    return fields.get("token", ""), fields.get("tlm", "{}").encode()
