"""Scan-to-charge: what stands behind the code on a charger, for the person who is in front of it."""

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from fleetcharge.accounts.throttling import Rate, counter
from stations.belief import freshness_of
from stations.cpo.ubc import qr, tasks
from stations.cpo.ubc.models import UBCNetwork
from stations.models import Connector, Source

LOOK_UPS = Rate(20, 60)


def scan(request: FleetRequest) -> HttpResponse:
    """`/scan/?code=...`; a POST asks the networks for a charger that nobody has named yet."""
    if request.organisation is None or Scope.STATIONS_READ not in request.scopes:
        return render(request, "no_access.html", status=403)
    organisation = organisation_of(request)
    text = str(request.POST.get("code") or request.GET.get("code") or "")
    if request.method == "POST":
        return _ask(organisation, text)
    return render(request, "stations/scan.html", {"code": text[: qr.MAX_LENGTH], **_found(request, organisation, text)})


def _found(request: FleetRequest, organisation: Organisation, text: str) -> dict[str, object]:
    if not text.strip():
        return {}
    try:
        code = qr.read(text)
    except qr.BadCode as error:
        return {"problem": error.code}
    rows = connectors_behind(code, organisation).select_related(
        "evse__location__source", "evse__location__party", "evse__charger", "tariff", "ubc_item"
    )
    may_use = set(Connector.objects.usable_by(organisation).filter(pk__in=rows).values_list("pk", flat=True))
    now = timezone.now()
    found = [(row, freshness_of(row, now), row.pk in may_use) for row in rows[:10]]
    return {"scanned": code, "found": found, "was_asked": "asked" in request.GET}


def connectors_behind(code: qr.ScannedCode, organisation: Organisation) -> QuerySet[Connector]:
    """The connectors a code means, of those this fleet may see; a provider narrows it down when it is known."""
    visible = Connector.objects.visible_to(organisation)
    if code.address:
        return visible.filter(ubc_item__qr=code.address[:400])
    meant = visible.filter(ubc_item__item_id=code.item_id[:255])
    of_provider = meant.filter(ubc_item__provider_id=code.provider_id[:120])
    return of_provider if code.provider_id and of_provider.exists() else meant


def _ask(organisation: Organisation, text: str) -> HttpResponse:
    """Every network this fleet may see is asked in the background; the page is looked at again."""
    try:
        code = qr.read(text)
    except qr.BadCode:
        return _back({"code": text[: qr.MAX_LENGTH]})
    if not counter.add("scan", str(organisation.pk), LOOK_UPS):
        own_or_public = Q(source__organisation=None) | Q(source__organisation=organisation)
        networks = UBCNetwork.objects.filter(own_or_public).exclude(source__state=Source.State.DISABLED)
        for network_id in networks.values_list("pk", flat=True):
            tasks.look_up_code.delay(network_id, code.item_id, code.address)
    return _back({"code": text, "asked": "1"})


def _back(query: dict[str, str]) -> HttpResponse:
    return redirect(f"{reverse('scan')}?{urlencode(query)}")
