"""What a realtime process counts of its sockets, and how Prometheus reads it (text format 0.0.4).

Counters are plain dictionaries touched only by the loop of their process; a scrape copies them. Facts that the database
knows (chargers online, command states, clock skew) are read at the scrape and carry no process of their own.
"""

import bisect
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Count, QuerySet

from ocpp_bridge.dialects import DIALECTS, ERROR_CODES

if TYPE_CHECKING:
    from ocpp_bridge.models import Command

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SKEW_BUCKETS = (1, 5, 15, 60, 300, 3600)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_LABELS = 2_000
MAX_STRANGE, LONGEST_WORD = 50, 60  # whatever chargers call their actions, a scrape stays small

Labels = tuple[Any, ...]
Sample = tuple[Mapping[str, object], float]


@functools.cache
def _actions() -> frozenset[str]:
    return frozenset().union(*(dialect.actions for dialect in DIALECTS.values()))


class Counter:
    """Totals by labels, in the order of `names`.

    `known`: the last one is a word that chargers may make up; beside these so many `strange` ones are told apart.
    """

    def __init__(
        self, name: str, text: str, names: Sequence[str], *, known: Callable[[], Set[str]] | None = None,
        strange: int = 0,
    ) -> None:  # fmt: skip
        self.name, self.text, self.names, self._known = name, text, names, known
        self.totals: dict[Labels, int] = {}
        self._strange = strange

    def add(self, labels: Labels, amount: int = 1) -> None:
        totals = self.totals
        try:
            totals[labels] += amount
        except KeyError:
            self._add_new(labels, amount)

    def _add_new(self, labels: Labels, amount: int) -> None:
        totals = self.totals
        if len(totals) >= MAX_LABELS or not self._is_told_apart(labels[-1]):
            labels = (*labels[:-1], "(other)")
        totals[labels] = totals.get(labels, 0) + amount

    def _is_told_apart(self, word: str) -> bool:
        if self._known is None or word in self._known():
            return True
        self._strange -= len(word) <= LONGEST_WORD
        return len(word) <= LONGEST_WORD and self._strange >= 0

    def samples(self) -> Iterable[Sample]:
        for labels, total in list(self.totals.items()):
            yield {name: _word(name, value) for name, value in zip(self.names, labels, strict=True)}, total


class Histogram:
    """How long things took, in seconds, by one label."""

    def __init__(self, name: str, text: str, label: str, buckets: Sequence[float]) -> None:
        self.name, self.text, self.label, self.buckets = name, text, label, buckets
        self.counts: dict[Any, list[int]] = {}
        self.sums: dict[Any, float] = {}

    def observe(self, label: Any, value: float) -> None:
        counts = self.counts.get(label)
        if counts is None:
            counts = self.counts[label] = [0] * (len(self.buckets) + 1)
        counts[bisect.bisect_left(self.buckets, value)] += 1
        self.sums[label] = self.sums.get(label, 0.0) + value

    def lines(self) -> Iterable[str]:
        yield from _head(self.name, self.text, "histogram")
        for label, counts in list(self.counts.items()):
            labels = {self.label: _word(self.label, label)}
            total = 0
            for bound, count in zip((*self.buckets, "+Inf"), list(counts), strict=True):
                total += count
                yield _line(f"{self.name}_bucket", {**labels, "le": bound}, total)
            yield _line(f"{self.name}_sum", labels, self.sums[label])
            yield _line(f"{self.name}_count", labels, total)


frames = Counter(
    "ocpp_frames_total", "Frames that passed our sockets, by action.", ("direction", "action"), known=_actions,
    strange=MAX_STRANGE,
)  # fmt: skip
frames_dropped = Counter(
    "ocpp_recorder_dropped_frames_total", "Frames the flight recorder did not keep; chargers were not affected.",
    ("direction", "reason"),
)  # fmt: skip
call_errors = Counter("ocpp_call_errors_total", "CALLERRORs by code.", ("direction", "code"), known=lambda: ERROR_CODES)
refusals = Counter("ocpp_handshakes_refused_total", "Refused handshakes by reason.", ("reason",))
commands = Counter(
    "ocpp_commands_finished_total", "Commands that were on the wire here, by what became of them.", ("action", "state")
)
connects = Counter("ocpp_connects_total", "Accepted sockets.", ("protocol",))
reconnects = Counter("ocpp_reconnects_total", "Sockets of chargers that had one before.", ("protocol",))
answers = Histogram(
    "ocpp_answer_seconds", "From a CALL to its answer; out: ours, in: the charger's.", "direction", LATENCY_BUCKETS
)
COUNTERS = (frames, frames_dropped, call_errors, refusals, commands, connects, reconnects)

_gauges: dict[str, tuple[str, Callable[[], Iterable[Sample]]]] = {}


def gauge(name: str, text: str, read: Callable[[], Iterable[Sample]]) -> None:
    """Register a value that is read at each scrape; the last registration of a name counts."""
    _gauges[name] = (text, read)


def connected(protocol: str, epoch: int) -> None:
    """A socket was accepted; every epoch after the first is a charger that came back."""
    connects.add((protocol,))
    if epoch > 1:
        reconnects.add((protocol,))


def answered(direction: int, error_code: str, latency_seconds: float | None) -> None:
    """One answer passed: 0 the charger's, 1 ours."""
    if error_code:
        call_errors.add((direction, error_code))
    if latency_seconds is not None:
        answers.observe(direction, latency_seconds)


def render() -> str:
    """Everything, as text. A handful of aggregate queries; safe in any thread."""
    lines: list[str] = []
    for counter in COUNTERS:
        lines += [*_head(counter.name, counter.text, "counter"), *_samples(counter.name, counter.samples())]
    lines += answers.lines()
    for name, (text, read) in sorted(_gauges.items()):
        lines += [*_head(name, text, "gauge"), *_samples(name, read())]
    for name, text, samples in _stored():
        lines += [*_head(name, text, "gauge"), *_samples(name, samples)]
    return "\n".join(lines) + "\n"


def _stored() -> Iterable[tuple[str, str, list[Sample]]]:
    """What the database knows, over all processes."""
    from ocpp_bridge.models import Command
    from stations.models import Charger

    by_socket = Charger.objects.order_by().values_list("protocol", "node", "is_online").annotate(Count("pk"))
    sockets: list[Sample] = [
        ({"protocol": protocol, "node": node}, count) for protocol, node, is_online, count in by_socket if is_online
    ]
    yield "ocpp_chargers_online", "Chargers with a socket, by version and process.", sockets
    counts = dict(open_commands().values_list("state").annotate(Count("pk")))
    waiting: list[Sample] = [({"state": state}, counts.get(state, 0)) for state in Command.OPEN_STATES]
    yield "ocpp_commands_open", "Commands without an outcome yet, by state.", waiting
    yield "ocpp_chargers_clock_within", "Chargers online whose clock is off by at most `le` seconds.", _skew()


def open_commands() -> "QuerySet[Command]":
    """Served by the partial index of the open ones: the ledger may hold millions."""
    from ocpp_bridge.models import Command

    return Command.objects.filter(state__in=Command.OPEN_STATES).order_by()


def _skew() -> list[Sample]:
    sums = ", ".join(f"count(*) FILTER (WHERE abs(clock_skew_seconds) <= {bound})" for bound in SKEW_BUCKETS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sums}, count(clock_skew_seconds) FROM stations_charger WHERE is_online")  # noqa: S608
        row = cursor.fetchone()
    return [({"le": bound}, count) for bound, count in zip((*SKEW_BUCKETS, "+Inf"), row, strict=True)]


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _samples(name: str, samples: Iterable[Sample]) -> list[str]:
    return [_line(name, labels, value) for labels, value in samples]


def _line(name: str, labels: Mapping[str, object], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(str(text))}"' for key, text in labels.items())
    number = value if isinstance(value, int) else f"{value:.6f}"
    return f"{name}{{{inside}}} {number}" if inside else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _word(name: str, value: Any) -> Any:
    return ("in", "out")[value] if name == "direction" else value
