"""`PUT` or `POST /ocpp-uploads/<id>/<token>/[name]`: a charger's file, straight to disk, bounded in size and time."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from django.conf import settings

from fleetcharge.lib.asgi import BodyTooLarge, Receive, Scope, Send, header, send_error, send_json
from fleetcharge.lib.threads import DatabaseThreads
from ocpp_bridge import uploads

CHUNK_SECONDS, WHOLE_SECONDS = 60, 1800
AT_ONCE = 8  # per process; the next one is told to come again

logger = logging.getLogger(__name__)
threads = DatabaseThreads("uploads-database", threads=2)
_running: set[object] = set()


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """201 with size and SHA-256 once the file is safe; every refusal says why."""
    if scope["method"] not in {"PUT", "POST"}:
        return await send_error(send, 405, "method_not_allowed", "Use PUT or POST.")
    if len(_running) >= AT_ONCE:
        return await send_error(send, 503, "busy", "Too many uploads at once; please try again.")
    mark = object()
    _running.add(mark)
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            await send_json(send, 201, await _take(scope, receive))
    except uploads.Refused as refused:
        await send_error(send, refused.status, refused.code, refused.detail)
    except BodyTooLarge as error:
        await send_error(send, 413, "too_large", str(error))
    except TimeoutError:
        await send_error(send, 408, "too_slow", "The file did not come in time.")
    except ConnectionError:
        return None
    except Exception:
        logger.exception("an upload failed")
        await send_error(send, 500, "error", "Server error; please try again.")
    finally:
        _running.discard(mark)
    return None


async def _take(scope: Scope, receive: Receive) -> dict[str, Any]:
    parts = [unquote(part) for part in scope["path"].removeprefix(uploads.PREFIX).split("/") if part]
    if len(parts) < 2:
        raise uploads.Refused(404, "unknown_upload", "There is no such address.")
    upload_id, token = parts[0], parts[1]
    now = datetime.now(UTC)
    part = await threads.run(uploads.admit, upload_id=upload_id, token=token, now=now)
    try:
        await _store(receive, part)
        kept = await threads.run(
            uploads.keep,
            upload_id=upload_id,
            token=token,
            part=part,
            file_name=parts[2] if len(parts) > 2 else "",
            content_type=header(scope, b"content-type").decode("latin-1")[:300],
            now=datetime.now(UTC),
        )
    finally:
        part.unlink(missing_ok=True)
    return {"size_bytes": kept.size_bytes, "sha256": kept.sha256}


async def _store(receive: Receive, part: Path) -> None:
    size = 0
    loop = asyncio.get_running_loop()
    file: BinaryIO = await loop.run_in_executor(None, lambda: part.open("xb"))
    with file:
        while True:
            async with asyncio.timeout(CHUNK_SECONDS):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("charger went away")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > settings.OCPP_UPLOAD_MAX_BYTES:
                raise BodyTooLarge(f"file is larger than {settings.OCPP_UPLOAD_MAX_BYTES} bytes")
            await loop.run_in_executor(None, file.write, chunk)
            if not message.get("more_body"):
                return


http_routes: list[tuple[str, Any]] = [(uploads.PREFIX, upload)]
