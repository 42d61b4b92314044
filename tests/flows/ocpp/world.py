"""A running system seen from three sides: its sockets, its public API, its database."""

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
from django.db import connections

from billing.models import BillingException, ChargingSession
from billing.services import wallets
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Membership, Organisation, Scope, User
from fleetcharge.lib import crypto
from ocpp_bridge.models import Command, DesiredConfiguration
from stations.models import EVSE, Charger, Connector, Location, Source, Tariff
from tests.flows.ocpp import station as wire
from tests.flows.ocpp.station import V16, Station, basic, until
from tests.running import RealtimeNode, RunningSystem
from vehicles.models import Driver, IdToken, Vehicle, VehicleModel

KEY = "00112233445566778899aabbccddeeff"
_counter = itertools.count(1)


@contextlib.contextmanager
def inside(database_url: str) -> Iterator[None]:
    """Point this process' models at the database of the running system."""
    from fleetcharge.settings import _database

    wrapper = connections["default"]
    ours = dict(wrapper.settings_dict)
    wrapper.close()
    theirs = _database(database_url)
    wrapper.settings_dict.update({key: theirs[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
    try:
        yield
    finally:
        connections["default"].close()
        wrapper.settings_dict.update({key: ours[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})


class World:
    """One fleet in a running system; every test makes chargers and tags of its own in it."""

    def __init__(self, system: RunningSystem, node: RealtimeNode | None = None) -> None:
        self.system, self.node = system, node
        self.sockets: list[Station] = []

    # --- what there is --------------------------------------------------------------------------------------------
    def seed(self) -> None:
        """Once per system: a fleet with a key, money and a tariff."""
        fleet = Organisation.objects.create(name="Namma Logistics", slug="namma")
        user = User.objects.create_user("asha@namma.example", "correct horse battery", full_name="Asha")
        Membership.objects.create(user=user, organisation=fleet, role=Membership.Role.DISPATCHER)
        _, self.api_key = accounts.create_api_key(organisation=fleet, name="test", scopes=list(Scope.values))
        source = Source.objects.create(slug="own", name="Own", kind="ocpp-own", organisation=fleet, state="connected")
        energy = {"type": "ENERGY", "price": "20.00", "step_size": 1}
        self.tariff = Tariff.objects.create(
            source=source, external_id="day", name="Day", elements=[{"price_components": [energy]}],
            content_hash="seed", valid_from=wire.now() - timedelta(days=30),
        )  # fmt: skip
        self.site = Location.objects.create(
            source=source, organisation=fleet, name="Hebbal Hub", city="Bengaluru", latitude=13.03, longitude=77.59
        )
        self.model, _ = VehicleModel.objects.get_or_create(
            manufacturer="Test", name="eVan",
            defaults={"battery_wh": 60_000, "plugs": ["ccs2"], "max_dc_power_w": 60_000, "consumption_wh_per_km": 200},
        )  # fmt: skip
        DesiredConfiguration.objects.create(  # simulated chargers sample as fast as their test wants
            organisation=fleet, name="yard", model_pattern="Yard*", values={"MeterValueSampleInterval": None}
        )
        self.driver = Driver.objects.create(organisation=fleet, name="Imran S")
        wallets.open_wallet(organisation_id=fleet.pk)
        wallets.top_up(organisation_id=fleet.pk, amount_paise=10**9, key="seed", at=wire.now(), reason="seed")
        self.fleet = fleet

    def charger(self, *, plugs: int = 2, key: str = KEY, identity: str = "", **fields: Any) -> Charger:
        """With `plugs` DC plugs of 60 kW; an EVSE each."""
        charger = Charger.objects.create(
            organisation=self.fleet, location=self.site, ocpp_identity=identity or f"SC-{next(_counter):04d}",
            auth_key_hash=crypto.keyed_hash(key, purpose=Charger.KEY_PURPOSE) if key else "", **fields,
        )  # fmt: skip
        is_16 = fields.get("subprotocols", [V16]) == [V16]
        for number in range(1, plugs + 1):
            evse = EVSE.objects.create(location=self.site, charger=charger, evse_number=number)
            Connector.objects.create(
                evse=evse, connector_id=number if is_16 else 1, plug="ccs2", max_power_w=60_000, tariff=self.tariff
            )
        return charger

    def tag(self, **fields: Any) -> str:
        """A token of a vehicle of the fleet."""
        number = next(_counter)
        vehicle = Vehicle.objects.create(
            organisation=self.fleet, registration=f"KA 03 SC {number:04d}", model=self.model, device_id=f"sc-{number}",
            default_driver=self.driver,
        )  # fmt: skip
        fields.setdefault("vehicle", vehicle)
        return IdToken.objects.create(organisation=self.fleet, uid=f"SC{number:06d}", **fields).uid

    # --- sockets --------------------------------------------------------------------------------------------------
    @property
    def ocpp(self) -> str:
        return self.node.ocpp if self.node else self.system.ocpp

    async def connect(
        self, charger: Charger | str, version: str = V16, *, key: str | bytes = KEY, user: str = "", at: str = "",
        headers: dict[str, str] | None = None, **options: Any,
    ) -> Station:  # fmt: skip
        """A socket as that charger; `at`: another node's address."""
        identity = charger if isinstance(charger, str) else charger.ocpp_identity
        sent = {**basic(user or identity, key), **(headers or {})}
        options.setdefault("versions", (version,))
        station = await wire.connect(f"{at or self.ocpp}/{identity}", identity, headers=sent, **options)
        self.sockets.append(station)
        return station

    async def ready(self, version: str = V16, **fields: Any) -> tuple[Charger, Station]:
        """A new charger of that version, connected and booted."""
        charger = self.charger(subprotocols=[version], **fields)
        station = await self.connect(charger, version)
        await station.boot()
        return charger, station

    async def close(self) -> None:
        for station in self.sockets:
            await station.close()
        self.sockets.clear()

    # --- the public API -------------------------------------------------------------------------------------------
    async def api(self, path: str, body: object = None, *, key: str = "") -> Any:
        """GET, or POST with a body and perhaps an idempotency key; the decoded answer."""
        sent = {"Authorization": f"Bearer {self.api_key}", **({"Idempotency-Key": key} if key else {})}
        async with httpx.AsyncClient(base_url=self.system.web, headers=sent, timeout=60, trust_env=False) as client:
            answer = await (client.get(path) if body is None else client.post(path, json=body))
        assert answer.status_code in (200, 201, 202), f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    async def command(self, charger: Charger, action: str, *, seconds: int = 60, **parameters: Any) -> Any:
        """Ask for something as an operator would; the row as it was accepted."""
        wanted = {
            "charger": charger.ocpp_identity, "action": action, "parameters": parameters,
            "expires_in_seconds": seconds,
        }  # fmt: skip
        return await self.api("/api/v1/commands/", wanted, key=secrets.token_hex(8))

    async def reserve(self, charger: Charger, tag: str, number: int = 1) -> Any:
        """Promise a plug to the vehicle of a tag, as a dispatcher would who wants this one or none."""
        wanted = {
            "vehicle_id": IdToken.objects.get(uid=tag).vehicle_id,
            "connector_id": Connector.objects.get(evse__charger=charger, evse__evse_number=number).pk,
            "is_rebooked": False,
        }
        return await self.api("/api/v1/reservations/", wanted)

    async def outcome(self, command: Any, *states: str) -> Any:
        """The command once it is in one of these states (any final one when none is named)."""
        final = states or ("accepted", "rejected", "timed_out", "expired", "failed", "no_session")

        async def look() -> Any:
            row = await self.api(f"/api/v1/commands/{command['id']}/")
            return row if row["state"] in final else None

        return await until(look, f"{command['action']} to be {final}")

    async def session(self, charger: Charger) -> Any:
        """The one session of a charger as the API shows it."""
        [pk] = ChargingSession.objects.filter(charger=charger).values_list("pk", flat=True)
        return await self.api(f"/api/v1/sessions/{pk}/")

    async def sessions(self, charger: Charger) -> list[Any]:
        keys = ChargingSession.objects.filter(charger=charger).order_by("started_at", "pk").values_list("pk", flat=True)
        return [await self.api(f"/api/v1/sessions/{pk}/") for pk in keys]

    async def plug(self, charger: Charger, number: int = 1) -> Any:
        """A connector as the API shows it."""
        public_id = Connector.objects.get(evse__charger=charger, evse__evse_number=number).public_id
        return await self.api(f"/api/v1/connectors/{public_id}/")

    async def shows(self, charger: Charger, status: str, number: int = 1) -> Any:
        """Wait until the API shows this status."""

        async def look() -> Any:
            row = await self.plug(charger, number)
            return row if row["status"] == status else None

        return await until(look, f"plug {number} of {charger} to be {status}")

    # --- the database ---------------------------------------------------------------------------------------------
    def fresh(self, charger: Charger) -> Charger:
        return Charger.objects.get(pk=charger.pk)

    def exceptions(self, charger: Charger) -> set[str]:
        """Kinds of what finance must look at: of its sessions, or naming the charger."""
        rows = BillingException.objects.filter(session__charger=charger)
        named = BillingException.objects.filter(reference__startswith=f"{charger.pk}/")
        return {row.kind for row in (*rows, *named)}

    def commands(self, charger: Charger) -> list[Command]:
        return list(Command.objects.filter(charger=charger).order_by("created_at"))

    def log(self) -> str:
        """What the realtime process wrote."""
        path = self.node.log_path if self.node else self.system.var / "log" / "realtime.log"
        return path.read_text(errors="replace")
