"""Who closed, reopened, released or repaired what, when and why: ``HOME/closes/audit.jsonl``, only ever added to.

Each line holds the SHA-256 of itself and of the line before it, so that a changed, moved or missing line is found; a line
that is cut off the end is found by whoever has noted the last digest (`parkledger verify` prints it). What an act did to
the books does not belong here.
"""

import getpass
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

LOG = Path("closes") / "audit.jsonl"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Act:
    """One line of the log.

    Attributes:
        act_no: 1, 2, 3 …
        acted_at: instant of the computer's clock, UTC, ISO.
        actor: account that did it.
        act: close, reopen, release or repair.
        subject: what it was done to: a month, a contract and month, a row, a file.
        reason: why, in the words of who did it; may be empty.
        digest: SHA-256 of the digest before and of all the above.
    """

    act_no: int
    acted_at: str
    actor: str
    act: str
    subject: str
    reason: str
    digest: str


def _digest(before: str, values: dict[str, object]) -> str:
    given = {name: value for name, value in values.items() if name != "digest"}
    return hashlib.sha256(f"{before}\n{json.dumps(given, sort_keys=True)}".encode()).hexdigest()


def read(home: Path) -> list[Act]:
    """The log in its own order, as far as its lines can be read."""
    path = home / LOG
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(Act(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return found


def faults(home: Path) -> list[str]:
    """Lines that are not as they were written; after the first, nothing is said of the others."""
    path = home / LOG
    if not path.exists():
        return []
    before = ""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            act = Act(**json.loads(line))
        except (ValueError, TypeError):
            return [f"{LOG}:{number} cannot be read"]
        if act.act_no != number:
            return [f"{LOG}:{number} is act {act.act_no}: a line is missing or was moved"]
        if act.digest != _digest(before, asdict(act)):
            return [f"{LOG}:{number} is not as it was written ({act.act} {act.subject} by {act.actor})"]
        before = act.digest
    return []


def log(home: Path, act: str, subject: str, reason: str = "", *, once: bool = False) -> Act:
    """Add an act.

    Args:
        home: the home's folder.
        act: close, reopen, release or repair.
        subject: what it was done to, with whatever tells one doing from another (a digest, a batch, a file).
        reason: why.
        once: where the same act on the same subject is logged already, that line stands: an act that was killed after
            its doing, and done again, is one.
    """
    before = read(home)
    clean = {name: _CONTROL.sub(" ", text).strip() for name, text in (("subject", subject), ("reason", reason))}
    same = [one for one in before if (one.act, one.subject) == (act, clean["subject"])]
    if once and same:
        return same[-1]
    values: dict[str, object] = {
        "act_no": len(before) + 1,
        "acted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "actor": getpass.getuser(),
        "act": act,
        **clean,
    }
    values["digest"] = _digest(before[-1].digest if before else "", values)
    path = home / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Act(**values)  # type: ignore[arg-type]
