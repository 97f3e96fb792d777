"""YAML as written: plain values, the line of every key, and numbers as exact decimals.

The node graph of ruamel.yaml is turned into values here, because its own constructors pass `0.25` through a
binary float. No meaning of any key is known here.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ingest.terms.errors import Problem

# The largest contract that we know of in this form has 300 lines; a file of a megabyte is no term sheet.
MAX_YAML_BYTES = 1024**2
_MAX_NODES = 100_000
_TAG = "tag:yaml.org,2002:"

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlSource:
    """One YAML file as values and lines.

    Attributes:
        file: path relative to the home folder, for messages.
        values: the document: mappings, lists, str, int, Decimal, bool, None, date, datetime. Never float.
        lines: 1-based line of every key and list item by its path; () is the document.
    """

    file: str
    values: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def problem(self, path: Sequence[str | int], message: str, remedy: str) -> Problem:
        """A problem at a path; steps that the file does not have (a missing key) take their parent's line."""
        line = self.lines.get((), 1)
        known: KeyPath = ()
        for step in path:
            if (*known, step) in self.lines:
                known = (*known, step)
                line = self.lines[known]
        return Problem(self.file, line, ".".join(str(step) for step in path), message, remedy)


class _NotPlainError(ValueError):
    """A YAML construct outside plain data, with its line and path."""

    def __init__(self, line: int, path: KeyPath, message: str, remedy: str) -> None:
        self.line, self.path, self.message, self.remedy = line, path, message, remedy
        super().__init__(message)


def _integer(digits: str) -> int:
    return int(digits, 0) if digits.lstrip("+-").startswith(("0x", "0o", "0b")) else int(digits)


def _instant_or_text(text: str) -> date | str:
    """Text that only looks like an instant stays text: the model says what it wanted there."""
    try:
        return date.fromisoformat(text) if len(text) == len("2026-01-01") else datetime.fromisoformat(text)
    except ValueError:
        return text


def _scalar(node: ScalarNode, line: int, path: KeyPath) -> Any:
    text, tag = str(node.value), str(node.tag).removeprefix(_TAG)
    plain: dict[str, Callable[[], Any]] = {
        "str": lambda: text,
        "null": lambda: None,
        "bool": lambda: text.lower() == "true",
        "int": lambda: _integer(text.replace("_", "")),
        "timestamp": lambda: _instant_or_text(text),
    }
    if tag in plain:
        return plain[tag]()
    if tag == "float":
        try:
            number = Decimal(text.replace("_", ""))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise _NotPlainError(line, path, f"{text} is no finite number", "write a plain decimal")
        return number
    raise _NotPlainError(line, path, f"the tag {node.tag} is not allowed", "write plain data without tags")


class _Builder:
    """Turns nodes into values; counts them, so that nested aliases cannot blow a small file up."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.count = 0

    def build(self, node: Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.count += 1
        if self.count > _MAX_NODES:
            raise _NotPlainError(line, path, "the document is too large", "split it, or use fewer aliases")
        if isinstance(node, ScalarNode):
            return _scalar(node, line, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, position)) for position, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        raise _NotPlainError(line, path, "not plain data", "write mappings, lists and scalars only")

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise _NotPlainError(line, path, "a key is no plain text", "write `key: value`")
            key = str(key_node.value)
            if key in values:
                raise _NotPlainError(line, (*path, key), f"the key {key} stands twice", "keep one of them")
            self.lines[(*path, key)] = line
            values[key] = self.build(value_node, (*path, key))
        return values


def _parse(data: bytes, file: str) -> YamlSource | Problem:
    node = YAML(typ="safe", pure=True).compose(io.StringIO(data.decode("utf-8-sig")))
    if node is None:
        return Problem(file, 0, "", "the file is empty", "fill it in, or remove it")
    builder = _Builder()
    values = builder.build(node, ())
    if not isinstance(values, dict):
        return Problem(file, 1, "", "is no mapping of keys to values", "begin with `key: value` lines")
    return YamlSource(file, values, builder.lines)


def read_yaml(path: Path, file: str) -> YamlSource | Problem:
    """Read one YAML file of one document.

    Args:
        path: the file.
        file: its path relative to the home folder, for messages.

    Returns:
        The source, or the one problem that keeps it from being read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        return Problem(file, 0, "", f"cannot be read: {error.strerror}", "check that it is a readable file")
    if len(data) > MAX_YAML_BYTES:
        return Problem(file, 0, "", f"larger than {MAX_YAML_BYTES:,} bytes", "split it")
    line, key, message, remedy = 0, "", "", "check indentation, colons and quotes"
    try:
        return _parse(data, file)
    except UnicodeDecodeError as error:
        line, message, remedy = data[: error.start].count(b"\n") + 1, "is no UTF-8 text", "save it as UTF-8"
    except _NotPlainError as error:
        line, key, message, remedy = error.line, ".".join(map(str, error.path)), error.message, error.remedy
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        message = f"is no valid YAML: {' '.join(part for part in (error.context, error.problem) if part)}"
    except (YAMLError, RecursionError, ValueError) as error:
        message = f"is no valid YAML: {error}"
    return Problem(file, line, key, message, remedy)
