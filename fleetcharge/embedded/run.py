"""`make run`: engines, migrations, demo data, then every process of FleetCharge until Ctrl-C."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetcharge.embedded import EngineWatch, provide_engines, release_engines
from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import CHECKOUT, var_dir
from fleetcharge.embedded.locks import FileLock
from fleetcharge.embedded.memory import memory_mb
from fleetcharge.embedded.ports import is_free, next_free_port
from fleetcharge.embedded.supervisor import ProcessSpec, Supervisor, say
from fleetcharge.run_token import RUN_HEADER, RUN_TOKEN

PYTHON = sys.executable
SIGN_OF_LIFE_MAX_AGE_S = 20.0


@dataclass(frozen=True)
class Address:
    """Where the two servers listen; `host` may be 0.0.0.0, we ask them on loopback."""

    host: str
    web_port: int
    realtime_port: int

    @property
    def shown_host(self) -> str:
        return "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104

    @property
    def url(self) -> str:
        return f"http://{self.shown_host}:{self.web_port}/"

    def health_url(self, port: int) -> str:
        return f"http://{self.shown_host}:{port}/healthz/"


def choose_address() -> Address:
    host = os.environ.get("FLEETCHARGE_HOST", "127.0.0.1")
    web = _free_port("web", int(os.environ.get("FLEETCHARGE_WEB_PORT", "8000")), host, frozenset())
    wanted = int(os.environ.get("FLEETCHARGE_REALTIME_PORT") or 8001)
    return Address(host, web, _free_port("realtime", wanted, host, frozenset({web})))


def _free_port(name: str, wanted: int, host: str, taken: frozenset[int]) -> int:
    port = next_free_port(wanted, host, taken)
    if port != wanted:
        say(f"  port {wanted} is in use; {name} takes {port}")
    return port


# --- is it well? --------------------------------------------------------------------------------------------------
def answers(url: str, token: str) -> Callable[[], bool]:
    """Any answer of this run's own server will do: restarting one that reports a broken database would mend nothing.

    Another checkout may have taken the port in the same moment; its server knows another token, or none.
    """

    def check() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310
                headers = answer.headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        except OSError:
            return False
        return bool(headers.get(RUN_HEADER) == token)

    return check


def port_is_taken(host: str, port: int, variable: str) -> Callable[[], str]:
    """Asked while no process of ours listens there: of two starts in the same moment, one loses the port it chose."""

    def check() -> str:
        if is_free(port, host):
            return ""
        return f"another program has taken port {port} meanwhile. Start again, or name a free port in {variable}."

    return check


def shows_life(path: Path, since: float) -> Callable[[], bool]:
    """Touched lately, and since this run began."""

    def check() -> bool:
        with contextlib.suppress(FileNotFoundError):
            touched_at = path.stat().st_mtime
            return touched_at > since and time.time() - touched_at < SIGN_OF_LIFE_MAX_AGE_S
        return False

    return check


# --- what runs ----------------------------------------------------------------------------------------------------
def process_specs(address: Address, var: Path, env: Mapping[str, str]) -> list[ProcessSpec]:
    env = {**env, RUN_TOKEN: secrets.token_hex(8)}
    specs = [_realtime(address, env), _web(address, env), _worker(var, env)]
    if env.get("FLEETCHARGE_DEMO", "1") != "0":
        argv = [PYTHON, "manage.py", "run_demo_city"]
        specs.append(ProcessSpec("demo", argv, env, cwd=CHECKOUT, essential=False))
    return specs


def _realtime(address: Address, env: Mapping[str, str]) -> ProcessSpec:
    argv = serve("realtime", address.host, address.realtime_port)
    health = answers(address.health_url(address.realtime_port), env[RUN_TOKEN])
    obstacle = port_is_taken(address.host, address.realtime_port, "FLEETCHARGE_REALTIME_PORT")
    return ProcessSpec("realtime", argv, env, cwd=CHECKOUT, health=health, obstacle=obstacle)


def _web(address: Address, env: Mapping[str, str]) -> ProcessSpec:
    argv = serve("web", address.host, address.web_port)
    health = answers(address.health_url(address.web_port), env[RUN_TOKEN])
    obstacle = port_is_taken(address.host, address.web_port, "FLEETCHARGE_WEB_PORT")
    return ProcessSpec("web", argv, env, cwd=CHECKOUT, health=health, obstacle=obstacle)


def serve(server: str, host: str, port: int) -> list[str]:
    """The launcher that production uses too; it becomes the server."""
    return [PYTHON, "-m", "fleetcharge.serve", server, "--host", host, "--port", str(port)]


def _worker(var: Path, env: Mapping[str, str]) -> ProcessSpec:
    argv = [PYTHON, "-m", "celery", "-A", "fleetcharge.embedded.worker", "worker", "--pool", "threads"]
    argv += ["--concurrency", "8", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    health = shows_life(var / "worker.alive", since=time.time())
    return ProcessSpec("worker", argv, env, cwd=CHECKOUT, health=health, stop_timeout_s=15)


# --- what we say --------------------------------------------------------------------------------------------------
def ready_block(address: Address, var: Path, seconds: float, engine_pids: list[int]) -> str:
    memory = memory_mb([os.getpid(), *engine_pids])
    lines = ["", f"FleetCharge is ready after {seconds:.1f} s" + (f", using {memory} MB" if memory else ""), ""]
    lines += [f"  Open       {address.url}", *_user_lines(var / "demo_users.json"), ""]
    lines += [f"  {label:<10} {text}" for label, text in _sights(address)]
    return "\n".join([*lines, f"  {'Logs':<10} {var / 'log'}", f"  {'Stop':<10} Ctrl-C", ""])


def _user_lines(path: Path) -> Iterator[str]:
    with contextlib.suppress(OSError, ValueError):
        users = json.loads(path.read_text())
        widths = {key: max(len(str(user.get(key, ""))) for user in users) for key in ("email", "password", "role")}
        for index, user in enumerate(users):
            cells = "  ".join(f"{user.get(key, '')!s:<{width}}" for key, width in widths.items())
            yield f"  {'Sign in' if index == 0 else '':<10} {cells}  {user.get('what', '')}".rstrip()


def _sights(address: Address) -> list[tuple[str, str]]:
    return [
        ("Look at", f"{address.url}dispatch/  the live map: vehicles move, chargers change colour"),
        ("", f"{address.url}admin/  the finance desk: sessions, invoices, reconciliation"),
        ("", f"{address.url}api/v1/docs/  the API"),
        ("Chargers", f"ws://{address.shown_host}:{address.realtime_port}/ocpp/<identity>"),
    ]


def _demo_env(address: Address) -> dict[str, str]:
    """`make run` is the demo unless told otherwise. Its public network answers on loopback, which production refuses
    to call."""
    if os.environ.get("FLEETCHARGE_DEMO", "1") == "0":
        return {"FLEETCHARGE_DEMO": "0"}
    taken = frozenset({address.web_port, address.realtime_port})
    port = _free_port("demo", int(os.environ.get("FLEETCHARGE_DEMO_PORT") or 8010), "127.0.0.1", taken)
    payments = _free_port("payments", 8011, "127.0.0.1", taken | {port})
    private = os.environ.get("FLEETCHARGE_OCPI_ALLOW_PRIVATE_HOSTS", "1")
    return {
        "FLEETCHARGE_DEMO": "1",
        "FLEETCHARGE_DEMO_PORT": str(port),
        "FLEETCHARGE_OCPI_ALLOW_PRIVATE_HOSTS": private,
        "FLEETCHARGE_PAYMENT_EMULATOR_URL": os.environ.get(
            "FLEETCHARGE_PAYMENT_EMULATOR_URL", f"http://127.0.0.1:{payments}"
        ),
    }


# --- the run ------------------------------------------------------------------------------------------------------
def prepare() -> None:
    done = subprocess.run([PYTHON, "-m", "fleetcharge.embedded.prepare"], cwd=CHECKOUT)  # noqa: S603
    if done.returncode != 0:
        raise EngineError("Preparing the database failed; the reason stands above.")


def claim(var: Path) -> FileLock:
    """One `make run` per var/."""
    lock = FileLock(var / "run.lock")
    if not lock.own(within_s=0.3):
        raise EngineError(f"FleetCharge is already running here: {lock.read() or 'it is still starting'}")
    lock.write("")
    return lock


def run() -> None:
    began = time.monotonic()
    var = var_dir()
    lock = claim(var)
    say("Starting FleetCharge")
    engines = provide_engines()
    watch = EngineWatch(say)
    say(f"  engines       {', '.join(engines.embedded) or 'as given by DATABASE_URL and REDIS_URL'}")
    address = choose_address()
    env = {"FLEETCHARGE_WEB_PORT": str(address.web_port), "FLEETCHARGE_REALTIME_PORT": str(address.realtime_port)}
    os.environ.update({**env, **_demo_env(address)})
    prepare()
    say("  processes     starting")

    def on_ready() -> None:
        lock.write(address.url)
        say(ready_block(address, var, time.monotonic() - began, watch.pids()))

    specs = process_specs(address, var, {**os.environ, "PYTHONUNBUFFERED": "1"})
    Supervisor(specs, var / "log").run(on_ready=on_ready, on_tick=watch.look)


def main() -> int:
    try:
        run()
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for name in release_engines():
            say(f"{name}: stays up, another process uses it")
    say("FleetCharge has stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
