"""An experiment so far: every policy's figures, the differences to the first one, and a sentence anybody can read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatch.core.comparing import FEWEST_VEHICLES, Interval, Sample, difference, interval, sample_of
from dispatch.policies.models import DispatchPolicy, PolicyExperiment

FIGURES: Mapping[str, float] = {
    "delay_minutes": 60.0,
    "energy_kwh": 1000.0,
    "cost_rupees": 100.0,
    "stranded_percent": 0.01,
}
"""Name and what its column is divided by."""
COLUMNS = {
    "delay_minutes": "delay_seconds", "energy_kwh": "energy_wh", "cost_rupees": "cost_paise",
    "stranded_percent": "is_stranded",
}  # fmt: skip
Rows = dict[str, dict[int, list[float]]]


@dataclass(frozen=True)
class Arm:
    """One policy's plans; `against` are differences to the experiment's first policy. Empty for that one, and where
    people chose the vehicles: those are no sample, so nothing is concluded from them."""

    policy: DispatchPolicy
    share_percent: int
    vehicles: int
    plans: int
    figures: dict[str, Interval]
    against: dict[str, Interval]
    sentence: str


def compare(experiment: PolicyExperiment) -> list[Arm]:
    """Three queries. The same rows give the same intervals: the draws are seeded by the experiment."""
    rows = _rows(experiment)
    arms = list(experiment.arms.select_related("policy"))
    samples = {arm.policy_id: _samples(rows[arm.policy_id]) for arm in arms}
    first = arms[0].policy if arms and experiment.is_drawn else None
    return [_arm(arm.policy, arm.share_percent, rows[arm.policy_id], samples, first, experiment.pk) for arm in arms]


def _rows(experiment: PolicyExperiment) -> dict[int, Rows]:
    found: dict[int, Rows] = defaultdict(lambda: {name: defaultdict(list) for name in FIGURES})
    for row in experiment.outcomes.values("policy_id", "vehicle_id", *COLUMNS.values()):
        for name, column in COLUMNS.items():
            if row[column] is not None:
                found[row["policy_id"]][name][row["vehicle_id"]].append(row[column] / FIGURES[name])
    return found


def _samples(rows: Rows) -> dict[str, Sample]:
    return {name: sample_of(by_vehicle) for name, by_vehicle in rows.items()}


def _arm(
    policy: DispatchPolicy, share_percent: int, rows: Rows, samples: dict[int, dict[str, Sample]],
    first: DispatchPolicy | None, seed: int,
) -> Arm:  # fmt: skip
    own, base = samples[policy.pk], samples[first.pk] if first is not None and first.pk != policy.pk else None
    against = {} if base is None else {name: difference(own[name], base[name], seed=seed) for name in FIGURES}
    counted = rows["stranded_percent"]  # every plan has it
    return Arm(
        policy, share_percent, len(counted), sum(map(len, counted.values())),
        {name: interval(own[name], seed=seed) for name in FIGURES}, against,
        sentence(policy, first, against) if first is not None and against else "",
    )  # fmt: skip


WORDS = {
    "delay_minutes": ("{0:.1f} minutes less delay", "{0:.1f} minutes more delay"),
    "energy_kwh": ("{0:.1f} kWh less", "{0:.1f} kWh more"),
    "cost_rupees": ("₹{0:.2f} less", "₹{0:.2f} more"),
    "stranded_percent": ("{0:.1f} of 100 plans fewer stranded", "{0:.1f} of 100 plans more stranded"),
}


def sentence(policy: DispatchPolicy, first: DispatchPolicy, against: Mapping[str, Interval]) -> str:
    """In English, for reports too; the page shows the figures beside it."""
    if against["stranded_percent"].low is None:  # every plan has it
        return f"Too early to say: {policy} or {first} has plans of fewer than {FEWEST_VEHICLES} vehicles."
    sure = [_said(name, one) for name, one in against.items() if one.is_sure]
    if not sure:
        return f"No difference between {policy} and {first} is shown yet."
    return f"{policy} compared with {first}, per plan: {'; '.join(sure)}."


def _said(name: str, one: Interval) -> str:
    low, high = sorted((abs(one.low or 0.0), abs(one.high or 0.0)))
    return f"{WORDS[name][one.mean > 0].format(abs(one.mean))} (95 % sure of {low:.1f} to {high:.1f})"


def as_json(value: Interval) -> dict[str, Any]:
    rounded = {"mean": value.mean, "low": value.low, "high": value.high}
    return {key: None if one is None else round(one, 3) for key, one in rounded.items()} | {"is_sure": value.is_sure}
