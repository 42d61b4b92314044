"""`manage.py replay_frames FILE --url ws://... --identity ...`: a downloaded recording, played into a test server."""

import asyncio
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from websockets import WebSocketException

from ocpp_bridge import replay
from ocpp_bridge.recorder import hash_tag


def _tag(text: str) -> tuple[str, str]:
    """(hash in the recording, token to send): `#0123456789abcdef=TAG1`, or `TAG1` where this installation recorded."""
    recorded, is_given, token = text.partition("=")
    return (recorded, token) if is_given and replay.RECORDED_TAG.fullmatch(recorded) else (hash_tag(text), text)


class Command(BaseCommand):
    help = "Plays the charger's side of a recording (JSON Lines from /api/v1/frames/download/) into a test server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--url", required=True, help="e.g. ws://127.0.0.1:8001/ocpp")
        parser.add_argument("--identity", required=True, help="the charger's identity at that server")
        parser.add_argument("--key", default="", help="its Basic-auth key")
        parser.add_argument("--protocol", default="ocpp1.6")
        parser.add_argument(
            "--tag", action="append", default=[], metavar="TOKEN or HASH=TOKEN",
            help="a token of that server for a tag of the recording; by its hash when it was recorded elsewhere",
        )  # fmt: skip
        parser.add_argument("--speed", type=float, default=1.0, help="10: ten times as fast; 0: without pauses")

    def handle(self, *args: Any, **options: Any) -> None:
        with options["file"].open("rb") as file:
            lines = replay.read(file)
        if not lines:
            raise CommandError("There are no frames in this file.")
        tags = dict(map(_tag, options["tag"]))
        player = replay.Replay(lines, speed=options["speed"], tags=tags)
        try:
            outcome = asyncio.run(
                player.run(
                    options["url"], identity=options["identity"], key=options["key"], protocol=options["protocol"]
                )
            )
        except OSError as error:
            raise CommandError(f"Cannot connect: {error}") from error
        except WebSocketException as error:
            raise CommandError(f"The server does not let us in: {error}") from error
        self._report(outcome)
        if strange := sorted(replay.tags_of(lines) - tags.keys()):
            self.stdout.write(f"{len(strange)} tags went as their hashes, which are nobody's (see --tag):")
            self.stdout.write(f"  {' '.join(strange[:50])}")

    def _report(self, outcome: replay.Outcome) -> None:
        self.stdout.write(
            f"{outcome.sent} CALLs sent, {outcome.answered} answered, {outcome.unanswered} not;"
            f" {outcome.skipped} other frames; {outcome.asked} times asked; {outcome.seconds:.1f} s"
        )
        for code, count in sorted(outcome.errors.items()):
            self.stdout.write(f"  CALLERROR {code}: {count}")
        self.stdout.write(f"{len(outcome.different)} answers mean something else than then")
        for text in outcome.different[:50]:
            self.stdout.write(f"  {text}")
        if outcome.unanswered:
            raise CommandError(f"{outcome.unanswered} CALLs were not answered")
