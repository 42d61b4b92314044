"""Decide a stored plan once more: `manage.py replay_plan 42 --explain`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch import replaying
from dispatch.core import VERSION, choose
from dispatch.models import ChargePlan


class Command(BaseCommand):
    help = "Decide a stored plan again from its snapshot; exit code 1 when the answer is another one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("plan_id", type=int)
        parser.add_argument("--explain", action="store_true", help="every plug that was looked at, with its rupees")

    def handle(self, *args: Any, plan_id: int, explain: bool, **options: Any) -> None:
        plan = ChargePlan.objects.select_related("vehicle", "connector__evse__location").filter(pk=plan_id).first()
        if plan is None:
            raise CommandError(f"There is no plan {plan_id}.")
        again = replaying.replay(plan)
        if again is None:
            raise CommandError(f"Plan {plan_id} was stored without a snapshot.")
        self._head(plan)
        for verdict in again.ranking if explain else ():
            self.stdout.write(_line(verdict))
        self._judge(plan, again)

    def _head(self, plan: ChargePlan) -> None:
        self.stdout.write(
            f"Plan {plan.pk} for {plan.vehicle.registration}, {plan.created_at:%Y-%m-%d %H:%M:%S %Z}, trigger "
            f"{plan.trigger}: distances by {plan.engine}, core {plan.core_version} (now {VERSION}), "
            f"{len(plan.snapshot['candidates'])} of {plan.explanation.get('considered', '?')} plugs kept"
        )

    def _judge(self, plan: ChargePlan, again: replaying.Replayed) -> None:
        if found := replaying.differences(plan, again):
            told = [f"  {one.name}: {one.stored} then, {one.again} now" for one in found]
            raise CommandError("\n".join(["The answer is another one:", *told]), returncode=1)
        self.stdout.write(f"The same answer: {_answer(plan)}")


def _answer(plan: ChargePlan) -> str:
    if plan.connector is not None:
        station = plan.connector.evse.location.name
        return f"plug {plan.connector_id} at {station}, {round(plan.delay_seconds / 60)} min delay"
    known = plan.explanation
    missing = f", {known['deficit_wh']} Wh missing" if known.get("deficit_wh") else ""
    reason = known.get("refusal") or known.get("problem") or "out_of_reach"
    return f"none ({reason}{missing}, {known.get('reach_m', 0)} m to drive)"


def _line(verdict: choose.Verdict) -> str:
    parts = (verdict.time_paise, verdict.price_paise, verdict.risk_paise)
    time, price, risk = (f"{paise / 100:.2f}" for paise in parts)
    return (
        f"  {verdict.connector_id:>8}  ₹{verdict.total_paise / 100:>9.2f} = time {time} + price {price} + risk {risk}"
        f"  arrives {verdict.arrival_soc_percent:.1f} %, waits {round(verdict.wait_seconds / 60)} min"
        f"  {verdict.station}{f'  [{verdict.problem}]' if verdict.problem else ''}"
    )
