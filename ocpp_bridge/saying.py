"""What both families of OCPP versions need to say a version-neutral command."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from ocpp_bridge.instants import to_wire
from ocpp_bridge.station import Unusable

Said = tuple[str, dict[str, Any]]
Say = Callable[[dict[str, Any]], Said]
RECURRENCY = {"daily": "Daily", "weekly": "Weekly"}
KINDS = {"absolute": "Absolute", "relative": "Relative", "recurring": "Recurring"}
MAX_PERIODS = 1024
COST_VENDOR = "org.openchargealliance.costmsg"  # OCA application note "OCPP & California Pricing Requirements"


class NotSupported(Unusable):
    """This OCPP version has no words for it; the charger is not asked."""


def speaker(version: str, words: Mapping[str, Say]) -> Callable[[str, dict[str, Any]], Said]:
    """The `command` of a Meaning: (action, parameters) -> (wire action, payload). Raises Unusable, NotSupported."""

    def command(action: str, parameters: dict[str, Any]) -> Said:
        if action not in words:
            raise NotSupported(f"not_supported by OCPP {version}")
        try:
            return words[action](parameters)
        except NotSupported as error:
            raise NotSupported(f"not_supported by OCPP {version}: {error}") from None
        except KeyError as error:
            raise Unusable(f"missing parameter {error.args[0]}") from None
        except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Unusable(f"cannot say {action} in OCPP {version}: {error}") from error

    return command


def some(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def instant(value: Any) -> str | None:
    """An ISO text or datetime as OCPP writes it (UTC, Z, milliseconds); None stays None."""
    if value in (None, ""):
        return None
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return to_wire(at.replace(tzinfo=UTC) if at.tzinfo is None else at)


def tenth(value: Any) -> float:
    """A limit in steps of 0.1, never above what was meant (OCPP 1.6 section 7.14, OCPP 2.0.1 part 2 K01)."""
    limit = Decimal(str(value)).quantize(Decimal("0.1"), ROUND_DOWN)
    if not limit.is_finite() or limit < 0:
        raise Unusable(f"limit {value} is no limit")
    return float(limit)


def amount(value: Any) -> float:
    """An amount of money as OCPP has it: a JSON number."""
    figure = float(Decimal(str(value)))
    if not 0 <= figure < 1e12:
        raise Unusable(f"{value} is no amount")
    return figure


def check_profile(parameters: dict[str, Any]) -> dict[str, Any]:
    """The neutral charging profile, when its purpose fits the EVSE and the transaction; raises Unusable.

    OCPP 1.6 section 3.13 and OCPP 2.0.1 part 2 K01: a station maximum is for EVSE 0 only, a TxProfile for one running
    transaction on its EVSE; absolute and recurring schedules say when they start, a relative one must not.
    """
    profile: dict[str, Any] = parameters["charging_profile"]
    evse_number, purpose, kind = parameters["evse_number"], profile["purpose"], profile["kind"]
    if purpose == "station_max" and evse_number != 0:
        raise Unusable("a station_max profile is for evse_number 0")
    if purpose == "tx" and (evse_number < 1 or not parameters.get("transaction_ref")):
        raise Unusable("a tx profile needs the evse_number and transaction_ref of a running transaction")
    check_schedule(profile, kind)
    return profile


def check_start_profile(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The profile of a remote start: for the transaction to be, so without its id (OCPP 1.6 section 5.11)."""
    profile: dict[str, Any] | None = parameters.get("charging_profile")
    if profile is not None:
        if profile["purpose"] != "tx":
            raise Unusable("a remote start takes a tx profile only")
        check_schedule(profile, profile["kind"])
    return profile


def check_schedule(profile: dict[str, Any], kind: str) -> None:
    """Raises Unusable for a schedule that no charger may be given."""
    periods = profile["periods"]
    if kind == "recurring" and profile.get("recurrency") not in RECURRENCY:
        raise Unusable("a recurring profile needs recurrency daily or weekly")
    if kind == "relative" and profile.get("start_at"):
        raise Unusable("a relative profile starts with its transaction: no start_at")
    if kind != "relative" and not profile.get("start_at"):
        raise Unusable("an absolute or recurring profile needs start_at")
    starts = [period["start_seconds"] for period in periods]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)) or len(starts) > MAX_PERIODS:
        raise Unusable("periods begin at 0 seconds and follow each other, at most 1024")


def schedule(profile: dict[str, Any]) -> dict[str, Any]:
    """The chargingSchedule of any version."""
    periods = [
        some(startPeriod=period["start_seconds"], limit=tenth(period["limit"]), numberPhases=period.get("phases"))
        for period in profile["periods"]
    ]
    minimum = profile.get("min_charging_rate")
    return {
        "chargingRateUnit": profile["unit"],
        "chargingSchedulePeriod": periods,
        **some(
            duration=profile.get("duration_seconds"),
            startSchedule=instant(profile.get("start_at")),
            minChargingRate=None if minimum is None else tenth(minimum),
        ),
    }


def validity(profile: dict[str, Any]) -> dict[str, Any]:
    return some(
        recurrencyKind=RECURRENCY[profile["recurrency"]] if profile.get("recurrency") else None,
        validFrom=instant(profile.get("valid_from")),
        validTo=instant(profile.get("valid_to")),
    )


def certificate_hash(neutral: dict[str, Any]) -> dict[str, Any]:
    """CertificateHashData, the same in every version."""
    return {
        "hashAlgorithm": neutral["hash_algorithm"],
        "issuerNameHash": neutral["issuer_name_hash"],
        "issuerKeyHash": neutral["issuer_key_hash"],
        "serialNumber": neutral["serial_number"],
    }
