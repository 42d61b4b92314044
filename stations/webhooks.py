"""Raw ASGI routes that CPOs call; a push is applied and committed before it is answered."""

import base64
import binascii
import logging
from typing import Any
from urllib.parse import unquote

import orjson
from django.core.cache import cache
from django.utils import timezone

from fleetcharge.accounts import throttling
from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import BodyTooLarge, Receive, Scope, Send, header, read_body, retry_after, send_json
from fleetcharge.lib.threads import DatabaseThreads
from stations import tasks
from stations.cpo.ocpi import receiver, registration
from stations.cpo.ocpi.receiver import Answer, Call
from stations.cpo.ocpi.wire import now_text
from stations.models import Source

MAX_BODY_BYTES = 1024 * 1024
logger = logging.getLogger(__name__)
threads = DatabaseThreads("ocpi-database")


async def ocpi(scope: Scope, receive: Receive, send: Send) -> None:
    """`/ocpi/versions`, `/ocpi/2.2.1[/credentials]`, `/ocpi/2.2.1/emsp/<module>/...`."""
    try:
        body = await read_body(receive, MAX_BODY_BYTES)
        answer = await threads.run(answer_call, scope, body)
        if answer.fetch:
            await threads.run(_fetch_later, scope, answer.fetch)
    except BodyTooLarge as error:
        answer = Answer(None, 2000, str(error), 413)
    except ConnectionError:
        return
    except Exception:
        logger.exception("OCPI call %s failed", scope["path"])
        answer = Answer(None, 3000, "Server error; please try again.", 500)
    await send_json(send, answer.http, _envelope(answer), [*_echo(scope), *retry_after(answer.wait_seconds)])


def answer_call(scope: Scope, raw: bytes) -> Answer:
    """Who, what, where; then one of the modules decides."""
    path = [unquote(part) for part in scope["raw_path"].decode("latin-1").split("/") if part][1:]
    if path[:3] == ["2.2.1", "emsp", "commands"] and len(path) == 5:
        body = _json(raw)
        answer = _BAD_JSON if body is _NOTHING else receiver.command_result(path[3], path[4], body, timezone.now())
        return _guessed(scope, answer) if answer.http == 404 else answer
    source = source_of(header(scope, b"authorization"))
    if source is None:
        return _guessed(scope, Answer(None, 2000, "Unknown token.", 401))
    module, rest = _module(path)
    if not source.endpoints and module in {"locations", "tariffs"}:
        return Answer(None, 2000, "Register first; this token is for the handshake only.", 401)
    body = _json(raw) if scope["method"] in {"POST", "PUT", "PATCH"} else None
    if body is _NOTHING:
        return _BAD_JSON
    return receiver.handle(module, Call(source, scope["method"], tuple(rest), body, timezone.now()))


def _guessed(scope: Scope, refusal: Answer) -> Answer:
    """The refusal, or 429 for an address that guesses tokens."""
    if seconds := throttling.wrong_credential("wrong-ocpi-token", address_of_scope(scope)):
        return Answer(None, 2000, "Too many wrong tokens from this address.", 429, wait_seconds=seconds)
    return refusal


def _fetch_later(scope: Scope, location_id: str) -> None:
    """At most once a minute per site; without Valkey the CPO's next push asks again."""
    source = source_of(header(scope, b"authorization"))
    try:
        if source and cache.add(f"ocpi-fetch:{source.pk}:{location_id[:48].lower()}", 1, timeout=60):
            tasks.fetch_location.delay(source.pk, location_id)
    except Exception:
        logger.warning("site %s of a push could not be asked for", location_id, exc_info=True)


def source_of(authorization: bytes) -> Source | None:
    """`Token <base64>` as 2.2.1 wants it, or raw as many peers send it; a trailing newline is not part of it."""
    kind, _, presented = authorization.decode("latin-1").partition(" ")
    presented = presented.strip()
    if kind.lower() != "token" or not presented:
        return None
    return registration.source_of_token(_decoded(presented)) or registration.source_of_token(presented)


def _decoded(presented: str) -> str:
    try:
        return base64.b64decode(presented, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return presented


def _module(path: list[str]) -> tuple[str, list[str]]:
    if path == ["versions"]:
        return "versions", []
    if path == ["2.2.1"]:
        return "details", []
    if path[:2] == ["2.2.1", "credentials"]:
        return "credentials", path[2:]
    if path[:2] == ["2.2.1", "emsp"] and len(path) > 2:
        return path[2], path[3:]
    return "/".join(path), []


_NOTHING = object()
_BAD_JSON = Answer(None, 2001, "The body is not JSON.", 400)


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _NOTHING


def _envelope(answer: Answer) -> dict[str, Any]:
    envelope = {
        "status_code": answer.status_code,
        "status_message": answer.message,
        "timestamp": now_text(timezone.now()),
    }
    if answer.http == 429:  # the one error that is ours as much as OCPI's
        envelope |= {"detail": answer.message, "code": "throttled"}
    return envelope if answer.data is None else {"data": answer.data, **envelope}


def _echo(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Both ids go back as they came."""
    names = (b"x-request-id", b"x-correlation-id")
    return [(name, value) for name in names if (value := header(scope, name))]


http_routes = [("/ocpi/", ocpi)]
