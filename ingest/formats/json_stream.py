"""JSON documents of any size, value by value: what an envelope holds is walked through, each value is decoded by itself.

Numbers stay as written: a stamp of milliseconds must not pass through a binary float. No format is known here.
"""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.formats.errors import FormatError
from ingest.formats.opening import stream_chunks

# A series of two years by the minute is 25 MB; its values take some eight times as much once they are decoded.
MAX_VALUE_CHARS = 32 * 1024**2
# An error so near to the end of what has been read may be one of the end.
_MARGIN = 16
_SPACE = " \t\n\r"


class BrokenJsonError(FormatError):
    """From some place on the document is no JSON, or cannot be decompressed."""


class JsonStream:
    """A cursor in a document.

    Raises:
        BrokenJsonError: from every method, over text that is no JSON.
        FormatError: a value of more than MAX_VALUE_CHARS, no UTF-8 or UTF-16; see `stream_chunks`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chunks = stream_chunks(path)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._text, self._at, self._is_done = "", 0, False
        self._decode = json.JSONDecoder(parse_float=str, parse_int=str).raw_decode

    def _wrong(self, why: object) -> BrokenJsonError:
        return BrokenJsonError(self._path, [f"no JSON: {why}"])

    def _fill(self) -> None:
        """Read on, at least as much as is left of what has been read."""
        parts = [self._text[self._at :]]
        wanted = len(parts[0])
        while not self._is_done and wanted >= 0:
            chunk, reason = next(self._chunks, (b"", None))
            if reason is not None:
                raise BrokenJsonError(self._path, [reason])
            if self._decoder is None:
                is_wide = chunk[:2] in (b"\xff\xfe", b"\xfe\xff")
                self._decoder = codecs.getincrementaldecoder("utf-16" if is_wide else "utf-8-sig")()
            self._is_done = not chunk
            try:
                text = self._decoder.decode(chunk, final=self._is_done)
            except UnicodeDecodeError as error:
                raise FormatError(self._path, [f"byte {error.start} is no {error.encoding.upper()} text"]) from error
            parts.append(text)
            wanted -= len(text)
        self._text, self._at = "".join(parts), 0

    def peek(self) -> str:
        """The next character that is no space, which stays; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._is_done:
                return ""
            self._fill()

    def _take(self, wanted: str) -> None:
        found = self.peek()
        if found != wanted:
            raise self._wrong(f"{found!r} where {wanted!r} belongs" if found else "it breaks off")
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                found, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_done or (error.pos < len(self._text) - _MARGIN and "Unterminated" not in error.msg):
                    raise self._wrong(error.msg) from error
            except RecursionError as error:
                raise self._wrong("nested beyond reason") from error
            else:
                # A number at the end of what has been read may go on.
                if end < len(self._text) or self._is_done:
                    self._at = end
                    return found
            if len(self._text) - self._at > MAX_VALUE_CHARS:
                raise FormatError(
                    self._path,
                    [f"one value in it has more than {MAX_VALUE_CHARS:,} characters; ask for a shorter range"],
                )
            self._fill()

    def elements(self) -> Iterator[None]:
        """Stands before each element of the array that comes next; the element is taken before the following one."""
        yield from (None for _ in self._items("[", "]"))

    def keys(self) -> Iterator[str]:
        """The keys of the object that comes next; stands before the value of each, which is taken before the following key."""
        for _ in self._items("{", "}"):
            if self.peek() != '"':
                raise self._wrong("a key without quotes")
            key = str(self.value())
            self._take(":")
            yield key

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        self._take(opening)
        if self.peek() != closing:
            yield
            while self.peek() == ",":
                self._at += 1
                yield
        self._take(closing)

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise self._wrong("something follows the document")
