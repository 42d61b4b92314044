"""VoltGrid lists sites of CityPlug too, and bills some visits: what the review queue and the dispute file show."""

from datetime import timedelta
from pathlib import Path

import pytest

from fleetcharge.demo import ocpi, records
from fleetcharge.demo.bays import Booking
from fleetcharge.demo.cpo import Cpo, Peering
from fleetcharge.demo.network import CITYPLUG, Network, draw_network
from fleetcharge.demo.partners import Partner
from fleetcharge.demo.tests.factories import NOW, manifest_of
from stations.cpo.ocpi.dialects import dialect_of
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.receivers.cdrs import read_cdr
from stations.dedupe import ASK_FROM, MERGE_FROM, Site, compare


@pytest.fixture
def network() -> Network:
    return draw_network(7, NOW, CITYPLUG)


def described(raw: dict[str, object], pk: int, source_id: int) -> Site:
    doc = LocationIn.model_validate(raw).doc()
    plugs = tuple((plug.plug, plug.max_power_w) for evse in doc.evses for plug in evse.connectors)
    operator = doc.party[2] if doc.party else ""
    where = (doc.latitude, doc.longitude)
    return Site(pk, source_id, doc.name, doc.address, doc.postal_code, operator, *where, plugs, len(doc.evses))


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_one_is_merged_by_itself_and_two_are_asked_about(seed: int) -> None:
    network = draw_network(seed, NOW, CITYPLUG)
    scores = []
    for number, listed in enumerate(Partner(network).sites()):
        theirs = ocpi.location(network, network.sites[number], CITYPLUG)
        pair = compare(described(theirs, 1, 1), described(ocpi.location(network, listed, CITYPLUG), 2, 2))
        scores.append(pair.score if pair else 0.0)
    assert scores[0] > MERGE_FROM
    assert all(ASK_FROM < score < MERGE_FROM for score in scores[1:]), scores
    assert len(scores) == 3


def test_the_partner_tells_each_change_once(network: Network) -> None:
    partner = Partner(network)
    listed = [bay.key for bay in partner.bays()]
    assert partner.changed() == listed
    assert partner.changed() == []
    bay = network.bays[listed[0]]
    bay.fault = "" if bay.fault else "OtherError"
    other = network.sites[5].bays[0]
    other.fault = "" if other.fault else "OtherError"
    assert partner.changed() == [bay.key]
    assert (partner.site_of(bay.key) or network.sites[1]).id == network.sites[0].id
    assert partner.site_of(other.key) is None


def test_a_bay_of_the_partner_is_reserved_where_it_is(network: Network, tmp_path: Path) -> None:
    volt = draw_network(7, NOW)
    cpo = Cpo(volt, "http://127.0.0.1:1", tmp_path / "p.json", Peering("a"), None)  # type: ignore[arg-type]
    cpo.partner = Partner(network)
    bay = next(bay for bay in cpo.partner.bays() if bay.status == "Available")
    assert cpo._world(bay.key)[0].reserve(bay.key, Booking("r", "T", NOW)) == "ACCEPTED"
    assert cpo._cancel("r") == "ACCEPTED"
    assert cpo._cancel("r") == "UNKNOWN_RESERVATION"
    assert bay.booking is None


def test_the_records_read_and_one_is_dearer_than_its_tariff(tmp_path: Path) -> None:
    manifest, volt = manifest_of(vehicles=5), draw_network(7, NOW)
    made = records.records_of(manifest, volt, tmp_path, NOW)
    assert records.records_of(manifest, volt, tmp_path, NOW + timedelta(days=1)) == made  # they never change
    cdrs = [read_cdr(dialect_of("2.2.1").read("cdr", raw, ("", ""))) for raw in made]
    assert len({cdr.id for cdr in cdrs}) == len(cdrs) == 3
    tokens = [vehicle.token_uid for vehicle in manifest.vehicles]
    assert all(cdr.cdr_token.uid in tokens and cdr.cdr_location.evse_uid in volt.bays for cdr in cdrs)
    assert all(cdr.start_date_time < cdr.end_date_time < NOW for cdr in cdrs)
    price = records.DC_PRICE
    asked = [float(cdr.costs()["total_energy_cost"]["before_taxes"]) / float(cdr.total_energy) for cdr in cdrs]
    assert [round(each, 2) for each in asked] == [price, price, price + 3.5]
