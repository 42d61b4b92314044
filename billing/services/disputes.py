"""Everything about one price check in one document, for a dispute with the network."""

from typing import Any

from billing.models import PriceCheck
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Tariff


def pack(check: PriceCheck) -> dict[str, Any]:
    """Reads roaming_cdr__source, session__connector__evse__location and tariff. Tokens are named as the network did."""
    told, session = check.roaming_cdr, check.session
    return {
        "currency": check.currency,
        "record": {
            "network": told.source.name, "record": told.key, "session": told.session_ref,
            "our reference": told.authorization_reference, "our session": session.transaction_ref,
            "token": told.token_uid, "site": session.connector.evse.location.name,
            "connector": f"{told.evse_ref} {told.connector_ref}".strip(), "from": told.started_at.isoformat(),
            "to": told.ended_at.isoformat() if told.ended_at else "", "energy, Wh": told.energy_wh,
            "state": check.get_state_display(), "checked at": check.checked_at.isoformat(),
        },
        "total": {
            "without_tax": {"ours": check.ours_before_paise, "theirs": check.theirs_before_paise},
            "with_tax": {"ours": check.ours_after_paise, "theirs": check.theirs_after_paise},
            "difference_paise": check.difference_paise,
        },
        "findings": check.findings,
        "our_price": check.explanation,
        "their_price": _their_price(told),
        "periods": told.periods,
        "tariff": _tariff(check.tariff),
        "tariffs_named_by_the_network": told.tariffs,
        "record_as_sent": told.raw,
    }  # fmt: skip


def file_name(check: PriceCheck, extension: str) -> str:
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in check.roaming_cdr.key)
    return f"dispute-{check.roaming_cdr.source.slug}-{safe}.{extension}"


def _their_price(told: RoamingCDR) -> dict[str, str]:
    if "components" in told.costs:
        return {f"{part['type']} {part.get('description', '')}".strip(): part["value"]
                for part in told.costs["components"]}  # fmt: skip
    return {name: str(cost.get("before_taxes", "")) for name, cost in told.costs.items() if isinstance(cost, dict)}


def _tariff(tariff: Tariff | None) -> dict[str, Any] | None:
    if tariff is None:
        return None
    return {
        "id": tariff.external_id, "version": tariff.version, "known from": tariff.valid_from.isoformat(),
        "known to": tariff.valid_to.isoformat() if tariff.valid_to else "", "terms": tariff.terms,
        "elements": tariff.elements,
    }  # fmt: skip
