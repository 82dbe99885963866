from lateint_eval.datasets.stdlib.topics import topic_paragraphs

PROSE = "A pass statement does nothing at all when it runs; it is there only because the grammar wants a statement."
MORE = "Another paragraph, which is long enough to stand alone: it has more than twenty words in it, or so we count."
PASS = f"""The "pass" statement
********************

   pass_stmt ::= "pass"

{PROSE}

{MORE}
"""


def test_ids_hold_the_topic_and_the_first_words():
    assert list(topic_paragraphs({"pass": PASS})) == [
        ("topic:pass#a-pass-statement-does-nothing", "The pass statement", PROSE),
        ("topic:pass#another-paragraph-which-is-long", "The pass statement", MORE),
    ]


def test_a_new_paragraph_changes_no_other_id():
    before = {identifier for identifier, _, _ in topic_paragraphs({"pass": PASS})}
    longer = PASS.replace(PROSE, f"{PROSE.replace('A pass', 'Any pass')}\n\n{PROSE}")
    after = {identifier for identifier, _, _ in topic_paragraphs({"pass": longer})}
    assert after - before == {"topic:pass#any-pass-statement-does-nothing"}
    assert before <= after


def test_a_short_paragraph_goes_with_the_next():
    short = PASS.replace(PROSE, "For example:")
    assert [text for _, _, text in topic_paragraphs({"pass": short})] == [f"For example: {MORE}"]


def test_tables_and_version_notes_are_left_out():
    noise = "Changed in version 3.1: nothing that matters here.\n\n+----+----+\n| a  | b  |\n+----+----+"
    noisy = PASS.replace(MORE, noise)
    assert [text for _, _, text in topic_paragraphs({"pass": noisy})] == [PROSE]


def test_unknown_and_absent_topics_are_skipped():
    assert list(topic_paragraphs({"no such topic": PASS})) == []
