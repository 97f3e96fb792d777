"""Opening files that strangers made: bounded sizes, gzip, zstd and zip, never a path of an archive.

No format is known here; nothing is ever unpacked to disk.
"""

import codecs
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

import pyarrow as pa

from ingest.formats.errors import FormatError

# What a zip may hold: a year of NEM12 for a thousand meters is about 200 MB. Anything above this is split by its sender, or
# is a decompression bomb.
MAX_TEXT_BYTES = 512 * 1024**2
MAX_ZIP_MEMBERS = 1000
# All else is read in blocks; the bounds only stop bombs. Telemetry packs 10 to 100 times, zeros 1,000 times.
MAX_STREAM_BYTES = 64 * 1024**3
MAX_RATIO, RATIO_FREE_BYTES, MAX_PACKED_RATIO = 500, 64 * 1024**2, 20
# No feed has a row of more than some kilobytes; of a longer one the beginning is kept for people to see.
MAX_RECORD_BYTES = 1024**2
_KEPT_BYTES = 4096
HEAD_BYTES = 64 * 1024
# A table of 100,000 nodes has a first line of a megabyte.
_HEAD_LINES, _MAX_HEAD_BYTES = 3, 8 * 1024**2
_CHUNK_BYTES = 1024**2
_BLOCK_BYTES = 16 * 1024**2
_LINES_BYTES = 4 * 1024**2
_SMALL_BYTES = 64

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True)
class Head:
    """The first bytes of a file after decompression, for telling its format.

    Attributes:
        path: the file.
        text: 64 KiB, or three lines where those are longer, as text without byte-order mark (empty for binary files).
        kind: `text`, `parquet`, `packed_parquet` (compressed as a whole) or `binary`.
        is_zip: whether `text` is the head of a zip's first member.
        is_complete: whether `text` is the whole file.
    """

    path: Path
    text: str
    kind: str
    is_zip: bool
    is_complete: bool

    @property
    def lines(self) -> list[str]:
        """Whole lines of the head; a last line that the cut may have torn is left out."""
        lines = self.text.splitlines()
        return lines if self.is_complete or not lines else lines[:-1]


def decoded(path: Path, data: bytes, *, is_head: bool = False) -> str:
    """UTF-8 with or without byte-order mark, or UTF-16 with one; a torn last character of a head is dropped."""
    name, encoding = ("UTF-16", "utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("UTF-8", "utf-8-sig")
    try:
        return data.decode(encoding, errors="ignore" if is_head else "strict")
    except UnicodeDecodeError as error:
        raise FormatError(path, [f"byte {error.start} is no {name} text"]) from error


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    magic = raw.read(4)
    raw.seek(0)
    if magic[:2] == _GZIP_MAGIC:
        return cast("IO[bytes]", pa.CompressedInputStream(raw, "gzip"))
    if magic == _ZSTD_MAGIC:
        return cast("IO[bytes]", pa.CompressedInputStream(raw, "zstd"))
    return raw


# What Python's readers of gzip and zip raise over bytes that are not as they should be; NotImplementedError is zipfile's
# word for a compression that it does not know.
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError)


def _read_at_most(path: Path, stream: IO[bytes], limit: int, *, what: str = "the file") -> bytes:
    """All bytes of a stream, counted while they are read: a size that an archive declares is never trusted."""
    parts: list[bytes] = []
    total = 0
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            total += len(chunk)
            if total > limit:
                raise FormatError(path, [f"{what} holds more than {limit:,} bytes; split it"])
            parts.append(bytes(chunk))
    except BROKEN_ARCHIVE as error:
        raise FormatError(path, [f"{what} cannot be decompressed: {error}"]) from error
    return b"".join(parts)


def _safe_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive in name order, or FormatError on anything an honest sender does not pack."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if not infos:
        raise FormatError(path, ["the zip is empty"])
    if len(infos) > MAX_ZIP_MEMBERS:
        raise FormatError(path, [f"the zip holds {len(infos)} files, more than {MAX_ZIP_MEMBERS}"])
    for info in infos:
        name = info.orig_filename
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.is_absolute() or windows.drive or ".." in {*posix.parts, *windows.parts}:
            raise FormatError(path, [f"the zip holds a path that leaves its folder: {name!r}"])
        if info.flag_bits & 0x1:
            raise FormatError(path, [f"the zip's {name!r} is encrypted"])
        if (info.external_attr >> 16) & 0o170000 == 0o120000:
            raise FormatError(path, [f"the zip's {name!r} is a symbolic link"])
    if len({info.filename for info in infos}) < len(infos):
        raise FormatError(path, ["the zip holds one name twice"])
    if sum(info.file_size for info in infos) > MAX_TEXT_BYTES:
        raise FormatError(path, [f"the zip unpacks to more than {MAX_TEXT_BYTES:,} bytes; split it"])
    return sorted(infos, key=lambda info: info.filename)


def _chunks(path: Path, size: int) -> Iterator[tuple[bytes, str | None]]:
    """(decompressed bytes, None) to the end; where the compression breaks off, all bytes before it and then the reason."""
    done = 0
    with path.open("rb") as raw:
        stream = _decompressed(raw)
        try:
            while chunk := bytes(stream.read(size)):
                yield chunk, None
                done += len(chunk)
        except BROKEN_ARCHIVE as error:
            reason = f"the file cannot be decompressed: {error}"
        else:
            return
    # What the last read had decompressed before it failed is got in small reads.
    saved = bytearray()
    with path.open("rb") as raw:
        stream = _decompressed(raw)
        try:
            while chunk := bytes(stream.read(_SMALL_BYTES)):
                saved += chunk[min(done, len(chunk)) :]
                done -= min(done, len(chunk))
        except BROKEN_ARCHIVE:
            yield bytes(saved), reason


def _enough(first: bytes) -> int:
    """How many of a file's first bytes tell its format: HEAD_BYTES, or as many as hold the header and a row; 0 if not yet."""
    end = -1
    for _ in range(_HEAD_LINES):
        end = first.find(b"\n", end + 1)
        if end < 0:
            return _MAX_HEAD_BYTES if len(first) > _MAX_HEAD_BYTES else 0
    wanted = max(HEAD_BYTES, end + 1)
    return wanted if len(first) > wanted else 0


def _first_bytes(path: Path) -> tuple[bytes, bool]:
    """The first bytes after decompression, as many as there are or the head wants, and whether they are all."""
    first = b""
    for chunk, reason in _chunks(path, HEAD_BYTES + 1):
        first += chunk
        if reason and not first:
            raise FormatError(path, [reason])
        if wanted := _enough(first):
            return first[:wanted], False
    return first, True


def head(path: Path) -> Head:
    """The beginning of a file, decompressed, for `recognise`.

    Raises:
        FormatError: no such bytes, an empty file, or an archive that is unsafe to open.
    """
    with path.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if not magic:
            raise FormatError(path, ["the file is empty"])
        if magic == _PARQUET_MAGIC:
            return Head(path, "", "parquet", is_zip=False, is_complete=False)
        is_zip = magic in _ZIP_MAGICS
        if is_zip:
            try:
                with zipfile.ZipFile(raw) as archive, archive.open(_safe_members(path, archive)[0]) as member:
                    data = member.read(HEAD_BYTES + 1)
                    is_complete = len(data) <= HEAD_BYTES
            except BROKEN_ARCHIVE as error:
                raise FormatError(path, [f"no readable zip: {error}"]) from error
        else:
            data, is_complete = _first_bytes(path)
            if data[:4] == _PARQUET_MAGIC:
                return Head(path, "", "packed_parquet", is_zip=False, is_complete=False)
    # A byte that is no text in the first line makes a file binary; further on it is a fault of its own line.
    if b"\x00" in data.partition(b"\n")[0] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return Head(path, "", "binary", is_zip=is_zip, is_complete=is_complete)
    return Head(path, decoded(path, data, is_head=True), "text", is_zip=is_zip, is_complete=is_complete)


def read_bytes(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """All bytes of a plain, gzip or zstd file, at most `limit` after decompression, else FormatError."""
    with path.open("rb") as raw:
        return _read_at_most(path, _decompressed(raw), limit)


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """As `read_bytes`, decoded (UTF-8, or UTF-16 with a byte-order mark) without byte-order mark."""
    return decoded(path, read_bytes(path, limit))


def unpacked(path: Path) -> BytesIO:
    """A file that was compressed as a whole, though what it holds is packed already: at most MAX_PACKED_RATIO times its size."""
    limit = min(MAX_TEXT_BYTES, max(RATIO_FREE_BYTES, MAX_PACKED_RATIO * path.stat().st_size))
    whole = BytesIO()
    for chunk, reason in _bounded(path, limit, _CHUNK_BYTES):
        if reason is not None:
            raise FormatError(path, [reason])
        whole.write(chunk)
    whole.seek(0)
    return whole


def texts(path: Path, limit: int = MAX_TEXT_BYTES) -> Iterator[tuple[str, str]]:
    """(member name, text) of each file of a zip, or the one text of any other file under an empty name.

    Raises:
        FormatError: unsafe or unreadable archives, more than `limit` bytes in all, no text.
    """
    with path.open("rb") as raw:
        if raw.read(4) not in _ZIP_MAGICS:
            yield "", read_text(path, limit)
            return
        raw.seek(0)
        left = limit
        try:
            with zipfile.ZipFile(raw) as archive:
                for info in _safe_members(path, archive):
                    with archive.open(info) as member:
                        data = _read_at_most(path, member, left, what=f"the zip's {info.filename!r}")
                    left -= len(data)
                    yield info.filename, decoded(path, data)
        except BROKEN_ARCHIVE as error:
            raise FormatError(path, [f"no readable zip: {error}"]) from error


def _end_of_records(data: bytes) -> int:
    """The position after the last line end that stands outside quotes, 0 if there is none; linear in the size."""
    end = data.rfind(b"\n") + 1
    if data.count(b'"', 0, end) % 2 == 0:
        return end
    # An odd number: the last quote opens a cell that goes on, and the text before it is outside.
    quote, is_outside = data.rfind(b'"', 0, end), True
    while quote >= 0:
        before = data.rfind(b'"', 0, quote)
        line_end = data.rfind(b"\n", before + 1, quote)
        if is_outside and line_end >= 0:
            return line_end + 1
        quote, is_outside = before, not is_outside
    return 0


# Number of a line from 1, its text without line end, and why it is no line of text: `not_utf8`, `line_too_long` or
# `truncated`; None for all others.
Line = tuple[int, str, str | None]


def _shown(line: bytes) -> str:
    return line[:_KEPT_BYTES].decode(errors="backslashreplace")


def _lines_of(whole: bytes, line_no: int, longest: int) -> Iterator[Line]:
    """The lines of a part of a file, which ends before a line end."""
    try:
        texts: list[str] | None = whole.decode().split("\n")
    except UnicodeDecodeError:
        texts = None
    if texts is not None and (len(whole) <= longest or max(map(len, texts)) <= longest):
        for number, text in enumerate(texts, start=line_no):
            yield number, text, None
        return
    for number, line in enumerate(whole.split(b"\n"), start=line_no):
        if len(line) > longest:
            yield number, f"{_shown(line)} ... ({len(line)} bytes)", "line_too_long"
            continue
        try:
            yield number, line.decode(), None
        except UnicodeDecodeError:
            yield number, _shown(line), "not_utf8"


def _as_utf8(path: Path, chunks: Iterator[tuple[bytes, str | None]]) -> Iterator[tuple[bytes, str | None]]:
    """Chunks (see `_chunks`) without byte-order mark; UTF-16 with one as UTF-8."""
    decoder: codecs.IncrementalDecoder | None = None
    is_first = True
    for chunk, reason in chunks:
        if is_first and reason and b"\n" not in chunk:
            raise FormatError(path, [reason])
        if is_first and chunk[:2] in (b"\xff\xfe", b"\xfe\xff"):
            decoder = codecs.getincrementaldecoder("utf-16")()
        try:
            text = chunk if decoder is None else decoder.decode(chunk).encode()
        except UnicodeDecodeError as error:
            raise FormatError(path, [f"byte {error.start} is no UTF-16 text"]) from error
        yield text.removeprefix(b"\xef\xbb\xbf") if is_first else text, reason
        is_first = False


def _stream_lines(
    path: Path, chunks: Iterator[tuple[bytes, str | None]], longest: int = MAX_RECORD_BYTES
) -> Iterator[Line]:
    """Lines of chunks (see `_chunks`); a line that is no text, or without end, costs itself only."""
    rest, line_no, skipped = b"", 1, 0
    for chunk, reason in _as_utf8(path, chunks):
        data = rest + chunk
        if skipped:
            end = chunk.find(b"\n")
            skipped += len(chunk) if end < 0 else end
            data = rest if end < 0 else chunk[end + 1 :]
            if end >= 0:
                yield line_no, f"{_shown(rest)} ... ({skipped} bytes)", "line_too_long"
                line_no, skipped = line_no + 1, 0
        whole, line_end, rest = data.rpartition(b"\n")
        if line_end:
            yield from _lines_of(whole, line_no, longest)
            line_no += whole.count(b"\n") + 1
        if len(rest) > longest:
            skipped, rest = len(rest), rest[:_KEPT_BYTES]
        if reason is not None:
            yield line_no, f"{_shown(rest)} ... ({reason})", "truncated"
            return
    if skipped:
        yield line_no, f"{_shown(rest)} ... ({skipped} bytes)", "line_too_long"
    elif rest:
        yield from _lines_of(rest, line_no, longest)


def stream_chunks(path: Path, limit: int = MAX_STREAM_BYTES) -> Iterator[tuple[bytes, str | None]]:
    """(decompressed bytes, None) of a plain, gzip or zstd file of any size; where its compression breaks off, the reason.

    Raises:
        FormatError: more than `limit` bytes in all, bytes beyond MAX_RATIO times the file.
    """
    yield from _bounded(path, limit, _CHUNK_BYTES)


def stream_lines(path: Path, limit: int = MAX_STREAM_BYTES, longest: int = MAX_RECORD_BYTES) -> Iterator[Line]:
    """The lines of a plain, gzip or zstd file of any size: UTF-8, or UTF-16 with a byte-order mark.

    Of a line of more than `longest` bytes the beginning is kept.

    Raises:
        FormatError: more than `limit` bytes in all, bytes beyond MAX_RATIO times the file, nothing that can be
            decompressed.
    """
    yield from _stream_lines(path, _bounded(path, limit, _LINES_BYTES), longest)


def _member_chunks(path: Path, member: IO[bytes], name: str, limit: int) -> Iterator[tuple[bytes, str | None]]:
    """As `_chunks`, of a file of a zip; bytes are counted while they are read: a declared size is never trusted."""
    total = 0
    try:
        while chunk := member.read(_CHUNK_BYTES):
            total += len(chunk)
            if total > limit:
                raise FormatError(path, [f"the zip's {name!r} holds more than {limit:,} bytes; split it"])
            yield chunk, None
    except BROKEN_ARCHIVE as error:
        yield b"", f"the zip's {name!r} cannot be decompressed: {error}"


def members(path: Path, limit: int = MAX_TEXT_BYTES) -> Iterator[Iterator[Line]]:
    """The lines of each file of a zip in the order of their names, or those of any other file.

    Raises:
        FormatError: unsafe or unreadable archives; a file of a zip with more than `limit` bytes; see `stream_lines`.
    """
    with path.open("rb") as raw:
        if raw.read(4) not in _ZIP_MAGICS:
            yield stream_lines(path)
            return
        raw.seek(0)
        try:
            with zipfile.ZipFile(raw) as archive:
                for info in _safe_members(path, archive):
                    with archive.open(info) as member:
                        yield _stream_lines(path, _member_chunks(path, member, info.filename, limit))
        except BROKEN_ARCHIVE as error:
            raise FormatError(path, [f"no readable zip: {error}"]) from error


@dataclass(frozen=True)
class Block:
    """Lines of a CSV file.

    Attributes:
        data: whole records, or the text of one broken line as far as it is kept.
        first_line: number of the first line.
        rule: None for records, else why the line is broken: `line_too_long`, `quote_not_closed` or `truncated`.
        size: bytes of the broken line, of which `data` may be the beginning.
    """

    data: bytes
    first_line: int
    rule: str | None = None
    size: int = 0


def _bounded(path: Path, limit: int, chunk_bytes: int) -> Iterator[tuple[bytes, str | None]]:
    """The chunks of a file, within the bounds of size and of compression."""
    size, total = path.stat().st_size, 0
    for chunk, reason in _chunks(path, chunk_bytes):
        total += len(chunk)
        if total > limit:
            raise FormatError(path, [f"the file holds more than {limit:,} bytes; split it"])
        if total > RATIO_FREE_BYTES and total > MAX_RATIO * size:
            raise FormatError(path, [f"the file unpacks to more than {MAX_RATIO} times its size; pack it otherwise"])
        yield chunk, reason


def stream_blocks(path: Path, limit: int = MAX_STREAM_BYTES) -> Iterator[Block]:
    """Decompressed blocks of whole CSV records of a file of any size: a block ends after a line end outside quotes.

    Lines that cannot be part of a record come as blocks of their own: one longer than MAX_RECORD_BYTES (of which the
    beginning is kept), one whose quote is never closed, and the last one of a file whose compression breaks off.

    Raises:
        FormatError: more than `limit` bytes in all, bytes beyond MAX_RATIO times the file, nothing that can be
            decompressed, UTF-16.
    """
    rest, line_no, skipped = b"", 1, 0
    is_first = True
    for chunk, reason in _bounded(path, limit, _BLOCK_BYTES):
        if is_first and chunk[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise FormatError(path, ["it is UTF-16 text; save it as UTF-8"])
        if is_first and reason and b"\n" not in chunk:
            raise FormatError(path, [reason])
        is_first = False
        data = rest + chunk
        if skipped:
            # In the middle of a line that is too long: nothing of it is kept but what was kept of its beginning.
            end = chunk.find(b"\n") + 1
            if not end and reason is None:
                skipped += len(chunk)
                continue
            skipped += end or len(chunk)
            yield Block(rest + b" ... (%d bytes)" % skipped, line_no, "line_too_long")
            line_no, skipped, data = line_no + 1, 0, chunk[end:] if end else b""
        for block in _blocks_of(data, line_no):
            yield block
            # A block of several lines ends with a line end; a broken line is kept in part only.
            line_no += 1 if block.rule else block.data.count(b"\n")
            taken = block.size or len(block.data)
            data = data[taken:]
        if len(data) > MAX_RECORD_BYTES:
            skipped, data = len(data), data[:_KEPT_BYTES]
        rest = data
        if reason is not None:
            yield Block(rest + f" ... ({reason})".encode(), line_no, "truncated")
            return
    if skipped:
        yield Block(rest + b" ... (%d bytes)" % skipped, line_no, "line_too_long")
    else:
        yield from _last_lines(rest, line_no)


def _blocks_of(data: bytes, line_no: int) -> Iterator[Block]:
    """Blocks from the beginning of `data`, until it holds no more than an open record or a line without end."""
    while True:
        end = _end_of_records(data)
        if end:
            yield Block(data[:end], line_no)
            line_no += data.count(b"\n", 0, end)
            data = data[end:]
        end = data.find(b"\n") + 1
        if len(data) <= MAX_RECORD_BYTES or not end:
            return
        rule = "quote_not_closed" if end <= MAX_RECORD_BYTES else "line_too_long"
        yield Block(data[: min(end, _KEPT_BYTES)], line_no, rule, end)
        line_no, data = line_no + 1, data[end:]


def _last_lines(rest: bytes, line_no: int) -> Iterator[Block]:
    """The end of a file; a quote that is never closed breaks its own line, and not those after it."""
    while rest.count(b'"') % 2:
        quote = rest.find(b'"')
        end = rest.find(b"\n", quote) + 1 or len(rest)
        start = rest.rfind(b"\n", 0, quote) + 1
        if start:
            yield Block(rest[:start], line_no)
            line_no += rest.count(b"\n", 0, start)
        yield Block(rest[start:end], line_no, "quote_not_closed")
        line_no, rest = line_no + 1, rest[end:]
    if rest:
        yield Block(rest, line_no)
