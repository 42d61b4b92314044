"""How the policies of an experiment differ, in words that a dispatcher reads; each interval is one of 95 %."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dispatch.core.comparing import FEWEST_VEHICLES, Interval
from dispatch.policies.comparison import Arm
from dispatch.policies.models import DispatchPolicy

REFUSED: dict[str, Promise] = {
    "unknown_policy": gettext_lazy("There is no such policy."),
    "unknown_vehicle": gettext_lazy("There is no such vehicle."),
    "shares_must_be_100": gettext_lazy("Two policies or more, whose shares add up to 100."),
    "experiment_running": gettext_lazy("Another experiment is running; end it first."),
    "has_a_policy": gettext_lazy("One of these vehicles follows another policy; end that first."),
}
"""By the code of `assignment.PolicyRefused`."""
LESS, MORE, UNSURE = range(3)
SENTENCES: dict[str, tuple[Promise, Promise, Promise]] = {
    "delay_minutes": (
        gettext_lazy("Delay: %(mean)s minutes less per plan, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Delay: %(mean)s minutes more per plan, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Delay: no difference is shown; %(less)s minutes less to %(more)s minutes more are possible."),
    ),
    "energy_kwh": (
        gettext_lazy("Energy: %(mean)s kWh less per plan, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Energy: %(mean)s kWh more per plan, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Energy: no difference is shown; %(less)s kWh less to %(more)s kWh more are possible."),
    ),
    "cost_rupees": (
        gettext_lazy("Cost: ₹%(mean)s less per plan, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Cost: ₹%(mean)s more per plan, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Cost: no difference is shown; ₹%(less)s less to ₹%(more)s more are possible."),
    ),
    "stranded_percent": (
        gettext_lazy("Stranded: %(mean)s of 100 plans fewer, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Stranded: %(mean)s of 100 plans more, %(low)s to %(high)s with 95 %% certainty."),
        gettext_lazy("Stranded: no difference is shown; %(less)s of 100 plans fewer to %(more)s more are possible."),
    ),
}
"""By figure: it is less, it is more, nobody can say."""


def in_words(arm: Arm, first: DispatchPolicy) -> list[str]:
    """Against the first policy; nothing for that one itself. What is shown comes before what is not."""
    if not arm.against:
        return []
    if arm.against["stranded_percent"].low is None:  # every plan has it
        return [_("Too early to say: this policy or %(first)s has plans of fewer than %(fewest)s vehicles.") % {
            "first": first, "fewest": FEWEST_VEHICLES
        }]  # fmt: skip
    told = sorted(arm.against.items(), key=lambda one: not one[1].is_sure)
    return [_said(name, one) for name, one in told if one.low is not None and one.high is not None]


def _said(name: str, one: Interval) -> str:
    low, high = one.low or 0.0, one.high or 0.0
    if one.is_sure:
        least, most = sorted((abs(low), abs(high)))
        figures = {"mean": f"{abs(one.mean):.1f}", "low": f"{least:.1f}", "high": f"{most:.1f}"}
        return str(SENTENCES[name][MORE if one.mean > 0 else LESS]) % figures
    return str(SENTENCES[name][UNSURE]) % {"less": f"{max(0.0, -low):.1f}", "more": f"{max(0.0, high):.1f}"}
