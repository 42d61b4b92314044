"""Tenants never see each other: every route, walked by nobody, by a stranger's session and by a stranger's key."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Membership, Organisation, Scope, User
from tests.belongings import Belongings, belongings_of

PUBLIC = {"login/", "healthz/", "api/v1/schema/", "api/v1/docs/", "i18n/setlang/", "admin/login/", "admin/jsi18n/"}
PUBLIC |= {"go/worker.js", "go/at/<str:code>/"}  # a script, and where a plug's code leads: they name no tenant
PUBLIC |= {"privacy/"}  # the notice of the DPDP Act
PUBLIC |= {"basemap/"}  # streets of OpenStreetMap, the same for everybody
PUBLIC |= {"metrics"}  # guarded by address and token instead (ocpp_bridge/tests/test_metrics.py); names no tenant

TABLES = {"stations/", "fleet/", "sessions/", "alerts/", "reservations/"}
STATEMENTS = {"wallet/statement/file/", "api/v1/wallet/statement/file/"}


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        else:
            yield path.replace("^", "").replace("$", "").replace("\\Z", "")


ALL = sorted(set(routes(get_resolver().url_patterns)))


def test_nobody_gets_past_the_door(client: Client, db: None) -> None:
    open_doors = []
    for route in ALL:
        path = "/" + belongings_of(None).fill(route)
        if route.removeprefix("^") in PUBLIC or "<path" in route or "<url" in route:
            continue
        status = client.get(path).status_code
        if status not in {301, 302, 401, 403, 404, 405}:
            open_doors.append((route, status))
    assert open_doors == []


@pytest.fixture
def fleet(organisation: Organisation) -> Belongings:
    return belongings_of(organisation)


def _leaks(client: Client, fleet: Belongings, headers: dict[str, str], asked: str = "") -> list[tuple[str, int, str]]:
    """Routes where a row, a name or a number of the fleet shows; what the asker wrote into the address is no secret."""
    found = []
    for route in ALL:
        if "logout" in route or route in PUBLIC or (asked and route.startswith("admin/")):  # where files have addresses
            continue
        path = "/" + fleet.fill(route) + (f"?{asked}" if asked else "")
        answer: Any = client.get(path, headers=headers)
        found += [(path, answer.status_code, sign) for sign in _signs_in(answer, fleet) if sign not in path]
    return found


def _signs_in(answer: Any, fleet: Belongings) -> list[str]:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    if body.startswith(b"PK"):  # a sheet is an archive
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = b"".join(map(archive.read, archive.namelist()))
    return [sign for sign in fleet.signs if sign.encode() in body]


@pytest.mark.parametrize("role", [Membership.Role.OWNER, Membership.Role.DISPATCHER, Membership.Role.FINANCE])
def test_a_strangers_session_sees_nothing_of_the_fleet(
    client: Client, fleet: Belongings, other_organisation: Organisation, role: str
) -> None:
    stranger = User.objects.create_user("s@stranger.example", "correct horse", is_staff=True)
    Membership.objects.create(user=stranger, organisation=other_organisation, role=role)
    client.force_login(stranger)
    assert _leaks(client, fleet, {}) == []


def test_a_strangers_key_sees_nothing_of_the_fleet(
    client: Client, fleet: Belongings, other_organisation: Organisation
) -> None:
    _, secret = accounts.create_api_key(organisation=other_organisation, name="all", scopes=list(Scope.values))
    assert _leaks(client, fleet, {"Authorization": f"Bearer {secret}"}) == []


def test_the_signs_do_show_to_the_owner(client: Client, fleet: Belongings, owner: User) -> None:
    """Otherwise the tests above could not fail."""
    client.force_login(owner)
    seen = {sign for _, _, sign in _leaks(client, fleet, {})}
    assert seen == set(fleet.signs)


@pytest.mark.parametrize(
    ("asked", "files"),
    [("export=csv", TABLES), ("export=xlsx", TABLES), ("as=csv", STATEMENTS), ("as=xlsx", STATEMENTS)],
)
def test_no_file_tells_a_stranger_anything(
    client: Client, fleet: Belongings, owner: User, stranger: User, asked: str, files: set[str]
) -> None:
    """Every page and every part of the API is asked for its file; those of the owner show what there is to be seen."""
    client.force_login(owner)
    assert {path for path, _, _ in _leaks(client, fleet, {}, asked)} >= {f"/{route}?{asked}" for route in files}
    client.force_login(stranger)
    assert _leaks(client, fleet, {}, asked) == []


def test_a_strangers_key_changes_nothing(client: Client, fleet: Belongings, other_organisation: Organisation) -> None:
    _, secret = accounts.create_api_key(organisation=other_organisation, name="all", scopes=list(Scope.values))
    before = fleet.fingerprint()
    for route in ALL:
        if route.startswith("api/v1/") and "<" in route:
            path = "/" + fleet.fill(route)
            for method in (client.post, client.put, client.patch, client.delete):
                answer = method(path, data={}, content_type="application/json", headers={"X-API-Key": secret})
                assert answer.status_code in {400, 403, 404, 405, 415}, (path, answer.status_code, answer.content[:200])
    assert fleet.fingerprint() == before
