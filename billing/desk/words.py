"""Codes of stations, gateways and jobs as finance reads them: words, and values by the unit in their field's name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.entitlement import ACCEPTED
from billing.evidence import facts_in_words
from billing.services import afterwards
from fleetcharge.lib.money import format_inr, group_indian

Words = Mapping[str, str | Promise]
AUTHORISATION: Words = {ACCEPTED: gettext_lazy("Allowed"), **afterwards.WORDS}
STOPPED: Words = {
    "Local": gettext_lazy("Stopped at the charger"), "Remote": gettext_lazy("Stopped from afar"),
    "EVDisconnected": gettext_lazy("Unplugged"), "StoppedByEV": gettext_lazy("The vehicle ended it"),
    "SOCLimitReached": gettext_lazy("Charged as far as wanted"), "DeAuthorized": gettext_lazy("No longer allowed"),
    "EnergyLimitReached": gettext_lazy("Energy limit reached"), "TimeLimitReached": gettext_lazy("Time limit reached"),
    "LocalOutOfCredit": gettext_lazy("Out of credit"), "EmergencyStop": gettext_lazy("Emergency stop"),
    "PowerLoss": gettext_lazy("Power cut"), "Reboot": gettext_lazy("The charger restarted"),
    "HardReset": gettext_lazy("The charger restarted"), "SoftReset": gettext_lazy("The charger restarted"),
    "ImmediateReset": gettext_lazy("The charger restarted"), "Timeout": gettext_lazy("Nothing was plugged in in time"),
    "UnlockCommand": gettext_lazy("Unlocked"), "Other": gettext_lazy("Another reason"),
    "Network": gettext_lazy("Ended by its network"), "Assumed": gettext_lazy("Assumed: no stop was reported"),
}  # fmt: skip
METHODS: Words = {
    "upi": "UPI", "card": gettext_lazy("Card"), "netbanking": gettext_lazy("Net banking"),
    "bank_transfer": gettext_lazy("Bank transfer"), "wallet": gettext_lazy("The payer's wallet app"),
    "emandate": gettext_lazy("E-mandate"), "nach": "NACH",
}  # fmt: skip
SETTLED: Words = {
    "payment": gettext_lazy("Payment"), "refund": gettext_lazy("Refund"), "adjustment": gettext_lazy("Adjustment"),
    "dispute": gettext_lazy("Dispute"), "transfer": gettext_lazy("Transfer"),
}  # fmt: skip
DISPUTES: Words = {
    "open": gettext_lazy("Open"), "under_review": gettext_lazy("Under review"), "won": gettext_lazy("Won"),
    "lost": gettext_lazy("Lost"), "closed": gettext_lazy("Closed"),
}  # fmt: skip
SUPPLIES: Words = {
    "B2B": gettext_lazy("Registered (B2B)"), "B2C": gettext_lazy("Not registered (B2C)"),
    "SEZWP": gettext_lazy("Special economic zone, with tax (SEZWP)"),
    "SEZWOP": gettext_lazy("Special economic zone, without tax (SEZWOP)"),
}  # fmt: skip
JOBS: Words = {
    "rate_cdr": gettext_lazy("Price and charge a session"),
    "take_cdr": gettext_lazy("Take a network's record into the books"),
    "network_bill": gettext_lazy("Check a network's bill"), "document_letter": gettext_lazy("Mail a document"),
    "receipt_voucher": gettext_lazy("Issue a receipt voucher"),
    "refund_voucher": gettext_lazy("Issue a refund voucher"),
}  # fmt: skip
WH_PER_KWH, SECONDS_PER_MINUTE, MINUTES_PER_HOUR = 1000, 60, 60


def named(words: Words, code: str) -> str:
    """A code without words of its own is at least written as people write."""
    return str(capfirst(_(str(words.get(code, code.replace("_", " "))))) if code else "—")


def money(paise: int | None) -> str:
    return "—" if paise is None else format_inr(paise)


def kwh(energy_wh: int) -> str:
    hundredths = (abs(energy_wh) * 100 + WH_PER_KWH // 2) // WH_PER_KWH
    sign = "-" if energy_wh < 0 and hundredths else ""
    return f"{sign}{group_indian(hundredths // 100)}.{hundredths % 100:02d}"


def energy(energy_wh: int | None) -> str:
    return "—" if energy_wh is None else f"{kwh(energy_wh)} kWh"


def duration(seconds: int | None) -> str:
    if seconds is None:
        return "—"
    hours, minutes = divmod(int(seconds) // SECONDS_PER_MINUTE, MINUTES_PER_HOUR)
    if hours:
        return _("%(hours)s h %(minutes)s min") % {"hours": group_indian(hours), "minutes": f"{minutes:02d}"}
    if minutes:
        return _("%(minutes)s min") % {"minutes": minutes}
    return _("%(seconds)s s") % {"seconds": int(seconds)}


def degrees(angle_e7: int | None) -> str:
    return "—" if angle_e7 is None else f"{angle_e7 / 1e7:.5f}°"


def milliseconds(microseconds: int | None) -> str:
    return "—" if microseconds is None else f"{microseconds / 1000:.1f} ms"


def percent(value: float | None) -> str:
    return "—" if value is None else f"{value:.0f} %"


def apparent_power(va: int | None) -> str:
    return f"{va / 1000:g} kVA" if va else "—"


BY_UNIT: dict[str, Callable[[Any], Any]] = {
    "paise": money, "wh": energy, "seconds": duration, "e7": degrees, "us": milliseconds, "va": apparent_power,
    "percent": percent,
}  # fmt: skip


def told(value: Any) -> SafeString | str:
    """What is kept as JSON, a line for each fact."""
    return format_html_join("", "<div>{}</div>", ((line,) for line in lines(value))) or "—"


def lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{capfirst(name)}: {text}" for name, text in facts(value)]
    if isinstance(value, list):
        return [_on_one_line(each) for each in value]
    return [_plain(value)]


def facts(told_of: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in told_of.items():
        stem, _underscore, unit = name.rpartition("_")
        if unit == "paise" and isinstance(value, int | None):
            yield stem.replace("_", " "), money(value)
        elif isinstance(value, bool | dict | list):
            yield name.replace("_", " "), _on_one_line(value)
        else:
            yield from facts_in_words({name: value})


def _on_one_line(value: Any) -> str:
    return "; ".join(lines(value)) or "—"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return "—" if value in (None, "") else str(value)
