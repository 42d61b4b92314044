"""A fleet in which every page has something to show, and some of it under names that nobody should choose."""

from datetime import timedelta

from django.utils import timezone

from billing.models import ChargingSession, PaymentIntent, PaymentReceiver
from billing.tests.factories import fund
from dispatch.depot import nights
from dispatch.depot.models import Depot
from dispatch.driving import links
from dispatch.driving.models import DriverLink
from dispatch.models import ChargePlan
from dispatch.services import accept_plan, answer_reservation
from dispatch.tests import factories
from dispatch.wall import links as screens
from fleetcharge.accounts import invitations
from fleetcharge.accounts.models import Organisation
from stations.models import Charger, Location, Tariff
from tests.e2e.city import City, make_hub, make_plan, more_alerts
from tests.e2e.test_wallet import a_month
from vehicles.models import Driver, Vehicle

SCRIPT = "<script>a()</b>"
LONG = "<img src=x onerror=alert(1)>" + "W" * 172
PLUGS = 60


def set_up(city: City, organisation: Organisation, depot: Depot, charger: Charger) -> dict[str, object]:
    """Fills the fleet; what the `{names}` in an address stand for."""
    Organisation.objects.filter(pk=organisation.pk).update(shows_status=True)
    more_alerts(organisation, city)
    fund(organisation, 12_000_00, low_threshold_paise=10_000_00)
    a_month(organisation)
    _sessions(city)
    nights.plan(location_id=depot.pk, now=timezone.now())
    _public_plug(organisation)
    names_nobody_should_choose(city)
    driven = _driven(city)
    return {
        "site": city.hubs["Marathahalli Hub"].public_id, "large_site": large_site(city).public_id,
        "vehicle": city.vans[1].pk, "depot": depot.location.public_id, "identity": charger.ocpp_identity,
        "invitation": _invited(organisation), "screen": _screen(organisation), **_payments(organisation), **driven,
    }  # fmt: skip


def names_nobody_should_choose(city: City) -> None:
    van = city.vans[1]
    Vehicle.objects.filter(pk=van.pk).update(registration=SCRIPT)
    Driver.objects.filter(pk=van.default_driver_id or 0).update(name=LONG[:120])
    Location.objects.filter(pk=city.hubs["Marathahalli Hub"].pk).update(name=LONG)


def large_site(city: City) -> Location:
    hub = city.hubs["HSR Layout"]
    tariff = Tariff.objects.filter(source=hub.source)[0]
    return make_hub(city.late.organisation, hub.source, tariff, "Sixty plugs", 12.93, 77.67, "a" * PLUGS)


def _sessions(city: City) -> None:
    now, site = timezone.now(), city.hubs["Hebbal Depot"]
    for number, evse in enumerate(site.evses.all()):
        ChargingSession.objects.create(
            organisation=city.late.organisation, source=site.source, connector=evse.connectors.get(),
            vehicle=city.vans[number], transaction_ref=f"T{number}", start_key=f"T{number}",
            started_at=now - timedelta(hours=number), energy_wh=number * 2_350, state="ended" if number else "active",
        )  # fmt: skip


def _public_plug(organisation: Organisation) -> None:
    site = factories.location(factories.source(organisation), name=LONG, city="Bengaluru")
    factories.connector(site, charger=factories.charger(site, organisation), at=timezone.now())


def _driven(city: City) -> dict[str, object]:
    """A plan that is under way, and the links to it."""
    now = timezone.now()
    plan = make_plan(city.late.organisation, city.vans[2], city.hubs["Jayanagar 4th Block"])
    accept_plan(plan_id=plan.pk, actor=None, actor_label="test", now=now)
    answer_reservation(reservation_key=str(plan.reservations.get().key), state="accepted", reason="", at=now)
    links.make(plan_id=plan.pk, actor=None, kind=DriverLink.Kind.ETA, now=now)
    plan = ChargePlan.objects.get(pk=plan.pk)
    paths = {link.kind: links.path_of(link) for link in plan.driver_links.all()}
    assert plan.connector is not None
    return {
        "drive": paths[DriverLink.Kind.DRIVE], "arrival": paths[DriverLink.Kind.ETA],
        "plug": plan.connector.evse.public_id,
    }  # fmt: skip


def _invited(organisation: Organisation) -> str:
    invited = invitations.invite(
        organisation=organisation, email="new@namma.example", role="driver", actor=None, now=timezone.now()
    )
    return invitations.link_of(invited).rstrip("/").rsplit("/", 1)[1]


def _screen(organisation: Organisation) -> str:
    now = timezone.now()
    link = screens.make(organisation_id=organisation.pk, name="Control room", days=7, actor=None, now=now)
    return screens.path_of(link)


def _payments(organisation: Organisation) -> dict[str, object]:
    now = timezone.now()
    end = now + timedelta(hours=1)
    top_up = PaymentIntent.objects.create(
        organisation=organisation, key="top-up", kind="order", state="sent", amount_paise=25_000_00, order_id="order_1",
        sent_at=now, expires_at=end,
    )  # fmt: skip
    code = PaymentReceiver.objects.create(
        organisation=organisation, key="code", kind="qr", state="active", amount_paise=3_000_00, gateway_id="qr_1",
        closes_at=end, details={"image_content": "upi://pay?pa=namma@okhdfc&am=3000.00&tr=1"},
    )  # fmt: skip
    return {"top_up": top_up.pk, "code": code.pk}
