"""What the measurement of networks calls reached."""

from bench.networks.__main__ import missed


def test_a_goal_that_is_not_reached_fails_the_run_and_a_figure_without_one_does_not() -> None:
    lines = [("reads", "9 ms", "< 10 ms", True), ("sync", "9 s", "< 8 s", False), ("memory", "9 MB", "", False)]
    assert missed(lines) == ["sync"]
    assert missed(lines[:1] + lines[2:]) == []
