"""The audit log: one line an act, chained, never two for one, and none that forges another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingest import audit_log


def test_each_act_is_a_line_that_holds_the_digest_of_the_one_before(tmp_path: Path) -> None:
    first = audit_log.log(tmp_path, "close", "2027-01")
    second = audit_log.log(tmp_path, "reopen", "c 2027-01", "an invoice was found")
    assert audit_log.read(tmp_path) == [first, second]
    assert (second.act_no, second.reason) == (2, "an invoice was found")
    assert audit_log.faults(tmp_path) == []
    lines = (tmp_path / audit_log.LOG).read_text().splitlines()
    changed = json.loads(lines[0]) | {"actor": "somebody else"}
    (tmp_path / audit_log.LOG).write_text(json.dumps(changed) + "\n" + lines[1] + "\n")
    assert audit_log.faults(tmp_path) == [
        "closes/audit.jsonl:1 is not as it was written (close 2027-01 by somebody else)"
    ]


def test_an_act_that_is_done_again_after_a_crash_is_logged_once_and_a_second_repair_twice(tmp_path: Path) -> None:
    assert audit_log.log(tmp_path, "close", "2027-01 as stated in ab", once=True) == audit_log.log(
        tmp_path, "close", "2027-01 as stated in ab", once=True
    )
    audit_log.log(tmp_path, "repair", "lake/x")
    audit_log.log(tmp_path, "repair", "lake/x")
    assert [act.act for act in audit_log.read(tmp_path)] == ["close", "repair", "repair"]


def test_no_reason_can_forge_a_line_or_turn_its_text_around(tmp_path: Path) -> None:
    audit_log.log(tmp_path, "reopen", "c 2027-01", 'why\n{"act_no": 2, "act": "close"}\r\x1b[31m\u202e')
    (act,) = audit_log.read(tmp_path)
    assert act.reason == 'why {"act_no": 2, "act": "close"} [31m'
    assert len((tmp_path / audit_log.LOG).read_text().splitlines()) == 1


@pytest.mark.parametrize("left", ["", "{", "[]", '{"act_no": 1}', "\xff"])
def test_a_line_that_is_none_is_named(tmp_path: Path, left: str) -> None:
    audit_log.log(tmp_path, "close", "2027-01")
    with (tmp_path / audit_log.LOG).open("a", encoding="latin-1") as file:
        file.write(left + "\n")
    assert audit_log.faults(tmp_path) == ["closes/audit.jsonl:2 cannot be read"]
