"""`/hooks/<network>[/...]`: a raw ASGI route where vendors push; one committed batch, then the answer."""

import logging
from collections.abc import Sequence
from urllib.parse import unquote

from django.db import DatabaseError, DataError, IntegrityError
from django.utils import timezone

from fleetcharge.accounts import throttling
from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import BodyTooLarge, Receive, Scope, Send, read_body, retry_after, send_json
from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.events import set_aside
from fleetcharge.lib.threads import DatabaseThreads
from stations.cpo.webhooks import receiver, tasks
from stations.cpo.webhooks.judging import Answer, Push
from stations.news import announcer

MAX_BODY_BYTES = 1024 * 1024
BYTES_PER_ROW = 200  # about what an entry takes, so that a push of thousands is a batch by itself
RETRY_SECONDS = 5
MAX_WAITING = 2_000  # pushes; past that the database does not keep up, and vendors keep theirs for a moment
logger = logging.getLogger(__name__)
threads = DatabaseThreads("hooks-database", threads=2)


async def _write(pushes: Sequence[Push]) -> Sequence[Answer]:
    return await threads.run(_received, pushes)


def _received(pushes: Sequence[Push]) -> list[Answer]:
    """What follows from them is told by another thread: a vendor waits for the commit alone."""
    with set_aside() as news:
        try:
            return receiver.receive(pushes)
        finally:
            announcer.announce(news)


batcher: Batcher[Push, Answer] = Batcher(
    _write, name="hooks", max_rows=2_000, max_queue=5_000, bisect_on=(DataError, IntegrityError),
    weigh=lambda push: 1 + len(push.raw) // BYTES_PER_ROW,
)  # fmt: skip


async def hooks(scope: Scope, receive: Receive, send: Send) -> None:
    """Answered when everything is committed; 503 when the database is away, so that the vendor tries again."""
    try:
        answer = await _answer(scope, receive)
    except BodyTooLarge as error:
        answer = Answer(413, {"detail": str(error), "code": "too_large"})
    except ConnectionError:
        return
    except DatabaseError:
        logger.exception("push %s was not kept", scope["path"])
        body = {"detail": "Not kept; please try again.", "code": "try_again"}
        answer = Answer(503, body, wait_seconds=RETRY_SECONDS)
    except Exception:
        logger.exception("push %s failed", scope["path"])
        answer = Answer(500, {"detail": "Server error; please try again.", "code": "server_error"})
    await send_json(send, answer.http, answer.body, retry_after(answer.wait_seconds))
    if answer.push_id is not None:
        await threads.run(tasks.later, answer.push_id)


async def _answer(scope: Scope, receive: Receive) -> Answer:
    if batcher.waiting >= MAX_WAITING:
        return Answer(
            503, {"detail": "Too much at once; please try again.", "code": "busy"}, wait_seconds=RETRY_SECONDS
        )
    raw = await read_body(receive, MAX_BODY_BYTES)
    answer = await batcher.submit(_push(scope, raw))
    return await threads.run(_guessed, scope, answer) if answer.is_guess else answer


def _push(scope: Scope, raw: bytes) -> Push:
    target = scope["raw_path"].decode("latin-1")
    parts = [unquote(part).replace("\0", "") for part in target.split("/") if part][1:]
    query = scope["query_string"].decode("latin-1")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Push(
        slug=parts[0] if parts else "", path=tuple(part[:100] for part in parts[1:6]), method=scope["method"],
        target=f"{target}?{query}" if query else target, headers=headers, raw=raw, address=address_of_scope(scope),
        at=timezone.now(),
    )  # fmt: skip


def _guessed(scope: Scope, refusal: Answer) -> Answer:
    """The refusal, or 429 for an address that keeps trying."""
    if seconds := throttling.wrong_credential("wrong-hook-signature", address_of_scope(scope)):
        body = {"detail": "Too many refused pushes from this address.", "code": "throttled"}
        return Answer(429, body, wait_seconds=seconds)
    return refusal


http_routes = [("/hooks/", hooks)]
