import pytest

from lateint_store import format_codecs, parse_codecs, part
from lateint_store.errors import SpecError


def test_the_syntax_of_the_command_line():
    assert parse_codecs(
        "states=cast:float16+zstd; vector = int8:scale=float16 ;token_ids=cast:dtype=uint16+zstd:level=3,checksum=false"
    ) == {
        "states": (part("cast", dtype="float16"), part("zstd")),
        "vector": (part("int8", scale="float16"),),
        "token_ids": (part("cast", dtype="uint16"), part("zstd", level=3, checksum=False)),
    }


@pytest.mark.parametrize("text", ["states=cast:float16+zstd;vector=int8", "a=zstd:level=9,checksum=true", "b=raw"])
def test_formatted_codecs_are_read_back_equal(text):
    assert parse_codecs(format_codecs(parse_codecs(text))) == parse_codecs(text)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no codecs"),
        ("states", "cannot read codecs 'states'"),
        ("=int8", "cannot read"),
        ("a=int8;a=int4", "given twice"),
        ("a=gzip", "no codec 'gzip'"),
        ("a=zstd:3,4", "cannot read setting '4'"),
        ("a=raw:3", "cannot read setting '3'"),
        ("a=int8+", "no codec ''"),
        ("a=zstd:speed=3", "no setting 'speed'"),
        ("a=int8:float64", "scale='float64' is not one of"),
    ],
)
def test_what_cannot_be_read_is_named(text, match):
    with pytest.raises(SpecError, match=match):
        parse_codecs(text)
