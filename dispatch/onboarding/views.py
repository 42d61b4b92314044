"""The page of the four steps, and the file of vehicles that is uploaded there."""

from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from billing.models import Wallet
from dispatch.onboarding import file
from dispatch.views import needs
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of
from stations.models import Charger, NetworkAccess, Source
from vehicles import services
from vehicles.models import Vehicle, VehicleModel, VehicleState

SHOWN_PROBLEMS = 50


@dataclass(frozen=True)
class Steps:
    """How many of each there are; a step is done when there is one."""

    vehicles: int
    reporting: int
    networks: int
    chargers: int
    has_money: bool

    @property
    def done(self) -> int:
        return sum(bool(one) for one in (self.vehicles, self.reporting, self.networks + self.chargers, self.has_money))


def steps_of(organisation: Organisation) -> Steps:
    own = Source.objects.filter(organisation=organisation).exclude(kind=Source.Kind.OWN_OCPP)
    wallet = Wallet.objects.filter(organisation=organisation).first()
    reporting = VehicleState.objects.filter(vehicle__organisation=organisation).exclude(Q(received_at=None))
    return Steps(
        vehicles=Vehicle.objects.for_organisation(organisation).filter(is_active=True).count(),
        reporting=reporting.count(),
        networks=NetworkAccess.objects.filter(organisation=organisation).count() + own.count(),
        chargers=Charger.objects.for_organisation(organisation).count(),
        has_money=wallet is not None and wallet.available_paise > 0,
    )


def home(request: FleetRequest) -> HttpResponse:
    """Where one comes in: to the first step where nothing is there yet and one may begin, else to the live page."""
    may_begin = request.organisation is not None and Scope.VEHICLES_WRITE in request.scopes
    return redirect("start" if may_begin and _is_empty(organisation_of(request)) else "dispatch")


def _is_empty(organisation: Organisation) -> bool:
    return not any(rows.objects.for_organisation(organisation).exists() for rows in (Vehicle, Charger))


@needs(Scope.VEHICLES_WRITE)
def start(request: FleetRequest) -> HttpResponse:
    if request.method == "POST":
        return _upload(request)
    return _page(request)


@needs(Scope.VEHICLES_WRITE)
def sample_file(request: FleetRequest) -> HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="vehicles.csv"'}
    return HttpResponse("\ufeff" + file.sample(), content_type="text/csv; charset=utf-8", headers=headers)


def _upload(request: FleetRequest) -> HttpResponse:
    sent = request.FILES.get("file")
    if sent is None:
        return _page(request, refusal=_("Choose a file first."))
    try:
        content = sent.read(file.MOST_BYTES + 1)
        outcome = file.take(organisation=organisation_of(request), content=content, **author_of(request))
    except file.UnreadableFile as error:
        return _page(request, refusal=str(error))
    except services.AlreadyExists:  # somebody else added one of them at the same moment
        return _page(request, refusal=_("One of these vehicles was added at the same moment. Upload the file again."))
    if outcome.problems:
        return _page(request, outcome=outcome)
    told = {"added": outcome.added, "known": outcome.known}
    messages.success(request, _("%(added)s vehicles added, %(known)s were here already.") % told)
    if outcome.ignored:
        names = {"names": ", ".join(outcome.ignored)}
        messages.warning(request, _("Columns without a meaning here: %(names)s.") % names)
    return redirect("start")


def _page(request: HttpRequest, *, refusal: str = "", outcome: file.Outcome | None = None) -> HttpResponse:
    context = {
        "steps": steps_of(organisation_of(request)),
        "models": VehicleModel.objects.order_by("manufacturer", "name"),
        "refusal": refusal,
        "problems": outcome.problems[:SHOWN_PROBLEMS] if outcome else [],
        "problem_count": len(outcome.problems) if outcome else 0,
        "columns": file.COLUMNS,
    }
    return render(request, "dispatch/start.html", context, status=400 if refusal or outcome else 200)
