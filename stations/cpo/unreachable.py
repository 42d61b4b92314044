"""What it means for people that a network could not be reached: what happened, and what to do about it."""

import errno
import socket
import ssl
from collections.abc import Iterator

import httpx

from stations.cpo.base import CPOUnavailable

NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
AGAIN = "It is asked again by itself."
# The first that fits an error or what caused it; the order is from the plainest to the broadest.
REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "nobody knows the name of its host. Check how its address is written."),
    (ConnectionRefusedError, "nothing listens at its address. Its server is down, or host and port are wrong."),
    (ssl.SSLCertVerificationError, "its certificate cannot be trusted. Its operator has to renew it."),
    (ssl.SSLError, "no encrypted connection comes about. Check that its address and port speak https."),
    (httpx.ConnectTimeout, "no connection comes about in time. A firewall may stop us: ask its operator."),
    (httpx.TimeoutException, "it does not answer in time. Its server is overloaded or hangs: tell its operator."),
    (httpx.UnsupportedProtocol, "its address is none that we can call. Correct it."),
    (httpx.InvalidURL, "its address is none that we can call. Correct it."),
    (httpx.LocalProtocolError, "what we send it is no valid HTTP. Check its token for blanks and line breaks."),
    (httpx.DecodingError, "its answer is packed in a way that cannot be unpacked. Tell its operator."),
    (httpx.RemoteProtocolError, "it ends the connection without a whole answer, or speaks no HTTP. Check its address."),
    (httpx.ConnectError, "no connection comes about. Check its address, and whether its server is up."),
    (httpx.TransportError, "the connection broke off. When it lasts, tell its operator."),
)  # fmt: skip
NO_WAY = "no route leads to its address. Check our own line first, then its address."
OTHERWISE = "the call failed. When it lasts, the log says more."


def unreachable(name: str, error: Exception) -> CPOUnavailable:
    """`error`: as httpx raised it. Our code for it stays cpo_unavailable."""
    is_silent = isinstance(error, httpx.ConnectError | httpx.TimeoutException)
    return CPOUnavailable(f"{name} cannot be reached: {reason_of(error)} {AGAIN}", is_silent=is_silent)


def reason_of(error: BaseException) -> str:
    """A sentence without the network's name."""
    causes = list(_causes(error))
    if any(isinstance(each, OSError) and each.errno in NO_ROUTE for each in causes):
        return NO_WAY
    fitting = (text for kind, text in REASONS if any(isinstance(each, kind) for each in causes))
    return next(fitting, OTHERWISE)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
