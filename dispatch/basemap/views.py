"""Street tiles over HTTP. Open to everybody, as their source is: the driver's page has no login."""

import gzip

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from dispatch.basemap.archive import Archive, current
from fleetcharge.accounts.public import public

FOREVER = "public, max-age=31536000, immutable"
SHORTLY = "public, max-age=60"


@public
@require_safe
def about(request: HttpRequest) -> HttpResponse:
    """Which tiles there are: zooms, bounds (west, south, east, north), attribution; `version` null without any."""
    archive = current(settings.BASEMAP_FILE)
    told = {} if archive is None else {
        "first_zoom": archive.first_zoom, "last_zoom": archive.last_zoom, "bounds": archive.bounds,
        "attribution": archive.attribution,
    }  # fmt: skip
    answer = JsonResponse({"version": archive.version if archive else None, **told})
    answer["Cache-Control"] = "no-cache"
    return answer


@public
@require_safe
def street_tile(request: HttpRequest, version: str, zoom: int, x: int, y: int) -> HttpResponse:
    """204: nothing to draw there. A page of before another archive came gets the new one's, for a minute."""
    archive = current(settings.BASEMAP_FILE)
    if archive is None or not _is_covered(archive, zoom, x, y):
        raise Http404("no such tile")
    etag = f'"{archive.version}-{zoom}-{x}-{y}"'
    is_held = etag in request.headers.get("If-None-Match", "")
    answer = HttpResponse(status=304) if is_held else _tile(request, archive.tile(zoom, x, y))
    answer["ETag"] = etag
    answer["Cache-Control"] = FOREVER if version == archive.version else SHORTLY
    answer["Vary"] = "Accept-Encoding"
    return answer


def _is_covered(archive: Archive, zoom: int, x: int, y: int) -> bool:
    return archive.first_zoom <= zoom <= archive.last_zoom and max(x, y) < 1 << zoom


def _tile(request: HttpRequest, packed: bytes | None) -> HttpResponse:
    if packed is None:
        return HttpResponse(status=204)
    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    answer = HttpResponse(packed if takes_gzip else gzip.decompress(packed))
    answer["Content-Type"] = "application/vnd.mapbox-vector-tile"
    if takes_gzip:
        answer["Content-Encoding"] = "gzip"
    return answer
