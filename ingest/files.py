"""The landing folder: which files lie there, what they are, and which of them may be read.

Rules: files are looked for under `landing/<park_id>/<feed>/`, at any depth. Names that begin with a dot or end in
.part, .tmp, .partial, .crdownload or ~ are still being written and left alone, and so is README.md; where the home's
clock is today's, so is a file younger than SETTLE_SECONDS. Links, devices and files outside a feed's folder are
refused.
"""

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.contracts import CONTRACTS
from ingest.terms.home import Home

LANDING_FOLDER = "landing"
# Copying tools write in bursts of less than a second; two of them without a write mean that the writer is done.
SETTLE_SECONDS = 2.0
_UNFINISHED = (".part", ".tmp", ".partial", ".crdownload", "~")
_CHUNK_BYTES = 1024**2


@dataclass(frozen=True)
class LandingFile:
    """One file of the landing folder.

    Attributes:
        path: where it is.
        relative_path: the same relative to the home, with slashes.
        park_id, feed: names of its folders; empty where there are none.
        size_bytes, mtime_ns: as the file system says.
        file_id: SHA-256 of the content, once known.
        refusal: (rule, reason) of a file that is not read at all.
    """

    path: Path
    relative_path: str
    park_id: str
    feed: str
    size_bytes: int
    mtime_ns: int
    file_id: str | None = None
    refusal: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What a landing is known by: park, feed and content."""
        if self.file_id is None:
            raise ValueError(f"{self.relative_path} has not been hashed")
        return self.park_id, self.feed, self.file_id


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def with_file_id(file: LandingFile) -> LandingFile:
    """The file with its identity; one that is refused unread is known by its path."""
    if file.refusal and file.refusal[0] == "not_a_plain_file":
        return replace(file, file_id=hashlib.sha256(f"not a plain file\0{file.relative_path}".encode()).hexdigest())
    return replace(file, file_id=content_hash(file.path))


def is_unfinished(name: str) -> bool:
    """Whether a name says that its file is still being written, or not meant for landing."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED) or name == "README.md"


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder that is no folder, in name order; links are given, never followed."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if is_unfinished(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield entry


def _refusal(home: Home, mode: int, parts: tuple[str, ...]) -> tuple[str, str] | None:
    if stat.S_ISLNK(mode):
        return "not_a_plain_file", "a symbolic link; drop the file itself"
    if not stat.S_ISREG(mode):
        return "not_a_plain_file", "no plain file"
    if len(parts) < 3:
        return "unknown_feed", "lies outside a feed's folder; drop it under landing/<park_id>/<feed>/"
    if parts[0] not in home.parks:
        return "unknown_park", f"there is no readable park {parts[0]}"
    if parts[1] not in CONTRACTS:
        return "unknown_feed", f"{parts[1]} is no feed; the feeds are {', '.join(sorted(CONTRACTS))}"
    return None


def scan(home: Home) -> list[LandingFile]:
    """Every file of the landing folder that is done being written, in the order of paths; contents are not read."""
    root = home.path / LANDING_FOLDER
    if not root.is_dir():
        return []
    # Only a home that lives today can meet a file in the middle of its being written; in a frozen one it would make the
    # outcome depend on when it was run.
    newest_ns = time.time_ns() - int(SETTLE_SECONDS * 1e9) if home.is_live else None
    files: list[LandingFile] = []
    for entry in _walk(root):
        path = Path(entry.path)
        status = entry.stat(follow_symlinks=False)
        if newest_ns is not None and status.st_mtime_ns > newest_ns:
            continue
        parts = path.relative_to(root).parts
        files.append(
            LandingFile(
                path=path,
                relative_path=path.relative_to(home.path).as_posix(),
                park_id=parts[0] if len(parts) > 1 else "",
                feed=parts[1] if len(parts) > 2 else "",
                size_bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
                refusal=_refusal(home, status.st_mode, parts),
            )
        )
    return files


def is_unchanged(file: LandingFile) -> bool:
    """Whether the file still has the size and time with which it was hashed."""
    try:
        status = file.path.lstat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size_bytes, file.mtime_ns)


def place(source: Path, home: Home, park_id: str, feed: str) -> Path:
    """Copy a file under landing, named by its content where the name is taken; written beside and renamed into place.

    Args:
        source: the file as its maker wrote it.
        home: the home.
        park_id: a park of the home.
        feed: name of a feed.

    Returns:
        Where it stands now.
    """
    folder = home.path / "landing" / park_id / feed
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    if target.exists() and content_hash(target) != content_hash(source):
        target = folder / f"{content_hash(source)[:12]}-{source.name}"
    temporary = folder / f".{source.name}.part"
    shutil.copyfile(source, temporary)
    temporary.replace(target)
    return target
