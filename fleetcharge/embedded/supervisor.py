"""Keeps a handful of processes alive: starts them, asks them how they are, restarts them, stops them in order."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import FrameType

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.identity import die_with_parent

TICK_S = 0.05
TRIES = 3  # of a process that never was well and names what is in its way
LOG_LIMIT_BYTES = 5_000_000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


def say(line: str) -> None:
    """One line on the console; a console that has been closed is no reason to fail."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@dataclass(frozen=True)
class ProcessSpec:
    """One process: how to start it, how to know that it is well, how to stop it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of our own environment
    cwd: Path | None = None
    prepare: Callable[[], None] | None = None  # before every start
    become: Callable[[], None] | None = None  # in the forked child, to change identity
    health: Callable[[], bool] | None = None  # None: alive is well
    obstacle: Callable[[], str] | None = None  # why it cannot become well before a person acts; "" when it can
    health_every_s: float = 2.0
    unwell_after: int = 5  # failed checks in a row before a restart
    start_timeout_s: float = 90.0
    first_delay_s: float = 0.5
    longest_delay_s: float = 10.0
    steady_after_s: float = 30.0  # well for this long: the next crash starts with the first delay again
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM  # sent by the kernel should the supervisor itself be killed
    stop_timeout_s: float = 10.0
    essential: bool = True  # readiness waits for it; the others start afterwards


class State(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    WELL = "well"
    ENDING = "asked to end"
    GIVEN_UP = "given up"
    WAITING = "waiting to restart"


def rotate(log: Path) -> None:
    """Keep the log of a process readable: one older generation, five megabytes each."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def how_it_ended(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with code {returncode}"
    return f"killed by {signal.Signals(-returncode).name}"


class Child:
    """One supervised process and what we know of it; `tick` looks at it and never blocks."""

    def __init__(self, spec: ProcessSpec, log: Path, tell: Say) -> None:
        self.spec = spec
        self.state = State.STOPPED
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log
        self._tell = tell
        self._delay_s = spec.first_delay_s
        self._started_at = self._restart_at = self._well_since = self._next_check_at = self._kill_at = 0.0
        self._failed_checks = 0
        self._check: Future[bool] | None = None
        self._was_well = False
        self._futile_tries = 0
        self.obstacle = ""

    def start(self) -> None:
        try:
            if self.spec.prepare:
                self.spec.prepare()
            self.process = self._spawn()
        except (OSError, subprocess.SubprocessError) as error:
            self._come_back_later(f"cannot start: {error}")
            return
        self.starts += 1
        self._started_at = self._next_check_at = time.monotonic()
        self._failed_checks, self._check = 0, None
        self.state = State.STARTING
        if self.spec.health is None:
            self._is_well()

    def _spawn(self) -> subprocess.Popen[bytes]:
        rotate(self._log)
        become, death_signal, parent = self.spec.become, int(self.spec.death_signal), os.getpid()

        def in_child() -> None:
            if become:
                become()
            die_with_parent(death_signal)  # after the change of identity, which would clear it
            if os.getppid() != parent:  # it was gone before we could ask
                os._exit(1)

        with self._log.open("ab") as out:
            return subprocess.Popen(  # noqa: S603
                list(self.spec.argv),
                env={**os.environ, **self.spec.env},
                cwd=self.spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=in_child,
            )

    def tick(self, checks: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        if self.state is State.WAITING and now >= self._restart_at:
            self.start()
        elif self.process is None or self.state in {State.STOPPED, State.WAITING, State.GIVEN_UP}:
            return
        elif (returncode := self.process.poll()) is not None:
            self._kill_group()
            self._come_back_later(how_it_ended(returncode))
        elif self.state is State.ENDING:
            if now >= self._kill_at:
                self._kill_group()
        else:
            self._look_at_health(checks, now)

    def _look_at_health(self, checks: ThreadPoolExecutor, now: float) -> None:
        if self.state is State.WELL and now - self._well_since > self.spec.steady_after_s:
            self._delay_s = self.spec.first_delay_s
        if self.spec.health is None:
            return
        if self._check is None:
            if now >= self._next_check_at:
                self._check = checks.submit(self.spec.health)
        elif self._check.done():
            is_well = self._check.exception() is None and self._check.result()
            self._check = None
            self._next_check_at = now + (self.spec.health_every_s if self.state is State.WELL else 0.1)
            self._judge(is_well, now)

    def _judge(self, is_well: bool, now: float) -> None:
        if is_well:
            self._failed_checks = 0
            self._is_well()
            return
        self._failed_checks += 1
        is_slow = self.state is State.STARTING and now - self._started_at > self.spec.start_timeout_s
        if is_slow or (self.state is State.WELL and self._failed_checks >= self.spec.unwell_after):
            self._tell(f"{self.spec.name}: does not answer, stopping it")
            self.ask_to_end()

    def _is_well(self) -> None:
        if self.state is State.STARTING and self.process:
            self.state, self._well_since, self._was_well = State.WELL, time.monotonic(), True
            again = f", start {self.starts}" if self.starts > 1 else ""
            self._tell(f"{self.spec.name}: up (pid {self.process.pid}{again})")

    def _come_back_later(self, why: str) -> None:
        if self._is_futile():
            self.state = State.GIVEN_UP
            self._tell(f"{self.spec.name}: {why}; given up (log: {self._log})")
            return
        self.state = State.WAITING
        self._restart_at = time.monotonic() + self._delay_s
        self._tell(f"{self.spec.name}: {why}; again in {self._delay_s:g} s (log: {self._log})")
        self._delay_s = min(self._delay_s * 2, self.spec.longest_delay_s)

    def _is_futile(self) -> bool:
        """It never was well, and the same thing has been in its way several times in a row.

        What was well once is tried for ever: others work on meanwhile, and the obstacle may go.
        """
        if self._was_well or self.spec.obstacle is None:
            return False
        self.obstacle = self.spec.obstacle()
        self._futile_tries = self._futile_tries + 1 if self.obstacle else 0
        return self._futile_tries >= TRIES

    def ask_to_end(self) -> None:
        if self.process and self.process.poll() is None:
            self.state = State.ENDING
            self._kill_at = time.monotonic() + self.spec.stop_timeout_s
            self.process.send_signal(self.spec.stop_signal)

    def stop(self, is_hurried: Callable[[], bool]) -> None:
        """Ask, wait, insist; the whole process group goes. Blocks."""
        if self.process and self.process.poll() is None:
            self._tell(f"{self.spec.name}: stopping")
            self.ask_to_end()
            while self.process.poll() is None and time.monotonic() < self._kill_at and not is_hurried():
                time.sleep(0.02)
            if self.process.poll() is None:
                self._tell(f"{self.spec.name}: did not stop in time, killed")
        if self.process:
            self._kill_group()
            self.process.wait()
        self.state = State.STOPPED

    def _kill_group(self) -> None:
        """Helpers of a dead process (a forked beat, server workers) must not outlive it."""
        if self.process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Runs `specs` in order until told to stop, then stops them in reverse."""

    def __init__(self, specs: Sequence[ProcessSpec], log_dir: Path, tell: Say = say) -> None:
        self.children = [Child(spec, log_dir / f"{spec.name}.log", tell) for spec in specs]
        self._stop_asked_at: float | None = None
        self._is_hurried = False

    def run(
        self,
        *,
        until: Callable[[], bool] = lambda: False,
        on_ready: Callable[[], None] = lambda: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Block until SIGINT, SIGTERM, SIGHUP or `until()`; raises EngineError when an essential process is given up.

        `on_ready` is called once, when all essential processes are well; a second Ctrl-C stops without patience.
        """
        before = {number: signal.signal(number, self._stop_soon) for number in STOP_SIGNALS}
        checks = ThreadPoolExecutor(max_workers=4, thread_name_prefix="health")
        try:
            self._start(essential=True)
            while self._stop_asked_at is None and not until():
                on_ready = self._tick(checks, on_ready)
                self._end_if_futile()
                on_tick()
                time.sleep(TICK_S)
        finally:
            checks.shutdown(wait=False, cancel_futures=True)
            for child in reversed(self.children):
                child.stop(lambda: self._is_hurried)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _tick(self, checks: ThreadPoolExecutor, on_ready: Callable[[], None]) -> Callable[[], None]:
        for child in self.children:
            child.tick(checks)
        if not all(child.state is State.WELL for child in self.children if child.spec.essential):
            return on_ready
        on_ready()
        self._start(essential=False)
        return lambda: None

    def _end_if_futile(self) -> None:
        for child in self.children:
            if child.state is State.GIVEN_UP and child.spec.essential:
                raise EngineError(f"{child.spec.name} cannot start: {child.obstacle}")

    def _start(self, *, essential: bool) -> None:
        for child in self.children:
            if child.spec.essential == essential and child.state is State.STOPPED:
                child.start()

    def _stop_soon(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._stop_asked_at is None:
            self._stop_asked_at = now
        elif now - self._stop_asked_at > 1.0:  # one Ctrl-C may arrive twice, through make
            self._is_hurried = True
