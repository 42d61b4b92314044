"""What every API answer shares: the error shape, cursor pages and ETags."""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC
from typing import Any

from django.db import DataError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import pagination, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

logger = logging.getLogger(__name__)


class UTCMiddleware:
    """The API speaks UTC, as its documentation says; an instant that comes without an offset is UTC too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith("/api/"):
            return self.get_response(request)
        with timezone.override(UTC):
            return self.get_response(request)


class Conflict(APIException):
    """409 with our `{"detail", "code"}` body."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The request conflicts with the current state."
    default_code = "conflict"


class CursorPagination(pagination.CursorPagination):
    """Stable pages over the primary key; `?page_size=` up to 1,000."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    ordering = "pk"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error is `{"detail": str, "code": str}`; validation adds `fields`."""
    if _cannot_be_stored(error):
        error = ValidationError("A value is out of the range that can be stored.")
    elif isinstance(error, RecursionError):  # a parser of ours went down into a body made for that
        logger.warning("a request was nested too deeply", exc_info=error)
        error = ValidationError("The request is nested too deeply.")
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError):
        response.data = _validation_body(error)
    else:
        detail = getattr(error, "detail", None) or response.data.get("detail", "Request failed.")
        response.data = {"detail": str(detail), "code": getattr(detail, "code", None) or "error"}
    return response


def _cannot_be_stored(error: Exception) -> bool:
    """A number, an instant or a character that PostgreSQL or Python has no room for; only a request can hold one."""
    is_nul = isinstance(error, ValueError) and "NUL" in str(error)
    return isinstance(error, DataError | OverflowError) or is_nul


def _validation_body(error: ValidationError) -> dict[str, Any]:
    if isinstance(error.detail, dict):
        first = next(iter(error.detail.items()), ("", ["Invalid input."]))
        return {"detail": f"{first[0]}: {_first(first[1])}", "code": "invalid", "fields": error.detail}
    return {"detail": _first(error.detail), "code": "invalid"}


def _first(value: Any) -> str:
    while isinstance(value, list | dict) and value:
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    return str(value)


def etag_of(*parts: object) -> str:
    """A weak ETag over whatever decides the answer (version counters, query string, organisation)."""
    return 'W/"' + hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=12).hexdigest() + '"'
