"""Every command that the README and the guides show is one that the command line takes; a slow test runs them all."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from orchestration.cli import app
from orchestration.docs import GUIDES
from orchestration.reference_pages import cli_page, settings_page, yaml_page

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted(GUIDES.glob("*.md")))
TUTORIAL = GUIDES / "tutorial.md"
BLOCK = re.compile(r"^( *)```(?:bash|console)?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """The lines of fenced and of indented blocks that call parkledger."""
    text = page.read_text(encoding="utf-8")
    lines = [line.strip() for _, block in BLOCK.findall(text) for line in block.splitlines()]
    lines += [line.strip() for line in text.splitlines() if line.startswith("    parkledger ")]
    return list(
        dict.fromkeys(
            line.removeprefix(".venv/bin/")
            for line in lines
            if line.removeprefix(".venv/bin/").startswith("parkledger ")
        )
    )


ALL = [(page, command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page.stem}: {command}" for page, command in ALL])
def test_every_command_shown_is_one_that_the_command_line_takes(
    page: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = shlex.split(command, comments=True)[1:]
    monkeypatch.chdir(tmp_path)
    for word in arguments:
        if Path(word).suffix in {".csv", ".yaml"}:
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            Path(word).touch()  # some commands ask for a file that is there
    parsed, context = get_command(app), None
    while True:
        context = parsed.make_context(parsed.name, list(arguments), parent=context)
        rest = [*context._protected_args, *context.args]
        if not hasattr(parsed, "get_command"):
            assert rest == []
            return
        parsed = parsed.get_command(context, rest[0])
        assert parsed is not None, f"{page.name}: there is no command {rest[0]}"
        arguments = rest[1:]


def test_the_guides_show_commands_at_all() -> None:
    assert {page.name for page, _ in ALL} >= {
        "README.md",
        "tutorial.md",
        "operations.md",
        "sql-cookbook.md",
        "close-a-month.md",
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
    steps = "\n".join(block for _, block in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")))
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
    shown = [command for page, command in ALL if page != TUTORIAL and "serve" not in command]
    for command in shown:
        if "release" in command:  # what is mended depends on the row; its own tests mend rows of every kind
            continue
        _shell(re.sub(r"\bROW\b", row, command), tmp_path, PARKLEDGER_HOME=str(home))
