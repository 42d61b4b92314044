"""The five things that are measured; each returns whether every goal was reached and nothing was lost."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench.ocpp import servers, stations
from bench.ocpp.servers import (
    BARE,
    DURABLE,
    ECHO,
    NODE,
    PACKAGE,
    PLAIN,
    QUIET_PACKAGE,
    ROUTER,
    STOCK_ECHO,
    STORING_PACKAGE,
    TITLES,
    serving,
    serving_web,
)  # fmt: skip
from bench.ocpp.stations import Station, is_answer

CONTENDERS = (STOCK_ECHO, ECHO, PLAIN, ROUTER, BARE, DURABLE, PACKAGE, QUIET_PACKAGE, STORING_PACKAGE, NODE)
COMPARED = (STOCK_ECHO, ROUTER, DURABLE, PACKAGE)
WARM_UP = 10  # commands that are not counted: imports, connections, statements


class Cores:
    """The server is held to one core and the clients to another; PostgreSQL goes where there is room, as it would."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server, self.client = cores[0], cores[-1]


def verdict(name: str, value: float, goal: float, *, unit: str = "", at_most: bool = False) -> bool:
    """Print one goal; whether it was reached, which decides the exit code."""
    reached = value <= goal if at_most else value >= goal
    sign = "<=" if at_most else ">="
    print(f"  {name:48}{value:9.2f}{unit:4} goal {sign} {goal:g}: {'reached' if reached else 'NOT reached'}")
    return reached


def percentiles_ms(seconds: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


# --- throughput -----------------------------------------------------------------------------------------------------


def throughput(cores: Cores, transactions: list[int], seconds: float, var: Path) -> bool:
    """MeterValues in a closed loop: the next one leaves when the last one is answered.

    What is compared with each other runs three times in turn, and its median counts: machines have moods.
    """
    print(f"MeterValues, {len(transactions)} sockets in a closed loop")
    runs: dict[str, list[dict[str, Any]]] = {}
    node = servers.node_folder(var)
    for turn, name in enumerate((*CONTENDERS, *(2 * COMPARED))):
        if name == NODE and isinstance(node, str):
            print(f"  {TITLES[name]:26} skipped: {node}")
            continue
        folder = node if name == NODE and isinstance(node, Path) else None
        with serving(name, core=cores.server, folder=folder) as (port, pid):
            result = uvloop.run(_closed_loop(port, transactions, seconds, pid, 20_000 * turn))
        runs.setdefault(name, []).append(result)
        _print_rate(name, result)
    medians = {name: sorted(each, key=lambda run: run["rate"])[len(each) // 2] for name, each in runs.items()}
    reached = _compare(medians)
    lost = sum(run["count"] for name in (BARE, DURABLE) for run in runs[name]) - _stored_readings()
    failures = [failure for each in runs.values() for run in each for failure in run["failures"]]
    print(f"  acknowledged but not stored, or doubled: {lost}; refused: {len(failures)} {failures[:1] or ''}")
    return reached and not (lost or failures)


def _compare(medians: dict[str, dict[str, Any]]) -> bool:
    rates = {name: run["rate"] for name, run in medians.items()}
    cpu = {name: run["busy"] / run["rate"] for name, run in medians.items()}
    reached = [
        verdict("codec and validation / raw ASGI echo on uvicorn", rates[PLAIN] / rates[STOCK_ECHO], 0.6),
        verdict("no database / raw ASGI echo on uvicorn", rates[ROUTER] / rates[STOCK_ECHO], 0.6),
        verdict("codec and validation / `ocpp` package, by rate", rates[PLAIN] / rates[PACKAGE], 10),
        verdict("durable / no database", rates[DURABLE] / rates[ROUTER], 0.4),
        verdict("durable / `ocpp` package, by rate", rates[DURABLE] / rates[PACKAGE], 10),
        verdict("durable / `ocpp` package, by server CPU", cpu[PACKAGE] / cpu[DURABLE], 10),
        verdict("durable / `ocpp` package storing each, by rate", rates[DURABLE] / rates[STORING_PACKAGE], 10),
    ]
    print(f"  no database / raw echo on our own, leaner protocol class: {rates[ROUTER] / rates[ECHO]:.2f}")
    by_rate, by_cpu = rates[DURABLE] / rates[QUIET_PACKAGE], cpu[QUIET_PACKAGE] / cpu[DURABLE]
    print(f"  durable / `ocpp` package that logs nothing: {by_rate:.2f} by rate, {by_cpu:.2f} by server CPU")
    return all(reached)


async def _closed_loop(port: int, transactions: list[int], seconds: float, pid: int, first: int) -> dict[str, Any]:
    latencies: list[float] = []
    failures: list[bytes] = []
    is_stopping = False

    def heard(station: Station, payload: bytes) -> None:
        if not is_answer(payload):
            return
        latencies.append(station.waited())
        if not payload.startswith(b"[3,"):
            failures.append(payload)
        if is_stopping:
            station.close()
        else:
            station.send_sample(transactions[station.number])

    sockets = await stations.connect(port, range(len(transactions)), heard)
    stations.collect_no_garbage()
    for station in sockets:
        station.count = first
        station.send_sample(transactions[station.number])
    await asyncio.sleep(1)  # validators compile, statements are prepared
    warm, used, began = len(latencies), servers.cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed, used = time.perf_counter() - began, servers.cpu_seconds(pid) - used
    measured = latencies[warm:]
    is_stopping = True
    await asyncio.wait_for(asyncio.gather(*(station.closed for station in sockets)), 30)
    p50_ms, p99_ms = percentiles_ms(measured)
    return {
        "rate": len(measured) / elapsed, "count": len(latencies), "failures": failures, "busy": used / elapsed,
        "p50_ms": p50_ms, "p99_ms": p99_ms,
    }  # fmt: skip


def _print_rate(name: str, result: dict[str, Any]) -> None:
    cpu_us = result["busy"] / result["rate"] * 1e6
    print(
        f"  {TITLES[name]:26}{result['rate']:9,.0f} msg/s   p50 {result['p50_ms']:6.1f}   "
        f"p99 {result['p99_ms']:6.1f} ms   server {result['busy']:4.0%} of a core, {cpu_us:4.0f} us/msg"
    )


def _stored_readings() -> int:
    from billing.models import MeterValue

    return MeterValue.objects.count()


# --- steady load ----------------------------------------------------------------------------------------------------


def steady(cores: Cores, transactions: list[int], seconds: float) -> bool:
    """What a fleet does: every socket says something once a second, whether or not the last one was answered."""
    print(f"MeterValues, {len(transactions)} sockets at one message a second each, for {seconds:g} s")
    before = _stored_readings()
    outcome = {}
    for name in (ECHO, DURABLE):
        with serving(name, core=cores.server) as (port, pid):
            latencies, failures, busy = uvloop.run(_open_loop(port, transactions, seconds, pid))
        p50_ms, p99_ms = percentiles_ms(latencies)
        outcome[name] = p99_ms
        print(f"  {TITLES[name]:26}p50 {p50_ms:6.1f}   p99 {p99_ms:6.1f} ms   server {busy:4.0%} of a core")
    lost = len(latencies) - (_stored_readings() - before)
    reached = verdict("p99, durable", outcome[DURABLE], 25, unit=" ms", at_most=True)
    print(f"  ratio to the echo of the same run: {outcome[DURABLE] / outcome[ECHO]:.1f}; lost or doubled: {lost}")
    return reached and not (lost or failures)


async def _open_loop(
    port: int, transactions: list[int], seconds: float, pid: int
) -> tuple[list[float], list[bytes], float]:
    latencies: list[float] = []
    failures: list[bytes] = []

    def heard(station: Station, payload: bytes) -> None:
        if is_answer(payload):
            latencies.append(station.waited())
            if not payload.startswith(b"[3,"):
                failures.append(payload)

    sockets = await stations.connect(port, range(len(transactions)), heard)
    stations.collect_no_garbage()
    await asyncio.sleep(2)
    used, began, sent = servers.cpu_seconds(pid), time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        due = int(elapsed * len(sockets))
        for number in range(sent, due):
            station = sockets[number % len(sockets)]
            station.count = max(station.count, 500_000)  # other moments than those of the closed loop
            station.send_sample(transactions[station.number])
        sent = due
        await asyncio.sleep(0.001)
    used = servers.cpu_seconds(pid) - used
    for _ in range(400):  # what is still on its way
        if len(latencies) >= sent:
            break
        await asyncio.sleep(0.05)
    await stations.close(sockets)
    return latencies, failures + [b"no answer"] * (sent - len(latencies)), used / seconds


# --- idle sockets ---------------------------------------------------------------------------------------------------


def idle(cores: Cores, count: int) -> bool:
    """What a connected charger costs that says nothing."""
    print(f"{count:,} idle sockets")
    cost_kb = {}
    for name in (ECHO, DURABLE):
        with serving(name, core=cores.server) as (port, pid):
            cost_kb[name] = uvloop.run(_hold(port, count, pid)) / count / 1000
        print(f"  {TITLES[name]:26}{cost_kb[name]:6.1f} kB each")
    reached = verdict("a socket of ours", cost_kb[DURABLE], 45, unit=" kB", at_most=True)
    print(f"  ratio to the echo of the same run: {cost_kb[DURABLE] / cost_kb[ECHO]:.1f}")
    return reached


async def _hold(port: int, count: int, pid: int) -> int:
    def heard(station: Station, payload: bytes) -> None:
        """Questions of the server stay open: an idle charger."""

    first = await stations.connect(port, range(1), heard)  # the application is loaded with the first socket
    await asyncio.sleep(1)
    before = servers.resident_bytes(pid)
    sockets = await stations.connect(port, range(1, count), heard)
    await asyncio.sleep(8)
    grown = servers.resident_bytes(pid) - before
    await stations.close(first + sockets)
    return grown


# --- a reconnect storm ----------------------------------------------------------------------------------------------


def storm(cores: Cores, count: int) -> bool:
    """Everybody is back after an outage at the same moment: handshake, key, boot, one status each."""
    print(f"{count:,} chargers reconnect at once")
    with serving(DURABLE, core=cores.server) as (port, _):
        took, accepted = uvloop.run(_reconnect(port, count))
    reached = verdict("until all are accepted", took, 30, unit=" s", at_most=True)
    print(f"  accepted {accepted:,} of {count:,}; {count / took:,.0f} chargers/s")
    return reached and accepted == count


async def _reconnect(port: int, count: int) -> tuple[float, int]:
    accepted: set[int] = set()
    everybody = asyncio.Event()

    def heard(station: Station, payload: bytes) -> None:
        if payload.startswith(b'[3,"boot"') and b'"Accepted"' in payload:
            station.send(
                b'[2,"status","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available"}]'
            )
        elif payload.startswith(b'[3,"status"'):
            accepted.add(station.number)
            if len(accepted) == count:
                everybody.set()

    boot = b'[2,"boot","BootNotification",{"chargePointVendor":"Bench","chargePointModel":"One"}]'
    loop = asyncio.get_running_loop()
    began = time.perf_counter()

    async def come_back(number: int) -> Station:
        _, station = await loop.create_connection(lambda: Station(number, heard), "127.0.0.1", port)
        await station.opened
        station.send(boot)
        return station

    sockets = await asyncio.gather(*(come_back(number) for number in range(count)))
    await asyncio.wait_for(everybody.wait(), 120)
    took = time.perf_counter() - began
    await stations.close(list(sockets))
    return took, len(accepted)


# --- commands -------------------------------------------------------------------------------------------------------


def command(cores: Cores, count: int, repeats: int) -> bool:
    """From the service call, and from POST /api/v1/commands/, to the frame at the charger at another process."""
    print(f"a command to the wire through another process, {count} chargers, {repeats} commands one by one")
    key = stations.make_api_key()
    with (
        serving(DURABLE, core=cores.server) as (port, _),
        serving_web(core=cores.client) as web_port,
        httpx.Client(base_url=f"http://127.0.0.1:{web_port}", timeout=20, trust_env=False) as client,
    ):
        client.headers["Authorization"] = f"Bearer {key}"
        ways: dict[str, Callable[[int], None]] = {
            "service call": lambda number: _enqueue(number, count),
            "POST /api/v1/commands/": lambda number: _post(client, number, count),
        }
        took = uvloop.run(_command_times(port, count, repeats, ways))
    reached = []
    for name, times in took.items():
        p50_ms, p99_ms = percentiles_ms(times)
        print(f"  {name:26}p50 {p50_ms:6.1f}   p99 {p99_ms:6.1f} ms")
        reached.append(verdict(f"p99, {name}", p99_ms, 150, unit=" ms", at_most=True))
    return all(reached) and all(len(times) == repeats for times in took.values())


async def _command_times(
    port: int, count: int, repeats: int, ways: dict[str, Callable[[int], None]]
) -> dict[str, list[float]]:
    arrived: asyncio.Queue[float] = asyncio.Queue()

    def heard(station: Station, payload: bytes) -> None:
        if payload.startswith(b"[2,") and b'"TriggerMessage"' in payload and b'"Heartbeat"' in payload:
            arrived.put_nowait(time.perf_counter())
        if payload.startswith(b"[2,"):
            station.send(b"[3," + payload[3 : payload.index(b",", 3)] + b',{"status":"Accepted"}]')

    sockets = await stations.connect(port, range(count), heard)
    await asyncio.sleep(6)  # a charger that says nothing is spoken to after five seconds (courier.py)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for name, ask in ways.items():
        for number in range(-WARM_UP, repeats):
            began = time.perf_counter()
            asking = asyncio.create_task(asyncio.to_thread(ask, number))  # it may arrive before the answer does
            elapsed = await asyncio.wait_for(arrived.get(), 20) - began
            await asking
            if number >= 0:
                took[name].append(elapsed)
    await stations.close(sockets)
    return took


def _post(client: httpx.Client, number: int, count: int) -> None:
    wanted = {"charger": f"BENCH-{number % count}", "action": "TriggerMessage", "parameters": {"message": "Heartbeat"}}
    answer = client.post("/api/v1/commands/", json=wanted, headers={"Idempotency-Key": f"api-{number}"})
    assert answer.status_code == 201, answer.text


def _enqueue(number: int, count: int) -> None:
    from django.utils import timezone

    from ocpp_bridge import commands
    from stations.models import Charger

    charger = Charger.objects.get(ocpp_identity=f"BENCH-{number % count}")
    commands.enqueue(
        charger_id=charger.pk, action="TriggerMessage", parameters={"message": "Heartbeat"},
        idempotency_key=f"bench-{number}", deadline_at=timezone.now() + timedelta(seconds=60), actor="bench",
    )  # fmt: skip
