"""`/ubc/<network>/<callback>`: a raw ASGI route where Beckn peers call us back."""

import logging
from urllib.parse import unquote

from django.utils import timezone

from fleetcharge.accounts import throttling
from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import BodyTooLarge, Receive, Scope, Send, header, read_body, retry_after, send_json
from fleetcharge.lib.threads import DatabaseThreads
from stations.cpo.ubc import receiver, tasks
from stations.cpo.ubc.receiver import Ack

MAX_BODY_BYTES = 512 * 1024
MAX_CATALOGUE_BYTES = 8 * 1024 * 1024
logger = logging.getLogger(__name__)
threads = DatabaseThreads("ubc-database", threads=2)


async def ubc(scope: Scope, receive: Receive, send: Send) -> None:
    """An Ack once the callback is kept; what an order does next is sent by a task, never while the peer waits."""
    try:
        ack = await _answer(scope, receive)
    except BodyTooLarge as error:
        ack = Ack(413, "too_large", str(error))
    except ConnectionError:
        return
    except Exception:
        logger.exception("UBC call %s failed", scope["path"])
        ack = Ack(500, "server_error", "Please try again.")
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in ack.headers.items()]
    await send_json(send, ack.http, ack.body, [*headers, *retry_after(ack.wait_seconds)])
    if ack.order_id is not None:
        await threads.run(_go_on, ack.order_id)


async def _answer(scope: Scope, receive: Receive) -> Ack:
    slug, path = _address(scope)
    if scope["method"] != "POST":
        return Ack(405, "method_not_allowed", "Callbacks are POSTed.", headers={"Allow": "POST"})
    limit = MAX_CATALOGUE_BYTES if path == "on_discover" else MAX_BODY_BYTES
    raw = await read_body(receive, limit)
    authorization = header(scope, b"authorization").decode("latin-1")
    ack = await threads.run(receiver.receive, slug, path, authorization, raw, timezone.now())
    return _guessed(scope, ack) if ack.is_guess else ack


def _address(scope: Scope) -> tuple[str, str]:
    parts = [unquote(part) for part in scope["path"].split("/") if part][1:]
    return (parts[0], parts[1]) if len(parts) == 2 and "\x00" not in scope["path"] else ("", "")


def _guessed(scope: Scope, refusal: Ack) -> Ack:
    """The refusal, or 429 for an address that sends signatures nobody believes."""
    if seconds := throttling.wrong_credential("wrong-ubc-signature", address_of_scope(scope)):
        return Ack(429, "throttled", "Too many refused calls from this address.", wait_seconds=seconds)
    return refusal


def _go_on(order_id: int) -> None:
    try:
        tasks.step_ubc_order.delay(order_id)
    except Exception:  # without Valkey the sweep goes on in some seconds
        logger.warning("order %s waits for the sweep", order_id, exc_info=True)


http_routes = [("/ubc/", ubc)]
