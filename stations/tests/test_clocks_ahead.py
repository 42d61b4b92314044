"""One message of a clock that is years ahead does not silence its network: what comes after it is news."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from fleetcharge.demo.peers import objects
from stations.cpo.ocpi.models import PeerDocument, RoamingSession
from stations.models import Connector, Location, Party, Tariff
from stations.ordering import is_older
from stations.tests.ocpi_peers import Network, code

pytestmark = pytest.mark.django_db(transaction=True)
AHEAD, NEWS, OLD = "2099-01-01T00:00:00Z", "2026-11-21T09:00:00Z", "2026-11-20T09:00:00Z"
TAKEN = ((200, 1000), (201, 1000))


def test_a_session_goes_on_and_ends(everywhere: Network) -> None:
    v = everywhere.version
    for changes in ({"last_updated": AHEAD}, {"kwh": 20, "status": "COMPLETED", "last_updated": NEWS}):
        assert code(everywhere.peer.put("sessions", "S1", body=objects.session(v, **changes))) in TAKEN
    assert RoamingSession.objects.values_list("status", "energy_wh").get() == ("COMPLETED", 20_000)
    late = objects.session(v, kwh=1, last_updated=OLD)
    assert code(everywhere.peer.put("sessions", "S1", body=late)) == (200, 1000)
    assert RoamingSession.objects.get().energy_wh == 20_000  # the order of honest times counts again


def test_a_site_and_its_plugs_change_again(usual: Network) -> None:
    for name, power, moment in (("Ahead", 30_000, AHEAD), ("News", 50_000, NEWS)):
        plug = objects.connector("2.2.1", max_electric_power=power)
        units = [objects.evse("2.2.1", "E1-1", connectors=[plug], last_updated=moment)]
        site = objects.location("2.2.1", 1, name=name, evses=units, last_updated=moment)
        assert code(usual.peer.put("locations", "L1", body=site)) in TAKEN
    assert Location.objects.filter(name="News").exists()
    assert usual.plug().max_power_w == 50_000
    for power, moment in ((60_000, AHEAD), (70_000, NEWS)):
        plug = objects.connector("2.2.1", max_electric_power=power, last_updated=moment)
        assert code(usual.peer.put("locations", "L1", "E1-1", "1", body=plug)) in TAKEN
    assert Connector.objects.get(evse__uid="E1-1").max_power_w == 70_000


def test_a_price_changes_again(usual: Network) -> None:
    for price, moment in ((30, AHEAD), (25, NEWS)):
        elements = [{"price_components": [{"type": "ENERGY", "price": price, "step_size": 1}]}]
        body = objects.tariff("2.2.1", elements=elements, last_updated=moment)
        assert code(usual.peer.put("tariffs", "DAY", body=body)) in TAKEN
    assert Tariff.objects.get(valid_to=None).elements[0]["price_components"][0]["price"] == "25"


def test_a_party_of_a_hub_and_a_record_change_again(modern: Network) -> None:
    for status, moment in (("OFFLINE", AHEAD), ("CONNECTED", NEWS)):
        body = {"party_id": "XYZ", "country_code": "IN", "role": "CPO", "status": status, "last_updated": moment}
        assert code(modern.peer.push("PUT", "hubclientinfo", "IN", "XYZ", body=body)) in TAKEN
    assert Party.objects.get(party_id="XYZ").hub_status == "CONNECTED"
    for cdrs, moment in ((["C1"], AHEAD), (["C1", "C2"], NEWS)):
        body = objects.invoice("I1", *cdrs, last_updated=moment)
        assert code(modern.peer.put("invoicereconciliation", "I1", body=body)) in TAKEN
    assert PeerDocument.objects.get(kind="invoice").cdr_ids == ["C1", "C2"]


INDIAN = timedelta(hours=5, minutes=30)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("new", "held", "answer"),
    [
        (INDIAN - timedelta(minutes=1), INDIAN, True),
        (INDIAN, INDIAN, False),
        (INDIAN + timedelta(minutes=1), INDIAN, False),
        (timedelta(0), INDIAN, False),  # the clock was put right
        (INDIAN, timedelta(days=2), False),
        (timedelta(0), timedelta(days=26_000), False),
        (-timedelta(days=1), timedelta(minutes=1), True),
    ],
)
def test_a_clock_that_is_steadily_ahead_orders_its_own_words(new: timedelta, held: timedelta, answer: bool) -> None:
    assert is_older(NOON + new, NOON + held, NOON) is answer


def test_a_network_that_calls_indian_time_utc_does_not_go_back(usual: Network) -> None:
    now = timezone.now() + INDIAN
    for kwh, moment in ((20, now), (10, now - timedelta(minutes=10)), (21, now + timedelta(minutes=1))):
        body = objects.session("2.2.1", kwh=kwh, last_updated=moment.isoformat())
        assert code(usual.peer.put("sessions", "S1", body=body)) in TAKEN
        assert RoamingSession.objects.get().energy_wh == max(kwh, 20) * 1000
