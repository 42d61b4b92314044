"""Raw ASGI routes that CPOs call; a push is applied and committed before it is answered."""

import base64
import binascii
import copy
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from django.core.cache import cache
from django.db import DataError, IntegrityError, connections
from django.utils import timezone

from fleetcharge.accounts import throttling
from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import BodyTooLarge, Receive, Scope, Send, header, read_body, retry_after, send_json
from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.events import set_aside
from fleetcharge.lib.threads import DatabaseThreads
from stations import tasks
from stations.cpo.ocpi import pacing, receivers, registration
from stations.cpo.ocpi.dialects import DIALECTS
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY
from stations.cpo.ocpi.objects.base import now_text
from stations.cpo.ocpi.receivers import Answer, Call
from stations.models import Source
from stations.news import announcer
from stations.services.bulk import EvseReport

MAX_BODY_BYTES = 1024 * 1024
MAX_PARAMETERS = 50
logger = logging.getLogger(__name__)
threads = DatabaseThreads("ocpi-database")
handshakes = DatabaseThreads("ocpi-handshake", threads=2)
"""We call a peer back while its own call is open: one that does not answer must not keep others' pushes waiting."""
Push = tuple[Scope, bytes]


async def _write(pushes: Sequence[Push]) -> list[Answer]:
    return await threads.run(_committed, pushes)


def _committed(pushes: Sequence[Push]) -> list[Answer]:
    """What follows from them is told by another thread: a CPO waits for the commit alone."""
    with set_aside() as news:
        try:
            return answer_statuses(pushes)
        finally:
            announcer.announce(news)


batcher: Batcher[Push, Answer] = Batcher(
    _write, name="ocpi-statuses", max_rows=500, bisect_on=(DataError, IntegrityError)
)


async def ocpi(scope: Scope, receive: Receive, send: Send) -> None:
    """`/ocpi/versions`, `/ocpi/<version>[/credentials]`, `/ocpi/<version>/emsp/<module>/...`."""
    try:
        push = scope, await read_body(receive, MAX_BODY_BYTES)
        answer = await _answer(*push)
        if answer.fetch:
            await threads.run(_fetch_later, scope, answer.fetch)
    except BodyTooLarge as error:
        answer = Answer(None, 2000, str(error), 413)
    except ConnectionError:
        return
    except Exception:
        logger.exception("OCPI call %s failed", scope["path"])
        answer = Answer(None, 3000, "Server error; please try again.", 500)
    named = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    headers = [*_echo(scope), *_routing(scope), *named, *retry_after(answer.wait_seconds)]
    await send_json(send, answer.http, _envelope(answer), headers)


async def _answer(scope: Scope, raw: bytes) -> Answer:
    if _is_of_one_evse(scope):
        return await batcher.submit((scope, raw))
    if _path(scope)[1:] == ["credentials"]:
        return await handshakes.run(_shake_hands, scope, raw)
    return await threads.run(answer_call, scope, raw)


def _shake_hands(scope: Scope, raw: bytes) -> Answer:
    """Too rare to keep a connection for."""
    try:
        return answer_call(scope, raw)
    finally:
        connections.close_all()


def answer_call(scope: Scope, raw: bytes) -> Answer:
    """Who, what, where; then one of the modules decides."""
    path = _path(scope)
    if len(path) == 5 and path[0] in DIALECTS and path[1:3] == ["emsp", "commands"]:
        body = _json(raw)
        answer = _BAD_JSON if body is _NOTHING else receivers.command_result(path[3], path[4], body, timezone.now())
        return _guessed(scope, answer) if answer.http == 404 else answer
    source, token = source_of(header(scope, b"authorization"))
    read = _refusal(source) or _read(scope, raw, source, token)
    if source is None and isinstance(read, Answer):
        return _guessed(scope, read)
    return read if isinstance(read, Answer) else receivers.handle(*read)


def answer_statuses(pushes: Sequence[Push]) -> list[Answer]:
    """Calls about one EVSE each: what is no more than its status is committed together, the rest one by one.

    Past its rate a network is told to wait with those that are too many, in the order they came in.
    """
    callers = [header(scope, b"authorization") for scope, _ in pushes]
    known = sources_of(set(callers))
    waits = _waits([known[caller][0] for caller in callers])
    answers: dict[int, Answer] = {}
    statuses: dict[int, tuple[Call, EvseReport]] = {}
    for number, (push, caller, seconds) in enumerate(zip(pushes, callers, waits, strict=True)):
        read = _too_often(seconds) if seconds else _read(*push, *known[caller])
        if isinstance(read, Answer):
            answers[number] = _guessed(push[0], read) if known[caller][0] is None else read
        elif report := receivers.status_in(*read):
            statuses[number] = read[1], report
        else:
            module, call = read
            answers[number] = receivers.handle(module, replace(call, source=copy.copy(call.source)))
    if statuses:
        calls, reports = zip(*statuses.values(), strict=True)
        answers |= zip(statuses, receivers.answer_statuses(calls, reports), strict=True)
    return [answers[number] for number in range(len(pushes))]


def _waits(sources: Sequence[Source | None]) -> list[int]:
    """Of each call, how many seconds it should wait; 0: it may come in."""
    counts = Counter(source.pk for source in sources if source)
    allowed = {pk: pacing.may_call_us(pk, calls=count) for pk, count in counts.items()}
    waits = []
    for source in sources:
        granted, seconds = allowed[source.pk] if source else (1, 0)
        waits.append(0 if granted else seconds)
        if source:
            allowed[source.pk] = max(0, granted - 1), seconds
    return waits


def _refusal(source: Source | None) -> Answer | None:
    """Who may not call so often."""
    _, seconds = pacing.may_call_us(source.pk) if source else (1, 0)
    return _too_often(seconds) if seconds else None


def _too_often(seconds: int) -> Answer:
    return Answer(None, 2000, "Too many calls of this network.", 429, wait_seconds=seconds)


def _read(scope: Scope, raw: bytes, source: Source | None, token: str) -> tuple[str, Call] | Answer:
    """The module and the call it gets, or why there is none."""
    if source is None:
        return Answer(None, 2000, "Unknown token.", 401)
    version, module, rest = _module(_path(scope))
    if not source.endpoints and module in receivers.FUNCTIONAL:
        return Answer(None, 2000, "Register first; this token is for the handshake only.", 401)
    body = _json(raw) if scope["method"] in {"POST", "PUT", "PATCH"} and raw else None
    if body is _NOTHING:
        return _BAD_JSON
    try:
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=MAX_PARAMETERS))
    except ValueError:
        return Answer(None, 2001, f"At most {MAX_PARAMETERS} parameters stand in an address.")
    return module, Call(source, scope["method"], tuple(rest), body, timezone.now(), version, query, token)


def _is_of_one_evse(scope: Scope) -> bool:
    """PATCH .../locations/{country_code}/{party_id}/{location_id}/{evse_uid}: nearly all that CPOs ever push."""
    return scope["method"] == "PATCH" and "/emsp/locations/" in scope["path"] and len(_path(scope)) == 7


def _path(scope: Scope) -> list[str]:
    return [unquote(part) for part in scope["raw_path"].decode("latin-1").split("/") if part][1:]


def _guessed(scope: Scope, refusal: Answer) -> Answer:
    """The refusal, or 429 for an address that guesses tokens."""
    if seconds := throttling.wrong_credential("wrong-ocpi-token", address_of_scope(scope)):
        return Answer(None, 2000, "Too many wrong tokens from this address.", 429, wait_seconds=seconds)
    return refusal


def _fetch_later(scope: Scope, wanted: str) -> None:
    """At most once a minute per site or session; without Valkey the CPO's next push asks again."""
    source, _ = source_of(header(scope, b"authorization"))
    kind, _, object_id = wanted.partition(":")
    fetch = tasks.fetch_location if kind == "location" else tasks.fetch_session
    try:
        if source and cache.add(f"ocpi-fetch:{source.pk}:{kind}:{object_id[:48].lower()}", 1, timeout=60):
            fetch.delay(source.pk, object_id)
    except Exception:
        logger.warning("%s of a push could not be asked for", wanted, exc_info=True)


def source_of(authorization: bytes) -> tuple[Source | None, str]:
    """`Token <base64>` as 2.2 wants it, or raw as 2.1.1 and many peers send it; a trailing newline is not part of it.

    The token that was meant comes with it.
    """
    for token in _meant(authorization):
        if source := registration.source_of_token(token):
            return source, token
    return None, ""


def sources_of(authorizations: Collection[bytes]) -> dict[bytes, tuple[Source | None, str]]:
    """The same of many at once, in one query. The sources are for reading."""
    meant = {authorization: _meant(authorization) for authorization in authorizations}
    known = registration.sources_of_tokens({token for tokens in meant.values() for token in tokens})
    first = {authorization: next(filter(known.get, tokens), "") for authorization, tokens in meant.items()}
    return {authorization: (known.get(token), token) for authorization, token in first.items()}


def _meant(authorization: bytes) -> tuple[str, ...]:
    """What the header may mean, the likelier first."""
    kind, _, presented = authorization.decode("latin-1").partition(" ")
    presented = presented.strip()
    return (_decoded(presented), presented) if presented and kind.lower() == "token" else ()


def _decoded(presented: str) -> str:
    try:
        return base64.b64decode(presented, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return presented


def _module(path: list[str]) -> tuple[str, str, list[str]]:
    """(version, module, rest of the path)."""
    if path == ["versions"]:
        return "", "versions", []
    version, rest = (path[0], path[1:]) if path and path[0] in DIALECTS else ("", [])
    if version and not rest:
        return version, "details", []
    if rest[:1] == ["credentials"]:
        return version, "credentials", rest[1:]
    if rest[:1] == ["emsp"] and len(rest) > 1:
        return version, rest[1].lower(), rest[2:]
    return version, "/".join(path), []


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


def _routing(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Back to whom it came from, as functional modules want it; the handshake and 2.1.1 know no routing."""
    country, party = header(scope, b"ocpi-from-country-code"), header(scope, b"ocpi-from-party-id")
    parts = scope["path"].split("/")
    if "emsp" not in parts or "hubclientinfo" in parts or not (country and party):
        return []
    return [
        (b"ocpi-from-country-code", OUR_COUNTRY.encode()),
        (b"ocpi-from-party-id", OUR_PARTY.encode()),
        (b"ocpi-to-country-code", country),
        (b"ocpi-to-party-id", party),
    ]


http_routes = [("/ocpi/", ocpi)]
