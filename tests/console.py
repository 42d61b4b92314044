"""A shell inside the product for tests: one process that runs many pieces of code, as starting one takes seconds.

Each line of standard input is JSON of a piece of Python; each line of standard output {"out": what it printed} or
{"error": its traceback}.
"""

import contextlib
import io
import json
import os
import select
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 180


class Console:
    """The tests' side; `env` is that of the running system."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.console"],
            cwd=ROOT, env={**env, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._said = b""

    def run(self, code: str) -> Any:
        """The JSON that the code prints last, None when it prints nothing; AssertionError when it fails."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(code).encode() + b"\n")
        answer = json.loads(self._line())
        assert "error" not in answer, answer["error"]
        lines = answer["out"].strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def _line(self) -> bytes:
        """The next line that is an answer; warnings and logs of the start may come before it."""
        while True:
            line, newline, rest = self._said.partition(b"\n")
            if newline:
                self._said = rest
                if line.startswith((b'{"out"', b'{"error"')):
                    return line
                continue
            self._said += self._more()

    def _more(self) -> bytes:
        assert self._process.stdout is not None
        is_there, _, _ = select.select([self._process.stdout], [], [], PATIENCE_SECONDS)
        piece = os.read(self._process.stdout.fileno(), 65536) if is_there else b""
        assert piece, f"the console ended or says nothing: {self._said.decode()[-2000:]}"
        return piece

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.terminate()
        self._process.wait(30)


def _answer(code: str) -> dict[str, str]:
    from django.db import connections

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {"__name__": "console"})
    except Exception:
        return {"error": traceback.format_exc()}
    finally:
        connections.close_all()  # its database may be killed before the next one
    return {"out": printed.getvalue()}


def main() -> None:
    import django

    django.setup()
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
