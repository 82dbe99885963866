"""A second reader, written from store/README.md with only struct, zlib, hashlib, json and lmdb."""

import base64
import hashlib
import json
import struct
import zlib

import lmdb
import numpy as np

from lateint_store import open_store
from tests.support.paths import ROOT
from tests.support.stores import build, contents, entry

FIXTURE = ROOT / "tests/store/golden/store-v1.json"


def read_payloads(path):
    """Yield every live document in order: id, rows, payloads by array name."""
    manifest = json.loads((path / "manifest.json").read_text())
    digest = manifest.pop("digest")
    text = json.dumps(manifest, sort_keys=True, indent=1)
    assert hashlib.blake2b(text.encode(), digest_size=32).hexdigest() == digest
    uuid, names = bytes.fromhex(manifest["uuid"])[:8], sorted(manifest["specs"])
    for shard in manifest["shards"]:
        environment = lmdb.open(str(path / shard["folder"]), readonly=True, lock=False, max_dbs=4)
        blocks = environment.open_db(b"blocks", create=False)
        ids, deleted = (environment.open_db(name, create=False, dupsort=True, dupfixed=True) for name in (b"ids", b"deleted"))
        with environment.begin() as transaction:
            gone = {int.from_bytes(value[7:], "big") for _, value in transaction.cursor(deleted)}
            index = {value for _, value in transaction.cursor(ids)}
            for key, block in transaction.cursor(blocks):
                for ordinal, record in records(block, uuid, int.from_bytes(key, "big")):
                    doc_id, rows, payloads = read_record(record, uuid, ordinal, len(names))
                    listed = hashlib.blake2b(doc_id, digest_size=7).digest() + ordinal.to_bytes(5, "big") in index
                    assert listed == (ordinal not in gone)
                    if listed:
                        yield doc_id.decode(), rows, dict(zip(names, payloads, strict=True))
        environment.close()


def records(block, uuid, first):
    magic, count, zero, ordinal, owner, _window, crc = struct.unpack_from("<4sHHQ8sQI", block)
    table = struct.unpack_from(f"<{count + 1}I", block, 36)
    assert (magic, zero, ordinal, owner) == (b"LTB1", 0, first, uuid)
    assert crc == zlib.crc32(block[36 : 36 + 4 * (count + 1)], zlib.crc32(block[:32]))
    assert hashlib.blake2b(block[:-16], digest_size=16).digest() == block[-16:] and table[-1] == len(block) - 16
    for place in range(count):
        yield first + place, block[table[place] : table[place + 1]]


def read_record(record, uuid, ordinal, arrays):
    crc, id_size, rows, *numbers = struct.unpack_from(f"<IHI{arrays}I{arrays}I", record)
    at = 10 + 8 * arrays + id_size
    assert crc == zlib.crc32(record[4:at], zlib.crc32(uuid) ^ ordinal & 0xFFFFFFFF)
    payloads, start = [], at
    for length, checksum in zip(numbers[:arrays], numbers[arrays:], strict=True):
        payloads.append(record[start : start + length])
        assert zlib.crc32(payloads[-1]) == checksum
        start += length
    assert start == len(record)
    return record[at - id_size : at], rows, payloads


def test_the_readme_is_enough_to_read_a_store(tmp_path):
    with build(tmp_path / "s", 150, documents_per_shard=64) as store:
        store.delete(["doc0", "doc77"])
        expected = contents(store)
        raw = store.fetch(list(store.ids()))
        digest = store.content_digest()
    found = list(read_payloads(tmp_path / "s"))
    assert [doc_id for doc_id, _, _ in found] == list(expected)
    assert [rows for _, rows, _ in found] == raw.rows.tolist()
    for name, payloads in raw.payloads.items():
        assert [arrays[name] for _, _, arrays in found] == list(payloads)
    ids = [doc_id for doc_id, _, _ in found]
    assert digest == content_digest(
        ids, [[contents_before_zstd(p) for p in sorted(payloads.items())] for _, _, payloads in found]
    )


def contents_before_zstd(item):
    import zstandard

    name, payload = item
    return zstandard.decompress(payload) if name == "states" else payload


def content_digest(ids, arrays):
    total, before = 0, None
    for doc_id, pieces in zip(ids, arrays, strict=True):
        document = hashlib.blake2b(digest_size=16, person=b"lateint document")
        for piece in (doc_id.encode(), *pieces):
            document.update(len(piece).to_bytes(8, "little") + piece)
        link = hashlib.blake2b(document.digest(), digest_size=32, person=b"lateint link")
        link.update(b"" if before is None else b"\x01" + before.encode())
        total, before = total + int.from_bytes(link.digest(), "little"), doc_id
    return f"{total % 2**256:064x}"


def test_a_store_written_by_version_1_opens_with_the_same_contents(tmp_path):
    fixture = json.loads(FIXTURE.read_text())
    for name, data in fixture["files"].items():
        path = tmp_path / "s" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.decompress(base64.b64decode(data)))
    with open_store(tmp_path / "s") as store:
        assert store.content_digest() == fixture["content_digest"] and store.verify().ok
        assert list(store.ids()) == [f"doc{number}" for number in range(1, 9)]
        for number, arrays in zip(range(1, 9), store.get(list(store.ids())), strict=True):
            np.testing.assert_array_equal(arrays["states"], entry(number).arrays["states"])


def write_fixture(path):
    """Write the fixture: `python -c "from tests.store.format.test_format import *; write_fixture(Path('/tmp/v1'))"`."""
    with build(path, 9) as store:
        store.delete(["doc0"])
        store.seal()
        files = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file() and file.suffix != ".lock"}
        packed = {name: base64.b64encode(zlib.compress(file.read_bytes(), 9)).decode() for name, file in files.items()}
        FIXTURE.write_text(json.dumps({"content_digest": store.content_digest(), "files": packed}, indent=1) + "\n")
