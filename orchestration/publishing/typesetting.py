"""Templates and data to PDF through typst, tagged for screen readers (PDF/UA-1). What a document says does not belong here."""

import json
import re
from datetime import datetime
from importlib.resources import files
from typing import Any

import typst

_UNSHOWN = re.compile(r'the text `"(.+?)"` could not be displayed')
_ESCAPE = re.compile(r"\\u\{([0-9a-f]+)\}")


def typeset(template: str, name: str, data: Any, timestamp: datetime | None = None) -> bytes:
    """A PDF; the same bytes for the same data.

    The data travels as JSON, so that no name from a landing file is ever read as markup. Signs that no font at hand has
    stand by their code point, `[U+65E5]`: a name in another script neither stops the document nor leaves a blank.

    Args:
        template: file name under ``templates``.
        name: key of ``sys.inputs`` under which the template finds the data.
        data: what JSON can hold.
        timestamp: the document's date; None: without one.

    Raises:
        typst.TypstError: the template cannot be typeset with this data.
    """
    source = files("orchestration.publishing").joinpath("templates", template).read_bytes()
    text = json.dumps(data, ensure_ascii=False)
    while True:
        try:
            made = typst.compile(
                source,
                format="pdf",
                sys_inputs={name: text},
                pdf_standards=["ua-1"],
                timestamp=None if timestamp is None else int(timestamp.timestamp()),
            )
        except typst.TypstError as error:
            spelt = _spell_out(text, _unshown(str(error.diagnostic)))
            if spelt == text:
                raise
            text = spelt
            continue
        assert isinstance(made, bytes)  # noqa: S101  one format, no target: bytes
        return made


def _unshown(diagnostic: str) -> set[str]:
    """Signs that typst says no font has; it writes some of them as escapes."""
    found = (_ESCAPE.sub(lambda m: chr(int(m[1], 16)), shown) for shown in _UNSHOWN.findall(diagnostic))
    return {sign for signs in found for sign in signs if not sign.isascii()}


def _spell_out(text: str, signs: set[str]) -> str:
    return text.translate({ord(sign): f"[U+{ord(sign):04X}]" for sign in signs})
