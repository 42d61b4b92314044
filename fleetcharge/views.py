"""Health and error answers of the web process, and the page on which its parts can be looked at."""

import re

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

SYMBOL = re.compile(r'id="i-([a-z-]+)"')


def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers; the supervisor and load balancers ask here."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:
        return JsonResponse({"detail": "The database does not answer.", "code": "database_down"}, status=503)
    return JsonResponse({"status": "ok"})


def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in every state, for whoever changes one; only while FLEETCHARGE_DEBUG is on."""
    if not settings.DEBUG:
        raise Http404("Only in debug.")
    drawn = (settings.BASE_DIR / "templates" / "partials" / "icons.html").read_text()
    tones, sparks = ("ok", "chg", "warn", "bad", "off"), [3, 5, 4, 8, 6, 9]
    return render(request, "styleguide.html", {"tones": tones, "sparks": sparks, "icons": SYMBOL.findall(drawn)})


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Also a host name that is not in FLEETCHARGE_ALLOWED_HOSTS."""
    return _error(request, 400, "bad_request", "We do not understand this request, or do not serve this host name.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error(request, 403, "forbidden", "This is not for your role.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error(request, 404, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    return _error(request, 500, "server_error", "Something failed on our side. It has been logged; please try again.")


def _error(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": detail, "code": code}, status=status)
    try:
        return render(request, "error.html", {"status": status, "detail": detail}, status=status)
    except Exception:  # the page itself may be what is broken
        return HttpResponse(f"{status}: {detail}", content_type="text/plain", status=status)
