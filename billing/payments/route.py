"""`/payments/webhook`: a raw ASGI route on raw bytes; signed, kept once, acknowledged after the commit."""

import hashlib
import logging
import time
from collections.abc import Sequence

import psycopg
from django.db import DatabaseError
from django.utils import timezone

from billing.gateways import choice, signing
from billing.payments import inbox, tasks
from billing.payments.inbox import Letter
from fleetcharge.accounts import throttling
from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import (
    BodyTooLarge,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    retry_after,
    send_error,
    send_json,
)
from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.db import AsyncDatabase, in_one_line
from fleetcharge.lib.threads import DatabaseThreads

MAX_BODY_BYTES = 1024 * 1024
MAX_WAITING = 5_000
LONGEST_ID = 80
RETRY_SECONDS = 5
HINT_EVERY_SECONDS = 0.5

logger = logging.getLogger(__name__)
database = AsyncDatabase()
threads = DatabaseThreads("payments-webhook", threads=2)
_insert = in_one_line(inbox.INSERT)
_hinted_at = 0.0


async def _write(letters: Sequence[Letter]) -> Sequence[bool]:
    """One insert for all that came while the last commit ran; a copy in the same batch is one row too."""
    once = list({letter.event_id: letter for letter in letters}.values())
    await database.fetch(_insert, inbox.columns(once))
    return [True] * len(letters)


batcher: Batcher[Letter, bool] = Batcher(_write, name="payments-webhook", max_rows=500, max_queue=MAX_WAITING + 500)


async def webhook(scope: Scope, receive: Receive, send: Send) -> None:
    """200 when it is in the database; 401 for a signature that is not ours; 5xx so that the gateway comes again."""
    if scope["method"] != "POST":
        return await send_error(send, 405, "method_not_allowed", "Webhooks are posted.")
    if batcher.waiting >= MAX_WAITING:
        return await send_error(send, 503, "busy", "Too much at once; please try again.")
    try:
        raw = await read_body(receive, MAX_BODY_BYTES)
    except BodyTooLarge as error:
        return await send_error(send, 413, "too_large", str(error))
    except ConnectionError:
        return None
    if not signing.is_signed(raw, header(scope, b"x-razorpay-signature"), choice.webhook_secrets()):
        return await _refuse(scope, send)
    try:
        await batcher.submit(Letter(_event_id(scope, raw), raw, timezone.now()))
    except (psycopg.Error, DatabaseError, ConnectionError):
        logger.exception("a webhook was not kept")
        return await send_error(send, 503, "try_again", "Not kept; please try again.")
    await send_json(send, 200, {"status": "kept"})
    return await _hint()


def _event_id(scope: Scope, raw: bytes) -> str:
    """The gateway's id of the event; without one of use, the body itself."""
    given = header(scope, b"x-razorpay-event-id").strip()
    is_usable = 0 < len(given) <= LONGEST_ID and given.isascii() and given.decode("ascii").isprintable()
    return given.decode("ascii") if is_usable else f"sha256:{hashlib.sha256(raw).hexdigest()}"


async def _refuse(scope: Scope, send: Send) -> None:
    """Whoever keeps guessing has to wait."""
    seconds = await threads.run(throttling.wrong_credential, "wrong-payment-signature", address_of_scope(scope))
    if seconds:
        body = {"detail": "Too many wrong signatures from this address.", "code": "throttled"}
        return await send_json(send, 429, body, retry_after(seconds))
    return await send_error(send, 401, "wrong_signature", "The signature does not fit.")


async def _hint() -> None:
    """A worker is told at most twice a second; the sweep finds the rest."""
    global _hinted_at
    if time.monotonic() - _hinted_at >= HINT_EVERY_SECONDS:
        _hinted_at = time.monotonic()
        await threads.run(tasks.hint_inbox)


http_routes = [("/payments/webhook", webhook)]
