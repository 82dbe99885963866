"""Archives and binary tables, recognised by their first bytes: they hold files, not lines of text."""

from __future__ import annotations

import tarfile

from lateint_store.errors import InputError

HEAD = tarfile.BLOCKSIZE  # bytes that `refuse_archive` looks at: a tar header fills a block
_MAGIC = {
    b"PK\x03\x04": ("zip archive", "unzip {}"),
    b"PK\x05\x06": ("zip archive", "unzip {}"),
    b"7z\xbc\xaf\x27\x1c": ("7z archive", "7z x {}"),
    b"Rar!\x1a\x07": ("rar archive", "unrar x {}"),
    b"\xfd7zXZ\x00": ("xz file", "xz -dk {}"),
    b"LZIP": ("lzip archive", "lzip -dk {}"),
    b"\x04\x22\x4d\x18": ("lz4 file", "lz4 -d {}"),
    b"\x1f\x9d": ("file of compress (.Z), an old archive format", "gzip -dk {}"),
    b"PAR1": ("Parquet table", "duckdb -c \"COPY (FROM '{}') TO 'out.jsonl' (FORMAT json)\""),
}
_PACKED = {b"\x1f\x8b\x08": "gzip -d", b"\x28\xb5\x2f\xfd": "zstd -d"}  # below a compression that was already removed


def refuse_archive(head: bytes, source: str, *, unpacked: bool) -> None:
    """Refuse input whose first bytes are those of an archive.

    Args: `head`, the first `HEAD` bytes of the input, after decompression if `unpacked`.
    Raises: InputError that names the kind of archive and the command that unpacks it.
    """
    found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if found is None and _is_tar(head):
        found = ("tar archive", "tar -xf {}")
    if found is not None:
        name, command = found
        advice = f"unpack it ({command.format(source)}) and name the file inside"
        raise InputError(f"{source} is a {name}; expected lines of text: {advice}")
    again = next((command for magic, command in _PACKED.items() if unpacked and head.startswith(magic)), None)
    if again is not None:
        raise InputError(f"{source} is compressed twice; expected lines of text: unpack it once more ({again})")


def _is_tar(head: bytes) -> bool:
    """True for a tar header, by its checksum: older tar programs write no magic number."""
    try:
        tarfile.TarInfo.frombuf(head[:HEAD], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
