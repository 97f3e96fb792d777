"""What the guides say of the feeds is what the contracts check."""

import re
from pathlib import Path

import pytest

from ingest.contracts import CONTRACTS
from ingest.terms.init import write_example_home

DEMO = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize("feed", CONTRACTS)
def test_the_header_in_an_empty_homes_guide_holds_each_column_of_the_feed(feed: str, tmp_path: Path) -> None:
    write_example_home(tmp_path)
    section = (tmp_path / "landing" / "README.md").read_text("utf-8").split(f"## {feed}\n", 1)[1].split("\n## ")[0]
    header = section.split("```")[1].strip().split(",")
    assert header == [*(column.name for column in CONTRACTS[feed].columns), "recorded_at"]
    needed = re.findall(r"^\| (\w+) \| yes \|", section, flags=re.MULTILINE)
    assert needed == list(CONTRACTS[feed].header)
    choices = {c.name: c.choices for c in CONTRACTS[feed].columns if c.choices}
    assert all(f"one of {', '.join(allowed)}" in section for allowed in choices.values())


@pytest.mark.parametrize("feed", CONTRACTS)
def test_the_demo_homes_guide_names_each_column_its_key_and_whether_it_may_be_missing(feed: str) -> None:
    row = next(
        line
        for line in (DEMO / "landing" / "README.md").read_text("utf-8").splitlines()
        if line.startswith(f"| {feed} |")
    )
    said = re.sub(r"\([^)]*\)", "", row.split("|")[2])
    names = [name.strip() for name in said.split(",")]
    contract = CONTRACTS[feed]
    assert {name.strip("*[]") for name in names} == {column.name for column in contract.columns}
    assert {name.strip("*") for name in names if name.startswith("**")} == set(contract.key)
    optional = {name.strip("[]") for name in names if name.startswith("[")}
    assert optional == {column.name for column in contract.columns if not column.is_required}
