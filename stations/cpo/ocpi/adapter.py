"""OCPI 2.2.1, EMSP side: what we call at a CPO."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from pydantic import ValidationError

from fleetcharge.lib import crypto
from stations import services
from stations.cpo.base import (
    PENDING,
    Capability,
    CommandReceipt,
    CPOError,
    PullReport,
    ReserveRequest,
)
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.client import OUR_COUNTRY, OUR_PARTY, OCPIClient
from stations.cpo.ocpi.wire import LocationIn, TariffIn, now_text
from stations.models import Connector, CPOCommand, Source

logger = logging.getLogger(__name__)
OVERLAP = timedelta(minutes=5)
RESULT_PURPOSE = "ocpi-result"


class OCPIAdapter:
    """Talks to one CPO per Source. Reads go to our database; only polls and commands come here."""

    kind = Source.Kind.OCPI_221.value
    capabilities = frozenset({Capability.PULL, Capability.PUSH, Capability.RESERVE})

    # --- reading -----------------------------------------------------------------------------------------------
    def poll(self, source: Source) -> Iterator[PullReport]:
        """Tariffs, then locations, page by page with flat memory; from the last poll on, with five minutes overlap."""
        if not source.endpoints.get("locations"):
            self._register(source)
        since = source.last_polled_at - OVERLAP if source.last_polled_at else None
        with OCPIClient(source) as client:
            if url := source.endpoints.get("tariffs"):
                for page in client.pages(url):
                    yield self._take(source, page, PullReport(), self._take_tariff)
            for page in client.pages(source.endpoints["locations"], since=since):
                yield self._take(source, page, PullReport(), self._take_location)

    def _register(self, source: Source) -> None:
        """A source with an address and TOKEN_A registers itself at its first poll."""
        if not (source.base_url and source.peer_token):
            raise CPOError("not_registered", f"{source.name} is not registered yet.")
        registration.register(source, at=timezone.now())

    def _take(self, source: Source, page: list[Any], report: PullReport, take: Any) -> PullReport:
        """One bad object never stops the page; it is named in the report."""
        for entry in page:
            try:
                take(source, entry, report)
            except (ValidationError, ValueError, TypeError) as error:
                report.rejected.append({"id": entry.get("id") if isinstance(entry, dict) else None, "why": str(error)})
                logger.warning("%s: object %s refused: %s", source.slug, report.rejected[-1]["id"], error)
        return report

    def _take_location(self, source: Source, entry: dict[str, Any], report: PullReport) -> None:
        doc = LocationIn.model_validate(entry).doc()
        _, is_written = services.upsert_location(source=source, doc=doc, at=timezone.now())
        report.locations += is_written
        report.connectors += sum(len(evse.connectors) for evse in doc.evses)

    def _take_tariff(self, source: Source, entry: dict[str, Any], report: PullReport) -> None:
        take_tariff(source, entry, timezone.now())
        report.tariffs += 1

    # --- commands ----------------------------------------------------------------------------------------------
    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        """RESERVE_NOW; the result comes to an address of ours that only the CPO learns."""
        body = {
            "token": token_object(request),
            "expiry_date": now_text(request.expires_at),
            "reservation_id": request.reservation_key,
            **_where(request.connector),
        }
        kind = CPOCommand.Kind.RESERVE_NOW
        return self._command(request.connector, kind, request.reservation_key, body, request.expires_at)

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        body = {"reservation_id": reservation_key}
        soon = timezone.now() + timedelta(minutes=2)
        return self._command(connector, CPOCommand.Kind.CANCEL_RESERVATION, reservation_key, body, soon)

    def _command(
        self, connector: Connector, kind: CPOCommand.Kind, reservation_key: str, body: dict[str, Any], until: datetime
    ) -> CommandReceipt:
        source = connector.evse.location.source
        commands_url = source.endpoints.get("commands")
        if not commands_url:
            return CommandReceipt("rejected", f"{source.name} takes no commands.")
        token = crypto.new_token(32)
        body["response_url"] = f"{settings.PUBLIC_BASE_URL}/ocpi/2.2.1/emsp/commands/{kind}/{token}"
        command = CPOCommand.objects.create(
            source=source, kind=kind, reservation_key=reservation_key, request={**body, "response_url": "…"},
            response_token_hash=crypto.keyed_hash(token, purpose=RESULT_PURPOSE),
            deadline_at=timezone.now() + timedelta(seconds=60),
        )  # fmt: skip
        return self._send(command, f"{commands_url.rstrip('/')}/{kind}", body)

    def _send(self, command: CPOCommand, url: str, body: dict[str, Any]) -> CommandReceipt:
        try:
            with OCPIClient(command.source) as client:
                answer = client.call("POST", url, body=body) or {}
        except CPOError as error:
            _close(command, CPOCommand.State.FAILED, {"error": str(error)})
            raise
        result = str(answer.get("result", ""))
        if result != "ACCEPTED":
            _close(command, CPOCommand.State.REJECTED, answer)
            return CommandReceipt("rejected", result or "no result")
        deadline = timezone.now() + timedelta(seconds=float(answer.get("timeout") or 60) + 5)
        CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT).update(
            state=CPOCommand.State.CPO_ACCEPTED, response=answer, deadline_at=deadline
        )  # the asynchronous result may already have come
        return PENDING


def take_tariff(source: Source, entry: dict[str, Any], at: datetime) -> None:
    doc = TariffIn.model_validate(entry).doc()
    services.cache_tariff(
        source=source, external_id=doc.external_id, elements=doc.elements, currency=doc.currency, at=at, name=doc.name
    )


def token_object(request: ReserveRequest) -> dict[str, Any]:
    """OCPI Token of one of our vehicles."""
    return {
        "country_code": OUR_COUNTRY, "party_id": OUR_PARTY, "uid": request.id_token, "type": request.token_type,
        "contract_id": f"{OUR_COUNTRY}-{OUR_PARTY}-{request.id_token}"[:36], "issuer": "FleetCharge", "valid": True,
        "whitelist": "ALLOWED", "last_updated": now_text(timezone.now()),
    }  # fmt: skip


def _where(connector: Connector) -> dict[str, str]:
    """The CPO's own ids of site, EVSE and connector."""
    evse = connector.evse
    location_key = services.external_key_of(evse.location, evse.location.source)
    where = {"location_id": location_key.split("*", 2)[-1], "evse_uid": evse.uid}
    if "START_SESSION_CONNECTOR_REQUIRED" in evse.capabilities:
        where["connector_id"] = connector.external_id
    return where


def _close(command: CPOCommand, state: str, response: dict[str, Any]) -> None:
    CPOCommand.objects.filter(pk=command.pk).update(state=state, response=response, answered_at=timezone.now())
