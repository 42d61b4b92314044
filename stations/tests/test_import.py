"""Real files are dirty: every row is cleaned, corrected in the open, or refused with its reason; nothing twice."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fleetcharge.accounts.models import Organisation
from stations.imports import india
from stations.models import Connector, Location, Source, Tariff

DIRTY = Path(__file__).parent / "data" / "dirty.csv"


def load(path: Path, **options: Any) -> str:
    out = StringIO()
    call_command("import_stations", path, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def test_a_dirty_file_becomes_clean_stations_and_an_honest_report(db: None, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    said = load(DIRTY, source="Open map", report=report)
    assert said.splitlines()[-1] == "9 rows: 4 stations with 5 connectors written, 4 rows corrected, 5 rejected"
    with report.open() as file:
        codes = {int(row["line"]): row["code"] for row in csv.DictReader(file)}
    assert codes == {
        2: "corrected", 3: "corrected", 4: "corrected", 5: "pin_contradicts_position", 6: "outside_india",
        7: "no_position", 8: "no_name", 9: "bad_power", 10: "corrected",
    }  # fmt: skip


def test_states_prices_positions_and_power_are_put_right(db: None) -> None:
    load(DIRTY, source="Open map")
    swapped = Location.objects.get(name="Swapped Point")
    assert (swapped.state, swapped.latitude, swapped.longitude) == ("Telangana", 17.3401, 78.5775)
    assert Location.objects.get(name="EVP Hub").state == "Tamil Nadu"
    assert Location.objects.filter(name="Saravana Stores").exists()
    plug = Connector.objects.get(evse__location=swapped)
    assert (plug.plug, plug.max_power_w, plug.tariff, plug.status) == ("type2_socket", 7_400, None, "unknown")
    prices = {t.external_id: t.elements[0]["price_components"][0]["price"] for t in Tariff.objects.all()}
    assert prices == {"import-2200": "22.00", "import-1950": "19.50"}
    fine = Location.objects.get(name="Fine")
    assert (fine.state, fine.postal_code, fine.evses.count()) == ("", "", 1)


def test_a_dry_run_writes_nothing_and_says_so(db: None) -> None:
    assert "would be written" in load(DIRTY, dry_run=True)
    assert (Source.objects.count(), Location.objects.count(), Tariff.objects.count()) == (0, 0, 0)


def test_loading_again_keeps_every_id(db: None) -> None:
    load(DIRTY, source="Open map")
    before = list(Location.objects.order_by("pk").values_list("pk", "public_id", "evses__connectors__public_id"))
    load(DIRTY, source="Open map")
    assert (
        list(Location.objects.order_by("pk").values_list("pk", "public_id", "evses__connectors__public_id")) == before
    )


def test_a_position_may_be_trusted_over_its_pin(db: None) -> None:
    load(DIRTY, source="Open map", trust_position=True)
    assert Location.objects.get(name="Wrong PIN").postal_code == ""


def test_geojson_and_open_charge_map_give_the_same_station(db: None, tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [77.5847, 12.9225]}
    properties = {"name": "GeoJSON Hub", "plug": "CCS2", "kw": 60, "state": "Karnataka"}
    feature = {"type": "Feature", "id": "g1", "geometry": point, "properties": properties}
    geojson = tmp_path / "a.geojson"
    geojson.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    address = {"Title": "OCM Hub", "Latitude": 12.9225, "Longitude": 77.5847, "StateOrProvince": "KA"}
    connections = [{"ConnectionTypeID": 33, "PowerKW": 60, "Quantity": 2}, {"ConnectionTypeID": 25, "PowerKW": 22}]
    ocm = tmp_path / "b.json"
    ocm.write_text(json.dumps([{"ID": 7, "AddressInfo": address, "Connections": connections, "UsageCost": "₹18"}]))
    load(geojson)
    load(ocm)
    shown = {
        site.name: sorted(c.plug for c in Connector.objects.filter(evse__location=site))
        for site in Location.objects.all()
    }
    assert shown == {"GeoJSON Hub": ["ccs2"], "OCM Hub": ["ccs2", "ccs2", "type2_socket"]}


@pytest.mark.parametrize(
    ("content", "why"), [("a,b\n1,2\n", "latitude and longitude"), ("{}", "no geojson file"), ("[1]", "no ocm file")]
)
def test_a_file_that_is_no_list_of_stations_is_a_clear_error(db: None, tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "file.txt"
    path.write_text(content)
    with pytest.raises(CommandError, match=why):
        load(path)


def test_a_missing_file_or_organisation_is_a_clear_error(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be opened"):
        load(tmp_path / "nothing.csv")
    with pytest.raises(CommandError, match="no organisation"):
        load(DIRTY, organisation="nobody")


def test_an_imported_depot_is_private(organisation: Organisation, other_organisation: Organisation) -> None:
    load(DIRTY, organisation=organisation.slug)
    assert Location.objects.visible_to(organisation).count() == 4
    assert Location.objects.visible_to(other_organisation).count() == 0


@pytest.mark.parametrize(
    ("raw", "state"),
    [("Tamilnadu", "Tamil Nadu"), ("KA", "Karnataka"), ("Maharashra", "Maharashtra"), ("Delhi Ncr", "Delhi"),
     (" Orissa ", "Odisha"), ("Jammu & Kashmir", "Jammu and Kashmir"), ("Bangalore", None), ("Narnia", None)],
)  # fmt: skip
def test_states_are_recognised_by_any_spelling(raw: str, state: str | None) -> None:
    assert india.state_of(raw) == state
