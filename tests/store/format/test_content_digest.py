import hashlib

from lateint_store.format.content_digest import EMPTY_DIGEST, Content, document_digest, joined_digest


def chain(numbers):
    content = Content()
    for number in numbers:
        content = content.append(f"d{number}", document_digest(f"d{number}".encode(), [bytes([number])]))
    return content


def test_cutting_into_shards_changes_nothing():
    whole = joined_digest([chain(range(10))])
    for cut in range(11):
        assert joined_digest([chain(range(cut)), chain(range(cut, 10))]) == whole
    assert joined_digest([chain([]), chain(range(4)), chain([]), chain(range(4, 10))]) == whole


def test_order_matters():
    assert len({joined_digest([chain(order)]) for order in ([1, 2, 3], [1, 3, 2], [3, 2, 1], [2, 1, 3])}) == 4


def test_the_digest_written_out_by_hand():
    def blake(data, size, person):
        return hashlib.blake2b(data, digest_size=size, person=person).digest()

    def document(doc_id, array):
        sized = b"".join(len(piece).to_bytes(8, "little") + piece for piece in (doc_id, array))
        return blake(sized, 16, b"lateint document")

    first, second = document(b"d1", b"\x01"), document(b"d2", b"\x02")
    links = [
        blake2
        for blake2 in (
            hashlib.blake2b(first, digest_size=32, person=b"lateint link"),
            hashlib.blake2b(second, digest_size=32, person=b"lateint link"),
        )
    ]
    links[1].update(b"\1" + b"d1")
    total = sum(int.from_bytes(link.digest(), "little") for link in links) % (1 << 256)
    assert joined_digest([chain([1, 2])]) == f"{total:064x}"


def test_nothing_has_the_digest_zero_and_json_round_trips():
    assert joined_digest([]) == joined_digest([Content()]) == EMPTY_DIGEST
    for content in (Content(), chain([1]), chain([1, 2, 3])):
        assert Content.from_json(content.to_json()) == content
