import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from lateint_eval.formats import read_corpus, read_queries
from lateint_store.errors import InputError

LINES = b"".join(b"%d\tpassage number %d\n" % (n, n) for n in range(100))


def tar(kind):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=kind) as archive:
        member = tarfile.TarInfo("collection.tsv")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return packed.getvalue()


def old_tar():
    """As before POSIX: no magic number."""
    header = bytearray(tar(tarfile.GNU_FORMAT))
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def zipped():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("corpus.jsonl", LINES)
    return packed.getvalue()


ARCHIVES = {
    "c.tar.gz": (gzip.compress(tar(tarfile.GNU_FORMAT)), r"is a tar archive.*tar -xf .*c\.tar\.gz"),
    "c.tgz": (gzip.compress(tar(tarfile.PAX_FORMAT)), "tar archive"),
    "c.tar": (old_tar(), "tar archive"),
    "set.zip": (zipped(), r"is a zip archive.*unzip .*set\.zip"),
    "c.tsv.xz": (lzma.compress(LINES), r"is a xz file.*xz -dk .*c\.tsv\.xz"),
    "c.gz": (gzip.compress(gzip.compress(LINES)), "compressed twice"),
    "c.parquet": (b"PAR1\x15\x04\x15\x10", "Parquet table"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_refused_with_the_command_that_unpacks_it(tmp_path, name):
    content, message = ARCHIVES[name]
    (tmp_path / name).write_bytes(content)
    for read in (read_queries, lambda path: next(read_corpus(path))):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


def test_text_that_starts_like_a_compressed_file_is_text(tmp_path):
    (tmp_path / "q.tsv").write_text("BZh\ta query\n")
    assert read_queries(tmp_path / "q.tsv") == {"BZh": "a query"}
