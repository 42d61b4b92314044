"""The page of one charger: everything known of it, for its own keepers, and orders that say why."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client

from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User
from ocpp_bridge import configuration, inventory, jobs, pages, security, uploads
from ocpp_bridge.models import Command, ConfigurationRollout, OddMessage, Upload
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.test_certificates import PEM, certificate
from ocpp_bridge.tests.test_frames_api import NOW, record
from stations.models import Charger, Connector, StatusChange

TABS = [name for name, _label, _icon in pages.TABS]


@pytest.fixture
def station(organisation: Organisation) -> Charger:
    return factories.charger(
        organisation, "BLR-1", protocol="ocpp1.6", vendor="Delta", model="DC60", is_online=True, node="n1",
        connected_at=NOW, last_seen_at=NOW, clock_skew_seconds=400.0,
    )  # fmt: skip


@pytest.fixture
def told(station: Charger) -> Charger:
    """With one of everything that can be shown."""
    record(station, action="StatusNotification", payload='[2,"m","StatusNotification",{"status":"<b>Available</b>"}]')
    record(station, action="Reset", direction=1, kind=4, payload='[4,"r","NotSupported","",{}]')
    connector = Connector.objects.filter(evse__charger=station).first()
    StatusChange.objects.create(connector=connector, old="unknown", new="faulted", raw_status="Faulted", at=NOW)
    configuration.store(charger_id=station.pk, rows=[("HeartbeatInterval", "77", False, False)], at=NOW)
    jobs.note_progress(charger_id=station.pk, kind="firmware", status="Downloading", request_id=None, received_at=NOW)
    pem = certificate("BLR-1", 20).public_bytes(PEM).decode()
    inventory.note_certificate(charger_id=station.pk, kind="station", pem=pem, origin="signed", at=NOW)
    OddMessage.objects.create(
        charger=station, protocol="ocpp1.6", message_id="m", action="StatusNotification", payload={"status": "Odd"},
        payload_hash=b"x" * 16, code="PropertyConstraintViolation", flaw="status: not one of", is_taken=True,
    )  # fmt: skip
    security.note_security_event(
        charger_id=station.pk, type="TamperDetectionActivated", tech_info="door", at=NOW, received_at=NOW
    )
    uploads.ask_for_log(
        charger_id=station.pk, kind="diagnostics", actor=None, actor_label="Asha", reason="noise", key="k", now=NOW
    )
    return station


def page(client: Client, tab: str = "frames", identity: str = "BLR-1", **query: str) -> str:
    answer = client.get(f"/chargers/{identity}/", {"tab": tab, **query})
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("tab", TABS)
def test_every_section_is_there_empty_and_full(
    client: Client, dispatcher: User, station: Charger, tab: str, request
) -> None:
    client.force_login(dispatcher)
    assert 'class="empty"' in page(client, tab)
    request.getfixturevalue("told")
    assert "BLR-1" in page(client, tab)


def test_what_was_told_is_shown(client: Client, dispatcher: User, told: Charger) -> None:
    client.force_login(dispatcher)
    frames = page(client)
    assert "&lt;b&gt;Available" in frames
    assert "<b>Available" not in frames
    assert "NotSupported" in frames
    assert "400.0 s" in frames
    assert "Clock 400 s ahead" in frames
    assert "Faulted" in page(client, "status")
    assert "77" in page(client, "configuration")
    assert "Downloading" in page(client, "firmware")
    assert "status: not one of" in page(client, "odd")
    assert "CN=BLR-1" in page(client, "certificates")
    assert "TamperDetectionActivated" in page(client, "security")
    commands = page(client, "commands")
    assert "Upload diagnostics" in commands


def test_frames_are_filtered_and_a_senseless_filter_is_ignored(client: Client, dispatcher: User, told: Charger) -> None:
    client.force_login(dispatcher)
    only = page(client, only_errors="true")
    assert ("NotSupported" in only, "Available" in only) == (True, False)
    assert "Available" in page(client, action="StatusNotification", since="yesterday", before="x")
    assert "Nothing fits this search" in page(client, action="NoSuchAction")


def test_the_header_alone_is_refreshed(client: Client, dispatcher: User, station: Charger) -> None:
    client.force_login(dispatcher)
    part = page(client, part="head")
    assert "<html" not in part
    assert "BLR-1" in part


@pytest.mark.parametrize(
    ("seen", "heard", "shown"), [(60, 5, 5), (60, 300, 60), (60, None, 60), (None, 5, 5), (None, None, None)]
)
def test_the_last_frame_is_the_newest_we_know_of(
    client: Client, dispatcher: User, station: Charger, seen: int | None, heard: int | None, shown: int | None
) -> None:
    """The charger's row is only touched once a minute; the recorder knows better, when it records."""
    Charger.objects.update(last_seen_at=None if seen is None else NOW - timedelta(seconds=seen))
    record(station, action="Reset", direction=1, age=1 / 60)  # ours says nothing of its life
    if heard is not None:
        record(station, action="Heartbeat", age=heard / 60)
    client.force_login(dispatcher)
    part = page(client, part="head")
    found = re.search(r"Last frame</dt><dd[^>]*>(?:<time datetime=\"([^\"]+)\"|(never))", part)
    assert found is not None
    assert (found[1] and datetime.fromisoformat(found[1])) == (
        None if shown is None else NOW - timedelta(seconds=shown)
    )


def test_an_identity_may_hold_slashes_and_spaces(client: Client, dispatcher: User, organisation: Organisation) -> None:
    factories.charger(organisation, "IN/DL 7")
    client.force_login(dispatcher)
    answer = client.get("/chargers/IN/DL%207/")
    assert answer.status_code == 200


def test_only_keepers_of_the_fleet_get_in(
    client: Client, told: Charger, stranger: User, finance: User, other_organisation: Organisation
) -> None:
    assert client.get("/chargers/BLR-1/").status_code == 302
    client.force_login(finance)
    assert client.get("/chargers/BLR-1/").status_code == 403
    Membership.objects.filter(user=stranger).update(role="owner")
    client.force_login(stranger)
    assert client.get("/chargers/BLR-1/").status_code == 404
    assert client.post("/chargers/BLR-1/", {"do": "reset", "kind": "hard", "reason": "x"}).status_code == 404
    assert Command.objects.filter(action="Reset").count() == 0


def order(client: Client, do: str, key: str = "k1", **fields: object) -> str:
    answer = client.post(
        "/chargers/BLR-1/?tab=commands", {"do": do, "key": key, "reason": "odd noises", **fields}, follow=True
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_order_is_queued_once_with_its_reason_in_the_trail(
    client: Client, dispatcher: User, station: Charger
) -> None:
    client.force_login(dispatcher)
    assert "Restart: asked for." in order(client, "reset", kind="soft")
    order(client, "reset", kind="soft")
    command = Command.objects.get()
    assert (command.action, command.parameters, command.actor) == ("Reset", {"kind": "soft"}, "Asha R")
    entry = AuditEntry.objects.get(action="charger.command")
    assert (entry.reason, entry.actor, entry.organisation) == ("odd noises", dispatcher, station.organisation)
    assert entry.after["command"] == str(command.pk)
    assert "odd noises" in page(client, "commands")


@pytest.mark.parametrize(
    ("do", "fields", "action", "parameters"),
    [
        ("availability", {"state": "inoperative", "evse_number": ""}, "ChangeAvailability", {"is_operative": False}),
        ("availability", {"state": "operative", "evse_number": "2"}, "ChangeAvailability",
         {"is_operative": True, "evse_number": 2}),
        ("unlock", {"evse_number": "1"}, "UnlockConnector", {"evse_number": 1}),
        ("trigger", {"message": "Heartbeat"}, "TriggerMessage", {"message": "Heartbeat"}),
        ("stop", {"transaction_ref": "4711"}, "RemoteStop", {"transaction_ref": "4711"}),
        ("read", {}, "GetConfiguration", {"keys": []}),
        ("certificates", {}, "GetInstalledCertificateIds", {"certificate_types": ["csms_root"]}),
    ],
)  # fmt: skip
def test_each_button_asks_for_what_it_says(
    client: Client, dispatcher: User, station: Charger, do: str, fields: dict, action: str, parameters: dict
) -> None:
    client.force_login(dispatcher)
    order(client, do, **fields)
    command = Command.objects.get()
    assert (command.action, command.parameters) == (action, parameters)
    assert AuditEntry.objects.filter(action="charger.command", reason="odd noises").count() == 1


@pytest.mark.parametrize(
    ("do", "fields"),
    [
        ("reset", {"kind": "soft", "reason": " "}), ("reset", {"kind": "sideways"}), ("unlock", {"evse_number": "-1"}),
        ("unlock", {"evse_number": "99999"}), ("unlock", {}), ("explode", {}), ("firmware", {"location": "fw.bin"}),
        ("align", {}), ("roll-back", {}),
    ],
)  # fmt: skip
def test_a_senseless_order_is_refused_and_changes_nothing(
    client: Client, dispatcher: User, station: Charger, do: str, fields: dict
) -> None:
    client.force_login(dispatcher)
    assert 'role="alert"' in order(client, do, **fields)
    assert Command.objects.count() == 0
    assert AuditEntry.objects.filter(target_type="stations.charger").count() == 0


def test_drift_is_brought_into_line_and_taken_back(client: Client, dispatcher: User, station: Charger) -> None:
    rows = [(key, value, False, False) for key, value in configuration.defaults().items()]
    configuration.store(charger_id=station.pk, rows=rows, at=NOW)
    configuration.store(charger_id=station.pk, rows=[("HeartbeatInterval", "77", False, False)], at=NOW)
    client.force_login(dispatcher)
    assert "Differs" in page(client, "configuration")
    order(client, "align")
    assert Command.objects.get().parameters == {"key": "HeartbeatInterval", "value": "300"}
    assert "1 change by Asha R" in page(client, "configuration")
    ConfigurationRollout.objects.get().changes.update(state="set")
    order(client, "roll-back", key="k2", rollout=ConfigurationRollout.objects.get().pk)
    assert Command.objects.order_by("created_at").last().parameters["value"] == "77"


def test_a_log_is_downloaded_by_its_own_fleet_only(
    client: Client, dispatcher: User, stranger: User, station: Charger, settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    upload = Upload.objects.create(
        charger=station, state="received", file_name="diag.log", token_hash="x", actor="x",
        expires_at=NOW + timedelta(hours=1),
    )  # fmt: skip
    path = uploads.path_of(upload)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<script>")
    client.force_login(dispatcher)
    answer = client.get(f"/charger-files/{upload.pk}/")
    assert b"".join(answer.streaming_content) == b"<script>"
    assert answer["Content-Disposition"] == 'attachment; filename="BLR-1-diag.log"'
    assert answer["Content-Type"] == "application/octet-stream"
    Membership.objects.filter(user=stranger).update(role="owner")
    client.force_login(stranger)
    assert client.get(f"/charger-files/{upload.pk}/").status_code == 404


def test_a_frame_beyond_the_thousandth_is_still_reached_by_its_id(
    client: Client, dispatcher: User, station: Charger
) -> None:
    record(station, action="Heartbeat")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ocpp_bridge_frame_pack SET id = 5441000")
    client.force_login(dispatcher)
    assert 'data-id="5441000"' in page(client)
