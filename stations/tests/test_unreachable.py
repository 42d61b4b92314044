"""Whatever keeps us from a network is told in a sentence: what happened, and what to do."""

import socket
import ssl
import threading
from collections.abc import Iterator

import httpx
import pytest

from fleetcharge.embedded.ports import random_free_port
from stations.cpo.base import CPOUnavailable
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ubc.client import exchange
from stations.cpo.unreachable import OTHERWISE, reason_of
from stations.models import Source
from stations.tasks import poll_source
from stations.tests.factories import make_source


@pytest.fixture(autouse=True)
def laboratory(settings: object) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True  # type: ignore[attr-defined]


@pytest.fixture
def no_http() -> Iterator[int]:
    """The port of a server that greets in another language, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    line.recv(65_536)
                    line.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def ocpi(url: str) -> str:
    source = Source(slug="volt", name="Volt", kind="ocpi-2.2.1")
    source.peer_token = "TOKEN_A"
    with OCPIClient(source) as client, pytest.raises(CPOUnavailable) as caught:
        client.call("GET", url, routed=False)
    assert caught.value.code == "cpo_unavailable"
    return str(caught.value)


def ubc(url: str) -> str:
    with pytest.raises(CPOUnavailable) as caught:
        exchange("GET", url, name="Volt")
    return str(caught.value)


@pytest.mark.parametrize("call", [ocpi, ubc])
def test_a_port_where_nobody_listens(call: object) -> None:
    assert call(f"http://127.0.0.1:{random_free_port()}/") == (  # type: ignore[operator]
        "Volt cannot be reached: nothing listens at its address. Its server is down, or host and port are wrong. "
        "It is asked again by itself."
    )


def test_a_server_that_speaks_no_http(no_http: int) -> None:
    assert "speaks no HTTP. Check its address." in ocpi(f"http://127.0.0.1:{no_http}/")


def test_a_server_that_speaks_no_tls(no_http: int) -> None:
    assert "no encrypted connection comes about." in ocpi(f"https://127.0.0.1:{no_http}/")


@pytest.mark.parametrize(
    ("error", "cause", "told"),
    [
        (httpx.ConnectError("x"), socket.gaierror(-2, "Name or service not known"), "nobody knows the name"),
        (httpx.ConnectError("x"), ssl.SSLCertVerificationError("expired"), "certificate cannot be trusted"),
        (httpx.ConnectError("x"), OSError(113, "No route to host"), "no route leads"),
        (httpx.ConnectError("x"), OSError(5, "odd"), "no connection comes about. Check"),
        (httpx.ConnectTimeout("x"), TimeoutError(), "A firewall may stop us"),
        (httpx.ReadTimeout("x"), None, "does not answer in time"),
        (httpx.ReadError("x"), ConnectionResetError(104, "reset"), "broke off"),
        (httpx.RemoteProtocolError("x"), None, "without a whole answer"),
        (httpx.LocalProtocolError("Illegal header value"), None, "Check its token"),
        (httpx.UnsupportedProtocol("x"), None, "Correct it"),
        (httpx.InvalidURL("x"), None, "Correct it"),
        (httpx.DecodingError("x"), None, "cannot be unpacked"),
        (ValueError("x"), None, OTHERWISE),
    ],
)
def test_every_kind_of_failure_has_its_sentence(error: Exception, cause: Exception | None, told: str) -> None:
    error.__cause__ = cause
    assert told in reason_of(error)


@pytest.mark.django_db
def test_the_page_of_a_network_shows_the_sentence_and_keeps_the_code() -> None:
    make_source(slug="volt", kind="ocpi-2.2.1")
    source = Source.objects.get()
    source.peer_token, source.endpoints = "TOKEN", {"locations": f"http://127.0.0.1:{random_free_port()}/locations"}
    source.save()
    poll_source(source.pk)
    source.refresh_from_db()
    assert source.last_error_code == "cpo_unavailable"
    assert "nothing listens at its address" in source.last_error
    assert "Errno" not in source.last_error
