"""The supervisor: restarts with back-off, stops in reverse order, leaves nothing behind."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fleetcharge.embedded.home import CHECKOUT
from fleetcharge.embedded.supervisor import ProcessSpec, Supervisor
from fleetcharge.embedded.tests.conftest import processes_naming, wait_for

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def run_for(seconds: float, specs: list[ProcessSpec], folder: Path) -> list[str]:
    """What the supervisor said within `seconds`."""
    lines: list[str] = []
    deadline = time.monotonic() + seconds
    Supervisor(specs, folder, lines.append).run(until=lambda: time.monotonic() > deadline)
    return lines


def test_a_crashing_process_comes_back_later_and_later(tmp_path: Path) -> None:
    times = tmp_path / "times"
    argv = [sys.executable, "-S", "-c", f"import time; open({str(times)!r}, 'a').write(f'{{time.time()}}\\n'); 1 / 0"]
    lines = run_for(1.4, [ProcessSpec("crasher", argv, first_delay_s=0.1, longest_delay_s=0.4)], tmp_path)
    starts = [float(line) for line in times.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert [0.1 <= gaps[0] < 0.3, 0.2 <= gaps[1] < 0.4, 0.4 <= gaps[2] < 0.8] == [True] * 3
    assert "crasher: ended with code 1; again in 0.4 s" in "\n".join(lines)
    assert "ZeroDivisionError" in (tmp_path / "crasher.log").read_text()


def test_a_killed_process_is_back_within_a_second(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [
        sys.executable,
        "-S",
        "-c",
        f"import os, time; print(os.getpid(), file=open({str(pids)!r}, 'a')); time.sleep(60)",
    ]
    killed_at: list[float] = []

    def is_back() -> bool:
        found = pids.read_text().split() if pids.exists() else []
        if len(found) == 1 and not killed_at:
            os.kill(int(found[0]), signal.SIGKILL)
            killed_at.append(time.monotonic())
        return len(found) == 2

    Supervisor([ProcessSpec("victim", argv)], tmp_path, lambda line: None).run(until=is_back)
    assert time.monotonic() - killed_at[0] < 1.2


def test_one_that_does_not_answer_any_more_is_restarted(tmp_path: Path) -> None:
    answers = iter([True, True, False, False])
    spec = ProcessSpec(
        "mute", SLEEP, health=lambda: next(answers, True), health_every_s=0.05, unwell_after=2, first_delay_s=0.1
    )
    lines = run_for(0.9, [spec], tmp_path)
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
    marker = f"helper-of-{os.getpid()}"
    helper = f"import subprocess, time; subprocess.Popen(['sleep', '61'], cwd={str(tmp_path)!r}); time.sleep(60)"
    specs = [
        ProcessSpec("first", SLEEP),
        ProcessSpec("second", [sys.executable, "-c", helper, marker]),
        ProcessSpec("third", ["sh", "-c", "trap '' TERM; sleep 62 & wait; sleep 62"], stop_timeout_s=0.3),
    ]
    lines = run_for(0.6, specs, tmp_path)
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
    wait_for(lambda: not processes_naming(str(tmp_path)), within_s=3)
