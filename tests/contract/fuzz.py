"""Schemathesis over the whole OpenAPI file: what no client would think of sending, answered by a live server.

What counts as found: a server error, or an answer (status, media type, shape) that the file does not describe.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SECONDS = 60  # for one answer


@dataclass
class Report:
    """What was tried and what was found."""

    operations: int
    statuses: dict[str, dict[int, int]]
    findings: list[str]

    @property
    def calls(self) -> int:
        return sum(sum(counts.values()) for counts in self.statuses.values())


def fuzz(
    *, document: dict[str, Any], base_url: str, headers: Mapping[str, str], known: Callable[[str], dict[str, Any]],
    examples: int, seeded: int = 1,
) -> Report:  # fmt: skip
    """Try every operation `examples` times with good and as often with bad data; the same seed sends the same.

    `known` gives path parameters of rows that exist, by the path; every other call uses them.
    """
    schema = schemathesis.openapi.from_dict(document)
    report = Report(0, {}, [])
    session = requests.Session()
    for operation in sorted(_operations(schema), key=lambda operation: operation.method.upper() == "DELETE"):
        report.operations += 1
        statuses = report.statuses.setdefault(operation.label, {})
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _try(operation, mode, base_url, dict(headers), known, examples, seeded, session, statuses, report.findings)
    return report


def _operations(schema: Any) -> Iterator[Any]:
    for result in schema.get_all_operations():
        yield result.ok()


def _try(
    operation: Any, mode: Any, base_url: str, headers: dict[str, str], known: Callable[[str], dict[str, Any]],
    examples: int, seeded: int, session: requests.Session, statuses: dict[int, int], findings: list[str],
) -> None:  # fmt: skip
    turn = iter(range(10**9))
    real = known(operation.path)

    @seed(seeded)
    @settings(
        max_examples=examples, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if real and next(turn) % 2 == 0:
            case.path_parameters = dict(real)
        answer = case.call(base_url=base_url, headers=headers, session=session, timeout=SECONDS)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for problem in group.exceptions:
                _note(findings, f"{operation.label} [{answer.status_code}] {problem.__class__.__name__}", case, problem)

    try:
        send()
    except Exception as error:  # nothing of this kind can be generated, or nobody answered
        if "Unsatisfiable" not in type(error).__name__:
            findings.append(f"{operation.label}: {type(error).__name__}: {error}"[:600])


def _note(findings: list[str], title: str, case: Any, problem: Exception) -> None:
    """Once for each kind of finding."""
    if not any(found.startswith(title) for found in findings):
        findings.append(f"{title}: {problem}\n{case.as_curl_command()}"[:1500])
