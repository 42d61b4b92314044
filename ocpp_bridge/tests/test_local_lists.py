"""A charger's local list over a real socket: read, compared, sent, repaired, and left alone when it is right."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import AllowedSite, ChargingPolicy
from billing.tests.factories import fund
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from ocpp_bridge import configuration, local_lists, tasks
from ocpp_bridge.models import Command, LocalList
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, until
from stations.models import Charger, Location, NetworkAccess
from vehicles.models import Driver, IdToken, Vehicle, VehicleModel

pytestmark = pytest.mark.django_db(transaction=True)
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}


def config(**keys: str) -> dict[str, Any]:
    return {"configurationKey": [{"key": key, "readonly": True, "value": value} for key, value in keys.items()]}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    fund(organisation, 1_000_00)
    factories.token(organisation, "TAG1")
    factories.token(organisation, "Tag2")
    return factories.charger(organisation, "BLR-017")


class Device:
    """A charger that keeps a list as OCPP asks it to."""

    def __init__(self, socket: Socket, **replies: dict[str, Any]) -> None:
        self.socket = socket
        socket.replies.update({"GetConfiguration": config(), "GetLocalListVersion": {"listVersion": 0}, **replies})

    @property
    def lists(self) -> list[dict[str, Any]]:
        return [payload for action, payload in self.socket.asked if action == "SendLocalList"]

    async def answers(self, count: int) -> None:
        """Until it has been asked so many things in all."""
        while len(self.socket.asked) < count:
            await self.socket.receive()
        await until(lambda: not Command.objects.filter(state__in=Command.OPEN_STATES).exists())


async def device(connect: Connect, *protocols: str, **replies: dict[str, Any]) -> Device:
    socket = await connect("BLR-017", subprotocols=list(protocols) or ["ocpp1.6"])
    await socket.call("Heartbeat", {})
    return Device(socket, **replies)


def row() -> LocalList:
    return LocalList.objects.get()


async def settled(state: str = "current") -> LocalList:
    await until(lambda: LocalList.objects.filter(state=state, command=None).exists())
    return row()


async def listed(connect: Connect, *protocols: str, **replies: dict[str, Any]) -> Device:
    """A device that has its first list."""
    charger = await device(connect, *protocols, **replies)
    tasks.sweep_local_lists()
    await charger.answers(3)
    await settled()
    return charger


async def test_a_charger_gets_the_tokens_that_may_charge_there(connect: Connect, station: Charger) -> None:
    charger = await listed(connect)
    assert [action for action, _ in charger.socket.asked] == [
        "GetConfiguration",
        "GetLocalListVersion",
        "SendLocalList",
    ]
    assert charger.lists == [{
        "listVersion": 1, "updateType": "Full", "localAuthorizationList": [
            {"idTag": "TAG1", "idTagInfo": {"status": "Accepted"}},
            {"idTag": "Tag2", "idTagInfo": {"status": "Accepted"}},
        ],
    }]  # fmt: skip
    kept = row()
    assert (kept.version_wanted, kept.version_there, kept.left_out) == (1, 1, 0)
    assert (kept.entries_there, kept.last_result) == (kept.entries, "SendLocalList: accepted")
    assert set(Command.objects.values_list("actor", flat=True)) == {"local list"}


async def test_a_list_that_is_right_is_left_alone(connect: Connect, station: Charger) -> None:
    await listed(connect)
    for _ in range(3):
        assert tasks.sweep_local_lists() == 0
    assert Command.objects.count() == 3


async def test_a_list_that_the_charger_does_not_use_is_not_called_up_to_date(
    connect: Connect, station: Charger
) -> None:
    """It is sent all the same: it is worth something from the moment that the charger is set right."""
    charger = await device(connect, GetConfiguration=config(LocalAuthListEnabled="false"))
    tasks.sweep_local_lists()
    await charger.answers(3)
    kept = await settled("disabled")
    assert (kept.is_enabled, kept.entries_there) == (False, kept.entries)
    assert tasks.sweep_local_lists() == 0
    assert Command.objects.count() == 3
    configuration.store(charger_id=station.pk, rows=[("LocalAuthListEnabled", "true", False, False)], at=timezone.now())
    tasks.sweep_local_lists()
    assert (row().state, row().is_enabled) == ("current", True)
    configuration.store(
        charger_id=station.pk, rows=[("LocalAuthListEnabled", "False", False, False)], at=timezone.now()
    )
    tasks.sweep_local_lists()
    assert (row().state, row().is_enabled) == ("disabled", False)


async def test_only_the_difference_travels(connect: Connect, station: Charger, organisation: Organisation) -> None:
    charger = await listed(connect)
    IdToken.objects.filter(uid="TAG1").update(is_active=False)
    IdToken.objects.create(organisation=organisation, uid="TAG3", valid_until=timezone.now() + timedelta(days=1))
    assert tasks.sweep_local_lists() == 1
    await charger.answers(4)
    sent = charger.lists[-1]
    assert (sent["listVersion"], sent["updateType"]) == (2, "Differential")
    gone, new = sent["localAuthorizationList"]
    assert gone == {"idTag": "TAG1"}
    assert (new["idTag"], new["idTagInfo"]["status"]) == ("TAG3", "Accepted")
    assert new["idTagInfo"]["expiryDate"].endswith("Z")
    assert (await settled()).version_there == 2


async def test_a_long_list_goes_in_messages_the_charger_can_take(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    for number in range(5):
        factories.token(organisation, f"MORE{number}")
    charger = await device(connect, GetConfiguration=config(SendLocalListMaxLength="3"))
    tasks.sweep_local_lists()
    await charger.answers(5)
    assert [(sent["listVersion"], len(sent["localAuthorizationList"])) for sent in charger.lists] == [
        (1, 3),
        (2, 3),
        (3, 1),
    ]
    assert [sent["updateType"] for sent in charger.lists] == ["Full", "Differential", "Differential"]
    kept = await settled()
    assert (kept.version_there, len(kept.entries_there), kept.max_per_message) == (3, 7, 3)


async def test_a_small_charger_keeps_what_fits_its_own_fleet_first(
    connect: Connect, station: Charger, other_organisation: Organisation
) -> None:
    fund(other_organisation, 1_000_00)
    factories.token(other_organisation, "A-GUEST")
    NetworkAccess.objects.create(organisation=other_organisation, source=station.location.source)
    Location.objects.update(organisation=None)
    charger = await device(connect, GetConfiguration=config(LocalAuthListMaxLength="2"))
    tasks.sweep_local_lists()
    await charger.answers(3)
    assert {entry["idTag"] for entry in charger.lists[0]["localAuthorizationList"]} == {"TAG1", "Tag2"}
    assert (await settled()).left_out == 1
    assert tasks.sweep_local_lists() == 0


@pytest.mark.parametrize("word", ["VersionMismatch", "Failed"])
async def test_a_charger_that_lost_track_gets_the_whole_list(connect: Connect, station: Charger, word: str) -> None:
    charger = await listed(connect)
    charger.socket.replies["SendLocalList"] = {"status": word}
    charger.socket.replies["GetLocalListVersion"] = {"listVersion": 41}
    IdToken.objects.filter(uid="TAG1").update(is_active=False)
    tasks.sweep_local_lists()
    while len(charger.socket.asked) < 5:  # the difference was refused, the version asked for
        await charger.socket.receive()
    charger.socket.replies["SendLocalList"] = {"status": "Accepted"}
    await charger.answers(6)
    sent = charger.lists[-1]
    assert (sent["updateType"], sent["listVersion"]) == ("Full", 42)
    assert [entry["idTag"] for entry in sent["localAuthorizationList"]] == ["Tag2"]
    assert ((await settled()).version_there, row().failures) == (42, 0)


async def test_a_charger_that_fails_again_and_again_is_left_in_peace_for_a_while(
    connect: Connect, station: Charger
) -> None:
    charger = await device(connect, SendLocalList={"status": "Failed"})
    tasks.sweep_local_lists()
    await charger.answers(5)  # limits, version, list, version, list
    failed = await settled("failed")
    assert (failed.failures, failed.last_result) == (2, "SendLocalList: Failed")
    assert failed.retry_at is not None and failed.retry_at > timezone.now()
    tasks.sweep_local_lists()
    assert Command.objects.count() == 5
    local_lists.sweep(now=failed.retry_at)
    await charger.answers(7)
    assert (await settled("failed")).failures == 3


@pytest.mark.parametrize(
    "reply", [{"GetLocalListVersion": {"listVersion": -1}}, {"SendLocalList": {"status": "NotSupported"}}]
)
async def test_a_charger_without_a_list_is_not_asked_again(
    connect: Connect, station: Charger, organisation: Organisation, reply: dict[str, Any]
) -> None:
    charger = await device(connect, **reply)
    tasks.sweep_local_lists()
    await charger.answers(2 if "GetLocalListVersion" in reply else 3)
    await settled("unsupported")
    factories.token(organisation, "TAG9")
    asked = Command.objects.count()
    tasks.sweep_local_lists()
    assert Command.objects.count() == asked


async def test_after_a_restart_the_charger_is_asked_what_it_has(connect: Connect, station: Charger) -> None:
    charger = await listed(connect, GetLocalListVersion={"listVersion": 0})
    charger.socket.replies["GetLocalListVersion"] = {"listVersion": 1}
    await charger.socket.call("BootNotification", BOOT)
    await charger.answers(4)
    await settled()
    assert len(charger.lists) == 1  # it remembers
    charger.socket.replies["GetLocalListVersion"] = {"listVersion": 0}
    await charger.socket.call("BootNotification", BOOT)
    await charger.answers(6)
    assert len(charger.lists) == 2  # it does not
    assert ((await settled()).version_there, len(charger.lists[-1]["localAuthorizationList"])) == (2, 2)


async def test_a_list_somebody_else_wrote_is_replaced(connect: Connect, station: Charger) -> None:
    charger = await device(connect, GetLocalListVersion={"listVersion": 7})
    tasks.sweep_local_lists()
    await charger.answers(3)
    assert (charger.lists[0]["updateType"], charger.lists[0]["listVersion"]) == ("Full", 8)


async def test_an_empty_fleet_takes_the_old_list_away(connect: Connect, station: Charger) -> None:
    IdToken.objects.all().delete()
    charger = await device(connect, GetLocalListVersion={"listVersion": 7})
    tasks.sweep_local_lists()
    await charger.answers(3)
    assert charger.lists == [{"listVersion": 8, "updateType": "Full", "localAuthorizationList": []}]


async def test_a_long_token_is_not_for_an_ocpp_16_charger(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    factories.token(organisation, "X" * 21)
    factories.token(organisation, "Y" * 20)
    charger = await listed(connect)
    assert [entry["idTag"] for entry in charger.lists[0]["localAuthorizationList"]] == ["TAG1", "Tag2", "Y" * 20]
    assert row().left_out == 1


async def test_ocpp_201_gets_types_and_groups(connect: Connect, station: Charger, organisation: Organisation) -> None:
    model = VehicleModel.objects.first()
    vehicle = Vehicle.objects.create(organisation=organisation, registration="KA 01", model=model)
    IdToken.objects.filter(uid="TAG1").update(vehicle=vehicle)
    IdToken.objects.filter(uid="Tag2").update(kind="APP_USER")
    version = {"versionNumber": 0}
    variables = {"getVariableResult": [
        {"attributeStatus": "Accepted", "attributeValue": "1",
         "component": {"name": "LocalAuthListCtrlr"}, "variable": {"name": "ItemsPerMessage"}},
        {"attributeStatus": "UnknownVariable",
         "component": {"name": "LocalAuthListCtrlr"}, "variable": {"name": "Enabled"}},
    ]}  # fmt: skip
    charger = await device(connect, "ocpp2.0.1", GetLocalListVersion=version, GetVariables=variables)
    tasks.sweep_local_lists()
    await charger.answers(4)
    entries = [entry for sent in charger.lists for entry in sent["localAuthorizationList"]]
    assert entries == [
        {
            "idToken": {"idToken": "TAG1", "type": "ISO14443"},
            "idTokenInfo": {
                "status": "Accepted",
                "groupIdToken": {"idToken": f"VEHICLE-{vehicle.pk}", "type": "Central"},
            },
        },
        {"idToken": {"idToken": "Tag2", "type": "Central"}, "idTokenInfo": {"status": "Accepted"}},
    ]
    assert [sent["versionNumber"] for sent in charger.lists] == [1, 2]
    assert ((await settled()).max_per_message, row().is_enabled) == (1, None)


async def test_what_decides_at_the_charger_follows_the_fleet(
    connect: Connect, station: Charger, organisation: Organisation, other_organisation: Organisation
) -> None:
    """Contracts, sites, wallets, vehicles and drivers that leave."""

    def tokens() -> set[str]:
        tasks.sweep_local_lists()
        return set(row().entries)

    await device(connect)
    fund(other_organisation, 1_000_00)
    factories.token(other_organisation, "GUEST")
    assert tokens() == {"tag1", "tag2"}
    Location.objects.update(organisation=None)
    NetworkAccess.objects.create(organisation=other_organisation, source=station.location.source)
    assert tokens() == {"tag1", "tag2", "guest"}
    other_organisation.wallet.state = "frozen"
    other_organisation.wallet.save()
    assert tokens() == {"tag1", "tag2"}
    elsewhere = Location.objects.create(source=station.location.source, name="Else", latitude=1, longitude=1)
    AllowedSite.objects.create(organisation=organisation, id_token=IdToken.objects.get(uid="TAG1"), location=elsewhere)
    assert tokens() == {"tag2"}
    driver = Driver.objects.create(organisation=organisation, name="Ravi", is_active=False)
    IdToken.objects.filter(uid="Tag2").update(driver=driver)
    assert tokens() == set()


async def test_a_fleet_that_wants_no_lists_gets_none(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    ChargingPolicy.objects.create(organisation=organisation, has_local_lists=False)
    await device(connect)
    tasks.sweep_local_lists()
    assert not LocalList.objects.exists()


async def test_a_silent_charger_is_asked_again_later(connect: Connect, station: Charger, settings: Any) -> None:
    settings.OCPP_CALL_TIMEOUT_SECONDS = 0.1
    await device(connect)  # nobody reads the socket on the other side
    tasks.sweep_local_lists()
    failed = await settled("failed")
    assert failed.last_result_at is not None and failed.retry_at is not None
    asked = Command.objects.count()
    tasks.sweep_local_lists()
    assert Command.objects.count() == asked


def test_its_state_shows_to_its_fleet_alone(
    station: Charger, organisation: Organisation, other_organisation: Organisation, owner: User, client: Client
) -> None:
    local_lists.refresh([station], now=timezone.now())
    scopes = [Scope.DISPATCH_READ]
    for fleet, seen in ((organisation, ["BLR-017"]), (other_organisation, [])):
        _, secret = create_api_key(organisation=fleet, name="k", scopes=scopes)
        body = client.get("/api/v1/local-lists/?state=waiting", headers={"Authorization": f"Bearer {secret}"}).json()
        assert [row["charger"] for row in body["results"]] == seen
        assert [row["tokens"] for row in body["results"]] == [2 for _ in seen]
    client.force_login(owner)
    assert "BLR-017" in client.get("/admin/ocpp_bridge/locallist/").content.decode()
    LocalList.objects.update(state="failed", retry_at=timezone.now() + timedelta(hours=6))
    chosen = {"action": "send_anew", "_selected_action": [station.pk]}
    client.post("/admin/ocpp_bridge/locallist/", chosen)
    assert (row().state, row().retry_at) == ("waiting", None)


def test_looking_at_more_chargers_takes_no_more_queries(
    station: Charger, organisation: Organisation, django_assert_num_queries: Any
) -> None:
    chargers = [station, *(factories.charger(organisation, f"BLR-{number}") for number in range(3))]
    loaded = list(Charger.objects.filter(pk__in=[one.pk for one in chargers]).select_related("location__source"))
    assert local_lists.refresh(loaded, now=timezone.now()) == len(chargers)
    for some in (loaded[:1], loaded):
        with django_assert_num_queries(5):
            assert local_lists.refresh(some, now=timezone.now()) == 0


# --- storms -------------------------------------------------------------------------------------------------------
def online(organisation: Organisation, count: int) -> list[int]:
    """Chargers with a list that is up to date, the first one compared longest ago."""
    now = timezone.now()
    found = []
    for number in range(count):
        charger = factories.charger(organisation, f"STORM-{number}")
        Charger.objects.filter(pk=charger.pk).update(is_online=True, registration="Accepted", protocol="ocpp1.6")
        found.append(charger.pk)
    tasks.sweep_local_lists()
    Command.objects.all().delete()
    for number, pk in enumerate(found):
        there = LocalList.objects.get(pk=pk)
        LocalList.objects.filter(pk=pk).update(
            state="current", command=None, compared_at=now, version_there=1, entries_there=there.entries,
            limits_read_at=now, last_result_at=now - timedelta(hours=count - number),
        )  # fmt: skip
    return found


def asked() -> list[tuple[int, str]]:
    rows = Command.objects.filter(state__in=Command.OPEN_STATES).order_by("charger_id")
    return list(rows.values_list("charger_id", "action"))


def answer() -> None:
    """Whoever was asked has version 1; what follows from it is not looked at here."""
    for command in Command.objects.filter(state__in=Command.OPEN_STATES):
        Command.objects.filter(pk=command.pk).update(state="accepted", response={"listVersion": 1})
        local_lists.command_finished(command_id=str(command.pk), now=timezone.now())


def test_after_a_storm_few_are_asked_at_a_time_and_all_in_the_end(
    organisation: Organisation, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_lists, "UNDER_WAY", 2)
    pks = online(organisation, 5)
    now = timezone.now()
    local_lists.chargers_booted(charger_ids=pks, now=now)
    question = "GetLocalListVersion"  # their limits were read today
    assert asked() == [(pks[0], question), (pks[1], question)]
    tasks.sweep_local_lists()
    assert asked() == [(pks[0], question), (pks[1], question)]
    answer()
    assert asked() == [(pks[2], question), (pks[3], question)]  # the next take the places of those that are done
    answer()
    assert asked() == [(pks[4], question)]
    answer()
    assert set(LocalList.objects.filter(pk__in=pks).values_list("state", flat=True)) == {"current"}


def test_chargers_that_went_away_with_a_question_keep_no_other_from_its_list(
    organisation: Organisation, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_lists, "UNDER_WAY", 2)
    pks, question = online(organisation, 4), "GetLocalListVersion"
    local_lists.chargers_booted(charger_ids=pks, now=timezone.now())
    Charger.objects.filter(pk__in=pks[:2]).update(is_online=False)  # their depot has no power
    tasks.sweep_local_lists()
    assert asked() == [(pk, question) for pk in pks]
    Charger.objects.filter(pk=pks[0]).update(is_online=True)
    LocalList.objects.filter(pk=pks[3]).update(command=None)
    tasks.sweep_local_lists()
    assert asked() == [(pk, question) for pk in pks]  # three of those that are there are asked


def test_a_list_that_is_done_leaves_its_place_to_no_fleet_without_lists(
    organisation: Organisation, other_organisation: Organisation, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_lists, "UNDER_WAY", 1)
    first, second = online(organisation, 2)
    local_lists.chargers_booted(charger_ids=[first, second], now=timezone.now())
    ChargingPolicy.objects.update_or_create(organisation=other_organisation, defaults={"has_local_lists": False})
    Charger.objects.filter(pk=second).update(organisation=other_organisation)
    answer()
    assert asked() == []


def test_a_comparison_that_finds_nothing_reads_and_writes_no_list(organisation: Organisation, station: Charger) -> None:
    (pk,) = online(organisation, 1)
    local_lists.chargers_booted(charger_ids=[pk], now=timezone.now())
    with CaptureQueriesContext(connection) as seen:
        answer()
    assert LocalList.objects.get(pk=pk).state == "current"
    lists = [each["sql"] for each in seen if '"ocpp_bridge_locallist"."entries"' in each["sql"]]
    assert [sql.startswith("SELECT 1 AS") for sql in lists] == [True]  # compared where they are
    assert not [each for each in seen if "SET" in each["sql"] and '"entries" =' in each["sql"]]


def test_limits_are_read_anew_after_a_day_or_a_failure(organisation: Organisation, station: Charger) -> None:
    old, failed = online(organisation, 2)
    long_ago = timezone.now() - timedelta(days=2)
    LocalList.objects.filter(pk=old).update(limits_read_at=long_ago)
    LocalList.objects.filter(pk=failed).update(failures=1)
    local_lists.chargers_booted(charger_ids=[old, failed], now=timezone.now())
    assert asked() == [(old, "GetConfiguration"), (failed, "GetConfiguration")]
