"""Verdicts of a chunk, stored in sets: what is replaced is kept as it stood, what is new is told of."""

from collections.abc import Container, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.models import Q

from billing import matching
from billing.events import SessionJudged
from billing.matching import Judgement
from billing.matching.findings import Finding
from billing.models import BillingException, ReconciliationVerdict
from billing.reconciliation import outweighing
from billing.reconciliation.gathering import Gathered, with_witnesses
from billing.reconciliation.outweighing import BY_ITSELF, SETTLED
from billing.services.exceptions import open_exception
from fleetcharge.lib.events import publish

Kind, Verdict = BillingException.Kind, ReconciliationVerdict.Verdict
ASKS = {Verdict.REVIEW: Kind.SUSPICIOUS, Verdict.BLOCKED: Kind.SUSPICIOUS, Verdict.INVALID: Kind.CPO_RECORD}
OF_PRICE = {"F3"}
BY_VERDICTS = Q(kind__in=set(ASKS.values())) | Q(kind=Kind.CPO_PRICE, reference="")
"""Questions that verdicts open and close; what a price check asks names its record."""

LOCK = "SELECT id FROM billing_chargingsession WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
KNOWN = "SELECT session_id, verdict, input_hash FROM billing_reconciliationverdict WHERE session_id = ANY(%s)"
KEEP_OLD = """
INSERT INTO billing_pastverdict (session_id, verdict, points, findings, evidence, thresholds, ruleset_version,
    input_hash, decided_at, replaced_at)
SELECT session_id, verdict, points, findings, evidence, thresholds, ruleset_version, input_hash, decided_at, %(now)s
FROM billing_reconciliationverdict WHERE session_id = ANY(%(replaced)s) ORDER BY session_id
"""
WRITE = """
INSERT INTO billing_reconciliationverdict AS old (session_id, verdict, points, findings, evidence, thresholds,
    dwell_latitude_e7, dwell_longitude_e7, ruleset_version, input_hash, decided_at, outcome, outcome_reason)
SELECT s, v, p, f, e, t, y, x, %(version)s, h, %(now)s, '', ''
FROM json_to_recordset(%(rows)s::json)
     AS n (s bigint, v text, p int, f jsonb, e jsonb, t jsonb, y int, x int, h text)
ON CONFLICT (session_id) DO UPDATE SET verdict = EXCLUDED.verdict, points = EXCLUDED.points,
    findings = EXCLUDED.findings, evidence = EXCLUDED.evidence, thresholds = EXCLUDED.thresholds,
    dwell_latitude_e7 = EXCLUDED.dwell_latitude_e7, dwell_longitude_e7 = EXCLUDED.dwell_longitude_e7,
    ruleset_version = EXCLUDED.ruleset_version, input_hash = EXCLUDED.input_hash, decided_at = EXCLUDED.decided_at
"""
LOOKED_AGAIN = "UPDATE billing_reconciliationverdict SET decided_at = %s WHERE session_id = ANY(%s)"
RECONCILED = "UPDATE billing_chargingsession SET reconciled_at = %s WHERE id = ANY(%s)"


class Judged(NamedTuple):
    of: Gathered
    judgement: Judgement
    name: str


def judged(found: Sequence[Gathered]) -> list[Judged]:
    """Judge them; where a vehicle was elsewhere, look who stood there instead, and judge again."""
    verdicts = {each.session_id: _judged(each) for each in found}
    absent = [each.of for each in verdicts.values() if any(finding.rule == "L1" for finding in each.judgement.findings)]
    verdicts |= {each.session_id: _judged(each) for each in with_witnesses(absent)}
    return list(verdicts.values())


def _judged(each: Gathered) -> Judged:
    return Judged(each, matching.judge(each.evidence, each.terms), matching.input_hash(each.evidence, each.terms))


@transaction.atomic
def store(verdicts: Sequence[Judged], *, now: datetime) -> None:
    """Equal evidence changes nothing but the moment it was looked at; locks the sessions in the order of their ids."""
    ids = [each.of.session_id for each in verdicts]
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [ids])  # two workers, one verdict
        cursor.execute(KNOWN, [ids])
        known = {session_id: (verdict, name) for session_id, verdict, name in cursor.fetchall()}
        fresh = [each for each in verdicts if known.get(each.of.session_id, ("", ""))[1] != each.name]
        fresh_ids = [each.of.session_id for each in fresh]
        outweighed = _outweighed(fresh, known)
        cursor.execute(KEEP_OLD, {"now": now, "replaced": [key for key in fresh_ids if key in known]})
        cursor.execute(WRITE, {"rows": _as_json(fresh), "version": matching.RULESET_VERSION, "now": now})
        cursor.execute(LOOKED_AGAIN, [now, [key for key in ids if key not in set(fresh_ids)]])
        cursor.execute(RECONCILED, [now, ids])
    changed = [each for each in fresh if known.get(each.of.session_id, ("", ""))[0] != each.judgement.verdict]
    _follow_up(fresh, set(known), outweighed, now)
    for each in changed:
        judgement = each.judgement
        publish(SessionJudged(each.of.session_id, each.of.place.organisation_id, judgement.verdict, judgement.points))


def _outweighed(fresh: Sequence[Judged], known: Container[int]) -> list[Judged]:
    """Those about which a person decided, and would have to look at again; their decision is taken back."""
    by_id = {each.of.session_id: each for each in fresh if each.of.session_id in known}
    if not by_id:
        return []
    decided = outweighing.decided(list(by_id))
    return [by_id[each.session_id] for each in decided if _is_taken_back(each, by_id[each.session_id])]


def _is_taken_back(decided: outweighing.Decided, each: Judged) -> bool:
    judgement, evidence, organisation_id = each.judgement, each.of.evidence, each.of.place.organisation_id
    if decided.is_let_go_by(evidence):
        outweighing.let_go(decided, judgement, organisation_id=organisation_id)
        return True
    if judgement.verdict not in ASKS or not decided.is_outweighed_by(judgement, evidence.record):
        return False
    outweighing.take_back(decided, judgement, organisation_id=organisation_id)
    return True


def _as_json(fresh: Sequence[Judged]) -> str:
    """One document: an array parameter of texts would be quoted twice."""
    rows = [
        {
            "s": each.of.session_id, "v": each.judgement.verdict, "p": each.judgement.points,
            "f": each.judgement.findings, "e": each.of.evidence, "t": each.of.terms,
            "y": each.judgement.dwell[0] if each.judgement.dwell else None,
            "x": each.judgement.dwell[1] if each.judgement.dwell else None, "h": each.name,
        }
        for each in fresh
    ]  # fmt: skip
    return msgspec.json.encode(rows).decode()


def _follow_up(fresh: Sequence[Judged], had_verdict: set[int], outweighed: Sequence[Judged], now: datetime) -> None:
    """A doubt is raised once, of the driver's side or of the network's record; what settles it later closes it.

    Also under an equal verdict: a price in doubt may become a record in doubt. Whether it was `outweighed` or not, one
    that is open is not asked twice.
    """
    wanted = {each.of.session_id: _kind(each.judgement) for each in fresh}
    asking = [each for each in fresh if wanted[each.of.session_id] is not None]
    settled = [each.of.session_id for each in fresh if each.of.session_id in had_verdict]
    if not asking and not settled:
        return
    ids = {*settled, *(each.of.session_id for each in asking)}
    doubts = BillingException.objects.filter(session__in=ids, kind__in={*ASKS.values(), Kind.CPO_PRICE})
    anew = [each.of.session_id for each in outweighed]
    known = doubts.exclude(resolution__in=BY_ITSELF).exclude(session__in=anew, resolved_at__isnull=False)
    asked = set(known.values_list("session_id", "kind"))
    for doubt in doubts.open().filter(BY_VERDICTS):
        if doubt.session_id in wanted and wanted[doubt.session_id] != doubt.kind:
            doubt.resolved_at, doubt.resolution = now, SETTLED
            doubt.save(update_fields=["resolved_at", "resolution"])
    for each in asking:
        kind = wanted[each.of.session_id]
        if (each.of.session_id, kind) not in asked:  # open, or a person decided already
            _ask(each.judgement, str(kind), each.of.session_id, each.of.place.organisation_id, now)


def ask_again(verdict: ReconciliationVerdict, *, now: datetime) -> None:
    """The question of a stored verdict once more, though a person answered it; of one without doubts, none."""
    findings = tuple(msgspec.convert(verdict.findings, list[Finding]))
    judgement = Judgement(
        verdict=verdict.verdict, points=verdict.points, findings=findings, is_presence_proven=False
    )  # fmt: skip
    if (kind := _kind(judgement)) is not None:
        _ask(judgement, kind, verdict.session_id, verdict.session.organisation_id, now)


def _kind(judgement: Judgement) -> str | None:
    """Which question it is; None: nobody has to be asked."""
    kind = ASKS.get(Verdict(judgement.verdict))
    holds = {finding.rule for finding in judgement.findings if finding.is_hold}
    return Kind.CPO_PRICE if kind == Kind.CPO_RECORD and holds <= OF_PRICE else kind


def _ask(judgement: Judgement, kind: str, session_id: int, organisation_id: int, now: datetime) -> None:
    of_kind = [finding for finding in judgement.findings if finding.is_hold == (kind != Kind.SUSPICIOUS)]
    worst = max(of_kind or judgement.findings, key=lambda finding: finding.points)
    open_exception(
        organisation_id=organisation_id, kind=kind, session_id=session_id, title=worst.text,
        details={"verdict": judgement.verdict, "points": judgement.points, "rule": worst.rule}, at=now,
    )  # fmt: skip
