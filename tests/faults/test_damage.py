"""Damage is found and named, whichever file and bit it is in, and mended from what remains."""

from __future__ import annotations

from collections.abc import Callable

import damage
import pytest
from homes import Bench, parkledger
from tally import CASES, Case, Tally

from orchestration.damage import examine
from orchestration.settings import Settings
from orchestration.state import is_current, landing_is_published, load

HEAVY = {
    damage.mended_from_what_remains,
    damage.a_run_over_a_damaged_lake,
    damage.a_changed_line_of_a_closed_month,
    damage.a_changed_line_of_the_published_journal,
}
QUICK = [damage.bits_of_lake_files, damage.bits_of_the_databases, damage.a_changed_line_of_the_audit_log]


@pytest.mark.parametrize("case", QUICK)
def test_damage_is_named(few: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(few))


@pytest.mark.parametrize("command", ["run", "status", "sql"])
def test_a_manifest_that_cannot_be_read_is_named_with_the_way_back(few: Bench, command: str) -> None:
    home = few.home()
    damage.manifest(home)
    done = parkledger(home, command, *(["SELECT 1"] if command == "sql" else []))
    assert done.returncode == damage.REFUSED
    assert done.stderr.startswith("A manifest is damaged: published/manifest.json cannot be read")
    assert f"parkledger --home {home} verify --repair" in done.stderr


def test_a_note_of_what_was_read_that_cannot_be_read_counts_for_nothing(few: Bench) -> None:
    settings = Settings(home=few.home())
    noted = settings.state_path.read_text()
    for said in ("{", "[]", noted[:-9]):
        settings.state_path.write_text(said)
        assert not is_current(settings)
        assert not landing_is_published(settings, load(settings))
    settings.state_path.write_text(noted)
    assert landing_is_published(settings, load(settings))


def test_a_repair_removes_a_manifest_that_cannot_be_read_and_sets_one_of_an_earlier_snapshot_aside(few: Bench) -> None:
    home = few.home()
    damage.manifest(home)
    earlier = home / "published" / "earlier" / "00001-before"
    earlier.mkdir(parents=True)
    (earlier / "manifest.json").write_text("{")
    first, second = (finding for finding in examine(Settings(home=home)) if "manifest" in finding.place)
    assert (first.place, second.place) == ("published/earlier/00001-before/manifest.json", "published/manifest.json")
    assert not first.needs_run
    assert second.needs_run
    for finding in (first, second):
        assert finding.mend is not None
        finding.mend()
    assert [file.name for file in earlier.iterdir()] == ["manifest.damaged-1.json"]
    assert not (home / "published" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for _, case in CASES["damage"] if case not in HEAVY and case not in QUICK])
def test_damage_anywhere_is_named(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(many))


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(HEAVY, key=lambda case: case.__name__))
def test_damage_is_named_by_the_command_and_mended(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    many.share = 1.0
    clean(case(many))
