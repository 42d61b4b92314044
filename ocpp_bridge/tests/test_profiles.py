"""Security profiles, keys that rotate, strangers that are taken in, clocks that are wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import websockets
from django.test import override_settings

from dispatch.models import Alert
from fleetcharge.accounts.models import Organisation
from ocpp_bridge import certificates
from ocpp_bridge.clocks import ClockWatch
from ocpp_bridge.hub import hub
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.threads import in_database
from stations import services as stations
from stations.models import Charger

Profile = Charger.SecurityProfile
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
CERTIFIED = {"X-Client-Cert-Verified": "SUCCESS", "X-Client-Cert-Subject": "CN=BLR-017,O=Fleet,C=IN"}
TLS = {"X-Forwarded-Proto": "https"}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def status_of(attempt: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await attempt
    return refused.value.response.status_code


async def needs(station: Charger, profile: int) -> None:
    await in_database(stations.raise_security_profile, charger_id=station.pk, profile=profile, actor=None)


async def used(station: Charger) -> int | None:
    await station.arefresh_from_db()
    return station.security_profile


# --- certificates -------------------------------------------------------------------------------------------------
async def test_a_verified_certificate_is_the_charger_without_any_key(connect: Connect, station: Charger) -> None:
    await needs(station, Profile.CERTIFICATE)
    socket = await connect("BLR-017", key="forgotten", headers=CERTIFIED)
    assert "currentTime" in await socket.call("Heartbeat", {})
    assert await used(station) == Profile.CERTIFICATE


@pytest.mark.parametrize(
    "headers",
    [
        {**CERTIFIED, "X-Client-Cert-Subject": "CN=BLR-018,O=Fleet"},
        {**CERTIFIED, "X-Client-Cert-Subject": r"O=x\,CN=BLR-017"},
        {**CERTIFIED, "X-Client-Cert-Subject": "CN=BLR-017,CN=BLR-018"},
        {**CERTIFIED, "X-Client-Cert-Subject": ""},
        {**CERTIFIED, "X-Client-Cert-Verified": "FAILED:expired"},
        {**CERTIFIED, "X-Client-Cert-Verified": "NONE"},
    ],
)
async def test_another_certificate_or_none_is_not_enough_for_profile_3(
    connect: Connect, station: Charger, headers: dict[str, str]
) -> None:
    await needs(station, Profile.CERTIFICATE)
    assert await status_of(connect("BLR-017", headers=headers)) == 401
    assert await used(station) is None


@override_settings(TRUSTED_PROXIES=["10.0.0.1"])
async def test_headers_of_a_stranger_are_nobodys_word(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", key="wrong", headers=CERTIFIED)) == 401
    await needs(station, Profile.TLS)
    assert await status_of(connect("BLR-017", headers=TLS)) == 401


def test_a_header_that_comes_twice_is_nobodys_word() -> None:
    subject = (certificates.SUBJECT, b"CN=BLR-017")
    scope: dict[str, Any] = {"client": ("127.0.0.1", 1), "headers": [(certificates.VERIFIED, b"SUCCESS"), subject]}
    assert certificates.subject_of(scope) == "BLR-017"
    assert certificates.subject_of(scope | {"headers": [*scope["headers"], subject]}) == ""
    doubled = [(certificates.VERIFIED, b"NONE"), *scope["headers"]]
    assert certificates.subject_of(scope | {"headers": doubled}) is None


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("CN=BLR-017", "BLR-017"),
        ("C=IN, O=Fleet, cn = BLR-017", "BLR-017"),
        (r"CN=a\,b\+c,O=x", "a,b+c"),
        (r"CN=\E0\B2\AC,O=x", "ಬ"),
        ("OU=1+CN=BLR-017,O=x", "BLR-017"),
        (r"O=a\,CN=evil,CN=BLR-017", "BLR-017"),
    ],
)
def test_the_common_name_is_read_as_rfc_4514_writes_it(subject: str, name: str) -> None:
    headers = [(certificates.VERIFIED, b"SUCCESS"), (certificates.SUBJECT, subject.encode())]
    assert certificates.subject_of({"client": ("127.0.0.1", 1), "headers": headers}) == name


# --- profiles -----------------------------------------------------------------------------------------------------
async def test_a_plain_socket_is_refused_to_a_charger_of_profile_2(connect: Connect, station: Charger) -> None:
    assert "currentTime" in await (await connect("BLR-017")).call("Heartbeat", {})
    assert await used(station) == Profile.BASIC
    await needs(station, Profile.TLS)
    assert await status_of(connect("BLR-017")) == 401
    assert "currentTime" in await (await connect("BLR-017", headers=TLS)).call("Heartbeat", {})
    assert await used(station) == Profile.TLS


async def test_a_charger_without_a_key_is_refused_once_it_needs_one(
    connect: Connect, organisation: Organisation
) -> None:
    station = await in_database(factories.charger, organisation, "OPEN-1", key="")
    await connect("OPEN-1", key="")
    assert await used(station) == Profile.NONE
    await needs(station, Profile.BASIC)
    assert await status_of(connect("OPEN-1", key="")) == 401


@pytest.mark.django_db
def test_a_profile_is_never_lowered(station: Charger) -> None:
    stations.raise_security_profile(charger_id=station.pk, profile=2, actor=None)
    with pytest.raises(stations.ProfileOnlyRises):
        stations.raise_security_profile(charger_id=station.pk, profile=1, actor=None)
    station.refresh_from_db()
    assert station.min_security_profile == 2


# --- keys ---------------------------------------------------------------------------------------------------------
async def test_the_old_key_works_until_the_new_one_was_used(connect: Connect, station: Charger) -> None:
    new = await in_database(stations.stage_charger_key, charger_id=station.pk, actor=None)
    await (await connect("BLR-017")).call("Heartbeat", {})
    assert await status_of(connect("BLR-017", key="neither")) == 401
    await (await connect("BLR-017", key=new)).call("Heartbeat", {})
    assert await status_of(connect("BLR-017")) == 401
    await (await connect("BLR-017", key=new)).call("Heartbeat", {})
    await station.arefresh_from_db()
    assert station.next_auth_key_hash == ""


async def test_the_first_key_of_a_charger_without_one_is_asked_for_once_it_was_used(
    connect: Connect, organisation: Organisation
) -> None:
    keyless = await in_database(factories.charger, organisation, "BLR-018", key="")
    first = await in_database(stations.stage_charger_key, charger_id=keyless.pk, actor=None)
    await (await connect("BLR-018", key="any")).call("Heartbeat", {})  # it has not been told its key yet
    await keyless.arefresh_from_db()
    assert (keyless.auth_key_hash, await used(keyless)) == ("", Profile.NONE)
    assert keyless.next_auth_key_hash
    socket = await connect("BLR-018", key=first)
    await socket.call("Heartbeat", {})
    assert await used(keyless) == Profile.BASIC
    assert (bool(keyless.auth_key_hash), keyless.next_auth_key_hash) == (True, "")
    assert await status_of(connect("BLR-018", key="any")) == 401
    await hub._check_epochs()
    await socket.call("Heartbeat", {})  # it stands on the key that is in force


async def test_a_replaced_key_is_dead_at_once_with_the_staged_one(connect: Connect, station: Charger) -> None:
    staged = await in_database(stations.stage_charger_key, charger_id=station.pk, actor=None)
    new = await in_database(stations.new_charger_key, charger_id=station.pk, actor=None)
    assert await status_of(connect("BLR-017")) == 401
    assert await status_of(connect("BLR-017", key=staged)) == 401
    await (await connect("BLR-017", key=new)).call("Heartbeat", {})


# --- strangers ----------------------------------------------------------------------------------------------------
async def test_an_unknown_charger_is_taken_in_as_pending_with_the_key_it_brought(
    connect: Connect, organisation: Organisation
) -> None:
    with override_settings(OCPP_UNKNOWN_CHARGERS="onboard", OCPP_ONBOARD_ORGANISATION=organisation.slug):
        socket = await connect("NEW-1", key="its own secret")
        boot = {"chargePointVendor": "Volt", "chargePointModel": "M"}
        assert (await socket.call("BootNotification", boot))["status"] == "Pending"
        assert await status_of(connect("NEW-1", key="another")) == 401
    made = await Charger.objects.select_related("location").aget(ocpp_identity="NEW-1")
    assert (made.organisation_id, made.vendor, made.location.is_removed) == (organisation.pk, "Volt", True)
    assert made.location.organisation_id == organisation.pk


@override_settings(OCPP_UNKNOWN_CHARGERS="onboard", OCPP_ONBOARD_ORGANISATION="nobody")
async def test_without_a_fleet_to_take_it_a_stranger_stays_out(connect: Connect, organisation: Organisation) -> None:
    assert await status_of(connect("NEW-1")) == 404


@pytest.mark.django_db
def test_only_a_hundred_strangers_wait(organisation: Organisation) -> None:
    def knock(number: int) -> int | None:
        return stations.onboard_charger(
            ocpp_identity=f"N-{number}", auth_key_hash="", organisation_slug=organisation.slug, at=NOW
        )

    first = knock(0)
    assert all(knock(number) for number in range(1, 100))
    assert knock(100) is None
    assert knock(0) == first


# --- sub-protocol -------------------------------------------------------------------------------------------------
async def test_a_charger_that_offers_no_protocol_is_refused(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", subprotocols=[])) == 400


@override_settings(OCPP_DEFAULT_SUBPROTOCOL="ocpp1.6")
async def test_or_speaks_the_default_without_a_protocol_header(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=[])
    assert socket.socket.subprotocol is None
    assert "currentTime" in await socket.call("Heartbeat", {})


# --- clocks -------------------------------------------------------------------------------------------------------
def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def test_replayed_frames_do_not_make_a_clock_late() -> None:
    watch = ClockWatch()
    assert watch.note(at(-3600), NOW) is None  # one alone is not believed
    assert watch.note(at(-2), NOW) == -2
    assert watch.note(at(-7200), NOW) is None
    assert watch.note(at(-1), NOW) is None  # too little to be worth a write


def test_what_all_waited_for_an_outage_to_end_makes_no_clock_late() -> None:
    """A status says when the plug changed: the same hours ago for each plug, and again when it is asked for."""
    watch = ClockWatch()
    for seconds in (0, 0.1, 0.2, 30, 90, 300):
        received_at = NOW + timedelta(seconds=seconds)
        assert watch.note(at(-7200), received_at) is None
    assert watch.note((NOW + timedelta(seconds=399)).isoformat(), NOW + timedelta(seconds=400)) == -1


def test_a_clock_that_is_behind_by_the_same_a_minute_later_is_believed() -> None:
    watch = ClockWatch()
    told = [watch.note(at(seconds - 300), NOW + timedelta(seconds=seconds)) for seconds in (0, 1, 2, 59, 61)]
    assert told == [None, None, None, None, -300]
    assert watch.note(at(-9000), NOW + timedelta(seconds=70)) is None  # a replay in between
    back = [watch.note(at(seconds - 600), NOW + timedelta(seconds=seconds)) for seconds in (700, 1310, 1380)]
    assert back == [None, None, -600]


def test_a_clock_that_is_set_right_is_seen_after_its_window() -> None:
    watch = ClockWatch(stored=300.0)
    for _ in range(3):
        assert watch.note(at(300), NOW) is None
    later = [NOW + timedelta(minutes=11 * number) for number in (1, 2)]
    told = [watch.note(moment.isoformat(), moment) for moment in later]
    assert told == [None, 0.0]


@pytest.mark.parametrize("raw", [None, 7, "yesterday", "", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_says_nothing_of_the_clock(raw: object) -> None:
    assert ClockWatch().note(raw, NOW) is None


async def test_a_wrong_clock_is_stored_and_shown_and_forgiven(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")

    async def report(offset: float) -> None:
        stamp = (datetime.now(UTC) + timedelta(seconds=offset)).isoformat()
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": stamp}
        assert await socket.call("StatusNotification", status) == {}

    for _ in range(3):
        await report(-300)
    await station.arefresh_from_db()
    assert station.clock_skew_seconds is None  # they may have waited
    consumer = hub.find(station.pk)
    assert consumer is not None and consumer.station is not None
    consumer.station.clock._level_at -= timedelta(minutes=1)
    await report(-300)
    await station.arefresh_from_db()
    assert station.clock_skew_seconds == pytest.approx(-300, abs=5)
    alert = await Alert.objects.aget(kind=Alert.Kind.CHARGER_MATTER)
    assert alert.title.startswith("BLR-017: clock is 30") and alert.title.endswith("s behind")
    await report(0)
    await station.arefresh_from_db()
    assert station.clock_skew_seconds == pytest.approx(0, abs=5)
    await until(lambda: not Alert.objects.open().filter(kind=Alert.Kind.CHARGER_MATTER).exists())
