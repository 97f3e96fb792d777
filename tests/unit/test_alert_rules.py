"""What each kind of rule finds in a row of months, and how alerts.yaml is refused where it is wrong."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from jobs_home import closes, month_list
from small_home import make_home

from ingest.terms.alert import DEFAULT_RULES, METRICS
from ingest.terms.errors import TermsError
from ingest.terms.home import load_home
from ingest.terms.schema import alerts_schema
from ingest.terms.templates import ALERTS
from orchestration.polars_jobs.alerts import Rule, alerts
from orchestration.polars_jobs.metric_catalogue import METRICS as COMPUTED

DEMO = Path(__file__).parents[2] / "data"
MONTHS = month_list(date(2027, 7, 1), 6)


def table(*values: float | None, level: str = "park", metric: str = "dscr") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "metric": metric,
                "entity_level": level,
                "entity_id": "p",
                "month": month,
                "value": value,
                "evidence_grade": "S1",
            }
            for month, value in zip(MONTHS, values, strict=False)
        ],
        schema_overrides={"value": pl.Float64},
    )


def rule(kind: str, **terms: object) -> Rule:
    return Rule("r", kind, "it went wrong", "dscr", "critical", **terms)  # type: ignore[arg-type]


def spans(frame: pl.DataFrame, one: Rule) -> list[tuple[int, int | None, float]]:
    """(month raised, month cleared, what was measured) of each alert."""
    closed = {at: month.month for month, at in closes(MONTHS).select("posting_month", "known_at").rows()}
    found = alerts(frame, closes(MONTHS), [one]).sort("month")
    return [
        (row["month"].month, closed[row["cleared_at"]] if row["cleared_at"] else None, round(row["measured_value"], 6))
        for row in found.to_dicts()
    ]


def test_a_level_is_raised_once_and_cleared_once_and_a_month_without_figure_does_neither() -> None:
    below = rule("level", side="below", threshold=1.0)
    assert spans(table(1.2, 0.9, None, 0.8, 1.0), below) == [(8, 11, 0.9)]
    found = alerts(table(1.2, 0.9, None, 0.8, 1.0), closes(MONTHS), [below]).row(0, named=True)
    known = dict(closes(MONTHS).select("posting_month", "known_at").rows())
    assert (found["raised_at"], found["cleared_at"]) == (known[MONTHS[1]], known[MONTHS[4]])
    assert (found["alert_id"], found["evidence_grade"]) == ("r:park:p:2027-08", "S1")
    assert spans(table(1.2, 0.9), rule("level", side="above", threshold=1.0)) == [(7, 8, 1.2)]


def test_a_change_is_against_the_month_so_many_before_and_may_be_a_fraction_of_it() -> None:
    assert spans(table(10, 26, 27), rule("change", side="rises_by", threshold=15.0, months=1)) == [(8, 9, 16)]
    assert spans(table(10, 9, 5), rule("change", side="falls_by", threshold=4.0, months=2)) == [(9, None, -5)]
    half = rule("change", side="rises_by", threshold=0.5, months=1, is_relative=True)
    assert spans(table(0, 4, 6, 10), half) == [(10, None, 0.666667)]  # from nothing there is no fraction
    assert spans(table(10, None, 40), rule("change", side="rises_by", threshold=15.0, months=1)) == []


def test_a_trend_is_the_slope_of_least_squares_a_month() -> None:
    falling = rule("trend", side="falls_by", threshold=0.1, months=3)
    # slope of 1.0, 1.1, 0.7: ((−1)(1.0 − 0.9333) + (1)(0.7 − 0.9333)) ÷ 2 = −0.15
    assert spans(table(1.0, 1.1, 0.7, 0.7), falling) == [(9, None, -0.15)]
    assert spans(table(1.0, None, 0.5), falling) == []


def test_a_countdown_divides_the_room_left_by_the_trend_and_is_nothing_beyond_the_threshold() -> None:
    count = rule("countdown", side="below", threshold=1.0, within_months=4.0, months=3)
    # 1.75, 1.625, 1.5 falls by an eighth a month: 4 months of room, which is not less than 4; 1.375 leaves 3
    assert spans(table(1.75, 1.625, 1.5, 1.375, 1.5), count) == [(10, 11, 3)]
    assert spans(table(0.9, 1.5), count) == [(7, None, 0)]  # one month later nothing can be said yet
    assert spans(table(1.4, 1.5, 1.6), count) == []  # it moves away: never
    above = rule("countdown", side="above", threshold=1.0, within_months=4.0, months=3)
    assert spans(table(0.25, 0.5, 0.75), above) == [(9, None, 1)]


def test_a_figure_is_missing_only_once_there_was_one_whether_its_row_is_null_or_gone() -> None:
    gone = rule("missing", months=2)
    assert spans(table(None, None, None), gone) == []
    assert spans(table(None, 1.0, None, None, 2.0), gone) == [(10, 11, 2)]
    later = pl.concat([table(1.0, 1.1), table(1, 1, 1, 1, metric="llcr")])
    assert spans(later, gone) == [(10, None, 2)]
    quarterly = table(1.0, None, None, 2.0, level="issuer").filter(pl.col("value").is_not_null())
    assert spans(quarterly, rule("missing", months=1)) == []  # an issuer has only months in which a quarter ends


def test_a_rule_watches_only_the_levels_and_entities_that_it_names() -> None:
    below = {"side": "below", "threshold": 1.0}
    assert spans(table(0.5), rule("level", **below, entity_levels=["contract"])) == []
    assert spans(table(0.5), rule("level", **below, entities=["q"])) == []
    assert spans(table(0.5), rule("level", **below, entity_levels=["park"], entities=["p"])) == [(7, None, 0.5)]


def test_an_issuers_month_without_a_close_ends_with_its_own_last_day() -> None:
    found = alerts(table(0.5, level="issuer"), closes(MONTHS[1:]), [rule("level", side="below", threshold=1.0)])
    assert found["raised_at"].to_list() == [datetime(2027, 7, 31, tzinfo=UTC)]


def test_every_metric_that_is_computed_can_be_watched_and_no_other() -> None:
    assert list(METRICS) == [one.metric for one in COMPUTED]


def test_the_demo_writes_the_rules_that_watch_where_a_home_has_none(tmp_path: Path) -> None:
    assert tuple(load_home(DEMO).alerts.rules) == DEFAULT_RULES
    home = make_home(tmp_path)
    assert tuple(load_home(home).alerts.rules) == DEFAULT_RULES
    (home / "alerts.yaml").write_text(ALERTS)  # the example of a new home
    written = load_home(home).alerts
    assert {one.kind for one in written.rules} == {"level", "change", "trend", "countdown", "missing"}
    assert [one.channel_id for one in written.channels] == ["desk", "chat", "file"]
    assert set(alerts_schema()["$defs"]) >= {"LevelRule", "ChangeRule", "TrendRule", "CountdownRule", "MissingRule"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n  - {rule_id: a, says: x, kind: change, metric: dscr}\n", "alerts.yaml:2: rules.0: needs falls_by or"),
        ("rules:\n  - {rule_id: a, says: x, kind: level, metric: dcsr, below: 1}\n", "rules.0.metric: 'dcsr' is no metric"),
        ("rules:\n  - rule_id: a\n    says: x\n    kind: level\n    metric: dscr\n    bellow: 1\n",
         "alerts.yaml:6: rules.0.bellow: unknown key (did you mean below?)"),
        ("rules:\n  - {rule_id: a, says: x, kind: levl, metric: dscr}\n", "'levl' is not allowed (choose from 'level', 'change'"),
        ("rules:\n  - {rule_id: a, says: x, metric: dscr}\n", "rules.0: has no kind"),
        ("rules:\n  - {rule_id: a, says: x, kind: level, metric: dscr, below: 1, channels: [b]}\n", "rule a tells b"),
        ("channels:\n  - {channel_id: a}\n", "channels.0: needs url or file"),
        ("channels:\n  - {channel_id: a, file: x, severities: []}\n", "channels.0.severities"),
    ],
)  # fmt: skip
def test_a_wrong_rule_or_channel_is_refused_with_file_line_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    home = make_home(tmp_path)
    (home / "alerts.yaml").write_text(text)
    with pytest.raises(TermsError) as refused:
        load_home(home)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "url", ["slack://T1/B2/c0ffee", "mailtos://me:c0ffee@host", "json://host/?token=c0ffee", "msteams://c0ffee@x/y/z"]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    home = make_home(tmp_path)
    (home / "alerts.yaml").write_text(f"channels:\n  - {{channel_id: a, url: '{url}'}}\n")
    with pytest.raises(TermsError, match="a secret seems to stand in the url") as refused:
        load_home(home)
    assert "c0ffee" not in str(refused.value)
