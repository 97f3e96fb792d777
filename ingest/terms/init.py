"""Makes an empty home with commented examples."""

from pathlib import Path

from ingest.terms.home import HOME_FILE
from ingest.terms.templates import FILES


def write_example_home(path: Path) -> list[Path]:
    """Write the folders and examples of an empty home; `load_home` accepts it as it is.

    Args:
        path: a folder that holds no home yet; it is made if missing.

    Returns:
        The files written.

    Raises:
        FileExistsError: there is a home already; nothing is written.
    """
    if (path / HOME_FILE).exists():
        raise FileExistsError(f"{path / HOME_FILE} exists already; nothing was written")
    written = []
    for name, content in FILES.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        written.append(target)
    return written
