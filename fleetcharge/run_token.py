"""How whoever started a server knows that its own answers: a token in the environment, echoed in a header."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

RUN_TOKEN = "FLEETCHARGE_RUN_TOKEN"  # noqa: S105 (names a variable; what it holds guards nothing)
RUN_HEADER = "FleetCharge-Run"


def header() -> dict[str, str]:
    """Empty where nobody asks for it."""
    token = os.environ.get(RUN_TOKEN, "")
    return {RUN_HEADER: token} if token else {}


def run_token(get_response: "Callable[[HttpRequest], HttpResponse]") -> "Callable[[HttpRequest], HttpResponse]":
    """Middleware, the outermost: also an answer that refuses the host name, or has no database, is ours."""
    echoed = header()

    def middleware(request: "HttpRequest") -> "HttpResponse":
        response = get_response(request)
        if request.path == "/healthz/":
            for name, value in echoed.items():
                response[name] = value
        return response

    return middleware
