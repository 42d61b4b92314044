"""OCPI, EMSP side: what we call at a CPO, in whichever version was agreed."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from django.utils import timezone

from stations import services
from stations.belief import AWAY
from stations.cpo.base import (
    PENDING,
    BookRequest,
    Capability,
    CommandReceipt,
    CPOError,
    CPOUnavailable,
    LimitRequest,
    OutlookRequest,
    PreferRequest,
    PullReport,
    ReserveRequest,
    StartRequest,
    StopRequest,
    UnlockRequest,
)
from stations.cpo.ocpi import pacing, registration
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ocpi.commanding import ANSWER_SECONDS, Order, send
from stations.cpo.ocpi.dialects import dialect_of
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY, directory, token_object
from stations.cpo.ocpi.objects.base import now_text
from stations.cpo.ocpi.objects.tokens import TokenDoc
from stations.cpo.ocpi.pulling import OVERLAP, Pull
from stations.models import EVSE, Connector, CPOCommand, Source

Kind = CPOCommand.Kind
TOKENS_AT_ONCE = 500
PROFILE_METHODS = {Kind.SET_PROFILE: "PUT", Kind.CLEAR_PROFILE: "DELETE", Kind.ACTIVE_PROFILE: "GET"}
ON_ITS_WAY = (CPOCommand.State.SENT, CPOCommand.State.CPO_ACCEPTED, CPOCommand.State.ACCEPTED)


class OCPIAdapter:
    """Talks to one CPO per Source. Reads go to our database; only polls and commands come here."""

    capabilities = frozenset(Capability)

    def __init__(self, kind: str = Source.Kind.OCPI_221.value) -> None:
        self.kind = kind

    # --- reading and telling ---------------------------------------------------------------------------------------
    def poll(self, source: Source) -> Iterator[PullReport]:
        """What changed since the last poll, with five minutes overlap; then our tokens go the other way.

        A source with an address and TOKEN_A registers itself at its first poll.
        """
        if not source.endpoints.get("locations"):
            self._register(source)
        with OCPIClient(source) as client:
            yield from Pull(client, source, timezone.now()).everything()
            push_tokens(client, source)

    def fetch(self, source: Source, location_id: str) -> bool:
        """One site by the CPO's id, because a push named it and we do not hold it; False when it is not usable."""
        return self._fetch(source, "locations", location_id)

    def fetch_session(self, source: Source, session_id: str) -> bool:
        return self._fetch(source, "sessions", session_id)

    def _fetch(self, source: Source, module: str, object_id: str) -> bool:
        if module not in source.endpoints:
            return False
        with OCPIClient(source) as client:
            return Pull(client, source, timezone.now()).one(module, quote(object_id, safe=""))

    def _register(self, source: Source) -> None:
        if not (source.base_url and source.peer_token):
            raise CPOError("not_registered", f"{source.name} is not registered yet.")
        registration.register(source, at=timezone.now())

    # --- reservations ----------------------------------------------------------------------------------------------
    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        """RESERVE_NOW; the result comes to an address of ours that only the CPO learns."""
        check_connected(request.connector)
        body = {
            "token": token_of(request.id_token, request.token_type, request.group_id),
            "expiry_date": now_text(request.expires_at),
            "reservation_id": request.reservation_key,
            "authorization_reference": request.reservation_key,
            **where_of(request.connector),
        }
        return self._command(source_of(request.connector), Kind.RESERVE_NOW, request.reservation_key, body)

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        source = source_of(connector)
        if not dialect_of(source.ocpi_version).can_cancel:
            return CommandReceipt("rejected", "OCPI 2.1.1 cannot cancel; it runs out by itself")
        return self._command(source, Kind.CANCEL_RESERVATION, reservation_key, {"reservation_id": reservation_key})

    def can_book(self, source: Source) -> bool:
        """Bookings are a module of OCPI 2.3.0."""
        return "bookings" in source.endpoints

    def book(self, request: BookRequest) -> CommandReceipt:
        """Ask for a time slot, change it or take it back; what becomes of it is told at our bookings receiver."""
        from stations.cpo.ocpi import booking  # it is made of what is here

        return booking.book(
            connector=request.connector, booking_key=request.booking_key, id_token=request.id_token,
            starts_at=request.starts_at, ends_at=request.ends_at, is_cancelled=request.is_cancelled,
        )  # fmt: skip

    # --- sessions --------------------------------------------------------------------------------------------------
    def start(self, request: StartRequest) -> CommandReceipt:
        """START_SESSION. ACCEPTED does not mean charging: the session itself is the proof, whenever it comes."""
        check_connected(request.connector)
        body = {
            "token": token_of(request.id_token, request.token_type, request.group_id),
            "authorization_reference": request.start_key,
            **where_of(request.connector),
        }
        return self._command(source_of(request.connector), Kind.START_SESSION, request.start_key, body)

    def stop(self, request: StopRequest) -> CommandReceipt:
        return self.stop_session(
            request.source or source_of(request.connector), request.transaction_ref, request.stop_key
        )

    def stop_session(self, source: Source, session_id: str, stop_key: str) -> CommandReceipt:
        """STOP_SESSION by the CPO's own session id; a stop that is on its way is not asked for again."""
        on_its_way = CPOCommand.objects.filter(source=source, kind=Kind.STOP_SESSION, reservation_key=stop_key)
        if on_its_way.filter(state__in=ON_ITS_WAY).exists():
            return PENDING
        return self._command(source, Kind.STOP_SESSION, stop_key, {"session_id": session_id}, session_id)

    def can_unlock(self, evse: EVSE) -> bool:
        is_said = "UNLOCK_CAPABLE" in evse.capabilities or not evse.capabilities
        return is_said and "commands" in evse.location.source.endpoints

    def unlock(self, request: UnlockRequest) -> CommandReceipt:
        """For the help desk only, never for the driver (OCPI 2.2.1 commands, UnlockConnector)."""
        connector = request.connector
        body = {**where_of(connector), "connector_id": connector.external_id}
        return self._command(source_of(connector), Kind.UNLOCK_CONNECTOR, request.unlock_key, body)

    def _command(
        self, source: Source, kind: CPOCommand.Kind, about: str, body: dict[str, Any], session_ref: str = ""
    ) -> CommandReceipt:
        commands_url = source.endpoints.get("commands")
        if not commands_url:
            return CommandReceipt("rejected", f"{source.name} takes no commands.")
        return send(Order(source, kind, about, "POST", f"{commands_url.rstrip('/')}/{kind}", body, session_ref))

    # --- wishes for a session --------------------------------------------------------------------------------------
    def can_prefer(self, evse: EVSE, source: Source) -> bool:
        """OCPI 2.1.1 knows no preferences."""
        is_new_enough = dialect_of(source.ocpi_version).can_prefer and "sessions" in source.endpoints
        return is_new_enough and "CHARGING_PREFERENCES_CAPABLE" in evse.capabilities

    def prefer(self, request: PreferRequest) -> CommandReceipt:
        """PUT charging_preferences: answered at once, such as ACCEPTED or DEPARTURE_REQUIRED."""
        source = request.source or source_of(request.connector)
        url = source.endpoints.get("sessions")
        if not url or not dialect_of(source.ocpi_version).can_prefer:
            return CommandReceipt("rejected", f"{source.name} takes no preferences.")
        pacing.check_circuit(source)
        address = f"{url.rstrip('/')}/{quote(request.transaction_ref, safe='')}/charging_preferences"
        with OCPIClient(source, seconds=ANSWER_SECONDS) as client:
            word = str(client.call("PUT", address, body=_preferences(request)) or "no result").upper()
        return CommandReceipt("accepted" if word == "ACCEPTED" else "rejected", word[:120])

    # --- charging profiles -----------------------------------------------------------------------------------------
    def can_limit(self, evse: EVSE, source: Source) -> bool:
        return "chargingprofiles" in source.endpoints and "CHARGING_PROFILE_CAPABLE" in evse.capabilities

    def limit(self, request: LimitRequest) -> CommandReceipt:
        """A ChargingProfile in W from now to the end of the session, or none any more."""
        if request.max_power_w is None:
            return self._profile(request, request.limit_key, Kind.CLEAR_PROFILE, {})
        periods = [{"start_period": 0, "limit": float(request.max_power_w)}]
        profile = {"charging_rate_unit": "W", "charging_profile_period": periods}
        return self._profile(request, request.limit_key, Kind.SET_PROFILE, {"charging_profile": profile})

    def outlook(self, request: OutlookRequest) -> CommandReceipt:
        """The ActiveChargingProfile; it comes with the result."""
        return self._profile(request, request.outlook_key, Kind.ACTIVE_PROFILE, {"duration": request.seconds})

    def _profile(
        self, request: LimitRequest | OutlookRequest, about: str, kind: CPOCommand.Kind, body: dict[str, Any]
    ) -> CommandReceipt:
        source, session_id = request.source or source_of(request.connector), request.transaction_ref
        method = PROFILE_METHODS[kind]
        url = source.endpoints.get("chargingprofiles")
        if not url:
            return CommandReceipt("rejected", f"{source.name} takes no charging profiles.")
        address = f"{url.rstrip('/')}/{quote(session_id, safe='')}"
        return send(Order(source, kind, about, method, address, body, session_id, in_query=method != "PUT"))


def _preferences(request: PreferRequest) -> dict[str, Any]:
    """OCPI 2.2.1 sessions, ChargingPreferences; energy in kWh."""
    said: dict[str, Any] = {"profile_type": request.style}
    if request.departure_at is not None:
        said["departure_time"] = now_text(request.departure_at)
    if request.energy_wh is not None:
        said["energy_need"] = request.energy_wh / 1000
    return said


def push_tokens(client: OCPIClient, source: Source) -> int:
    """PUT what changed since the last poll, as the peer lists a tokens receiver; how many it took. May run twice."""
    known, url = directory(), source.endpoints.get("tokens")
    if known is None or not url:
        return 0
    since = source.last_polled_at - OVERLAP if source.last_polled_at else None
    told, total = 0, 1
    while told < total:
        page, total = known.page(source, since=since, until=None, offset=told, limit=TOKENS_AT_ONCE)
        for token in page:
            _push_token(client, url, token)
        told += len(page) or total
    return told


def _push_token(client: OCPIClient, url: str, token: TokenDoc) -> None:
    address = f"{url.rstrip('/')}/{OUR_COUNTRY}/{OUR_PARTY}/{quote(token.uid, safe='')}"
    body = client.dialect.write("token", dict(token_object(token)))
    client.call("PUT", address, body=body, query={"type": body["type"]})


# --- what we say ------------------------------------------------------------------------------------------------
def token_of(uid: str, token_type: str, group_id: str) -> dict[str, Any]:
    return dict(token_object(TokenDoc(uid, token_type, True, timezone.now(), group_id)))


def source_of(connector: Connector) -> Source:
    return connector.evse.location.source


def check_connected(connector: Connector) -> None:
    """Behind a hub, a party that it has lost is asked for nothing new. Raises CPOUnavailable."""
    party = connector.evse.location.party
    if party is not None and party.hub_status in AWAY:
        raise CPOUnavailable(f"{source_of(connector).name} says that {party.name} is {party.hub_status.lower()}.")


def where_of(connector: Connector) -> dict[str, str]:
    """The CPO's own ids of site, EVSE and connector."""
    evse = connector.evse
    location_key = services.external_key_of(evse.location, evse.location.source)
    where = {"location_id": location_key.split("*", 2)[-1], "evse_uid": evse.uid}
    if "START_SESSION_CONNECTOR_REQUIRED" in evse.capabilities:
        where["connector_id"] = connector.external_id
    return where
