"""OCPI 2.2.1, EMSP side: what we call at a CPO."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import DataError, IntegrityError
from django.utils import timezone
from pydantic import ValidationError

from fleetcharge.lib import crypto
from stations import services
from stations.cpo.base import (
    PENDING,
    Capability,
    CommandReceipt,
    CPOError,
    CPOUnavailable,
    PullReport,
    ReserveRequest,
)
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.client import OUR_COUNTRY, OUR_PARTY, OCPIClient
from stations.cpo.ocpi.wire import CommandResponseIn, LocationIn, TariffIn, now_text
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
            yield from self._poll_tariffs(client, source)
            for page in client.pages(source.endpoints["locations"], since=since):
                yield self._take(source, page, PullReport(), self._take_location)

    def fetch(self, source: Source, location_id: str) -> bool:
        """One site by the CPO's id, because a push named it and we do not hold it; False when it is not usable."""
        with OCPIClient(source) as client:
            url = f"{source.endpoints['locations'].rstrip('/')}/{quote(location_id, safe='')}"
            report = self._take(source, [client.call("GET", url)], PullReport(), self._take_location)
        return not report.rejected

    def _poll_tariffs(self, client: OCPIClient, source: Source) -> Iterator[PullReport]:
        """A CPO whose tariffs module is broken still shows where one can charge."""
        try:
            for page in client.pages(source.endpoints["tariffs"]) if "tariffs" in source.endpoints else ():
                yield self._take(source, page, PullReport(), self._take_tariff)
        except CPOUnavailable:
            raise
        except CPOError as error:
            logger.warning("%s: tariffs: %s", source.slug, error)
            yield PullReport(rejected=[{"id": "tariffs", "why": str(error)}])

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
            except (ValidationError, ValueError, TypeError, DataError, IntegrityError) as error:
                report.rejected.append({"id": entry.get("id") if isinstance(entry, dict) else None, "why": str(error)})
                logger.warning("%s: object %s refused: %s", source.slug, report.rejected[-1]["id"], error)
        return report

    def _take_location(self, source: Source, entry: dict[str, Any], report: PullReport) -> None:
        location = LocationIn.model_validate(entry)
        report.locations += take_location(source, location, timezone.now())
        report.connectors += sum(len(evse.connectors) for evse in location.evses)

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
        if source.state == Source.State.FAILING:
            raise CPOUnavailable(f"{source.name} is failing; it is asked again at its next poll.")
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
                answer = CommandResponseIn.model_validate(client.call("POST", url, body=body) or {})
        except ValidationError:
            _close(command, CPOCommand.State.FAILED, {"error": "not a CommandResponse"})
            raise CPOError("not_ocpi", f"{command.source.name} answers a command in a form we cannot read.") from None
        except CPOError as error:
            _close(command, CPOCommand.State.FAILED, {"error": str(error)})
            _count_failure(command.source, error)
            raise
        response = answer.model_dump(mode="json")
        if answer.result != "ACCEPTED":
            _close(command, CPOCommand.State.REJECTED, response)
            return CommandReceipt("rejected", answer.result[:120] or "no result")
        deadline = timezone.now() + timedelta(seconds=answer.timeout + 5)
        CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT).update(
            state=CPOCommand.State.CPO_ACCEPTED, response=response, deadline_at=deadline
        )  # the asynchronous result may already have come
        return PENDING


def take_location(source: Source, location: LocationIn, at: datetime) -> bool:
    """Keep a site, or hide it when its owner does not want it published; True when something was written."""
    doc = location.doc()
    if not location.publish:
        return services.remove_location(source=source, external_key=doc.external_key, at=at)
    return services.upsert_location(source=source, doc=doc, at=at)[1]


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
    """Unless the asynchronous result was faster."""
    waiting = CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT)
    waiting.update(state=state, response=response, answered_at=timezone.now())


def _count_failure(source: Source, error: CPOError) -> None:
    """A command that finds nobody counts like a failed poll, and brings the next poll forward to look again."""
    if isinstance(error, CPOUnavailable):
        services.source_failed(source_id=source.pk, error=str(error), at=timezone.now())
