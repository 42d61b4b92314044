"""From what is known of a vehicle to what is asked for it: its question, and its fleet's rules."""

import dataclasses
from collections.abc import Collection
from datetime import datetime

import numpy as np

from dispatch.candidates import Access, Question
from dispatch.core import choose
from dispatch.engines.base import RoutingEngine
from dispatch.situation import Situation


def question_of(
    seen: Situation, *, now: datetime, excluded: Collection[int] = (), promised: int | None = None
) -> Question:
    """`promised`: the plug it is sent to already."""
    facts = choose.VehicleFacts(
        soc_percent=float(seen.soc_percent or 0.0), battery_wh=float(seen.battery_wh),
        wh_per_km=float(seen.wh_per_km), max_dc_power_w=float(seen.max_dc_power_w),
        max_ac_power_w=float(seen.max_ac_power_w), curve_points=seen.charge_curve,
    )  # fmt: skip
    return Question(
        vehicle_id=seen.vehicle_id, organisation_id=seen.organisation_id, plugs=frozenset(seen.plugs), facts=facts,
        here=(float(seen.latitude or 0.0), float(seen.longitude or 0.0)), stops=seen.stops, now=now,
        access=Access(seen.organisation_id, seen.network_ids, seen.allowed_site_ids), token_uid=seen.token_uid,
        voltage_v=seen.max_voltage_v, excluded=frozenset((*excluded, *seen.failed_lately)), promised=promised,
    )  # fmt: skip


def rules_of(seen: Situation, question: Question, engine: RoutingEngine) -> choose.Rules:
    """With the way to its next stop."""
    rules = choose.Rules(
        reserve_percent=float(seen.reserve_percent),
        target_percent=float(seen.target_percent),
        cost_per_minute_paise=float(seen.cost_per_minute_paise),
    )
    if question.next_stop is None:
        return rules
    direct = engine.matrix(np.array([question.here]), np.array([question.next_stop]))
    if np.isnan(direct.metres[0, 0]):
        return rules
    metres, seconds = round(float(direct.metres[0, 0]), 1), round(float(direct.seconds[0, 0]), 1)
    return dataclasses.replace(rules, direct_m=metres, direct_seconds=seconds)
