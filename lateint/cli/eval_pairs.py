"""`lateint eval-pairs`: score sentence pairs and measure the scores against labels."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lateint.cli.lost_text import CutCounter
from lateint.cli.options import ModelChoice, gathered, model_options, refuse_shared_streams
from lateint.cli.printing import echo, warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lateint.model.model import Model
    from lateint.ranking.ranker import Ranker
    from lateint_eval.formats import Pair
    from lateint_eval.measures.pairs import PairEvaluation, Threshold


@dataclass(frozen=True, slots=True)
class PairsRequest:
    """The options of one call, except those of the model."""

    pairs: str
    split: tuple[str, ...]
    columns: str | None
    tune: str | None
    tune_split: tuple[str, ...]
    threshold: float | None
    as_json: bool
    scores: str | None

    def check(self) -> None:
        """Refuse options that contradict each other (usage error, exit code 2)."""
        if self.tune is not None and self.threshold is not None:
            raise click.UsageError("--tune and --threshold exclude each other")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise click.UsageError(f"--threshold {self.threshold}; expected a finite number")
        if self.tune_split and self.tune is None:
            raise click.UsageError("--tune-split belongs to --tune")
        refuse_shared_streams(self.pairs, self.tune)
        if self.scores == "-":
            raise click.UsageError("--scores takes a file; standard output holds the measures")
        if self.columns is not None and len(self.columns.split(",")) != 3:
            raise click.UsageError(f"--columns {self.columns!r}; expected three names, FIRST,SECOND,LABEL")

    def read(self, path: str, split: Sequence[str]) -> list[Pair]:
        """Read the pairs of a file that `split` selects: `word`, or `column=word`."""
        from lateint_eval.formats import read_pairs

        where: dict[str, set[str]] = {}
        for text in split:
            column, equals, word = text.partition("=")
            where.setdefault(column if equals else "split", set()).add(word if equals else text)
        columns = None if self.columns is None else [name.strip() for name in self.columns.split(",")]
        return read_pairs(path, columns, where)

    def read_tune(self, tested: Sequence[Pair]) -> list[Pair]:
        """Read the pairs that choose the threshold, without the tested ones. Raises: InputError if none is left."""
        from lateint.errors import InputError

        if self.tune is None:
            return []
        forbidden = {(pair.first, pair.second) for pair in tested}
        found = self.read(self.tune, self.tune_split)
        kept = [pair for pair in found if (pair.first, pair.second) not in forbidden]
        if not kept:
            raise InputError(f"every pair of --tune {self.tune} is also tested; choose the threshold on other pairs")
        if len(kept) < len(found):
            echo(f"{len(found) - len(kept)} of {len(found)} pairs in {self.tune} are also tested and were left out", err=True)
        return kept


@click.command("eval-pairs")
@click.option("--pairs", required=True, metavar="FILE", help="TSV or CSV with a header, two texts and a label per line; or -.")
@click.option(
    "--split", multiple=True, metavar="WORD", help="Only lines with this word in column `split`, or COLUMN=WORD; repeatable."
)
@click.option("--columns", metavar="A,B,LABEL", help="Column names. Default: common names are recognised.")
@click.option("--threshold", type=float, metavar="T", help="Binary labels: lowest logit that counts as positive. Default: 0.")
@click.option("--tune", metavar="FILE", help="Binary labels: choose the threshold on these pairs, by accuracy.")
@click.option("--tune-split", multiple=True, metavar="WORD", help="As --split, for --tune.")
@click.option("--scores", metavar="OUT", help="Write line, label and logit of every pair, tab-separated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with full precision.")
@model_options
@gathered(PairsRequest, "request")
def command(choice: ModelChoice, request: PairsRequest) -> None:
    """Score sentence pairs and measure them against labels.

    The first text of a pair is the query, the second the document. Measures for graded labels: Pearson, Spearman; for
    labels 0 and 1: accuracy and F1 at a threshold, AUC. All have 95 % bootstrap intervals over pairs.

    \b
    Examples:
      lateint eval-pairs --model all-MiniLM-L6-v2 --method cosine --pairs stsb.tsv.gz --split test
      lateint eval-pairs --pairs mrpc.tsv --split test --tune mrpc.tsv --tune-split dev
    """
    request.check()
    pairs = request.read(request.pairs, request.split)
    tune = _check_labels(request, pairs)
    from lateint.ranking.ranker import Ranker
    from lateint_eval.formats.output import replacing
    from lateint_eval.measures.pairs import evaluate_pairs

    with nullcontext() if request.scores is None else replacing(request.scores) as write:
        ranker = Ranker(choice.load())
        _report_truncation(ranker.model, pairs)
        threshold = _threshold(request, ranker, tune)
        scores = _scores(ranker, pairs)
        if write is not None:
            write("line\tlabel\tscore\n")
            for pair, score in zip(pairs, scores.tolist(), strict=True):
                write(f"{pair.line}\t{pair.label:g}\t{score:.9g}\n")
    _print(request, ranker.model, evaluate_pairs(scores, _labels(pairs), threshold))


def _check_labels(request: PairsRequest, pairs: Sequence[Pair]) -> list[Pair]:
    """Refuse unusable labels before a model is loaded. Returns: the pairs that choose the threshold."""
    from lateint.errors import InputError
    from lateint_eval.measures.pairs import label_kind

    if label_kind(_labels(pairs)) == "graded" and (request.tune is not None or request.threshold is not None):
        raise InputError(f"{request.pairs} has graded labels; --tune and --threshold need labels 0 and 1")
    tune = request.read_tune(pairs)
    if tune and label_kind(_labels(tune)) == "graded":
        raise InputError(f"--tune {request.tune} has graded labels; expected 0 and 1, as in {request.pairs}")
    return tune


def _labels(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([pair.label for pair in pairs])


def _threshold(request: PairsRequest, ranker: Ranker, tune: Sequence[Pair]) -> Threshold | None:
    from lateint_eval.measures.pairs import Threshold, best_threshold

    if request.threshold is not None:
        return Threshold(request.threshold, "given")
    if request.tune is None:
        return None
    value = best_threshold(_scores(ranker, tune), _labels(tune))
    where = " ".join([request.tune, *request.tune_split])
    return Threshold(value, f"best accuracy on {len(tune)} pairs of {where}")


def _scores(ranker: Ranker, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    return ranker.logits([(pair.first, pair.second) for pair in pairs]).astype("float64")


def _report_truncation(model: Model, pairs: Sequence[Pair]) -> None:
    """Report how many texts were truncated: the default query length suits ranking and is short for sentences."""
    for side, which in (("query", "first"), ("document", "second")):
        counter = CutCounter(model, side, f"{which} texts")
        counter.add([getattr(pair, which) for pair in pairs])
        counter.report()


def _print(request: PairsRequest, model: Model, found: PairEvaluation) -> None:
    for warning in found.warnings():
        warn(warning)
    if request.as_json:
        of = {"pairs": request.pairs, "split": list(request.split), "model": model.name, "method": model.method.name}
        echo(json.dumps({**of, **found.to_json()}, ensure_ascii=False, indent=2, allow_nan=False))
    else:
        echo(f"{' '.join([request.pairs, *request.split])}: {model.name} ({model.method.name})")
        echo(found.to_text(), nl=False)
