"""Every kind of message an integrator can ask for: when it is sent, what it holds, which scope it takes to hear it."""

from dataclasses import dataclass

from fleetcharge.accounts.models import Scope

COMMAND_FINISHED = "command.finished"
SESSION_STARTED = "session.started"
SESSION_UPDATED = "session.updated"
SESSION_ENDED = "session.ended"
CDR_CREATED = "cdr.created"
CONNECTOR_STATUS_CHANGED = "connector.status_changed"
RESERVATION_CHANGED = "reservation.changed"
ALERT_OPENED = "alert.opened"
ALERT_CLOSED = "alert.closed"
WALLET_LOW = "wallet.low"
MANDATE_FAILED = "mandate.failed"
INVOICE_ISSUED = "invoice.issued"
WALLET_TOPPED_UP = "wallet.topped_up"
MANDATE_CONFIRMED = "mandate.confirmed"
REFUND_PROCESSED = "refund.processed"
EXCEPTION_OPENED = "exception.opened"
TARIFF_CHANGED = "tariff.changed"
STATION_CHANGED = "station.changed"
NETWORK_CHANGED = "network.changed"
RESERVATION_BREACHED = "reservation.breached"
SESSION_COMMAND_CHANGED = "session_command.changed"
PLAN_CHANGED = "plan.changed"
GEOFENCE_ENTERED = "geofence.entered"
GEOFENCE_LEFT = "geofence.left"
DRIVER_LINK_MADE = "driver_link.made"
TEST = "webhook.test"


@dataclass(frozen=True)
class EventType:
    """`data` names every field of the payload's data; `scope` is what a key needs to ask for it."""

    name: str
    when: str
    scope: str
    data: dict[str, str]


_SESSION = {
    "id": "of the session, as in the API",
    "transaction_ref": "OCPP transaction or OCPI session id",
    "state": "active, ended or invalid",
    "quality": "billable, estimated or review",
    "connector": "public id of the plug",
    "location": "public id of the site",
    "location_name": "text",
    "vehicle": "`{id, registration}` or null",
    "driver": "name or null",
    "id_token": "what was presented",
    "authorisation_reason": "accepted, or why not",
    "started_at": "instant",
    "ended_at": "instant or null",
    "stop_reason": "the station's word, may be empty",
    "energy_wh": "drawn so far",
    "power_w": "now, or null",
    "soc_percent": "of the vehicle, or null",
}
_ALERT = {
    "id": "of the alert",
    "kind": "will_not_reach, no_charger, charger_silent, ...",
    "severity": "bad, warn or info",
    "title": "one line",
    "body": "more, may be empty",
    "vehicle_id": "or null",
    "location": "public id of the site, or null",
    "session_id": "or null",
    "opened_at": "instant",
    "closed_at": "instant or null",
    "close_reason": "text, empty while open",
}
_CROSSING = {
    "id": "as under /api/v1/geofence-events/",
    "geofence": "`{id, name}`",
    "vehicle": "`{id, registration}`",
    "at": "instant of the position that settled it",
    "latitude": "of that position",
    "longitude": "",
}

CATALOGUE = {
    kind.name: kind
    for kind in (
        EventType(
            COMMAND_FINISHED,
            "A command to a charger has its outcome. A second message says `no_session` when no session followed an "
            "accepted remote start, a third `accepted` when it came late.",
            Scope.DISPATCH_READ,
            {
                "id": "of the command", "charger": "OCPP identity", "action": "as in the commands API",
                "state": "accepted, rejected, failed, timed_out, expired, cancelled, no_session",
                "reason": "text, may be empty", "session": "id of the session that followed, or null",
                "idempotency_key": "the one you sent",
            },
        ),
        EventType(SESSION_STARTED, "A charging session began.", Scope.BILLING_READ, _SESSION),
        EventType(
            SESSION_UPDATED,
            "New meter values of a running session; at most one message per session and interval (a minute, unless "
            "FLEETCHARGE_WEBHOOK_SESSION_SECONDS says otherwise).",
            Scope.BILLING_READ,
            _SESSION,
        ),
        EventType(SESSION_ENDED, "A charging session ended; its price follows as cdr.created.", Scope.BILLING_READ,
                  _SESSION),
        EventType(
            CDR_CREATED,
            "A session was priced and paid from the wallet.",
            Scope.BILLING_READ,
            {
                "id": "of the CDR", "session": "id of the session", "started_at": "instant", "ended_at": "instant",
                "energy_wh": "billed", "charging_seconds": "", "idle_seconds": "plugged in and full",
                "currency": "INR", "taxable_paise": "", "cgst_paise": "", "sgst_paise": "", "igst_paise": "",
                "tax_paise": "the three together", "total_paise": "taxable and tax",
                "receivable_paise": "the part the wallet could not pay", "explanation": "one line per priced component",
            },
        ),
        EventType(
            CONNECTOR_STATUS_CHANGED,
            "The status we show for a plug changed: your own chargers, and networks your fleet may charge at.",
            Scope.STATIONS_READ,
            {
                "connector": "public id of the plug", "connector_id": "its number on the charger",
                "evse": "public id", "location": "public id of the site", "location_name": "text",
                "charger": "OCPP identity, or null", "old": "status before",
                "new": "available, occupied, charging, reserved, unavailable, faulted or unknown",
                "reason": "why we show it", "at": "instant",
            },
        ),
        EventType(
            RESERVATION_CHANGED,
            "A reservation, held place or booked time slot was asked for, moved on, or lasts longer (the same state "
            "again, with another `expires_at` and the reason `extended`). One made for a lost one names it.",
            Scope.DISPATCH_READ,
            {
                "number": "of the reservation",
                "state": "requested, confirmed, used, rejected, cancelled, expired, failed",
                "reason": "text, may be empty", "connector": "public id of the plug",
                "location": "public id of the site", "vehicle_id": "", "plan_id": "or null", "expires_at": "instant",
                "way": "soft (held by us), network, booking; empty until it was asked for", "starts_at": "instant",
                "replaces": "number of the reservation it was made for, or null",
            },
        ),
        EventType(
            RESERVATION_BREACHED,
            "Somebody else began to charge where a place was promised to a vehicle of yours; it is cancelled.",
            Scope.DISPATCH_READ,
            {
                "number": "of the reservation", "connector": "public id of the plug",
                "location": "public id of the site", "vehicle_id": "of yours",
                "state": "flagged, or stopping: the stranger's session is being ended", "at": "instant",
            },
        ),
        EventType(
            SESSION_COMMAND_CHANGED,
            "What was asked of a plug or a session at whatever network (start, stop, unlock, limit, outlook, prefer) "
            "has an answer, or what follows from it. A session that begins late makes it `done` after all.",
            Scope.DISPATCH_READ,
            {
                "key": "as in /api/v1/session-commands/",
                "kind": "start, stop, unlock, limit, unlimit, outlook or prefer",
                "state": "accepted, rejected, failed, timed_out, no_session, done",
                "reason": "the network's own word, may be empty", "connector": "public id of the plug",
                "location": "public id of the site", "vehicle_id": "or null", "session": "id of the session, or null",
                "at": "instant",
            },
        ),
        EventType(
            PLAN_CHANGED,
            "A plan to charge was made, decided, replaced or closed.",
            Scope.DISPATCH_READ,
            {
                "id": "of the plan",
                "state": "proposed, accepted, reserved, charging, completed, dismissed, replaced, infeasible, expired",
                "vehicle_id": "", "connector": "public id of the plug, or null",
                "location": "public id of the site, or null", "soc_percent": "when it was made",
                "plug_in_at": "instant or null", "done_at": "instant or null", "arrived_at": "instant or null",
                "cost_paise": "with GST, or null: no tariff known", "at": "instant",
            },
        ),
        EventType(
            DRIVER_LINK_MADE,
            "An accepted plan has a link to its driver's page, or a new one. Whoever has it may start and stop "
            "charging for the vehicle: send it to the driver alone.",
            Scope.DISPATCH_WRITE,
            {
                "plan_id": "of the plan", "vehicle_id": "", "driver_id": "or null: nobody in particular",
                "driver_url": "the page", "expires_at": "instant", "at": "instant",
            },
        ),
        EventType(ALERT_OPENED, "Something needs somebody.", Scope.DISPATCH_READ, _ALERT),
        EventType(ALERT_CLOSED, "It no longer does.", Scope.DISPATCH_READ, _ALERT),
        EventType(
            WALLET_LOW,
            "What can be spent fell below the wallet's warning limit; once, until it was a fifth above it.",
            Scope.BILLING_READ,
            {
                "available_paise": "posted, less held, plus credit", "posted_paise": "", "held_paise": "",
                "low_threshold_paise": "the limit", "currency": "INR",
            },
        ),
        EventType(
            MANDATE_FAILED,
            "A mandate that was relied on does not pay: two debits in a row failed, or it was paused or ended; once, "
            "until a debit comes through again.",
            Scope.BILLING_READ,
            {
                "id": "of the mandate", "kind": "upi, emandate or nach", "state": "confirmed, paused, cancelled, ...",
                "reason": "the gateway's word, or ours", "max_amount_paise": "per debit",
                "consecutive_failures": "", "at": "instant",
            },
        ),
        EventType(
            INVOICE_ISSUED,
            "A tax invoice, or a credit or debit note about one, has its number.",
            Scope.BILLING_READ,
            {
                "id": "of the document, as under /api/v1/invoices/", "kind": "invoice, credit_note or debit_note",
                "number": "serial number", "dated_on": "day on it", "recipient_gstin": "empty: not registered",
                "taxable_paise": "", "tax_paise": "", "total_paise": "", "currency": "INR",
                "sessions": "in its annexure", "annexure_sha256": "of the annexure's CSV",
            },
        ),
        EventType(
            WALLET_TOPPED_UP,
            "Money is in the wallet: a payment through the gateway, by whichever way, or one booked by hand.",
            Scope.BILLING_READ,
            {
                "amount_paise": "what came", "reference": "id of the payment, or the key it was booked under",
                "available_paise": "what can be spent now", "posted_paise": "", "currency": "INR", "at": "instant",
            },
        ),
        EventType(
            MANDATE_CONFIRMED,
            "A payer has allowed a mandate, or resumed one; debits may begin.",
            Scope.BILLING_READ,
            {
                "id": "of the mandate", "kind": "upi, emandate or nach", "max_amount_paise": "per debit",
                "total_limit_paise": "of all debits, or null", "expires_at": "instant", "at": "instant",
            },
        ),
        EventType(
            REFUND_PROCESSED,
            "Unspent money has gone back to where it came from: a refund, or a dispute that was lost.",
            Scope.BILLING_READ,
            {
                "payment_id": "at the gateway", "amount_paise": "", "reference": "names the refund or dispute",
                "at": "instant",
            },
        ),
        EventType(
            EXCEPTION_OPENED,
            "Finance has something to decide.",
            Scope.BILLING_READ,
            {
                "id": "as under /api/v1/exceptions/", "kind": "missing_tariff, over_capture, mandate_failed, ...",
                "title": "one line", "session": "id of the session, or null", "amount_paise": "",
                "opened_at": "instant",
            },
        ),
        EventType(
            TARIFF_CHANGED,
            "A price list where your fleet may charge has a new version, or was withdrawn.",
            Scope.STATIONS_READ,
            {
                "id": "of the version, as under /api/v1/tariffs/", "network": "slug",
                "external_id": "as its network calls it", "name": "may be empty", "version": "from 1",
                "currency": "INR", "elements": "as OCPI nests them", "valid_from": "instant",
                "valid_to": "instant it was withdrawn, or null",
            },
        ),
        EventType(
            STATION_CHANGED,
            "A site where your fleet may charge was added, moved, described anew or removed. The status of its plugs "
            "is told by itself.",
            Scope.STATIONS_READ,
            {
                "location": "public id of the site", "name": "text", "network": "slug", "latitude": "", "longitude": "",
                "is_removed": "it is shown no more", "updated_at": "instant",
            },
        ),
        EventType(
            GEOFENCE_ENTERED,
            "A vehicle came into one of your geofences. Late, doubtful and made-up positions tell nothing.",
            Scope.VEHICLES_READ,
            _CROSSING,
        ),
        EventType(GEOFENCE_LEFT, "A vehicle left one of your geofences.", Scope.VEHICLES_READ, _CROSSING),
        EventType(
            NETWORK_CHANGED,
            "A network where your fleet may charge was connected, fails, works again or was switched off.",
            Scope.STATIONS_READ,
            {
                "network": "slug", "name": "text", "old": "state before",
                "state": "new, connected, failing or disabled", "reason": "what went wrong last, may be empty",
                "at": "instant",
            },
        ),
    )
}  # fmt: skip
TEST_TYPE = EventType(
    TEST, "Only when you ask for it, to try an endpoint.", "", {"text": "a greeting", "endpoint": "id"}
)


def scopes_needed(event_types: list[str]) -> set[str]:
    """What a key or role must hold to hear these; unknown names need nothing and are refused elsewhere."""
    return {CATALOGUE[name].scope for name in event_types if name in CATALOGUE}


def heard_by(scopes: frozenset[str]) -> list[str]:
    """What somebody with these scopes may hear; a test is for everybody."""
    return [TEST, *(name for name, kind in CATALOGUE.items() if kind.scope in scopes)]
