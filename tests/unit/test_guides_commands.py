"""Every command that the README and the guides show is one that the command line takes; a slow test runs them all."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from orchestration.cli import _common_first, app
from orchestration.docs import GUIDES
from orchestration.reference_pages import cli_page, settings_page, yaml_page

ROOT = Path(__file__).parents[2]
TUTORIAL = "tutorial.md"
# Every page of the site that shows what to type, but the changelog, which tells of the past, and the README.
PAGES = {
    **{path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted(GUIDES.glob("*.md")))},
    "command-line.md": cli_page(),
    "settings.md": settings_page(),
    "yaml-files.md": yaml_page(),
}
BLOCK = re.compile(r"^( *)```(?:bash|console)?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
CALL = re.compile(r"^(?:\w+=\S+ )*(?:\.venv/bin/)?parkledger [a-z-]")
MAKE = re.compile(r"^(?:\w+=\S+ )*make (\w[\w-]*)")
# What a reader writes in the place of what stands for it.
MEANT = {
    "MONTH": "2027-03", "CONTRACT": "sharon-nvda-2026", "N": "1", "FILE": "payments.csv", "P": "sharon-au-1",
    "FOLDER": "new", "THERE": "there", "COMMAND": "status", "ROW": "row", "TABLE": "core.dim_park", '"…"': '"select 1 as one"',
}  # fmt: skip
# Commands that need more than a home: the tests that run them.
RUN_ELSEWHERE = {
    " serve": "tests/orchestration/test_daemon.py",
    "spark": "tests/scale_out",
    "s3://": "tests/scale_out",
    "quarantine release": "tests/unit/test_quarantine_command.py",  # what is mended depends on the row
}


def shown(text: str) -> list[str]:
    """What the page shows to type: lines of fenced and of indented blocks, and spans in a sentence."""
    lines = [line.strip() for _, block in BLOCK.findall(text) for line in block.splitlines()]
    lines += [line.strip() for line in text.splitlines() if line.startswith("    parkledger ")]
    return list(
        dict.fromkeys([*lines, *SPAN.findall(re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE))])
    )


def words_of(command: str) -> list[str]:
    """The words of a command after `parkledger`, with something in the place of what stands for it."""
    meant = re.sub(r'\b[A-Z]+\b(?![=_])|"…"', lambda found: MEANT.get(found[0], found[0]), command)
    return _common_first(shlex.split(meant.partition("parkledger ")[2], comments=True))


def is_name(command: str) -> bool:
    """Whether a sentence only names a command, as in "`parkledger stress` asks"; no argument, no option."""
    return all(re.fullmatch(r"[a-z]+", word) for word in words_of(command))


ALL = [
    (page, command.partition("| ")[2] or command)
    for page, text in PAGES.items()
    for command in shown(text)
    if CALL.search(command.partition("| ")[2] or command) and not re.search(r"\[OPTIONS\]", command)
]


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page}: {command}" for page, command in ALL])
def test_every_command_shown_is_one_that_the_command_line_takes(
    page: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = words_of(command)
    monkeypatch.chdir(tmp_path)
    for word in arguments:
        if Path(word).suffix in {".csv", ".yaml"}:
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            Path(word).touch()  # some commands ask for a file that is there
    parsed, context = get_command(app), None
    while True:
        if is_name(command) and (not arguments or not hasattr(parsed, "get_command")):
            return
        context = parsed.make_context(parsed.name, list(arguments), parent=context)
        rest = [*context._protected_args, *context.args]
        if not hasattr(parsed, "get_command"):
            assert rest == []
            return
        parsed = parsed.get_command(context, rest[0])
        assert parsed is not None, f"{page}: there is no command {rest[0]}"
        arguments = rest[1:]


def test_every_target_of_make_shown_is_one_that_there_is() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {found[1] for text in PAGES.values() for line in shown(text) if (found := MAKE.match(line))}
    assert {"run", "test", "serve", "docs", "bench"} <= targets
    assert {target for target in targets if f"\n{target}:" not in makefile} == set()


def test_the_readme_lists_every_command() -> None:
    table = PAGES["README.md"].partition("| `parkledger …` | |")[2].partition("\n\n")[0]
    cells = [SPAN.findall(row.split("|")[1]) for row in table.splitlines()[2:]]
    assert {word.split()[0] for cell in cells for word in cell} >= set(get_command(app).commands)


def test_the_guides_show_commands_at_all() -> None:
    assert {page for page, _ in ALL} >= {
        "README.md",
        "tutorial.md",
        "operations.md",
        "sql-cookbook.md",
        "close-a-month.md",
        "reading-the-monitor.md",
        "command-line.md",
    }


def test_generated_reference_names_every_command_setting_and_key() -> None:
    page = cli_page()
    assert all(f"## `parkledger {name}`" in page for name in get_command(app).commands)
    assert "--as-known-at" in page
    assert all(f"`PARKLEDGER_{name}`" in settings_page() for name in ("HOME", "AS_OF", "MEMORY_LIMIT", "THREADS"))
    page = yaml_page()
    for key in ("telemetry_interval_seconds", "lifetime_cap", "fiscal_year_end", "channel_id", "as_of"):
        assert f"| `{key}` |" in page


def _shell(script: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "COLUMNS": "160",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_goes_from_an_empty_folder_to_a_closed_month_as_it_says(tmp_path: Path) -> None:
    steps = "\n".join(block for _, block in BLOCK.findall(PAGES[TUTORIAL]))
    said = _shell(steps, tmp_path)
    assert "11160.00" in said.replace(",", "")
    assert "2790.00" in said.replace(",", "")
    assert "credit.csv" in said
    assert (tmp_path / "books" / "closes" / "2027-01.json").is_file()
    assert len(list((tmp_path / "statements").glob("*.pdf"))) == 2
    assert (tmp_path / "books" / "reports" / "2027-02-15" / "monitor.html").is_file()


@pytest.mark.slow
def test_every_command_of_the_guides_runs_on_the_demo_home(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    for name in ("home.yaml", "parks", "contracts", "deals", "vendors", "policies", "scenarios", "reference"):
        source = ROOT / "data" / name
        _shell(f"mkdir -p {home} && cp -r {source} {home}/", tmp_path)
    _shell("parkledger run --as-of 2027-11-30 && parkledger run", tmp_path, PARKLEDGER_HOME=str(home))
    rows = _shell("parkledger quarantine list --json", tmp_path, PARKLEDGER_HOME=str(home))
    row = re.findall(r'"row_id": "(\w+)"', rows)[0]
    payments = next((home / "landing" / MEANT["P"] / "payments").glob("*.csv"))
    (tmp_path / MEANT["FILE"]).write_bytes(payments.read_bytes())
    # Some name files of the project, and one a scenario that its reader has written.
    (tmp_path / "data").symlink_to(ROOT / "data")
    slump = (ROOT / "data" / "scenarios" / "stress-slump.yaml").read_text(encoding="utf-8")
    (tmp_path / "my-slump.yaml").write_text(slump.replace("stress-slump", "my-slump"), encoding="utf-8")
    ran = {("status",)}
    for page, command in ALL:
        books = tmp_path / "books" if "init" in command else home
        places = {MEANT["ROW"]: row, MEANT["THERE"]: str(home), "~/books": str(books)}
        words = tuple(places.get(word, word) for word in words_of(command))
        elsewhere = any(mark in command for mark in RUN_ELSEWHERE)
        if page == TUTORIAL or words in ran or is_name(command) or elsewhere:
            continue
        _shell(shlex.join(["parkledger", *words]), tmp_path, PARKLEDGER_HOME=str(home))
        ran.add(words)
    assert len(ran) > 25
