"""The HTTP session under Razorpay's SDK: a time limit on every call, and errors with all that was said in them.

The SDK itself has no time limit, forgets status, reason and field of an error, and prints; nothing of that here.
"""

import json
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from billing.gateways.errors import GatewayFailure, NotFound, OutcomeUnknown, Refused, Said, Unavailable

CONNECT_SECONDS = 3.05
LONGEST_WORDS = 300


class GatewaySession(requests.Session):
    """Raises GatewayFailure instead of answering with an error, so the SDK only ever sees good JSON."""

    def __init__(self, *, timeout_s: float) -> None:
        super().__init__()
        self.timeout = (min(CONNECT_SECONDS, timeout_s), timeout_s)
        self.hooks["response"].append(_look_at)

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or self.timeout
        kwargs["allow_redirects"] = False  # a POST must not be sent elsewhere
        try:
            return super().request(method, url, *args, **kwargs)
        except requests.RequestException as error:
            raise _without_answer(error) from error


def _look_at(response: requests.Response, *args: Any, **kwargs: Any) -> requests.Response:
    """The session hook: an answer is good JSON of a 2xx, or an exception."""
    body = _json(response)
    if 200 <= response.status_code < 300 and (isinstance(body, dict) or response.status_code == 204):
        return response
    raise _failure(response, body)


def _json(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def _failure(response: requests.Response, body: Any) -> GatewayFailure:
    said = _said(response, body)
    status = response.status_code
    if status == 429 or status in {401, 403}:  # not taken; keys that do not fit are ours to mend, not the payer's fault
        return Unavailable(said)
    if status == 404:
        return NotFound(said)
    if 400 <= status < 500 and status != 409 and said.code:
        return NotFound(said) if "does not exist" in said.description else Refused(said)
    return OutcomeUnknown(said)  # 5xx, HTML, a redirect, 409 "still running": nobody knows what it did


def _said(response: requests.Response, body: Any) -> Said:
    error = body.get("error") if isinstance(body, dict) else None
    words = error if isinstance(error, dict) else {}
    wait = response.headers.get("Retry-After", "")
    return Said(
        status=response.status_code,
        code=str(words.get("code") or ""),
        description=str(words.get("description") or ("" if words else _beginning(response)))[:LONGEST_WORDS],
        reason=str(words.get("reason") or ""),
        field=str(words.get("field") or ""),
        step=str(words.get("step") or ""),
        source=str(words.get("source") or ""),
        retry_after_s=int(wait) if wait.isascii() and wait.isdigit() else 0,
    )


def _beginning(response: requests.Response) -> str:
    return f"not JSON: {response.content[:80]!r}"


def _without_answer(error: requests.RequestException) -> GatewayFailure:
    said = Said(code=type(error).__name__, description=str(error)[:LONGEST_WORDS])
    return Unavailable(said) if _was_never_sent(error) else OutcomeUnknown(said)


def _was_never_sent(error: requests.RequestException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
