"""Proves that every stored verdict follows from its stored evidence; exits with 1 when one does not."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billing.reconciliation import rerunning


class Command(BaseCommand):
    help = "Judge stored evidence again by the ruleset that judged it, and compare byte by byte."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sessions", nargs="*", type=int, help="Ids of sessions; all when none is named.")
        parser.add_argument(
            "--anew", type=int, metavar="N", default=0,
            help="Afterwards judge up to N sessions of older rulesets by the rules of today; the old verdicts stay.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        same = other = 0
        for each in rerunning.rerun_all(session_ids=options["sessions"] or None):
            same, other = same + each.is_same, other + (not each.is_same)
            if not each.is_same:
                said = (
                    "nothing: unknown ruleset, or evidence that cannot be read"
                    if each.again is None
                    else each.again.verdict
                )
                stored = each.stored
                print(f"session {stored.session_id} ({stored.ruleset_version}): stored {stored.verdict}, again {said}")
        print(f"{same} verdicts are the same again, {other} are not.")
        if options["anew"]:
            count = rerunning.judge_by_todays_rules(now=timezone.now(), limit=options["anew"])
            print(f"{count} sessions judged by today's rules.")
        if other:
            sys.exit(1)
