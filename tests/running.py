"""The whole product as `make run` starts it, on engines and ports of its own, for tests that kill or click."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fleetcharge.embedded.ports import next_free_port
from fleetcharge.embedded.run import Address, process_specs
from tests.console import Console

ROOT = Path(__file__).resolve().parents[1]
COMPRESSED = "whitenoise.storage.CompressedManifestStaticFilesStorage"
PLAIN = "django.contrib.staticfiles.storage.StaticFilesStorage"  # compressing thousands of files is not the point

_STRIPE, _STRIPES = 1_000, 10  # below the ports that everything else picks at random
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_last_port = 9_999 + _STRIPE * (_worker % _STRIPES) + random.randrange(_STRIPE - 200)


def port_of_our_own() -> int:
    """Free, never given twice by this process, and of a range that no other worker of the same run takes from."""
    global _last_port
    _last_port = next_free_port(_last_port + 1)
    return _last_port


def wait_for(what: str, look: Callable[[], Any], seconds: float = 60.0, every: float = 0.1) -> Any:
    """The first truthy answer of `look`; fails with its last answer or error, so that a red run explains itself."""
    last: Any = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if last := look():
                return last
        except (OSError, LookupError, AssertionError) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"waited {seconds:.0f} s for {what}; last saw: {last!r}")


class RunningSystem:
    """`python -m fleetcharge.embedded.run` in its own folder; `manage()` runs code inside the product."""

    def __init__(self, var: Path, **extra_env: str) -> None:
        self.var = var
        var.chmod(0o755)
        self.web_port, self.realtime_port = port_of_our_own(), port_of_our_own()
        dropped = {"DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY", "DJANGO_ALLOW_ASYNC_UNSAFE"}
        self.env = {key: value for key, value in os.environ.items() if key not in dropped} | {
            "FLEETCHARGE_VAR_DIR": str(var),
            "FLEETCHARGE_DEMO": "0",
            "FLEETCHARGE_STATIC_STORAGE": PLAIN,
            "FLEETCHARGE_WEB_PORT": str(self.web_port),
            "FLEETCHARGE_REALTIME_PORT": str(self.realtime_port),
            **extra_env,
        }
        self._console: Console | None = None
        self.log = (var / "run.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fleetcharge.embedded.run"],
            cwd=ROOT, env=self.env, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def realtime(self) -> str:
        return f"http://127.0.0.1:{self.realtime_port}"

    @property
    def ocpp(self) -> str:
        return f"ws://127.0.0.1:{self.realtime_port}/ocpp"

    def wait_until_ready(self, seconds: float = 300.0) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the system ended: {self.console()}")
            assert " is in use; " not in self.console(), self.console()  # we would talk to somebody else
            return "is ready after" in self.console()

        wait_for("the system to be ready", ready, seconds)

    def console(self) -> str:
        return Path(self.log.name).read_text()

    def logs(self, last_chars: int = 3000) -> str:
        """The last words of every process, for a test that fails."""
        files = sorted((self.var / "log").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-last_chars:]}" for file in files)

    def manage(self, code: str) -> Any:
        """Run Python inside the product; the JSON it prints last comes back."""
        if self._console is None:
            self._console = Console(self.env)
        try:
            return self._console.run(code)
        except (AssertionError, OSError):
            self._close_console()  # a new one begins with a clean slate
            raise

    def _close_console(self) -> None:
        console, self._console = self._console, None
        if console is not None:
            console.close()

    def api(self, path: str, key: str, body: object = None, method: str = "") -> Any:
        """One call to the public API with a key; the decoded answer. HTTP errors raise with their body."""
        base = self.realtime if path.startswith("/ingest") else self.web
        request = urllib.request.Request(
            base + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method or ("GET" if body is None else "POST"),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()[:500]}") from None

    def database_url(self) -> str:
        """Where its database answers."""
        code = "import json; from django.conf import settings; print(json.dumps(settings.DATABASE_URL))"
        return str(self.manage(code))

    def redis_url(self) -> str:
        """Where its Valkey answers."""
        return str(self.manage("import json; from django.conf import settings; print(json.dumps(settings.REDIS_URL))"))

    def kill(self, name: str) -> int:
        """kill -9 one part: postgres, valkey, realtime, worker or web. Returns the pid that died."""
        self._close_console()
        pid = wait_for(f"a process of {name}", lambda: next(self._pids(name), 0))
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """SIGSTOP one part, and let it go on afterwards: it takes connections and says nothing."""
        pid = wait_for(f"a process of {name}", lambda: next(self._pids(name), 0))
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _pids(self, name: str) -> Iterator[int]:
        """By command line and environment; Valkey rewrites both, and is known by its port."""
        signs = {
            "postgres": ("bin/postgres", str(self.var)),
            "valkey": ("valkey-server", f":{self._valkey_port()}"),
            "realtime": ("fleetcharge.asgi:application", str(self.realtime_port)),
            "web": ("fleetcharge.wsgi:application", str(self.web_port)),
            "worker": ("fleetcharge.embedded.worker",),
        }[name]
        for folder in Path("/proc").iterdir():
            if (
                folder.name.isdigit()
                and _command_matches(folder, signs)
                and (name == "valkey" or self._is_ours(folder))
            ):
                yield int(folder.name)

    def _valkey_port(self) -> int:
        return int(json.loads((self.var / "valkey" / "settings.json").read_text())["port"])

    def _is_ours(self, folder: Path) -> bool:
        try:
            return f"FLEETCHARGE_VAR_DIR={self.var}".encode() in (folder / "environ").read_bytes()
        except OSError:
            return False

    def stop(self) -> None:
        self._close_console()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()


class RealtimeNode:
    """One more realtime process beside a running system: the same database, another port."""

    def __init__(
        self, system: RunningSystem, *, server: str = "uvicorn", host: str = "127.0.0.1", prefix: tuple[str, ...] = (),
        **extra_env: str,
    ) -> None:  # fmt: skip
        """`prefix` goes before the command line (`ip netns exec ...`), `host` is where it listens then."""
        self.port = port_of_our_own()
        self.host, self.log_path = host, system.var / "log" / f"node-{self.port}.log"
        env = {**system.env, "FLEETCHARGE_ASGI_SERVER": server, **extra_env}
        spec = process_specs(Address(host, system.web_port, self.port), system.var, env)[0]
        self.log = self.log_path.open("w+")
        self.process = subprocess.Popen(
            [*prefix, *spec.argv], cwd=ROOT, env=env, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def realtime(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ocpp(self) -> str:
        return f"ws://{self.host}:{self.port}/ocpp"

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended: {self.log_path.read_text()[-2000:]}")
            with urllib.request.urlopen(f"{self.realtime}/healthz/", timeout=3) as answer:
                return bool(answer.status == 200)

        wait_for("the node to be ready", ready, seconds)

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait(10)
        self.log.close()


def _command_matches(folder: Path, signs: tuple[str, ...]) -> bool:
    try:
        command = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return all(sign in command for sign in signs)
