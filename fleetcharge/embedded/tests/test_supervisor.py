"""The supervisor: restarts with back-off, stops in reverse order, leaves nothing behind."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import CHECKOUT
from fleetcharge.embedded.supervisor import ProcessSpec, Supervisor
from fleetcharge.embedded.tests.conftest import processes_naming, wait_for

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


PATIENCE_S = 60.0  # only a red test waits this long


def run_until(done: Callable[[list[str]], object], specs: list[ProcessSpec], folder: Path) -> list[str]:
    """What the supervisor said until `done`, which is shown it again and again, and while it stopped."""
    lines: list[str] = []
    deadline = time.monotonic() + PATIENCE_S
    Supervisor(specs, folder, lines.append).run(until=lambda: bool(done(lines)) or time.monotonic() > deadline)
    return lines


def test_a_crashing_process_comes_back_later_and_later(tmp_path: Path) -> None:
    times = tmp_path / "times"
    argv = [sys.executable, "-S", "-c", f"import time; open({str(times)!r}, 'a').write(f'{{time.time()}}\\n'); 1 / 0"]
    spec = ProcessSpec("crasher", argv, first_delay_s=0.1, longest_delay_s=0.4)
    lines = run_until(lambda said: sum("again in" in line for line in said) == 5, [spec], tmp_path)
    starts = [float(line) for line in times.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert [gap >= delay for gap, delay in zip(gaps, (0.1, 0.2, 0.4, 0.4), strict=True)] == [True] * 4
    said = [line.split(" (")[0] for line in lines if "again" in line]
    assert said == [f"crasher: ended with code 1; again in {delay} s" for delay in (0.1, 0.2, 0.4, 0.4, 0.4)]
    assert "ZeroDivisionError" in (tmp_path / "crasher.log").read_text()


def test_one_that_can_never_start_is_given_up_with_the_reason_and_the_others_stop(tmp_path: Path) -> None:
    lines: list[str] = []
    fail = [sys.executable, "-S", "-c", "1 / 0"]
    specs = [
        ProcessSpec("other", SLEEP),
        ProcessSpec("loser", fail, first_delay_s=0.05, health=lambda: False, obstacle=lambda: "somebody has its port"),
    ]
    with pytest.raises(EngineError, match="loser cannot start: somebody has its port"):
        Supervisor(specs, tmp_path, lines.append).run()
    said = [line.split(" (")[0] for line in lines]
    assert said[1:] == [
        "loser: ended with code 1; again in 0.05 s", "loser: ended with code 1; again in 0.1 s",
        "loser: ended with code 1; given up", "other: stopping",
    ]  # fmt: skip


def test_one_that_was_well_or_whose_obstacle_goes_is_tried_again(tmp_path: Path) -> None:
    fail = [sys.executable, "-S", "-c", "import time; time.sleep(0.05); 1 / 0"]
    seen = itertools.cycle(["in its way", "in its way", ""])
    specs = [
        ProcessSpec("well", fail, first_delay_s=0.01, longest_delay_s=0.01, obstacle=lambda: "in its way"),
        ProcessSpec(
            "lucky", fail, first_delay_s=0.01, longest_delay_s=0.01, health=lambda: False,
            obstacle=lambda: next(seen),
        ),
    ]  # fmt: skip

    def often(lines: list[str]) -> bool:
        return all(sum(f"{name}: ended" in line for line in lines) >= 7 for name in ("well", "lucky"))

    lines = run_until(often, specs, tmp_path)
    assert often(lines)
    assert not [line for line in lines if "given up" in line]


def test_a_killed_process_is_back_within_a_second(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [
        sys.executable,
        "-S",
        "-c",
        f"import os, time; print(os.getpid(), file=open({str(pids)!r}, 'a')); time.sleep(60)",
    ]
    killed: list[int] = []

    def is_back(lines: list[str]) -> bool:
        found = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
        if len(found) == 1 and not killed:
            os.kill(found[0], signal.SIGKILL)
            killed.append(found[0])
        return len(found) == 2

    lines = run_until(is_back, [ProcessSpec("victim", argv)], tmp_path)
    assert len(set(pids.read_text().split())) == 2
    said = [line.split(" (")[0] for line in lines]
    assert said[:3] == ["victim: up", "victim: killed by SIGKILL; again in 0.5 s", "victim: up"]


def test_one_that_does_not_answer_any_more_is_restarted(tmp_path: Path) -> None:
    answers = iter([True, True, False, False])
    spec = ProcessSpec(
        "mute", SLEEP, health=lambda: next(answers, True), health_every_s=0.05, unwell_after=2, first_delay_s=0.1
    )
    lines = run_until(lambda said: len(said) == 4, [spec], tmp_path)
    assert [line.split(" (")[0] for line in lines][:4] == [
        "mute: up",
        "mute: does not answer, stopping it",
        "mute: killed by SIGTERM; again in 0.1 s",
        "mute: up",
    ]


def test_readiness_waits_for_what_is_essential(tmp_path: Path) -> None:
    ready_at: list[float] = []
    well_at = time.monotonic() + 0.4
    specs = [
        ProcessSpec("slow", SLEEP, health=lambda: time.monotonic() > well_at),
        ProcessSpec("toy", SLEEP, health=lambda: False, essential=False),
    ]
    Supervisor(specs, tmp_path, lambda line: None).run(
        until=lambda: bool(ready_at), on_ready=lambda: ready_at.append(time.monotonic())
    )
    assert ready_at[0] >= well_at


def test_all_stop_in_reverse_order_with_their_helpers(tmp_path: Path) -> None:
    (tmp_path / "helper").mkdir()
    place, deaf = str(tmp_path / "helper"), tmp_path / "deaf"
    helper = f"import subprocess, time; subprocess.Popen(['sleep', '61'], cwd={place!r}); time.sleep(60)"
    specs = [
        ProcessSpec("first", SLEEP),
        ProcessSpec("second", [sys.executable, "-c", helper]),
        ProcessSpec(
            "third", ["sh", "-c", f"trap '' TERM; touch {deaf}; sleep 62 & wait; sleep 62"], stop_timeout_s=0.3
        ),
    ]
    lines = run_until(lambda said: deaf.exists() and processes_naming(str(tmp_path / "helper")), specs, tmp_path)
    assert [line for line in lines if "stop" in line] == [
        "third: stopping",
        "third: did not stop in time, killed",
        "second: stopping",
        "first: stopping",
    ]
    wait_for(lambda: not processes_naming(str(tmp_path)))


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from fleetcharge.embedded.supervisor import ProcessSpec, Supervisor
spec = ProcessSpec("orphan", ["sleep", "63"], cwd=Path({str(tmp_path)!r}))
Supervisor([spec], Path({str(tmp_path)!r})).run()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline().startswith("orphan: up")
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    wait_for(lambda: not processes_naming(str(tmp_path)))
