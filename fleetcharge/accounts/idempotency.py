"""`Idempotency-Key`: a write that is sent twice happens once, and both answers are the same.

The key, the write and its answer are one transaction: there is no moment in which a crash could leave one without the
others. A second request with the same key waits for the first, then gets its answer. Only what succeeded is kept.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from fleetcharge.accounts import raw, throttling
from fleetcharge.accounts.models import IdempotentWrite
from fleetcharge.accounts.tenancy import FleetRequest
from fleetcharge.lib import crypto

HEADER = "Idempotency-Key"
DECIDER_HEADER = "X-Decided-By"
"""A page says whom it was made for: what waited there for a connection is done in nobody else's name."""

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_KEY = 255
KEPT_FOR = timedelta(hours=24)
PATIENCE = "5s"
PURPOSE = "idempotency"
KEPT_HEADERS = ("Content-Type", "Location")

View = Callable[..., HttpResponse]


class IdempotencyMiddleware:
    """For every write of the API, but for the actions that a view names in `keeps_idempotency_keys`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: FleetRequest, view: View, args: Any, kwargs: Any) -> HttpResponse | None:
        key = request.headers.get(HEADER)
        if key is None or request.method not in WRITES or not request.path.startswith("/api/"):
            return None
        if _action(request, view) in getattr(getattr(view, "cls", None), "keeps_idempotency_keys", ()):
            return None
        if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
            return _error(400, "bad_idempotency_key", f"{HEADER} is 1 to {MAX_KEY} printable characters.")
        if request.headers.get(DECIDER_HEADER, decider(request)) != decider(request) and request.organisation:
            return _error(409, "decided_by_another", "Another person, or the same for another fleet, is signed in now.")
        who = _who(request)
        if not who:
            return None  # the view says 401
        return _once(request, _digest(who, key), lambda: view(request, *args, **kwargs))


def _action(request: HttpRequest, view: Any) -> str:
    """The name of a view set's method, '' for other views."""
    actions: dict[str, str] = getattr(view, "actions", None) or {}
    return actions.get((request.method or "").lower(), "")


def decider(request: FleetRequest) -> str:
    """The person and the fleet of a page, as `X-Decided-By` names them."""
    return f"{request.user.pk}.{request.organisation.pk}" if request.organisation else ""


def _who(request: FleetRequest) -> str:
    if secret := _secret(request):
        return f"key {secret}"
    return f"person {request.user.pk} {request.organisation.pk}" if request.organisation else ""


def _secret(request: HttpRequest) -> str:
    """As APIKeyAuthentication reads it."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else request.headers.get("X-API-Key", "").strip()


def _once(request: HttpRequest, digest: str, write: Callable[[], HttpResponse]) -> HttpResponse:
    fingerprint = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode() + request.body).hexdigest()
    try:
        with transaction.atomic():
            row_id = _claim(digest, fingerprint)
            if row_id is None:
                return _again(request, IdempotentWrite.objects.get(digest=digest), fingerprint)
            answer = write()
            if hasattr(answer, "render"):
                answer.render()
            if answer.status_code < 300:
                _keep(row_id, answer)
            else:
                transaction.set_rollback(True)
            return answer
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return _error(409, "in_progress", "The first request with this key is still at work.", wait_seconds=1)


def _claim(digest: str, fingerprint: str) -> int | None:
    """The new row, or None when the key was used; waits for whoever is using it just now."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
        cursor.execute(
            """INSERT INTO accounts_idempotentwrite AS w
                (digest, fingerprint, status, headers, body_encrypted, created_at)
            VALUES (%s, %s, 0, '{}', '', %s) ON CONFLICT (digest) DO UPDATE
            SET fingerprint = excluded.fingerprint, status = 0, headers = '{}', body_encrypted = '',
                created_at = excluded.created_at
            WHERE w.created_at < %s RETURNING id""",
            [digest, fingerprint, now, now - KEPT_FOR],
        )
        row = cursor.fetchone()
        cursor.execute("SELECT set_config('lock_timeout', '0', true)")
    return int(row[0]) if row else None


def _keep(row_id: int, answer: HttpResponse) -> None:
    headers = {name: answer[name] for name in KEPT_HEADERS if name in answer}
    IdempotentWrite.objects.filter(pk=row_id).update(
        status=answer.status_code, headers=headers, body_encrypted=crypto.encrypt(answer.content.decode())
    )  # fmt: skip


def _again(request: HttpRequest, kept: IdempotentWrite, fingerprint: str) -> HttpResponse:
    """The first answer, for the same question of somebody who may still ask."""
    if secret := _secret(request):
        caller = raw.find_caller(secret)
        if caller is None:
            return _error(401, "invalid_key", "This API key is unknown, expired or revoked.")
        if seconds := throttling.may_request(caller.key_id):
            return _error(429, "throttled", "This key asks too often.", wait_seconds=seconds)
    if kept.fingerprint != fingerprint:
        return _error(409, "key_reused", f"This {HEADER} belongs to another request.")
    answer = HttpResponse(crypto.decrypt(kept.body_encrypted), status=kept.status)
    if not kept.headers.get("Content-Type"):
        del answer["Content-Type"]
    for name, value in kept.headers.items():
        answer[name] = value
    answer["Idempotent-Replayed"] = "true"
    return answer


def _error(status: int, code: str, detail: str, *, wait_seconds: int = 0) -> HttpResponse:
    headers = {"Retry-After": str(wait_seconds)} if wait_seconds else None
    return JsonResponse({"detail": detail, "code": code}, status=status, headers=headers)


def _digest(who: str, key: str) -> str:
    return crypto.keyed_hash(f"{who}\n{key}", purpose=PURPOSE)


def forget_old(now: datetime) -> int:
    """Keys older than a day may be used anew; returns how many."""
    return IdempotentWrite.objects.filter(created_at__lt=now - KEPT_FOR).delete()[0]
