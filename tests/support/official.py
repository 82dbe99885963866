"""A simple model of the official MS MARCO script, written from its behaviour and independent of the code under test.

It works on the text of the two files, with integers, and knows nothing of lateint's readers.
"""

from collections import Counter


class Rejected(Exception):
    """Raised where the official script ends with an error."""


def score(qrels_text: str, run_text: str) -> tuple[list[str], dict[int, set[int]]]:
    """Return the printed lines and, per query, the passages other than 0 that occur at several ranks."""
    answers: dict[int, list[int]] = {}
    for line in qrels_text.splitlines():
        answers.setdefault(whole(line, 0), []).append(whole(line, 2))
    ranked: dict[int, list[int]] = {}
    for line in run_text.splitlines():
        query, passage, rank = (whole(line, at) for at in range(3))
        row = ranked.setdefault(query, [0 for _ in range(1000)])
        try:
            row[rank - 1] = passage
        except IndexError as error:
            raise Rejected(line) from error
    repeated = {query: {pid for pid, n in Counter(row).items() if n > 1 and pid != 0} for query, row in ranked.items()}
    repeated = {query: pids for query, pids in repeated.items() if pids}
    complaint = [f"Cannot rank a passage multiple times for a single query. QID={query}" for query in repeated][-1:]
    if not set(ranked) & set(answers):
        raise Rejected("No matching QIDs found")
    total = 0
    for query, row in ranked.items():
        places = [place for place in range(10) if row[place] in answers.get(query, [])]
        if places:
            total += 1 / (places[0] + 1)
    frame = "#" * 21
    return [*complaint, frame, f"MRR @10: {total / len(answers)}", f"QueriesRanked: {len(ranked)}", frame], repeated


def whole(line: str, at: int) -> int:
    try:
        return int(line.strip().split("\t")[at])
    except (ValueError, IndexError) as error:
        raise Rejected(line) from error
