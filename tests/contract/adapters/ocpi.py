"""A CPO that speaks OCPI, in one of three versions."""

import asyncio
import copy
from datetime import datetime, timedelta

from django.utils import timezone

from dispatch.models import Reservation, SessionCommand
from fleetcharge.demo.peers import objects
from fleetcharge.demo.peers.ocpi import OCPIPeer
from stations import webhooks
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.dialects.v211 import reservation_number
from stations.models import Source
from stations.news import announcer
from tests.contract.adapters.line import Line
from tests.contract.adapters.network import Network

WORDS = {"available": "AVAILABLE", "charging": "CHARGING", "faulted": "OUTOFORDER"}


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class OCPINetwork(Network):
    slug, can_time_out = "volt", True

    def __init__(self, version: str) -> None:
        super().__init__()
        self.name = f"ocpi-{version}"
        self.version, self.can_cancel = version, version != "2.1.1"

    def connect(self) -> None:
        self.peer = OCPIPeer(self.version)
        self.line = Line(self.peer, too_much_mb=33)
        self.serve_ours(webhooks.ocpi)
        self.stack.callback(webhooks.threads.close)
        self.stack.callback(announcer.close)
        self.stack.callback(self.line.close)
        self.line.open()
        self.peer.base_url = self.line.base
        source = Source(slug=self.slug, name="VoltGrid", kind="ocpi", base_url=f"{self.line.base}/versions")
        source.peer_token = "TOKEN_A"
        source.save()
        registration.register(source, at=timezone.now())
        self.poll()
        self.lists = copy.deepcopy(self.peer.lists)
        self.remember_plugs("E1-1", "E2-1")

    def calm(self) -> None:
        self.line.breaks = ""
        self.line.open()
        self.peer.lists = copy.deepcopy(self.lists)
        self.peer.commands.clear()
        self.peer.held.clear()
        self.answers("yes")

    # --- reading --------------------------------------------------------------------------------------------------
    def deliver(self) -> Source:
        Source.objects.filter(slug=self.slug).update(last_polled_at=None)
        return self.poll()

    def tell(self, status: str, at: datetime) -> None:
        answer = self.peer.patch("locations", "L1", "E1-1", body={"status": WORDS[status], "last_updated": text(at)})
        assert answer.status_code == 200, answer.text

    def spoil(self) -> str:
        sites = self.peer.lists["locations"]
        sites[1]["coordinates"] = {"latitude": "somewhere", "longitude": "else"}
        sites[2] |= {"name": "Renamed", "last_updated": text(timezone.now())}
        return "L2"

    def lose_site(self) -> None:
        del self.peer.lists["locations"][1]
        for _ in range(3):
            self.deliver()

    def find_site(self) -> None:
        self.peer.lists["locations"] = copy.deepcopy(self.lists["locations"])
        self.deliver()

    # --- promises and sessions ------------------------------------------------------------------------------------
    def answers(self, how: str) -> None:
        self.peer.async_result = {"yes": "ACCEPTED", "no": "EVSE_OCCUPIED", "never": "", "timeout": "TIMEOUT"}[how]

    def answer_late(self) -> None:
        asyncio.run(self.peer.answer_late())

    def held(self) -> list[str]:
        return list(self.peer.held)

    def reference(self, row: Reservation) -> str:
        """OCPI 2.1.1 numbers them, later versions take our key."""
        return str(reservation_number(str(row.key))) if self.version == "2.1.1" else str(row.key)

    def session_begins(self, command: SessionCommand) -> None:
        self._push_session(command, timezone.now())

    def session_ends(self, command: SessionCommand) -> None:
        self._push_session(command, timezone.now() + timedelta(minutes=1), status="COMPLETED")

    def _push_session(self, command: SessionCommand, at: datetime, **changes: str) -> None:
        begins = "start_datetime" if self.version == "2.1.1" else "start_date_time"
        facts = {begins: text(command.created_at), "last_updated": text(at), **changes}
        body = objects.session(self.version, "S1", command.id_token, str(command.key), **facts)
        answer = self.peer.put("sessions", "S1", body=body)
        assert answer.is_success, answer.text
