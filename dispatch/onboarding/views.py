"""The page of the four steps, and the file of vehicles that is uploaded there."""

from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import Wallet
from dispatch.models import SampleRow
from dispatch.onboarding import file, removing, samples, telling
from dispatch.views import needs
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of
from fleetcharge.lib.sweeps import survived
from stations.models import Charger, NetworkAccess, Source
from vehicles import services
from vehicles.models import Vehicle, VehicleModel, VehicleState

SHOWN_PROBLEMS = 50


@dataclass(frozen=True)
class Steps:
    """How many of each there are, without demo data; a step is done when there is one."""

    vehicles: int
    reporting: int
    networks: int
    chargers: int
    has_money: bool

    @property
    def done(self) -> int:
        return sum(bool(one) for one in (self.vehicles, self.reporting, self.networks + self.chargers, self.has_money))


def steps_of(organisation: Organisation) -> Steps:
    demo = {kind: SampleRow.objects.ids(organisation, kind) for kind in SampleRow.Kind.values}
    own = Source.objects.filter(organisation=organisation).exclude(kind=Source.Kind.OWN_OCPP)
    own = own.exclude(pk__in=demo[SampleRow.Kind.SOURCE])
    wallet = Wallet.objects.filter(organisation=organisation).first()
    states = VehicleState.objects.exclude(vehicle__in=demo[SampleRow.Kind.VEHICLE])
    reporting = states.filter(vehicle__organisation=organisation).exclude(Q(received_at=None))
    return Steps(
        vehicles=samples.real_of(organisation)[0],
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
    samples.make_way(organisation_of(request))
    told = {"added": outcome.added, "known": outcome.known}
    messages.success(request, _("%(added)s vehicles added, %(known)s were here already.") % told)
    if outcome.ignored:
        names = {"names": ", ".join(outcome.ignored)}
        messages.warning(request, _("Columns without a meaning here: %(names)s.") % names)
    return redirect("start")


@needs(Scope.VEHICLES_WRITE)
def demo(request: FleetRequest) -> HttpResponse:
    """Loads the demo data, or takes it away again; both for who may change vehicles and stations."""
    if request.method != "POST":
        return redirect("start")
    if Scope.STATIONS_WRITE not in request.scopes:
        return render(request, "no_access.html", status=403)
    return _remove(request) if request.POST.get("do") == "remove" else _load(request)


def _load(request: FleetRequest) -> HttpResponse:
    organisation, now = organisation_of(request), timezone.now()
    try:
        loaded = samples.load(
            organisation_id=organisation.pk, is_sure=bool(request.POST.get("sure")), now=now, **author_of(request)
        )
    except samples.RealDataHere:
        return _page(request, refusal=_("Your fleet has vehicles or chargers of its own; say first that you know it."))
    except services.AlreadyExists:
        return _page(request, refusal=_("A vehicle of your own has the plate of a demo vehicle."))
    except file.UnreadableFile as error:
        return _page(request, refusal=str(error))
    with survived("demo data of fleet", organisation.pk):  # else the sweep lets them report within a minute
        telling.tell(organisation, now=now, is_first=True)
    told = {"vehicles": loaded.vehicles, "stations": loaded.stations}
    messages.success(request, _("Demo data is here: %(vehicles)s vehicles and %(stations)s stations.") % told)
    return redirect("start")


def _remove(request: FleetRequest) -> HttpResponse:
    gone = removing.remove(organisation_id=organisation_of(request).pk, now=timezone.now(), **author_of(request))
    told = {"vehicles": gone.vehicles, "stations": gone.stations}
    messages.success(request, _("Demo data is removed: %(vehicles)s vehicles and %(stations)s stations.") % told)
    if gone.kept:
        names = {"names": ", ".join(gone.kept)}
        messages.warning(request, _("Out of service, because they were used beside real things: %(names)s.") % names)
    return redirect("start")


def _page(request: HttpRequest, *, refusal: str = "", outcome: file.Outcome | None = None) -> HttpResponse:
    organisation = organisation_of(request)
    context = {
        "steps": steps_of(organisation),
        "has_demo": samples.is_loaded(organisation),
        "has_real_data": any(samples.real_of(organisation)),
        "models": VehicleModel.objects.order_by("manufacturer", "name"),
        "refusal": refusal,
        "problems": outcome.problems[:SHOWN_PROBLEMS] if outcome else [],
        "problem_count": len(outcome.problems) if outcome else 0,
        "columns": file.COLUMNS,
    }
    return render(request, "dispatch/start.html", context, status=400 if refusal or outcome else 200)
