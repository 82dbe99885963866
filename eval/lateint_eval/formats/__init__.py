"""Readers and writers of ranking data: MS MARCO, TREC, BEIR, JSONL and ir_datasets, recognised by name and content."""

from lateint_eval.formats.candidates import opened_candidates, read_candidates
from lateint_eval.formats.corpora import read_corpus
from lateint_eval.formats.ids import read_ids
from lateint_eval.formats.irds import irds_measures
from lateint_eval.formats.pairs import Pair, read_pairs
from lateint_eval.formats.qrels import read_qrels
from lateint_eval.formats.queries import read_queries
from lateint_eval.formats.records import CandidateList, Doc, Qrels, Run, RunEntry, joined_text
from lateint_eval.formats.run_writer import MSMARCO_DEPTH, check_name, strictly_decreasing, write_run
from lateint_eval.formats.runs import read_run
from lateint_eval.formats.writers import write_candidates, write_corpus, write_qrels, write_queries

__all__ = [
    "MSMARCO_DEPTH",
    "CandidateList",
    "Doc",
    "Pair",
    "Qrels",
    "Run",
    "RunEntry",
    "check_name",
    "irds_measures",
    "joined_text",
    "opened_candidates",
    "read_candidates",
    "read_corpus",
    "read_ids",
    "read_pairs",
    "read_qrels",
    "read_queries",
    "read_run",
    "strictly_decreasing",
    "write_candidates",
    "write_corpus",
    "write_qrels",
    "write_queries",
    "write_run",
]
