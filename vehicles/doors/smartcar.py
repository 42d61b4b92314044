"""`/ingest/smartcar/TOKEN`: a vehicle cloud pushes; believed by its signature (HMAC-SHA-256 of the body, hex)."""

import hmac
import re
import time
from typing import NamedTuple

from fleetcharge.lib.asgi import Receive, Scope, Send, header, send_json
from fleetcharge.lib.threads import DatabaseThreads
from vehicles.decoders import smartcar
from vehicles.doors.report import report
from vehicles.doors.requests import Refused, answer_failure, body_of
from vehicles.intake import accept

REMEMBERED_SECONDS, MAX_REMEMBERED, TOKEN_CHARACTERS = 10.0, 10_000, 40
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,128}")  # never a JSON body: signing one would be signing for whoever asks
threads = DatabaseThreads("vehicle-clouds", threads=1)


class Cloud(NamedTuple):
    organisation_id: int
    secret: str


_clouds: dict[str, tuple[float, Cloud | None]] = {}


async def delivered(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers VERIFY with the signed challenge, VEHICLE_STATE with a report; other events are taken and do nothing."""
    try:
        if scope["method"] != "POST":
            raise Refused(405, "method_not_allowed", "Webhooks come by POST.")
        cloud = await _cloud(scope["path"].rstrip("/").rpartition("/")[2])
        body = await body_of(scope, receive)
        if cloud is None:
            raise Refused(404, "not_found", "There is nothing at this address.")
        event = smartcar.read(body)
        if event.eventType == "VERIFY":  # not signed; its answer proves that we have the secret, and signs no body
            if not CHALLENGE.fullmatch(event.data.challenge):
                raise Refused(400, "invalid", "A challenge is 1 to 128 letters, digits, `-` and `_`.")
            return await send_json(send, 200, {"challenge": signature(cloud.secret, event.data.challenge.encode())})
        said = header(scope, b"sc-signature").decode("latin-1").strip().lower()
        if not hmac.compare_digest(signature(cloud.secret, body).encode(), said.encode()):
            raise Refused(401, "wrong_signature", "SC-Signature is not the body's HMAC-SHA-256 with the token.")
        decoded = smartcar.decode(event, time.time_ns() // 1000)
        verdicts = await accept(decoded, cloud.organisation_id, body)
    except Exception as error:
        return await answer_failure(send, error)
    return await send_json(send, 200, report(verdicts))


def signature(secret: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


def forget() -> None:
    """Ask the database again, and let go of its thread."""
    _clouds.clear()
    threads.close()


async def _cloud(token: str) -> Cloud | None:
    if len(token) > TOKEN_CHARACTERS:  # none of ours, and not worth remembering
        return None
    now = time.monotonic()
    known = _clouds.get(token)
    if known is None or known[0] <= now:
        if len(_clouds) >= MAX_REMEMBERED:
            _clouds.clear()
        known = _clouds[token] = (now + REMEMBERED_SECONDS, await threads.run(_find, token))
    return known[1]


def _find(token: str) -> Cloud | None:
    from vehicles.models import VehicleCloud

    row = VehicleCloud.objects.filter(token=token, is_active=True).first() if "\0" not in token else None
    return Cloud(row.organisation_id, row.secret) if row and row.secret_encrypted else None
