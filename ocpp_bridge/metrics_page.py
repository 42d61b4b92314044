"""`GET /metrics`: for whoever has the token, or stands where the operator said."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from fleetcharge.accounts.public import public
from fleetcharge.lib.addresses import address_of_request
from ocpp_bridge import gauges, metrics

__all__ = ["gauges", "metrics_text"]


@public
def metrics_text(request: HttpRequest) -> HttpResponse:
    """The process that answers tells of its own sockets; each realtime process is scraped by itself."""
    if not _may_read(request):
        return JsonResponse({"detail": "Metrics are not for you.", "code": "forbidden"}, status=403)
    return HttpResponse(metrics.render(), content_type=metrics.CONTENT_TYPE)


def _may_read(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and kind.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return address_of_request(request) in settings.METRICS_ADDRESSES
