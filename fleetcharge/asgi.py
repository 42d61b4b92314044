"""The realtime process: OCPP, browser sockets, telemetry and webhooks, with the Django pages behind them."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.asgi import get_asgi_application
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
django_application = get_asgi_application()

from billing.payments.route import http_routes as payment_routes  # noqa: E402  (Django must be set up first)
from dispatch.live_events import close as close_live_events  # noqa: E402
from dispatch.routing import http_routes as live_event_routes  # noqa: E402
from dispatch.routing import websocket_routes as live_routes  # noqa: E402
from fleetcharge import run_token  # noqa: E402
from fleetcharge.lib.tuning import allow_many_sockets, tune_for_quick_answers  # noqa: E402
from ocpp_bridge.draining import drain_on_sigterm  # noqa: E402
from ocpp_bridge.hub import hub  # noqa: E402
from ocpp_bridge.recorder import recorder  # noqa: E402
from ocpp_bridge.routing import http_routes as upload_routes  # noqa: E402
from ocpp_bridge.routing import websocket_routes as ocpp_routes  # noqa: E402
from ocpp_bridge.threads import tell_the_rest  # noqa: E402
from stations import news  # noqa: E402
from stations.cpo.ubc.webhook import http_routes as ubc_routes  # noqa: E402
from stations.cpo.webhooks.route import http_routes as hook_routes  # noqa: E402
from stations.stream.hub import hub as status_hub  # noqa: E402
from stations.stream.routes import http_routes as stream_routes  # noqa: E402
from stations.stream.routes import websocket_routes as stream_sockets  # noqa: E402
from stations.webhooks import http_routes as webhook_routes  # noqa: E402
from vehicles.ingest import http_routes as ingest_routes  # noqa: E402

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Longest prefix first. A raw route costs a twentieth of a Django view, and checks its own credentials.
HTTP_ROUTES: list[tuple[str, Application]] = [
    *ingest_routes, *webhook_routes, *ubc_routes, *hook_routes, *upload_routes, *stream_routes,
    *payment_routes, *live_event_routes,
]  # fmt: skip
WEBSOCKET_ROUTES: list[tuple[str, Application]] = [*ocpp_routes, *live_routes, *stream_sockets]

allow_many_sockets()
tune_for_quick_answers()


def _find(routes: list[tuple[str, Application]], path: str) -> Application | None:
    for prefix, app in routes:
        if path.startswith(prefix):
            return app
    return None


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    if scope["type"] == "websocket":
        return await (_find(WEBSOCKET_ROUTES, scope["path"]) or _no_such_socket)(scope, receive, send)
    if hub.is_draining and scope["path"] == "/healthz/":  # load balancers choose another node
        return await _draining(send)
    return await (_find(HTTP_ROUTES, scope["path"]) or _django)(scope, receive, send)


async def _draining(send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    headers += [(name.lower().encode(), value.encode()) for name, value in run_token.header().items()]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"detail":"This node is stopping.","code":"draining"}'})


async def _django(scope: Scope, receive: Receive, send: Send) -> None:
    """A Django view: its thread lives for one request, so a database connection kept for the next would leak."""
    async with ThreadSensitiveContext():
        try:
            await django_application(scope, receive, send)  # type: ignore[arg-type]
        finally:
            await sync_to_async(connections.close_all)()


async def _no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 4404})


def _tell_the_rest() -> None:
    """What was committed and waits to be told."""
    news.announcer.close()
    tell_the_rest()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            drain_on_sigterm(status_hub().close, close_live_events)
            await send({"type": "lifespan.startup.complete"})
        else:
            await status_hub().close()
            await hub.close()
            await recorder.close()
            await asyncio.to_thread(_tell_the_rest)
            await send({"type": "lifespan.shutdown.complete"})
            return
