"""Logs that chargers send us: one address, one file, once; and firmware updates whose silence is noticed."""

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from django.utils import timezone

from fleetcharge.accounts.models import AuditEntry, Organisation
from ocpp_bridge import commands, firmware, jobs, upload_route, uploads
from ocpp_bridge.models import ChargerJob, Command, Upload
from ocpp_bridge.tests import factories
from ocpp_bridge.threads import in_database
from stations.models import Charger

NOW = datetime.now(UTC)


@pytest.fixture
def station(transactional_db: None, organisation: Organisation, settings, tmp_path: Path) -> Charger:
    settings.MEDIA_ROOT = tmp_path
    settings.PUBLIC_BASE_URL = "http://csms.example"
    return factories.charger(organisation, "BLR-1", protocol="ocpp1.6")


@pytest.fixture
async def http(station: Charger) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=upload_route.upload)
    async with httpx.AsyncClient(transport=transport, base_url="http://csms.example") as client:
        yield client
    upload_route.threads.close()


def ask(station: Charger, kind: str = "diagnostics", key: str = "k") -> tuple[Upload, str]:
    """The upload and the address as it went to the charger."""
    upload = uploads.ask_for_log(
        charger_id=station.pk, kind=kind, actor=None, actor_label="Asha", reason="odd noises", key=key, now=NOW
    )
    return upload, Command.objects.get(pk=upload.command_id).parameters["location"]


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def test_a_file_is_kept_once_with_its_size_and_digest(
    http: httpx.AsyncClient, station: Charger, tmp_path: Path
) -> None:
    upload, address = await in_database(ask, station)
    body = b"line\n" * 40_000
    answer = await http.put(address + "diag 2026.log", content=body)
    assert (answer.status_code, answer.json()["sha256"]) == (201, hashlib.sha256(body).hexdigest())
    await upload.arefresh_from_db()
    assert (upload.state, upload.size_bytes, upload.file_name) == ("received", len(body), "diag 2026.log")
    assert uploads.path_of(upload).read_bytes() == body
    again = await http.put(address, content=b"other")
    assert (again.status_code, again.json()["code"]) == (409, "already_received")
    assert [path.read_bytes() for path in files(tmp_path)] == [body]


async def test_a_file_that_could_not_be_put_in_its_place_is_not_received(
    http: httpx.AsyncClient, station: Charger, tmp_path: Path
) -> None:
    upload, address = await in_database(ask, station)
    place = uploads.path_of(upload)
    (place / "in the way").mkdir(parents=True)
    assert (await http.put(address, content=b"log")).status_code == 500
    await upload.arefresh_from_db()
    assert (upload.state, files(tmp_path)) == ("waiting", [])
    (place / "in the way").rmdir()
    place.rmdir()
    assert (await http.put(address, content=b"log")).status_code == 201
    assert place.read_bytes() == b"log"


def test_the_halves_a_killed_process_left_are_dropped(station: Charger, tmp_path: Path) -> None:
    folder = tmp_path / "charger-uploads" / "1"
    folder.mkdir(parents=True)
    for name, age in (
        ("old.x.part", uploads.PATIENCE * 2),
        ("coming.x.part", timedelta(0)),
        ("kept", 9 * uploads.PATIENCE),
    ):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, ((NOW - age).timestamp(),) * 2)
    uploads.sweep(now=NOW)
    assert sorted(path.name for path in files(tmp_path)) == ["coming.x.part", "kept"]


async def test_a_form_is_unwrapped(http: httpx.AsyncClient, station: Charger) -> None:
    upload, address = await in_database(ask, station)
    body = b"PK\x03\x04" + bytes(range(256)) * 50
    answer = await http.post(address, files={"note": (None, "x"), "file": ("../../etc/log.zip", body)})
    assert answer.status_code == 201
    await upload.arefresh_from_db()
    assert (upload.file_name, upload.size_bytes) == ("log.zip", len(body))
    assert uploads.path_of(upload).read_bytes() == body


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "multipart/form-data", "text/plain"])
async def test_a_broken_form_is_kept_as_it_came(http: httpx.AsyncClient, station: Charger, content_type: str) -> None:
    upload, address = await in_database(ask, station)
    assert (await http.post(address, content=b"--y\r\nno", headers={"content-type": content_type})).status_code == 201
    assert uploads.path_of(upload).read_bytes() == b"--y\r\nno"


async def test_nobody_without_the_address_gets_in_and_nothing_is_left(
    http: httpx.AsyncClient, station: Charger, settings, tmp_path: Path
) -> None:
    upload, address = await in_database(ask, station)
    assert (await http.put(f"/ocpp-uploads/{upload.pk}/wrong/", content=b"x")).json()["code"] == "unknown_upload"
    assert (await http.put("/ocpp-uploads/not-a-uuid/x/", content=b"x")).status_code == 404
    assert (await http.put("/ocpp-uploads/", content=b"x")).status_code == 404
    assert (await http.get(address)).status_code == 405
    settings.OCPP_UPLOAD_MAX_BYTES = 10
    assert (await http.put(address, content=b"x" * 11)).json()["code"] == "too_large"
    assert files(tmp_path) == []
    assert (await http.put(address, content=b"x" * 10)).status_code == 201


async def test_an_address_that_waited_too_long_is_closed_and_old_files_go(
    http: httpx.AsyncClient, station: Charger, settings, tmp_path: Path
) -> None:
    _, address = await in_database(ask, station)
    _, other = await in_database(ask, station, "security", "k2")
    assert (await http.put(other, content=b"log")).status_code == 201
    assert await in_database(uploads.sweep, now=NOW + uploads.PATIENCE) == 1
    assert (await http.put(address, content=b"x")).json()["code"] == "expired"
    settings.OCPP_UPLOAD_DAYS = 1
    await in_database(uploads.sweep, now=NOW + timedelta(days=2))
    assert files(tmp_path) == []
    assert await in_database(Upload.objects.count) == 0


def test_the_same_key_is_the_same_request_and_it_is_audited(station: Charger) -> None:
    first, address = ask(station)
    second, _ = ask(station)
    assert first.pk == second.pk
    assert address.startswith(f"http://csms.example/ocpp-uploads/{first.pk}/")
    assert Command.objects.get().action == Command.Action.GET_DIAGNOSTICS
    assert AuditEntry.objects.get(action="charger.log").reason == "odd noises"
    assert first.token_hash not in address


def test_a_finished_command_no_longer_shows_the_address(station: Charger) -> None:
    _, address = ask(station)
    command = Command.objects.get()
    commands.finish(command_id=command.pk, state="accepted", reason="", response={"fileName": "x"}, at=NOW)
    command.refresh_from_db()
    assert address.split("/")[-2] not in str(command.parameters)


# --- firmware -----------------------------------------------------------------------------------------------------


def update(station: Charger, location: str = "https://user:pw@fw.example/a.bin?sig=1", **more: str) -> Command:
    return firmware.start_update(
        charger_id=station.pk, location=location, actor=None, actor_label="Asha", reason="bug", key="f", now=NOW, **more
    )


def accept(command: Command, request: dict) -> None:
    Command.objects.filter(pk=command.pk).update(request=request, sent_at=NOW)
    commands.finish(command_id=command.pk, state="accepted", reason="", response={}, at=timezone.now())


def test_an_accepted_update_is_a_job_whose_silence_is_noticed(station: Charger) -> None:
    command = update(station)
    assert command.action == Command.Action.UPDATE_FIRMWARE
    assert AuditEntry.objects.get(action="charger.firmware").after["location"] == "https://fw.example/a.bin"
    assert firmware.begin_job(command_id=str(command.pk), at=NOW) is None
    accept(command, {"location": "x", "retrieveDate": "y"})
    assert firmware.begin_job(command_id=str(command.pk), at=NOW) is not None
    assert firmware.begin_job(command_id=str(command.pk), at=NOW) is None
    jobs.note_progress(charger_id=station.pk, kind="firmware", status="Downloading", request_id=None, received_at=NOW)
    job = ChargerJob.objects.get()
    assert [step[0] for step in job.steps] == ["Requested", "Downloading"]
    assert jobs.show_stuck(now=NOW + timedelta(days=2)) == 1
    assert ChargerJob.objects.get().has_failed


def test_a_signed_update_goes_by_its_request_id(station: Charger) -> None:
    command = update(station, signing_certificate="-----BEGIN CERTIFICATE-----\nx\n", signature="abc")
    assert command.action == Command.Action.SIGNED_UPDATE_FIRMWARE
    number = command.parameters["request_id"]
    accept(command, {"requestId": number})
    firmware.begin_job(command_id=str(command.pk), at=NOW)
    assert ChargerJob.objects.get().request_id == number


@pytest.mark.parametrize("location", ["", "fw.bin", "file:///etc/passwd", "javascript:alert(1)", "https://"])
def test_an_address_nobody_can_fetch_from_is_refused(station: Charger, location: str) -> None:
    with pytest.raises(firmware.BadLocation):
        update(station, location)
    assert Command.objects.count() == 0
