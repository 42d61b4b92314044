"""A depot's bill divided among its sessions, to the paisa: slots, losses, the peak, vehicle-days. Pure integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from billing.utility import sharing
from billing.utility.sharing import share_out

ENERGY, FIXED, DEMAND, PENALTY = "energy", "fixed", "demand", "demand_penalty"
FUEL, POWER_FACTOR, DUTY, LATE, OTHER, ARREARS = "fuel", "power_factor", "duty", "late_fee", "other", "arrears"
BY_PEAK, BY_KWH, EQUALLY, BY_VEHICLE_DAY, TO_DEPOT = "peak", "kwh", "equal", "vehicle_day", "depot"
COLUMNS = ("energy", "losses", "demand", "fixed", "other")


@dataclass(frozen=True)
class Charge:
    """One line of the bill; `slot` "" is all of them. `energy_wh`: what the utility's meter says for it."""

    kind: str
    amount_paise: int
    slot: str = ""
    energy_wh: int | None = None


@dataclass(frozen=True)
class Use:
    """A session: its energy by block within the period, and whose it is (`vehicle` None: nobody we know)."""

    session_id: int
    blocks: Mapping[int, int]
    vehicle: int | None = None


@dataclass(frozen=True)
class Rules:
    demand: str = BY_PEAK
    losses: str = BY_KWH
    fixed: str = BY_VEHICLE_DAY


@dataclass
class Part:
    """What one session, or the depot itself (`session_id` None), bears. In paise."""

    session_id: int | None
    vehicle: int | None = None
    energy_wh: int = 0
    peak_wh: int = 0
    energy: int = 0
    losses: int = 0
    demand: int = 0
    fixed: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        return self.energy + self.losses + self.demand + self.fixed + self.other


@dataclass(frozen=True)
class Result:
    """`metered_wh` None: no meter of the utility speaks, so that no loss is known. `loss_permille` of the metered."""

    parts: tuple[Part, ...]
    depot: Part
    metered_wh: int | None
    sessions_wh: int
    peak_blocks: tuple[int, ...]
    peak_wh: int

    @property
    def loss_wh(self) -> int | None:
        return None if self.metered_wh is None else self.metered_wh - self.sessions_wh

    @property
    def loss_permille(self) -> int | None:
        return None if not self.metered_wh or self.loss_wh is None else self.loss_wh * 1000 // self.metered_wh

    @property
    def total(self) -> int:
        return self.depot.total + sum(part.total for part in self.parts)


@dataclass
class _Work:
    uses: Sequence[Use]
    rules: Rules
    slots: Sequence[str]
    meter: Mapping[int, int]
    parts: list[Part] = field(default_factory=list)
    depot: Part = field(default_factory=lambda: Part(None))


def allocate(
    *,
    charges: Sequence[Charge],
    uses: Sequence[Use],
    slots: Sequence[str],
    days: Sequence[str],
    meter: Mapping[int, int] | None = None,
    rules: Rules | None = None,
) -> Result:
    """Divide the charges. `slots` and `days` name each block's; `meter`: the utility's own readings by block.

    Arrears belong to earlier bills and are not divided; a late fee is the depot's. Everything else is, and what no
    session can bear (nobody charged in that slot) is the depot's, so that the total is that of the charges.
    """
    work = _Work(uses, rules or Rules(), slots, meter or {})
    work.parts = [Part(use.session_id, use.vehicle, sum(use.blocks.values())) for use in uses]
    peak = _peak(work)
    for part, use in zip(work.parts, uses, strict=True):
        part.peak_wh = sum(use.blocks.get(block, 0) for block in peak)
    metered_wh = _metered_wh(charges, work)
    for charge in charges:
        _divide(charge, work, peak, days, metered_wh)
    for charge in charges:
        if charge.kind == DUTY:  # a tax on the rest
            _put(work, charge.amount_paise, [max(0, part.total) for part in work.parts], "other",
                 depot_weight=max(0, work.depot.total))  # fmt: skip
    load = _load(work)
    return Result(
        tuple(work.parts), work.depot, metered_wh, sum(part.energy_wh for part in work.parts), peak,
        max((load[block] for block in peak), default=0),
    )  # fmt: skip


def _divide(charge: Charge, work: _Work, peak: Sequence[int], days: Sequence[str], metered_wh: int | None) -> None:
    amount, kind, rules = charge.amount_paise, charge.kind, work.rules
    if kind in {DUTY, ARREARS}:
        return
    if kind == LATE:
        work.depot.other += amount
    elif kind == ENERGY:
        _by_energy(work, charge, "energy", metered_wh)
    elif kind in {DEMAND, PENALTY}:
        if rules.demand == BY_PEAK:
            own = sum(work.meter.get(block, 0) for block in peak) - sum(part.peak_wh for part in work.parts)
            weight = max(0, own) if rules.losses == TO_DEPOT else 0
            _put(work, amount, [part.peak_wh for part in work.parts], "demand", depot_weight=weight)
        else:
            _plainly(work, charge, "demand", rules.demand, metered_wh)
    elif kind == FIXED:
        if rules.fixed == BY_VEHICLE_DAY:
            _put(work, amount, _vehicle_days(work.uses, days), "fixed")
        else:
            _plainly(work, charge, "fixed", rules.fixed, metered_wh)
    else:
        _by_energy(work, charge, "other", metered_wh)


def _plainly(work: _Work, charge: Charge, column: str, rule: str, metered_wh: int | None) -> None:
    if rule == EQUALLY:
        _put(work, charge.amount_paise, [1 if part.energy_wh else 0 for part in work.parts], column)
    else:
        _by_energy(work, charge, column, metered_wh)


def _by_energy(work: _Work, charge: Charge, column: str, metered_wh: int | None) -> None:
    """In proportion to the sessions' energy in the slot; what the meter counted beyond is loss."""
    weights = [
        sum(wh for block, wh in use.blocks.items() if not charge.slot or work.slots[block] == charge.slot)
        for use in work.uses
    ]
    used = sum(weights)
    measured = charge.energy_wh if charge.kind == ENERGY and charge.energy_wh is not None else None
    if measured is None:
        measured = _measured(work, charge.slot) if charge.slot else metered_wh
    lost = max(0, (measured or 0) - used)
    if used == 0:
        _put(work, charge.amount_paise, [], column)
        return
    for_use, for_loss = share_out(charge.amount_paise, [used, lost])
    _put(work, for_use, weights, column)
    where = "losses" if column == "energy" else column
    if work.rules.losses == TO_DEPOT:
        _put(work, for_loss, [], where)
    else:
        _put(work, for_loss, weights, where)


def _put(work: _Work, amount: int, weights: Sequence[int], column: str, *, depot_weight: int = 0) -> None:
    """Share an amount out; without any weight the depot bears it."""
    if not sum(weights) and not depot_weight:
        setattr(work.depot, column, getattr(work.depot, column) + amount)
        return
    parts = share_out(amount, [*weights, depot_weight])
    for part, paise in zip([*work.parts, work.depot] if weights else [work.depot], parts, strict=True):
        setattr(part, column, getattr(part, column) + paise)


def _metered_wh(charges: Sequence[Charge], work: _Work) -> int | None:
    """What the bill says, else what the utility's readings say."""
    told = [charge.energy_wh for charge in charges if charge.kind == ENERGY and charge.energy_wh is not None]
    return sum(told) if told else _measured(work, "")


def _measured(work: _Work, slot: str) -> int | None:
    if not work.meter:
        return None
    return sum(wh for block, wh in work.meter.items() if not slot or work.slots[block] == slot)


def _load(work: _Work) -> Mapping[int, int]:
    return work.meter or sharing.total(use.blocks for use in work.uses)


def _peak(work: _Work) -> tuple[int, ...]:
    """The block or blocks with the greatest load: of the utility's meter where it speaks, else of all sessions."""
    load = _load(work)
    most = max(load.values(), default=0)
    return tuple(sorted(block for block, wh in load.items() if wh == most)) if most else ()


def _vehicle_days(uses: Sequence[Use], days: Sequence[str]) -> list[int]:
    """A vehicle that charges twice a day counts once, on its first session; who nobody knows counts by session."""
    seen: set[tuple[str, int, str]] = set()
    weights = []
    for use in uses:
        who = ("vehicle", use.vehicle) if use.vehicle is not None else ("session", use.session_id)
        fresh = {(*who, days[block]) for block, wh in use.blocks.items() if wh} - seen
        seen |= fresh
        weights.append(len(fresh))
    return weights
