"""What the measurement of new plans says where a plan never came."""

import asyncio
from typing import Any

import pytest

from bench import reroute


def test_figures_without_any_answer_are_told_and_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert reroute.shown("ping to plan", [None, None], 150.0) == (None, False)
    assert "never came, of 2" in capsys.readouterr().out


def test_vehicles_without_a_new_plan_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three that were under way: one planned again, one kept its old plan, of one no plan was ever told."""
    browser = reroute.Browser(is_automatic=False)
    browser.plans = {1: (11, 100.5), 2: (2, 99.0)}

    class Quiet:
        sockets: tuple[Any, ...] = ()

        def __init__(self, says: Any) -> None: ...

        async def come(self, port: int) -> None: ...

        async def break_all(self) -> tuple[float, float]:
            return 100.0, 1.0

    monkeypatch.setattr(reroute, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(reroute, "sent_to", lambda count: {1: (1, 7), 2: (2, 8), 3: (3, 9)})
    monkeypatch.setattr(reroute, "give_chargers", lambda plugs, first: {})
    monkeypatch.setattr(reroute, "Chargers", Quiet)

    class System:
        realtime = 1

    system: Any = System()
    assert asyncio.run(reroute.broken(system, browser, 3, 1)) == [pytest.approx(500.0), None, None]
    assert "for vehicles 2, 3" in capsys.readouterr().out
