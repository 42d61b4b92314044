"""The programs on the documentation page of the API do what they say, in every language, against a live server."""

import ast
import html
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from dispatch.models import Reservation
from dispatch.tests import factories
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.api_samples import EXAMPLES, GUIDES, LANGUAGES
from stations.models import Connector
from stations.services import report_from_source
from stations.tests.factories import give_access, make_public_connector, make_source
from stations.tests.serving import serve
from tests.contract.leftovers import close_leftovers
from tests.running import wait_for

DOCUMENT = yaml.safe_load((Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml").read_text())
SHOWN = sum(len(operations) for operations in DOCUMENT["paths"].values()) + len(GUIDES)
RUNNERS = {"sh": shutil.which("sh") or "sh", "py": sys.executable, "mjs": shutil.which("node") or "node"}
NEEDS = {"sh": "curl", "mjs": "node"}
IN_EVERY_LANGUAGE = pytest.mark.parametrize("end", LANGUAGES)


def command(name: str, end: str) -> list[str]:
    if end in NEEDS and not shutil.which(NEEDS[end]):
        pytest.skip(f"needs {NEEDS[end]}")
    return [RUNNERS[end], str(EXAMPLES / f"{name}.{end}")]


@pytest.fixture
def plug(organisation: Organisation, transactional_db: None) -> Connector:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    give_access(organisation, source)
    return make_public_connector(source, name="Ring Road", status="available", heard_at=timezone.now())


@pytest.fixture
def env(organisation: Organisation, plug: Connector) -> Iterator[dict[str, str]]:
    from fleetcharge.asgi import application

    _, secret = accounts.create_api_key(organisation=organisation, name="example", scopes=list(Scope.values))
    vehicle = factories.vehicle(organisation, at=timezone.now())
    with serve(application) as base:
        given = {"BASE": base, "KEY": secret, "CONNECTOR": plug.public_id, "VEHICLE": str(vehicle.pk), "CURSOR": ""}
        yield {**os.environ, **given}
    close_leftovers()


def run(name: str, end: str, env: dict[str, str], folder: Path) -> list[str]:
    done = subprocess.run(command(name, end), env=env, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line]


@IN_EVERY_LANGUAGE
def test_nearest(end: str, env: dict[str, str], tmp_path: Path) -> None:
    lines = run("nearest", end, env, tmp_path)
    assert "Ring Road" in lines[0]
    assert lines[-1] in {"304", "200"}  # 200 only when the minute has just changed
    if lines[-1] == "200":
        assert run("nearest", end, env, tmp_path)[-1] == "304"


@IN_EVERY_LANGUAGE
def test_reserve(end: str, env: dict[str, str], tmp_path: Path) -> None:
    lines = run("reserve", end, env, tmp_path)
    reservation = Reservation.objects.get()
    assert "\n".join(lines).count(str(reservation.number)) >= 2  # both answers, one promise
    if end != "sh":
        assert [line.split()[1] for line in lines[1:]] == ["false", "true"]


@IN_EVERY_LANGUAGE
def test_follow(end: str, env: dict[str, str], plug: Connector, tmp_path: Path) -> None:
    table = Client(headers={"X-API-Key": env["KEY"]}).get("/api/v1/connectors/status/").json()
    heard = tmp_path / "heard.txt"
    with heard.open("w") as out:
        process = subprocess.Popen(
            command("follow", end), env={**env, "CURSOR": table["cursor"]}, stdout=out, start_new_session=True
        )
        try:
            for status in ("charging", "available"):
                now = timezone.now()
                report_from_source(
                    evse_id=plug.evse_id, raw_status=status.upper(), status=status, at=now, received_at=now
                )
                wait_for(status, partial(_is_last, status, heard, plug))
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # a shell leaves curl behind
            process.wait()


def _is_last(status: str, heard: Path, plug: Connector) -> bool:
    return _last_status(heard, plug) == status


def _last_status(heard: Path, plug: Connector) -> str:
    lines = [line for line in heard.read_text().splitlines() if plug.public_id in line]
    if lines and lines[-1].startswith("data: "):
        return str(re.findall(r'"status":"(\w+)"', lines[-1])[-1])
    return lines[-1].split()[-1] if lines else ""


def test_the_page_shows_every_program_and_every_operation_in_three_languages(client: Client, db: None) -> None:
    page = client.get("/api/v1/docs/", headers={"host": "testserver"}).content.decode()
    for name in GUIDES:
        assert f'id="guide-{name}"' in page
    assert page.count("<summary>curl</summary>") == page.count("<summary>JavaScript</summary>") == SHOWN
    assert "https://HOST" not in page
    assert "http://testserver/api/v1/stream/" in page
    assert "Idempotency-Key" in page


def test_every_sample_of_python_can_be_read(client: Client, db: None) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    found = re.findall(r"<summary>Python</summary><pre[^>]*><code>(.*?)</code>", page, re.DOTALL)
    assert len(found) == SHOWN
    for code in found:
        ast.parse(html.unescape(code))


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_every_sample_of_javascript_can_be_read(client: Client, db: None, tmp_path: Path) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    found = re.findall(r"<summary>JavaScript</summary><pre[^>]*><code>(.*?)</code>", page, re.DOTALL)
    file = tmp_path / "all.mjs"
    file.write_text("\n".join(f"async () => {{\n{html.unescape(code)}\n}};" for code in found[len(GUIDES) :]))
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:500]
