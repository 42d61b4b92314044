"""The wire to integrators: one round serves every endpoint that is due, side by side, none longer than it may take."""

import asyncio
import contextlib
import functools
import logging
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from django.conf import settings
from django.db import connections

from fleetcharge.lib.outbound import RefusedAddress, check_url
from fleetcharge.webhooks import deliveries, signing
from fleetcharge.webhooks.deliveries import GONE, SIDE_BY_SIDE, TOO_MANY, UNAVAILABLE, Outcome, Post

ROUND_SECONDS = 20.0  # after that no new batch is begun; the rest waits for the next round
SNIPPET_BYTES = 1024
HEADERS = {
    "content-type": "application/json",
    "accept-encoding": "identity",  # so that an answer is as small as it looks
    "user-agent": "FleetCharge-Webhooks/1.0",
}
Clock = Callable[[], datetime]
T = TypeVar("T")

logger = logging.getLogger(__name__)


def send_round(*, clock: Clock) -> int:
    """Send what is due; returns how many attempts were made. Several rounds may run at once."""
    endpoint_ids = deliveries.claim_endpoints(now=clock())
    return asyncio.run(_Round(clock).serve_all(endpoint_ids)) if endpoint_ids else 0


class _Round:
    """One event loop for the network and one thread for the database."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._database = ThreadPoolExecutor(1, thread_name_prefix="webhooks")

    async def serve_all(self, endpoint_ids: Sequence[int]) -> int:
        try:
            served = await asyncio.gather(*map(self._serve, endpoint_ids), return_exceptions=True)
        finally:
            await asyncio.get_running_loop().run_in_executor(self._database, connections.close_all)
            self._database.shutdown()
        for endpoint_id, sent in zip(endpoint_ids, served, strict=True):
            if isinstance(sent, BaseException):
                logger.error("webhook endpoint %s was not served", endpoint_id, exc_info=sent)
        return sum(sent for sent in served if isinstance(sent, int))

    async def _serve(self, endpoint_id: int) -> int:
        """Batch after batch, until nothing is due, something failed, or its time in this round is over."""
        loop, sent, is_well = asyncio.get_running_loop(), 0, True
        over_at = loop.time() + ROUND_SECONDS
        try:
            async with _client() as client:  # of its own: a pooled connection is checked for one name only
                while is_well and loop.time() < over_at:
                    posts = await self._in_database(deliveries.claim, endpoint_id=endpoint_id, now=self._clock())
                    if not posts:
                        break
                    outcomes = await self._send_batch(client, posts)
                    is_well = await self._in_database(
                        deliveries.settle, endpoint_id=endpoint_id, outcomes=outcomes, now=self._clock()
                    )
                    sent += len(posts)
        finally:
            await self._in_database(deliveries.release, endpoint_id=endpoint_id, now=self._clock())
        return sent

    async def _send_batch(self, client: httpx.AsyncClient, posts: Sequence[Post]) -> list[Outcome]:
        lanes = asyncio.Semaphore(SIDE_BY_SIDE)

        async def in_its_lane(post: Post) -> Outcome:
            async with lanes:
                return await send(client, post, timestamp=int(self._clock().timestamp()))

        return await asyncio.gather(*map(in_its_lane, posts))

    async def _in_database(self, service: Callable[..., T], **values: Any) -> T:
        call = functools.partial(service, **values)
        return await asyncio.get_running_loop().run_in_executor(self._database, call)


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _client() -> httpx.AsyncClient:
    """Follows nothing, asks no proxy: what was checked is what is called."""
    patience = settings.WEBHOOK_TIMEOUT_SECONDS
    return httpx.AsyncClient(verify=_tls(), follow_redirects=False, trust_env=False, timeout=patience, headers=HEADERS)


async def send(client: httpx.AsyncClient, post: Post, *, timestamp: int) -> Outcome:
    """One attempt, within FLEETCHARGE_WEBHOOK_TIMEOUT_SECONDS for all of it; raises for nothing a receiver does."""
    loop = asyncio.get_running_loop()
    began, answer, error, snippet = loop.time(), None, "", b""
    try:
        async with asyncio.timeout(settings.WEBHOOK_TIMEOUT_SECONDS), contextlib.AsyncExitStack() as stack:
            target = await asyncio.to_thread(check_url, post.url, allow_private=settings.WEBHOOK_ALLOW_PRIVATE_HOSTS)
            signed = signing.headers(post.secrets, post.message_id, timestamp, post.body)
            request = client.stream(
                "POST", target.url, content=post.body, headers={**signed, **target.headers},
                extensions=dict(target.extensions),
            )  # fmt: skip
            answer = await stack.enter_async_context(request)
            snippet = await _beginning(answer)
    except RefusedAddress as refused:
        error = str(refused)
    except TimeoutError:
        error = f"No answer within {settings.WEBHOOK_TIMEOUT_SECONDS:g} s."
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        error = f"{type(failure).__name__}: {failure}"
    return _outcome(post, answer, error, snippet, int((loop.time() - began) * 1000))


async def _beginning(answer: httpx.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) >= SNIPPET_BYTES:
            break
    return body[:SNIPPET_BYTES]


def _outcome(post: Post, answer: httpx.Response | None, error: str, snippet: bytes, duration_ms: int) -> Outcome:
    """An answer counts from its status on, even when its body never ends."""
    if answer is None:
        return Outcome(post.delivery_id, None, error, "", duration_ms)
    text = snippet.decode("utf-8", "replace").replace("\x00", "�")
    said = Outcome(post.delivery_id, answer.status_code, "", text, duration_ms)
    if said.is_delivered:
        return said
    why = "Gone." if answer.status_code == GONE else f"HTTP {answer.status_code}."
    asked = _retry_after(answer) if answer.status_code in {TOO_MANY, UNAVAILABLE} else None
    return Outcome(post.delivery_id, answer.status_code, why, text, duration_ms, asked)


def _retry_after(answer: httpx.Response) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3); None for anything else."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal() and len(text) < 8:
        return timedelta(seconds=int(text)) or None
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)
    return wait if wait > timedelta() else None
