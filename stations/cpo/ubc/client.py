"""HTTP to Beckn peers: signed bytes out, an Ack back; every failure becomes a CPOError with a code."""

import time
from typing import Any

import httpx
import orjson
from django.utils import timezone

from fleetcharge.lib import exchanges
from stations.cpo.base import CPOError, CPOUnavailable
from stations.cpo.guard import check_url
from stations.cpo.peer_words import peer_words
from stations.cpo.ubc import signing, wire
from stations.cpo.ubc.models import UBCMessage, UBCNetwork
from stations.cpo.ubc.words import TTL_SECONDS, Outgoing
from stations.cpo.unreachable import unreachable

MAX_ANSWER_BYTES = 256 * 1024
MAX_SECONDS = 20.0


def send(network: UBCNetwork, outgoing: Outgoing) -> None:
    """Sign and post one message; returns when the peer has acknowledged it. Its answer comes as a callback.

    What was sent is kept word for word. Raises CPOUnavailable (not reached, or told to wait) and CPOError.
    """
    if not network.signing_key:
        raise CPOError("no_key", f"{network.source.name} has no signing key of ours yet.")
    body = wire.dump(outgoing.body)
    created = int(time.time())
    authorization = signing.sign(
        body, subscriber_id=network.subscriber_id, key_id=network.key_id, seed=network.signing_key, created=created,
        expires=created + 2 * TTL_SECONDS,
    )  # fmt: skip
    _keep(network, outgoing, body, authorization)
    url = f"{outgoing.url.rstrip('/')}/{network.rules.path_of(outgoing.action)}"
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    status, answer, wait = exchange("POST", url, name=network.source.name, body=body, headers=headers)
    _check_ack(network.source.name, status, answer, wait)


def _keep(network: UBCNetwork, outgoing: Outgoing, body: bytes, authorization: str) -> None:
    now = timezone.now()
    UBCMessage.objects.create(
        network=network, direction=UBCMessage.Direction.OUT, subscriber_id=network.subscriber_id,
        action=outgoing.action, transaction_id=outgoing.transaction_id, message_id=outgoing.message_id,
        digest=signing.digest_of(body), raw=body, authorization=authorization, at=now, received_at=now, applied_at=now,
    )  # fmt: skip


def exchange(
    method: str, url: str, *, name: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, float]:
    """(status, answer, seconds to wait). The address is checked, redirects are not followed, answers are bounded."""
    target = check_url(url)
    try:
        with (
            exchanges.client(seconds=MAX_SECONDS) as http,
            http.stream(
                method, target.url, content=body, headers={**(headers or {}), **target.headers},
                extensions=dict(target.extensions),
            ) as answer,
        ):  # fmt: skip
            wait = answer.headers.get("Retry-After", "")
            return answer.status_code, _read(answer, name), float(wait) if wait.isdecimal() and len(wait) < 6 else 0.0
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(name, error) from None


def _read(answer: httpx.Response, name: str) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise CPOError("too_large", f"{name} answers with more than {MAX_ANSWER_BYTES} bytes.")
    return bytes(body)


def _check_ack(name: str, status: int, body: bytes, wait: float) -> None:
    """An Ack in any of the forms peers use; a Nack is a refusal, whatever HTTP status it comes with."""
    word, error = read_ack(body)
    if word == "ACK" and status < 300:
        return
    if word == "NACK":
        raise CPOError("nack", f"{name} does not take the message: {peer_words(error or f'HTTP {status}')}")
    if status in {429, 500, 502, 503, 504}:
        raise CPOUnavailable(f"{name} answers HTTP {status}.", retry_after_seconds=wait)
    if status >= 300:
        raise CPOError(f"http_{status}", f"{name} answers HTTP {status}.")
    raise CPOError("no_ack", f"{name} does not acknowledge in Beckn.")


def read_ack(body: bytes) -> tuple[str, str]:
    """("ACK" | "NACK" | "", what is wrong)."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(answer, dict):
        return "", ""
    message = answer["message"] if isinstance(answer.get("message"), dict) else answer
    ack: Any = message.get("ack") or answer.get("ack") or answer
    word = (ack.get("status") or ack.get("ack_status")) if isinstance(ack, dict) else ack
    error = answer.get("error") or message.get("error") or (ack.get("error") if isinstance(ack, dict) else None)
    return str(word or "").upper(), _error_text(error)


def _error_text(error: Any) -> str:
    if isinstance(error, dict):
        return " ".join(str(error[name]) for name in ("code", "message") if error.get(name))[:300]
    return str(error or "")[:300]
