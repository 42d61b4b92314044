"""What happened in each session of the bench: mostly honest in the many ways of honest trackers, some of each fraud."""

from typing import Any

import numpy as np

CHARGING_S = 40 * 60
METRE_E7 = 90  # of latitude, nearly
HONEST = "honest"
EXPECTED = {
    "elsewhere": "blocked", "another's card": "review", "the gauge stood still": "review",
    "the tracker was silent": "inconclusive", "the register fell": "invalid", HONEST: "verified",
}  # fmt: skip
_FRAUDS = {
    0: "elsewhere", 1: "elsewhere", 2: "another's card", 3: "another's card", 4: "the gauge stood still",
    5: "the tracker was silent", 6: "the tracker was silent", 7: "the register fell",
}  # fmt: skip


def dice(number: int, turn: int) -> int:
    """0 to 99, the same in every run."""
    return (number * 37 + turn * 61 + number // 100 * 7) % 100


def of(number: int, turn: int) -> str:
    """A story of EXPECTED, by vehicle and session."""
    told = _FRAUDS.get(dice(number, turn), HONEST)
    return HONEST if told == "the gauge stood still" and untold(number) == "soc_permille" else told


def play(rows: np.ndarray, at_s: np.ndarray, number: int, turn: int, start: int, place: tuple[int, int]) -> np.ndarray:
    """The vehicle's pings around that session, in place; says which of them never arrived."""
    luck, told = dice(number, turn), of(number, turn)
    stays_s = 3_000 if 35 <= luck < 40 else 300
    stands = (at_s >= start - 600) & (at_s <= start + CHARGING_S + stays_s)
    after = (at_s >= start) & (at_s <= start + CHARGING_S + 1_800)
    if told != "the gauge stood still":
        rows["soc_permille"][after] = np.minimum(300 + (at_s[after] - start) * 47 // 240, 770)
    if told != "elsewhere":
        rows["latitude_e7"][stands], rows["longitude_e7"][stands], rows["speed_dkmh"][stands] = (*place, 0)
    _as_trackers_do(rows, at_s, stands, luck, number)
    around = (at_s >= start - 1_800) & (at_s <= start + CHARGING_S + 2_400)
    if told == "the tracker was silent":
        return around
    if 40 <= luck < 45:  # no network for eight minutes
        return (at_s >= start + 600) & (at_s < start + 1_080)
    return around & (at_s % 60 != 0) if 45 <= luck < 50 else np.zeros(len(at_s), dtype=bool)  # a ping a minute


def _as_trackers_do(rows: np.ndarray, at_s: np.ndarray, stands: np.ndarray, luck: int, number: int) -> None:
    """Drifting, a gauge that is not fresh, a network's coordinates off, single outliers: nobody's fault."""
    if 10 <= luck < 20:
        drift = np.random.default_rng(number).integers(-25, 26, size=(2, int(stands.sum())))
        rows["latitude_e7"][stands] += drift[0] * METRE_E7
        rows["longitude_e7"][stands] += drift[1] * METRE_E7
        rows["accuracy_m"][stands] = 30
    elif 20 <= luck < 30:
        rows["flags"][stands] = 32
    elif 30 <= luck < 35:
        rows["latitude_e7"][stands] += 120 * METRE_E7
    elif 50 <= luck < 55:
        rows["accuracy_m"] = 5 + at_s // 10 % 6
        outliers = stands & (at_s % 600 == 0)
        rows["latitude_e7"][outliers] += 900_000
        rows["flags"][outliers] = 2


def untold(number: int) -> str:
    """Which column the vehicle's tracker never tells; '' for all the others."""
    return {7: "accuracy_m", 9: "speed_dkmh", 11: "soc_permille"}.get(number % 25, "")


def card(number: int, turn: int, count: int) -> int:
    """Whose card was used: of which vehicle's driver."""
    return (number + 1) % count if of(number, turn) == "another's card" else number


def register_wh(number: int, turn: int, minute: int) -> int:
    return minute * 250 - (2_000 if of(number, turn) == "the register fell" and 20 <= minute < 30 else 0)


def confusion(found: dict[str, str], told: dict[str, str]) -> list[str]:
    """Per story: how many there were, and which verdicts they got. Both by the session's reference."""
    lines = []
    for story, expected in EXPECTED.items():
        verdicts = [found[key] for key in told if told[key] == story and key in found]
        others: dict[str, Any] = {each: verdicts.count(each) for each in sorted(set(verdicts)) if each != expected}
        lines.append(
            f"  {story}: {len(verdicts):,}, {expected} {verdicts.count(expected):,}, others {others or 'none'}"
        )
    return lines
