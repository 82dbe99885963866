"""`lateint eval`: compute measures of runs, as tables or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lateint.cli.options import gathered, refuse_shared_streams
from lateint.cli.printing import echo, warn
from lateint_store.errors import InputError

if TYPE_CHECKING:
    from lateint_eval.formats import Qrels
    from lateint_eval.measures.msmarco import MsMarcoResult


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """The options of one call."""

    qrels: str
    run: tuple[str, ...]
    measures: tuple[str, ...]
    baseline: str | None
    msmarco: bool
    strict: bool
    audit: bool
    intervals: bool
    as_json: bool

    def check(self) -> None:
        """Refuse options that contradict each other (usage error, exit code 2)."""
        if self.strict and not self.msmarco:
            raise click.UsageError("--strict belongs to --msmarco")
        tables = self.baseline or self.measures or self.intervals
        if self.msmarco and (len(self.run) > 1 or tables or self.audit):
            raise click.UsageError("--msmarco takes one --run, and neither --measures, --baseline, --intervals nor --audit")
        if self.audit and tables:
            raise click.UsageError("--audit takes neither --measures, --baseline nor --intervals")
        refuse_shared_streams(self.qrels, *self.run, self.baseline)


_EXAMPLES = """\b
Examples:
  lateint eval --qrels qrels.tsv --run mine.trec --baseline bm25.trec
  lateint eval --qrels qrels.dev.small.tsv --run run.tsv --msmarco
"""


@click.command("eval", epilog=_EXAMPLES)
@click.option("--qrels", required=True, metavar="FILE", help="Judgements: TREC, MS MARCO, BEIR, irds:ID or -.")
@click.option("--run", required=True, multiple=True, metavar="FILE", help="TREC or MS MARCO run or -; repeatable.")
@click.option(
    "--measures", multiple=True, metavar="NAMES", help="Measures. Default: those of an irds:ID, else nDCG@10,RR@10,R@100."
)
@click.option("--baseline", metavar="FILE", help="Run to compare the others with: bootstrap interval, t-test, Holm correction.")
@click.option("--msmarco", is_flag=True, help="Print what the official MS MARCO script prints, with its quirks.")
@click.option("--strict", is_flag=True, help="With --msmarco: refuse the errors that the quirks hide.")
@click.option("--intervals", is_flag=True, help="Print a 95 % interval of each mean (bootstrap over queries).")
@click.option(
    "--audit", is_flag=True, help="Only list problems of the runs, and the value that each evaluation tool would print."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with full precision and per-query values.")
@gathered(EvalRequest, "request")
def command(request: EvalRequest) -> None:
    """Evaluate runs: averages over all judged queries; a query that is missing in a run counts as 0."""
    request.check()
    from lateint_eval.formats import read_qrels

    qrels = read_qrels(request.qrels)
    if request.audit:
        _print_audit(request, qrels)
    elif request.msmarco:
        _print_msmarco(request, qrels)
    else:
        _print_comparison(request, qrels)


def _print_comparison(request: EvalRequest, qrels: Qrels) -> None:
    from lateint_eval.formats import irds_measures, read_run
    from lateint_eval.measures.comparison import score_runs
    from lateint_eval.measures.metrics import DEFAULT_MEASURES

    names = [name for text in request.measures for name in _split_measures(text)] or irds_measures(request.qrels)
    paths = [request.baseline, *request.run] if request.baseline else list(request.run)
    runs = {path: read_run(path) for path in dict.fromkeys(paths)}
    if empty := [path for path, run in runs.items() if not run.queries]:
        raise InputError(f"{empty[0]} is an empty run; expected a line for each query and document")
    comparison = score_runs(qrels, runs, names or DEFAULT_MEASURES, request.baseline, intervals=request.intervals)
    for warning in comparison.warnings():
        warn(warning)
    echo(_dumps(comparison.to_json()) if request.as_json else comparison.to_text(), nl=request.as_json)


def _split_measures(text: str) -> list[str]:
    """Split names at commas and blanks outside parentheses: `nDCG(dcg='exp-log2', cutoff=10) RR@10` has two names."""
    names, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth == 0 and char in ", \t":
            names.append("")
        else:
            names[-1] += char
    return [name for name in names if name]


def _print_msmarco(request: EvalRequest, qrels: Qrels) -> None:
    from lateint_eval.formats import read_run
    from lateint_eval.measures.msmarco import compatible, strict

    result = (strict if request.strict else compatible)(qrels, read_run(request.run[0]))
    for warning in result.warnings:
        warn(warning)
    if request.as_json:
        echo(_dumps({"run": request.run[0], **_msmarco_json(result)}))
    elif request.strict:
        echo(f"MRR@10              {result.mrr:.4f}")
        echo(f"queries in the run  {result.queries_ranked}")
        echo(f"judged queries      {result.judged}")
    else:
        echo(result.official_text(), nl=False)


def _msmarco_json(result: MsMarcoResult) -> dict[str, object]:
    return {
        "MRR@10": result.mrr,
        "queries_ranked": result.queries_ranked,
        "judged": result.judged,
        "message": result.message,
        "warnings": list(result.warnings),
    }


def _print_audit(request: EvalRequest, qrels: Qrels) -> None:
    from dataclasses import asdict

    from lateint_eval.formats import read_run
    from lateint_eval.measures.audit import audit
    from lateint_eval.measures.tool_scores import tool_score_lines, tool_scores

    runs = {path: read_run(path, finite=False) for path in request.run}
    reports = {path: (audit(qrels, run), tool_scores(qrels, run)) for path, run in runs.items()}
    if request.as_json:
        echo(_dumps({
            path: {"findings": [asdict(each) for each in findings], "figures": [asdict(each) for each in printed]}
            for path, (findings, printed) in reports.items()
        }))  # fmt: skip
        return
    for path, (findings, printed) in reports.items():
        lines = [f"  {line}" for line in (*map(str, findings), *tool_score_lines(printed))]
        echo("\n".join([path, *lines[: len(findings)], "", *lines[len(findings) :]]))


def _dumps(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False)
