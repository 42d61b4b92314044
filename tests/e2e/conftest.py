"""A real server (pages, API, sockets, static files from the one ASGI application) and a real browser."""

import asyncio
import functools
import mimetypes
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection
from django.middleware.csrf import CSRF_SECRET_LENGTH
from django.test import Client
from django.utils.crypto import get_random_string
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.asgi import send_bytes
from tests.e2e.city import City, build_city
from tests.prompt_server import PromptServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
Theme = Literal["light", "dark"]
PASSWORD = "correct horse"
PATIENCE_MS = 60_000  # only a red test waits this long
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if CHROMIUM is None:
        reason = "Chromium is missing: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return {"executable_path": CHROMIUM, "args": FLAGS}


class Server:
    """uvicorn in a thread of its own, on a port below the ephemeral range."""

    def __init__(self) -> None:
        self.socket = _listen(random.sample(range(20_000, 32_000), 200))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self.has_line = True

    def start(self) -> None:
        config = uvicorn.Config(
            self._application(), log_level="warning", ws="fleetcharge.lib.sockets:LeanWebSocketProtocol", lifespan="off"
        )
        self._server = PromptServer(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 120
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self.socket])

    def call(self, work: Any) -> Any:
        """Run a coroutine on the server's loop."""
        assert self._loop
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def cut_the_line(self) -> None:
        """Close every browser's live socket and let nobody in until `has_line` is set again."""
        self.has_line = False
        for line in list(self._server.server_state.connections):
            if isinstance(line, WebSocketsSansIOProtocol):
                assert self._loop
                self._loop.call_soon_threadsafe(line.transport.close)

    def _application(self) -> Any:
        from fleetcharge import asgi

        application: Any = asgi.application

        async def whole(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket" and not self.has_line:
                await receive()
                await send({"type": "websocket.close", "code": 1012})
                return
            if scope["type"] == "http" and scope["path"].startswith(settings.STATIC_URL):
                await send_bytes(send, *_static(scope["path"].removeprefix(settings.STATIC_URL)))
                return
            await application(scope, receive, send)

        return whole

    def start_again(self) -> None:
        """After `stop`: at the same address, and knowing nothing of what it knew."""
        self.socket = _listen([self.port])
        self.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.call(_stop_hub())
            self._server.leave()
            self._thread.join(60)


@functools.cache
def _static(path: str) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]:
    """Read once per process: Django's own handler looks through twelve folders for each file of each page."""
    found = finders.find(path)
    if not isinstance(found, str):
        return 404, b"", ()
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return 200, Path(found).read_bytes(), ((b"content-type", kind.encode()), (b"cache-control", b"max-age=3600"))


def _listen(ports: Sequence[int]) -> socket.socket:
    for port in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen(128)  # or another test run may take it, too
        return listener
    raise OSError("no free port")


@pytest.fixture
def server(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One per test: the hub behind it must forget the rows of the test before."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # its threads leave no connection behind
    settings.REALTIME_PORT = 0
    running = Server()
    running.start()
    yield running
    running.stop()


async def _stop_hub() -> None:
    """On the server's own loop: there is one hub per loop."""
    from dispatch.hub import hub

    await hub().stop()


@pytest.fixture
def city(transactional_db: None, organisation: Organisation) -> City:
    return build_city(organisation)


class Watched:
    """Pages that remember what went wrong and whom they called."""

    def __init__(self, browser: Browser, server: Server) -> None:
        self.browser, self.server = browser, server
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.contexts: list[BrowserContext] = []

    def page(self, *, theme: Theme = "light", viewport: ViewportSize = DESKTOP, **options: Any) -> Page:
        context = self.browser.new_context(
            viewport=viewport, color_scheme=theme, reduced_motion="reduce", locale="en-IN",
            **{"timezone_id": "Asia/Kolkata", **options},
        )  # fmt: skip
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda live: self._asked(live.url))
        return page

    def _asked(self, url: str) -> None:
        if not url.startswith((self.server.url, self.server.url.replace("http", "ws"), "data:", "blob:")):
            self.strangers.append(url)

    def sign_in(self, page: Page, user: User, path: str = "/dispatch/") -> Page:
        """With the cookies that the form gives."""
        page.context.add_cookies(
            [{"name": name, "value": value, "url": self.server.url} for name, value in _cookies_of(user).items()]
        )
        page.goto(self.server.url + path)
        return page

    def sign_in_by_form(self, page: Page, user: User, path: str = "/dispatch/") -> Page:
        page.goto(f"{self.server.url}/login/?next={path}")
        page.get_by_label("E-mail address").fill(user.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{path}")
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()


@pytest.fixture
def web(server: Server, browser: Browser) -> Iterator[Watched]:
    watched = Watched(browser, server)
    yield watched
    watched.close()


@pytest.fixture
def dashboard(web: Watched, city: City, dispatcher: User) -> Callable[..., Page]:
    """Sign in and wait until the page is live and knows its names."""

    def open_dashboard(**options: Any) -> Page:
        page = web.sign_in(web.page(**options), dispatcher)
        live(page)
        return page

    return open_dashboard


def _cookies_of(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {settings.SESSION_COOKIE_NAME: session, settings.CSRF_COOKIE_NAME: get_random_string(CSRF_SECRET_LENGTH)}


def live(page: Page) -> None:
    """Until the socket is up and names and positions are there."""
    expect(page.locator("#live[data-state=live]")).to_be_attached()
    expect(page.locator("#rows.virtual .row").first).to_be_attached()
