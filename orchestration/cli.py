"""The command line: ``parkledger``.

Exit codes: 0 done; 1 an unexpected failure; 2 wrong usage; 3 terms or reference data that cannot be used; 4 a blocking
check failed, so what was published before stays; 5 nothing is published yet; 6 the machine or the home refuses: no
space, no permission, no memory, a damaged file, a clock set back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    # Its library takes as long to import as all else that --help needs.
    from orchestration.settings import Settings


EXIT_FAILED, EXIT_USAGE, EXIT_BAD_INPUT, EXIT_CHECK_FAILED, EXIT_NOTHING_PUBLISHED, EXIT_REFUSED = 1, 2, 3, 4, 5, 6

app = typer.Typer(
    name="parkledger",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Ledgers, receivables, credit loss and backstop exposure of vendor-backed GPU clouds.\n\n"
    "A home folder holds terms (YAML), reference data (CSV) and landing files; **run** turns them into a published "
    "DuckDB snapshot and an investor monitor. Start with `parkledger run`, then `parkledger report` and `parkledger sql`.",
    epilog="Exit codes: 0 done · 1 unexpected failure · 2 wrong usage · 3 unusable terms or reference data · "
    "4 a blocking check failed (the snapshot published before stays) · 5 nothing is published yet · "
    "6 the machine or the home refuses: no space, no permission, no memory, a damaged file, a clock set back",
)
quarantine_app = typer.Typer(no_args_is_help=True, help="Read, mend and release rows that were refused.")
app.add_typer(quarantine_app, name="quarantine")
contract_app = typer.Typer(
    no_args_is_help=True, help="Contracts: check them, print them, see what an amendment changes."
)
app.add_typer(contract_app, name="contract")
alerts_app = typer.Typer(no_args_is_help=True, help="Alerts: what stands, who is told, whether a channel works.")
app.add_typer(alerts_app, name="alerts")
out = Console()
err = Console(stderr=True)


class _State:
    settings: Settings
    debug: bool = False


HomeOption = Annotated[Path | None, typer.Option("--home", help="The home folder; default data/ or PARKLEDGER_HOME.")]
AsOfOption = Annotated[str, typer.Option("--as-of", help="Stop the home's clock at the end of this day (2027-12-31).")]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", help="What turns telemetry into GPU-hours: duckdb, or spark. Default duckdb or PARKLEDGER_ENGINE."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


@app.callback()
def common(
    home: HomeOption = None,
    as_of: AsOfOption = "home",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options that every command takes."""
    from orchestration.settings import Settings  # noqa: PLC0415 - nothing is imported that --help does not need

    chosen: dict[str, Any] = {"home": home.resolve()} if home else {}
    if as_of != "home":
        from datetime import date  # noqa: PLC0415

        try:
            date.fromisoformat(as_of)
        except ValueError:
            raise typer.BadParameter(f"{as_of!r} is no date; write it as 2027-12-31", param_hint="--as-of") from None
        chosen["as_of"] = as_of
    _State.settings = Settings(**chosen)
    import os  # noqa: PLC0415

    os.umask(int(_State.settings.umask, 8))
    _State.debug = debug


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Make an empty home with commented examples of every file a user writes."""
    from ingest.terms.init import write_example_home  # noqa: PLC0415

    if folder.exists() and any(folder.iterdir()):
        err.print(f"{folder} is not empty: choose a new folder, so that nothing of yours is overwritten", style="red")
        raise typer.Exit(2)
    for path in write_example_home(folder):
        out.print(path, highlight=False)
    out.print(
        f"\nEdit the files, drop feeds under {folder}/landing/<park>/<feed>/, then: parkledger --home {folder} run"
    )


@app.command()
def run(
    *,
    force: Annotated[bool, typer.Option("--force", help="Run although nothing is new.")] = False,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="Read and compute the days from this one on anew (2027-03-01)."),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="The last of these days; without it, the home's last.")
    ] = None,
    engine: EngineOption = None,
) -> None:
    """Simulate what is missing, land what is new, build the ledgers, derive credit loss, audit and publish.

    A range of days is backfilled as one run: new files of whatever day land, and the telemetry of those days is read again
    from the lake although it has not changed:

        parkledger run --from 2027-03-01 --to 2027-03-31
    """
    settings = _with_engine(_settings_of_a_home(), engine)
    _report_problems(settings)
    days = _days_of_the_home(settings, first, last) if first or last else None
    from orchestration.writing import only_writer  # noqa: PLC0415

    with only_writer(settings.home, on_wait=lambda said: err.print(said, highlight=False, markup=False)):
        _run(settings, days, force=force)


def _run(settings: Settings, days: Any, *, force: bool) -> None:
    from orchestration.state import is_current  # noqa: PLC0415

    if not force and not days and is_current(settings):
        manifest = _manifest(settings)
        out.print(f"Nothing new: the snapshot of run {manifest['run_id']} (as of {manifest['as_of']}) is current.")
        out.print(f"  {settings.published_path}", highlight=False)
        _tell(settings)
        return
    from orchestration.display import TerminalProgress  # noqa: PLC0415
    from orchestration.state import refuse_clock_set_back  # noqa: PLC0415

    if not force:
        refuse_clock_set_back(_load(settings))
    _check_reference(settings)
    with TerminalProgress() as progress:
        progress.step("Starting Dagster")
        from orchestration.run import settle  # noqa: PLC0415 - Dagster takes seconds to import

        outcome = settle(settings, progress, trigger="command line", days=days, force=force)
    _end(outcome)
    manifest = _manifest(settings)
    rows = sum(table["row_count"] for table in manifest["tables"].values())
    out.print(
        f"Published run {manifest['run_id']} as of {manifest['as_of']}: {len(manifest['tables'])} tables, {rows:,} rows"
    )
    if manifest["is_simulated"]:
        out.print(f"Simulated: {manifest['simulation_note']}", style="yellow", highlight=False)
    for text in outcome.warnings:
        out.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    out.print(f"  snapshot  {settings.published_path}", highlight=False)
    out.print(f"  monitor   {_monitor_path(settings, manifest)}", highlight=False)


def _days_of_the_home(settings: Settings, first: str | None, last: str | None) -> Any:
    """A range of days, held against the days of the home's clock."""
    from datetime import date  # noqa: PLC0415

    from ingest.terms.home import first_service_day  # noqa: PLC0415

    home = _load(settings)
    known = first_service_day(home), home.as_of_date
    try:
        days = date.fromisoformat(first) if first else known[0], date.fromisoformat(last) if last else known[1]
    except ValueError:
        raise typer.BadParameter("write days as 2027-03-01", param_hint="--from, --to") from None
    if not known[0] <= days[0] <= days[1] <= known[1]:
        said = f"{days[0]} to {days[1]} is no range of days from {known[0]} to {known[1]}, which this home has"
        raise typer.BadParameter(said, param_hint="--from, --to")
    return days


def _with_engine(settings: Settings, engine: str | None) -> Settings:
    """The settings with the engine asked for, which must be able to start here."""
    if engine not in {None, "duckdb", "spark"}:
        raise typer.BadParameter(f"{engine!r} is no engine: duckdb, spark", param_hint="--engine")
    chosen = settings if engine is None else settings.model_copy(update={"engine": engine})
    if chosen.engine == "spark":
        from orchestration.spark import EngineError, find_what_it_needs  # noqa: PLC0415

        try:
            find_what_it_needs(chosen)
        except EngineError as error:
            err.print(str(error), style="red", highlight=False, markup=False)
            raise typer.Exit(EXIT_USAGE) from None
    return chosen


@app.command()
def land(
    file: Annotated[Path, typer.Argument(help="The file as its maker wrote it.", exists=True, dir_okay=False)],
    park: Annotated[str, typer.Option("--park", help="Park that the file is about.")],
    feed: Annotated[
        str | None, typer.Option("--feed", help="Feed that the file carries; without it, whatever its content is.")
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="The only format that will do; without it, whatever is found.")
    ] = None,
) -> None:
    """Say what a file is taken for, read it on trial, and put it under landing for the next run."""
    settings = _settings_of_a_home()
    from ingest.contracts import CONTRACTS  # noqa: PLC0415
    from ingest.formats.errors import FormatError  # noqa: PLC0415
    from ingest.trial import place_read  # noqa: PLC0415

    home = _load(settings)
    if park not in home.parks:
        raise typer.BadParameter(
            f"{park!r} is no park of this home: {', '.join(sorted(home.parks))}", param_hint="--park"
        )
    if feed is not None and feed not in CONTRACTS:
        raise typer.BadParameter(f"{feed!r} is no feed: {', '.join(CONTRACTS)}", param_hint="--feed")
    try:
        trials = place_read(file, home, park, feed, format_name)
    except FormatError as error:
        err.print(f"{file}: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    for trial in trials:
        out.print(
            f"{file.name}: {trial.format_name} with {trial.feed} of {park} → {trial.target}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        out.print(f"  {trial.row_count:,} rows, {trial.broken_count:,} of them would stand in quarantine")
        for rule, column, count in trial.faults:
            out.print(f"  {count:,} × {rule}{f' of {column}' if column else ''}", highlight=False, markup=False)
    out.print("The next `parkledger run` lands it.")


@quarantine_app.command("list")
def quarantine_list(
    *,
    park: Annotated[str | None, typer.Option("--park", help="Only rows of this park.")] = None,
    feed: Annotated[str | None, typer.Option("--feed", help="Only rows of this feed.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Only rows that break this rule.")] = None,
    with_released: Annotated[bool, typer.Option("--released", help="Also rows that were released.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many rows.")] = 50,
    csv_path: Annotated[
        Path | None, typer.Option("--csv", help="Write all of them with their cells into this file, for mending.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Rows that were refused, each with its id, file, line, rule and column, and files that were rejected as a whole, with why."""
    settings = _settings_of_a_home()
    from ingest import mending  # noqa: PLC0415
    from orchestration.publishing.formats import MAX_PATH_LENGTH, clean  # noqa: PLC0415

    with _working_tables(settings) as connection:
        found = mending.rows(
            connection,
            park_id=park,
            feed=feed,
            rules=None if rule is None else [rule],
            with_released=with_released,
            limit=None if csv_path else limit,
        )
        in_all = sum(count for *_, count in mending.counts(connection))
        rejected = [] if rule else mending.rejected_files(connection, park_id=park, feed=feed)
    if csv_path:
        from ingest.mending_file import write_rows  # noqa: PLC0415

        write_rows(csv_path, _load(settings), found)
        out.print(f"{len(found):,} rows written to {csv_path}: mend them and give the file to `quarantine release`")
        return
    if as_json:
        print(json.dumps([row.__dict__ for row in found], indent=2))
        return
    for row in found:
        # The folder says park and feed once more.
        place = clean(f"{row.path.removeprefix(f'landing/{row.park_id}/{row.feed}/')}:{row.line_no}", MAX_PATH_LENGTH)
        broken = f"{row.rule} of {row.column_name}" if row.column_name else row.rule
        said = f"{row.row_id}  {row.park_id} {row.feed}: {broken}\n{'':14}{place}"
        out.print(said, highlight=False, markup=False, soft_wrap=True)
    out.print(f"{len(found):,} shown; {in_all:,} rows stand in quarantine")
    for path, reason in rejected:
        said = f"rejected      {clean(path, MAX_PATH_LENGTH)}\n{'':14}{clean(reason, MAX_PATH_LENGTH)}"
        out.print(said, highlight=False, markup=False, soft_wrap=True)


@quarantine_app.command("show")
def quarantine_show(
    row_id: Annotated[str, typer.Argument(metavar="ROW", help="The row's id, or its beginning.")],
    as_json: JsonOption = False,
) -> None:
    """One refused row: where it stands, why it was refused, its text and its cells."""
    settings = _settings_of_a_home()
    from ingest import mending  # noqa: PLC0415

    home = _load(settings)
    with _working_tables(settings) as connection:
        row = _one_row(mending.rows(connection, row_id=row_id, with_released=True), row_id)
    cells = mending.cells_of(home, row)
    if as_json:
        print(json.dumps(row.__dict__ | {"cells": cells, "original_line": mending.original_line(home, row)}, indent=2))
        return
    for name, value in (
        ("row", row.row_id),
        ("park and feed", f"{row.park_id} {row.feed}"),
        ("file and line", f"{row.path}:{row.line_no} ({row.format_name})"),
        ("rule", f"{row.rule}: {row.description}"),
        ("column", row.column_name or "the row as a whole"),
        ("released", row.released_file_id or "no"),
        ("text", row.row_text),
        ("line", mending.original_line(home, row) or "the file has no such line of text"),
        *cells.items(),
    ):
        out.print(f"{name:>24}  {value}", highlight=False, markup=False, soft_wrap=True)


@quarantine_app.command("release")
def quarantine_release(
    what: Annotated[str, typer.Argument(metavar="ROW|FILE", help="A row's id, or a file of `quarantine list --csv`.")],
    changes: Annotated[list[str] | None, typer.Option("--set", help="A mended cell: column=value.")] = None,
    note: Annotated[str, typer.Option("--note", help="Why, for the trail.")] = "",
) -> None:
    """Put mended rows under landing; what was refused stays, with the file in which it was released."""
    settings = _settings_of_a_home()
    from ingest import mending  # noqa: PLC0415
    from ingest.mending_file import read_rows  # noqa: PLC0415

    home = _load(settings)
    is_file = Path(what).is_file()
    wrong = [change for change in changes or [] if "=" not in change]
    if wrong or (is_file and changes):
        raise typer.BadParameter("write --set column=value, for one row", param_hint="--set")
    try:
        mended = read_rows(Path(what)) if is_file else {what: dict(change.split("=", 1) for change in changes or [])}
    except mending.MendingError as error:
        err.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    released, left, broken = [], 0, []
    with _working_tables(settings) as connection:
        for row_id, cells in mended.items():
            row = _one_row(mending.rows(connection, row_id=row_id, with_released=True), row_id)
            if is_file and (row.released_file_id or not mending.is_changed(home, row, cells)):
                left += 1
                continue
            try:
                released.append(mending.prepare(home, row, cells, note))
            except mending.MendingError as error:
                broken.append(str(error))
    if broken:
        for text in broken:
            err.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
        err.print("nothing is released", style="red")
        raise typer.Exit(EXIT_BAD_INPUT)
    from ingest import audit_log  # noqa: PLC0415

    for target, text in released:
        mending.put(target, text)
        audit_log.log(settings.home, "release", target.relative_to(settings.home).as_posix(), note, once=True)
        out.print(target, highlight=False, markup=False, soft_wrap=True)
    if left:
        out.print(f"{left:,} rows of {what} are as they were, or were released before: left alone", highlight=False)
    out.print(f"{len(released):,} rows released; the next `parkledger run` lands them.")


@app.command()
def simulate(
    *,
    into: Annotated[
        Path | None, typer.Option("--into", help="Make a new home in this folder; without it, fill this home.")
    ] = None,
    parks: Annotated[int, typer.Option("--parks", min=1, help="Parks of the new home.")] = 1,
    gpus: Annotated[
        int, typer.Option("--gpus", min=1, help="GPUs of each park; a row stands for a rack of 72.")
    ] = 5000,
    day_count: Annotated[int, typer.Option("--days", min=1, help="Days of telemetry, meters and leases.")] = 31,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 1,
    start: Annotated[str, typer.Option("--start", help="First day, on which all GPUs are energised.")] = "2027-01-01",
    interval: Annotated[int, typer.Option("--interval", min=1, max=3600, help="Seconds between samples.")] = 3600,
    zone: Annotated[str, typer.Option("--zone", help="Time zone of the parks.")] = "UTC",
    imperfections: Annotated[
        list[str] | None,
        typer.Option(
            "--imperfection",
            help="What is to go wrong, by name, any number of times: `late` rows known hours later; `duplicate` rows and "
            "bytes in a second file; `corrected` values known later; a `gap` of six hours; a `fault` with a fatal XID; "
            "`clock_skew`, stamps beyond the clock; `negative_energy` of a meter; `wrong_units`, milliwatts for watts; a "
            "`truncated_file`; `mixed_encodings`, a Latin-1 line in UTF-8; or `all`.",
        ),
    ] = None,
) -> None:
    """Write the feeds that nobody publishes, where they are missing; or a new home of any size.

    Files that are there are never touched. The names of all files that are written begin with `simulated-`.
    """
    from orchestration.display import TerminalProgress  # noqa: PLC0415

    if into is not None:
        first, kinds = _checked_size(start, interval, zone, imperfections or [])
        from ingest.simulate.fresh_home import Size, make_home  # noqa: PLC0415

        size = Size(parks, gpus, day_count, seed, first, interval, zone, kinds)
        try:
            with TerminalProgress() as progress:
                progress.step(f"Simulating {parks} parks of {gpus:,} GPUs for {day_count} days")
                made = make_home(into, size, on_progress=progress.advance)
        except FileExistsError as error:
            err.print(str(error), style="red", highlight=False)
            raise typer.Exit(2) from None
        out.print(f"{made.path}: as of {made.as_of_date}, imperfections: {', '.join(size.imperfections) or 'none'}")
        out.print(f"Next: parkledger --home {made.path} run", highlight=False, soft_wrap=True)
        return
    settings = _settings_of_a_home()
    from ingest.simulate.home import missing_feeds  # noqa: PLC0415
    from ingest.simulate.home import simulate as write  # noqa: PLC0415

    home = _load(settings)
    if home.simulation is None:
        out.print("This home declares no simulation (home.yaml: simulation), so nothing is simulated.")
        return
    _check_reference(settings)
    missing = missing_feeds(home)
    with TerminalProgress() as progress:
        progress.step(f"Simulating {len(missing)} feeds")
        paths = write(home, on_progress=progress.advance)
    out.print(f"{len(paths)} files written under {home.path / 'landing'}; every name begins with 'simulated-'")


def _checked_size(start: str, interval: int, zone: str, imperfections: list[str]) -> tuple[Any, tuple[str, ...]]:
    """The first day, and the imperfections in the order in which they are done."""
    from datetime import date  # noqa: PLC0415
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415

    from ingest.simulate.imperfections import KINDS  # noqa: PLC0415

    unknown = sorted(set(imperfections) - set(KINDS) - {"all"})
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(KINDS)}, all", param_hint="--imperfection")
    if 3600 % interval:
        raise typer.BadParameter(f"{interval} seconds do not part an hour evenly", param_hint="--interval")
    try:
        first = date.fromisoformat(start)
        ZoneInfo(zone)
    except (ValueError, ZoneInfoNotFoundError):
        raise typer.BadParameter(f"{start} or {zone} is no day or time zone", param_hint="--start, --zone") from None
    return first, tuple(kind for kind in KINDS if "all" in imperfections or kind in imperfections)


@app.command()
def close(
    month: Annotated[str, typer.Argument(help="The month to state, as 2027-11.")],
    *,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Open the month again, and every later one; what was posted stays.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why it is opened; goes into closes/reopenings.csv.")] = "",
    contract: Annotated[
        str | None, typer.Option("--contract", help="Open it for this contract only; without it, for all.")
    ] = None,
) -> None:
    """State the books of a closed month and seal them, or prove that they are those stated before.

    What becomes known of a sealed month later is posted to the open one, whatever date it bears. To post into a closed
    month all the same, open it by name and with a reason: `parkledger close 2027-03 --reopen --reason "…"`. It closes
    again by the policy `close_after_days`, counted from the reopening, or at its period_close event.
    """
    settings = _settings_of_a_home()
    _manifest(settings)
    from datetime import date  # noqa: PLC0415

    try:
        first = date.fromisoformat(f"{month}-01") if len(month) == len("2027-11") else None
    except ValueError:
        first = None
    if first is None:
        raise typer.BadParameter("write the month as 2027-11", param_hint="MONTH")
    if reopen:
        _reopen(settings, first, contract, reason)
        return
    if reason or contract:
        raise typer.BadParameter("--reason and --contract go with --reopen", param_hint="--reopen")
    from orchestration.display import TerminalProgress  # noqa: PLC0415
    from orchestration.run import close_month  # noqa: PLC0415

    with TerminalProgress() as progress:
        progress.step(f"Closing {month}")
        outcome = close_month(settings, progress, f"{month}-01")
    _end(outcome)
    out.print(f"{month} stands as closed: {settings.home / 'closes' / month}.json", highlight=False)


@app.command()
def statement(
    contract: Annotated[str, typer.Argument(help="Id of a booked contract.")],
    month: Annotated[str, typer.Argument(help="The service month, as 2027-03.")],
    *,
    kind: Annotated[
        str, typer.Option("--kind", help="`share`, `backstop`, or `both`, as far as the contract has them.")
    ] = "both",
    as_known_at: Annotated[
        str,
        typer.Option(
            "--as-known-at",
            help="`close`, what was known when the month closed; `now`; or a day or an instant (2027-04-30T12:00:00Z).",
        ),
    ] = "close",
    form: Annotated[str, typer.Option("--format", help="`html`, `pdf` or `xlsx`.")] = "pdf",
    target: Annotated[
        Path | None, typer.Option("--out", help="File to write (or folder); without it, under reports/statements.")
    ] = None,
) -> None:
    """Write the monthly statements of a contract: every step from what was billed, or stood unsold, to the amount due.

    A statement as known at an instant is the same file, byte for byte, on whatever day it is drawn.
    """
    settings = _settings_of_a_home()
    _manifest(settings)
    from datetime import date  # noqa: PLC0415

    from orchestration.publishing.statement import FORMATS, NothingToStateError  # noqa: PLC0415
    from orchestration.statements import read_statement, write_statement  # noqa: PLC0415

    kinds = {"share": ["revenue_share"], "backstop": ["backstop"], "both": ["revenue_share", "backstop"]}
    if kind not in kinds:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(kinds)}", param_hint="--kind")
    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMATS)}", param_hint="--format")
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise typer.BadParameter("write the month as 2027-03", param_hint="MONTH") from None
    written, missing = [], []
    for name in kinds[kind]:
        try:
            drawn = read_statement(settings, name, contract, first, as_known_at)
        except NothingToStateError as error:
            missing.append(str(error))
            continue
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--as-known-at") from None
        folder = target or settings.reports_folder / "statements"
        is_file = target is not None and target.suffix == f".{form}" and len(kinds[kind]) == 1
        path = folder if is_file else folder / f"{contract}-{month}-{name.replace('_', '-')}.{form}"
        written.append(write_statement(drawn, form, path))
    for path in written:
        out.print(path, highlight=False, markup=False, soft_wrap=True)
    if not written:
        for message in dict.fromkeys(missing):  # both kinds may lack the same
            err.print(message, style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT)


def _reopen(settings: Settings, month: Any, contract: str | None, reason: str) -> None:
    from orchestration.keeping import reopen as open_again  # noqa: PLC0415

    try:
        acts = open_again(settings, month, contract, reason)
    except (LookupError, ValueError) as error:
        err.print(str(error.args[0]), style="red", highlight=False, markup=False)
        raise typer.Exit(2) from None
    for act in acts:
        out.print(f"{act.contract_id}: {act.posting_month:%Y-%m} and later months are open as of {act.reopened_at}")
    out.print("The next `parkledger run` posts into them beside what stands there; closes/reopenings.csv says why.")


@app.command()
def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="Statements parted by semicolons; without them, they are read from standard input."),
    ] = None,
    *,
    example: Annotated[
        int | None, typer.Option("--example", min=1, help="Run the Nth of the questions shipped.")
    ] = None,
    list_examples: Annotated[bool, typer.Option("--examples", help="List the questions shipped.")] = False,
    form: Annotated[
        str, typer.Option("--format", help="`table`, `csv`, `json`, `jsonl`, `markdown`, or `parquet` into a file.")
    ] = "table",
    target: Annotated[
        Path | None,
        typer.Option(
            "--output", dir_okay=False, help="Write the last answer into this file; its ending says the format."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Query the published snapshot, read-only.

    On a terminal and without a query this is a shell with history, completion and `.help`:

        parkledger sql "FROM credit.fct_exposure_month"
        parkledger sql --example 3
        parkledger sql --output share.csv "FROM revenue_share.fct_share_month"
        echo "FROM core.dim_park" | parkledger sql --format csv
    """
    from orchestration import shell  # noqa: PLC0415

    if list_examples:
        for one in shell.examples():
            out.print(f"{one.number:>3}  {one.question}", highlight=False, markup=False, soft_wrap=True)
        return
    settings = _state_settings()
    _manifest(settings)
    form = "json" if as_json else form
    if target is not None:
        form = shell.FORMAT_OF_ENDING.get(target.suffix, form)
    if form not in shell.FORMATS or (form in {"table", "parquet"} and (target is not None) != (form == "parquet")):
        remedy = (
            "name a file that ends in .csv, .json, .jsonl, .md or .parquet"
            if target or form == "parquet"
            else f"choose one of {', '.join(shell.FORMATS)}"
        )
        raise typer.BadParameter(remedy, param_hint="--output" if target or form == "parquet" else "--format")
    if query is None and example is None and sys.stdin.isatty():
        shell.interactive(settings.published_path, settings.home / ".parkledger" / "sql_history", out, form=form)
        return
    text = f".example {example}" if example is not None else query if query is not None else sys.stdin.read()
    raise typer.Exit(shell.run_queries(settings.published_path, text, form=form, target=target, out=out, err=err))


@app.command()
def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A", help="`previous`, the beginning of a run id, or a day: the last snapshot as of then."
        ),
    ] = "previous",
    after: Annotated[str, typer.Argument(metavar="B", help="The same, or `current`.")] = "current",
    *,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", help="Only this table, with every column of numbers; any number of times."),
    ] = None,
    all_columns: Annotated[bool, typer.Option("--all", help="Every column of numbers, not money alone.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="At most so many figures, the largest moves first.")
    ] = 40,
    list_kept: Annotated[bool, typer.Option("--list", help="List the snapshots that are kept.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the figures that moved between two published snapshots, and why.

    Why is late data, an amendment, a restated reference table, a policy, the clock or the code: whatever differs between
    the snapshots and can have moved the figure. Policies `kept_snapshots` and `kept_month_ends` say how many are kept.
    """
    settings = _state_settings()
    _manifest(settings)
    from orchestration.diff_command import difference_data, print_differences  # noqa: PLC0415
    from orchestration.publishing.differences import NoSuchSnapshotError, differences, find_snapshot  # noqa: PLC0415
    from orchestration.publishing.manifest import manifest_of  # noqa: PLC0415
    from orchestration.publishing.snapshot import earlier_snapshots  # noqa: PLC0415

    if list_kept:
        kept = [manifest_of(f) for f in (*earlier_snapshots(settings.published_folder), settings.published_folder)]
        if as_json:
            print(json.dumps([{k: m[k] for k in ("run_id", "as_of")} for m in kept], indent=2))
            return
        out.print(
            as_table(["run", "as of", "code"], [(m["run_id"], m["as_of"], m["versions"]["parkledger"]) for m in kept])
        )
        return
    known = _manifest(settings)["tables"]
    unknown = [table for table in tables or [] if table not in known]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not published; `parkledger sql .tables` lists what is", param_hint="--table"
        )
    try:
        first, second = (find_snapshot(settings.published_folder, name) for name in (before, after))
    except NoSuchSnapshotError as error:
        err.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    found = differences(first, second, tables=tables or (), all_columns=all_columns)
    if as_json:
        print(json.dumps(difference_data(found), indent=2, default=str))
        return
    print_differences(found, limit, out)


@app.command()
def report(
    *,
    kind: Annotated[
        str, typer.Option("--kind", help="`monitor`; or the sheets of one reader: `operator`, `lender`, `tenant`.")
    ] = "monitor",
    operator: Annotated[str | None, typer.Option("--operator", help="The operator sheet of this operator.")] = None,
    contract: Annotated[
        str | None, typer.Option("--contract", help="The lender's certificate of this contract.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="The tenant and CIO sheet of this tenant.")] = None,
    known_at: Annotated[
        str | None,
        typer.Option(
            "--known-at",
            help="As known at the end of this day (UTC), or at this instant: what was recorded later is not seen.",
        ),
    ] = None,
) -> None:
    """Draw a report from the published snapshot as HTML, PDF and XLSX, and say where it stands.

    Without options that is the investor monitor. The same snapshot gives the same bytes, on any day.

        parkledger report --kind operator --operator sharon-ai
        parkledger report --kind lender --contract sharon-nvda-2026
        parkledger report --kind tenant                                 # every tenant's
        parkledger report --as-of 2027-06-30                            # up to that month, as known now
        parkledger report --as-of 2027-06-30 --known-at 2027-09-30      # as it was known then
        parkledger report --known-at 2027-09-30T12:00:00Z               # or at any instant

    `--known-at` runs the books anew from the landed files with the clock stopped there, aside from what is published.
    """
    settings = _state_settings()
    _manifest(settings)
    from datetime import date  # noqa: PLC0415

    from orchestration.publishing.manifest import manifest_of  # noqa: PLC0415
    from orchestration.publishing.report import write_monitor, write_sheets  # noqa: PLC0415
    from orchestration.publishing.sheets import NobodyKnownError  # noqa: PLC0415

    named = {"operator": operator, "lender": contract, "tenant": tenant}
    given = [name for name, who in named.items() if who is not None]
    if kind not in {"monitor", *named}:
        raise typer.BadParameter(f"{kind!r} is none of monitor, {', '.join(named)}", param_hint="--kind")
    if len(given) > 1 or (given and kind not in {"monitor", *given}):
        raise typer.BadParameter("name one operator, contract or tenant, of the kind asked for", param_hint="--kind")
    chosen = given[0] if given else kind
    day = None if settings.as_of == "home" else date.fromisoformat(settings.as_of)
    published, then = settings.published_folder, ""
    if known_at is not None:
        known, then = _as_known(settings, known_at)
        published = known.published_folder
    try:
        if chosen == "monitor":
            written = write_monitor(published, settings.reports_folder, day, then)
        else:
            whose = (chosen, named[chosen])
            written = write_sheets(published, settings.reports_folder, whose, day, then)
    except NobodyKnownError as error:
        err.print(str(error.args[0]), style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--as-of") from None
    for path in written:
        out.print(path, highlight=False, markup=False, soft_wrap=True)
    manifest = manifest_of(published)
    if manifest["is_simulated"]:
        out.print(f"Simulated: {manifest['simulation_note']}", style="yellow", highlight=False, markup=False)


def _as_known(settings: Settings, known_at: str, option: str = "--known-at") -> tuple[Settings, str]:
    """The home as known at an instant or at the end of a day, built apart if need be, and the moment in a file's name."""
    from ingest.terms.home import moment_of  # noqa: PLC0415
    from orchestration.as_known import known_home, moment_text  # noqa: PLC0415
    from orchestration.display import TerminalProgress  # noqa: PLC0415

    try:
        moment = moment_of(known_at)
    except ValueError:
        said = f"{known_at!r} is neither a date nor an instant; write it as 2027-09-30 or as 2027-09-30T12:00:00Z"
        raise typer.BadParameter(said, param_hint=option) from None
    with TerminalProgress() as progress:
        try:
            then, outcome = known_home(settings, moment, progress)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
    if outcome is not None:
        _end(outcome)
    return then, moment_text(moment)


def _books_of_the_day(settings: Settings) -> tuple[Settings, str]:
    """The home whose books are asked, and their day: that of ``--as-of``, as known then, or the one that is published."""
    manifest = _manifest(settings)
    if settings.as_of in {"home", manifest["as_of"]}:
        return settings, str(manifest["as_of"])
    return _as_known(settings, settings.as_of, "--as-of")


@app.command()
def status(
    *,
    park: Annotated[str | None, typer.Option("--park", help="Only what concerns this park.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Everything, also what does not fit on the screen.")] = False,
    as_json: JsonOption = False,
) -> None:
    """One screen: what is wrong, the last run, feeds and their lateness, quarantine, open and closed months, alerts,
    what runs next, what to do.

    A terminal gets as much as fits on it, the worst first; a pipe, and --all, everything, with counts. Lateness is against
    the home's clock: a day of telemetry or meters is due at the park's settlement of the next morning. Where nothing is
    published it says what is missing and what to do, and ends with exit code 5.
    """
    settings = _settings_of_a_home()
    from orchestration.status_command import home_status  # noqa: PLC0415
    from orchestration.status_screen import print_status  # noqa: PLC0415

    try:
        answer = home_status(settings, park)
    except LookupError as error:
        raise typer.BadParameter(str(error), param_hint="--park") from None
    if as_json:
        print(json.dumps(answer, indent=2, default=str))
    else:
        print_status(answer, out, whole=whole)
    if answer["run_id"] is None:
        raise typer.Exit(EXIT_NOTHING_PUBLISHED)


@alerts_app.command("list")
def alerts_list(
    *,
    with_cleared: Annotated[
        bool, typer.Option("--all", help="Also those that are cleared: the whole history.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Alerts that stand: what the rules found in the published metrics, and what went wrong in operation."""
    settings = _settings_of_a_home()
    from orchestration.alerts_command import alert_rows, print_alerts  # noqa: PLC0415

    answer = alert_rows(settings, with_cleared=with_cleared)
    if as_json:
        print(json.dumps(answer, indent=2, default=str))
        return
    print_alerts(answer, out)


@alerts_app.command("test")
def alerts_test(
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel of alerts.yaml.")] = None,
) -> None:
    """Send a word of trial to every channel, and say for each whether it was taken."""
    settings = _settings_of_a_home()
    from orchestration.alerting import try_channels  # noqa: PLC0415

    try:
        told = try_channels(settings, channel)
    except LookupError as error:
        raise typer.BadParameter(str(error.args[0]), param_hint="--channel") from None
    if not told:
        err.print("alerts.yaml names no channel; `parkledger alerts schema` says how one is written", style="yellow")
    for delivery in told:
        said = f"{delivery.channel_id}: {delivery.error or 'sent'}"
        (err if delivery.error else out).print(said, highlight=False, markup=False, soft_wrap=True)
    if any(delivery.error for delivery in told):
        raise typer.Exit(EXIT_FAILED)


@alerts_app.command("rules")
def alerts_rules(as_json: JsonOption = False) -> None:
    """The rules in force: those of alerts.yaml, or the shipped ones where it has none."""
    home = _load(_settings_of_a_home())
    from orchestration.alerts_command import rule_text  # noqa: PLC0415

    if as_json:
        print(json.dumps([rule.model_dump(mode="json") for rule in home.alerts.rules], indent=2))
        return
    cells = [(rule.rule_id, rule.severity, rule_text(rule), rule.says) for rule in home.alerts.rules]
    out.print(as_table(["rule", "severity", "raised when", "says"], cells), markup=False)


@alerts_app.command("schema")
def alerts_schema() -> None:
    """Print the JSON Schema of alerts.yaml, for editors."""
    from ingest.terms.schema import alerts_schema as schema  # noqa: PLC0415

    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")


@app.command()
def verify(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Say what would be done about each damaged file; with --yes, do it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: do it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove that the books are whole: every file as it was written, every identity recomputed from the published tables, sealed
    months as they are kept.

    Looks at each byte of lake, working database, kept journal, statements, audit log and published files. What is damaged is
    named. `--repair` says, line by line, what it would do from what remains, and does nothing; `--repair --yes` does it, runs
    where that is needed, and verifies again. Exit code 4 where something does not hold.
    """
    settings = _state_settings()
    if not repair:
        _need_published(settings)
    elif yes:
        _repair(settings)
    import duckdb  # noqa: PLC0415

    from orchestration.damage import examine  # noqa: PLC0415
    from orchestration.keeping import compare_kept  # noqa: PLC0415
    from orchestration.publishing.identities import Outcome  # noqa: PLC0415
    from orchestration.publishing.identities import verify as recompute  # noqa: PLC0415

    findings = examine(settings)
    if repair and not yes:
        _print_plan(findings)
        return
    outcomes = [
        Outcome(
            "every file is as it was written",
            "lake, warehouse.duckdb, lake/journal, closes, published",
            not findings,
            len(findings),
            len(findings),
            "; ".join(map(str, findings)) or "nothing is damaged",
        )
    ]
    try:
        outcomes += [*recompute(settings.published_path), *compare_kept(settings)]
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        outcomes.append(
            Outcome("the published tables can be read", "published", passed=False, checked=1, broken=1, measured=said)
        )
    if as_json:
        print(json.dumps([outcome.__dict__ for outcome in outcomes], indent=2))
    else:
        rows = [("✓" if o.passed else "✗", o.name, o.measured) for o in outcomes]
        out.print(as_table(["", "identity", "measured"], rows))
        failed = sum(not o.passed for o in outcomes)
        out.print(f"{len(outcomes) - failed} of {len(outcomes)} identities hold")
        for finding in findings:
            err.print(f"damaged: {finding}", style="red", highlight=False, markup=False, soft_wrap=True)
        if findings:
            err.print(
                f"See what would be done: parkledger --home {settings.home} verify --repair",
                highlight=False,
                soft_wrap=True,
            )
        from ingest import audit_log, kept_journal  # noqa: PLC0415

        acts = audit_log.read(settings.home)
        if acts or kept_journal.head(settings.home):
            last = acts[-1].digest if acts else "none"
            out.print(
                f"Note outside of this home: kept journal {kept_journal.head(settings.home) or 'none'}, audit log {last}",
                highlight=False,
                soft_wrap=True,
            )
    if any(not outcome.passed for outcome in outcomes):
        raise typer.Exit(EXIT_CHECK_FAILED)


def _print_plan(findings: list[Any]) -> None:
    if not findings:
        out.print("Nothing is damaged: there is nothing to repair.")
        return
    for finding in findings:
        out.print(f"damaged: {finding}", highlight=False, markup=False, soft_wrap=True)
        out.print(
            f"  {'would' if finding.mend else 'cannot be mended here:'} {finding.plan}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if any(finding.needs_run for finding in findings):
        out.print("Then: parkledger run")
    mendable = sum(finding.mend is not None for finding in findings)
    out.print(
        f"Nothing was done. {mendable} of {len(findings)} can be mended: `parkledger verify --repair --yes` does it."
    )
    raise typer.Exit(EXIT_CHECK_FAILED)


def _repair(settings: Settings) -> None:
    """Mend what can be mended, in order, each act logged; then run where that is needed."""
    from ingest import audit_log  # noqa: PLC0415
    from orchestration.damage import examine  # noqa: PLC0415
    from orchestration.display import TerminalProgress  # noqa: PLC0415
    from orchestration.run import settle  # noqa: PLC0415
    from orchestration.writing import only_writer  # noqa: PLC0415

    with only_writer(settings.home, on_wait=lambda said: err.print(said, highlight=False, markup=False)):
        findings = examine(settings)
        for finding in findings:
            if finding.mend is None:
                continue
            out.print(f"{finding.place}: {finding.plan}", highlight=False, markup=False, soft_wrap=True)
            finding.mend()
            audit_log.log(settings.home, "repair", str(finding), finding.plan)
        if any(finding.needs_run for finding in findings):
            with TerminalProgress() as progress:
                outcome = settle(settings, progress, trigger="repair", force=True)
            _end(outcome)


@app.command()
def audit(as_json: JsonOption = False) -> None:
    """Who closed, reopened, released or repaired what, when and why: closes/audit.jsonl, whose lines are chained by digest."""
    settings = _settings_of_a_home()
    from ingest import audit_log  # noqa: PLC0415

    acts, faults = audit_log.read(settings.home), audit_log.faults(settings.home)
    if as_json:
        print(json.dumps({"acts": [act.__dict__ for act in acts], "faults": faults}, indent=2))
    else:
        cells = [(a.act_no, a.acted_at, a.actor, a.act, a.subject, a.reason) for a in acts]
        out.print(as_table(["no", "at (UTC)", "who", "act", "what", "why"], cells))
        for fault in faults:
            err.print(fault, style="red", highlight=False, markup=False)
    if faults:
        raise typer.Exit(EXIT_CHECK_FAILED)


@app.command()
def stress(
    scenario: Annotated[
        Path | None, typer.Argument(help="A scenario of your own (YAML, as in scenarios/).", dir_okay=False)
    ] = None,
    as_json: JsonOption = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a scenario file, for editors, and stop.")
    ] = False,
) -> None:
    """Run a scenario of your own on the latest month of every contract, beside the baseline.

    A scenario is a file of a few lines; `--schema` lists every driver, `scenarios/` holds those that each run computes:

        scenario_id: my-slump
        scenario_name: Prices and occupancy fall
        drivers:
          - {driver: price_change_fraction, value: "-0.43", source: ours}
          - {driver: occupancy_change_fraction, value: "-0.30", source: ours}

    Prints what changes of share, claims and expected loss, and the operator's coverage and covenants under it; writes all
    columns, those of credit.fct_stress_result, as CSV beside the monitor, and says where. The books are only read.

    With `--as-of DATE` on the books of that day, as known then: they are built aside from the landed files, once.

        parkledger stress my-slump.yaml --as-of 2027-06-30
    """
    if schema:
        from ingest.terms.schema import scenario_schema  # noqa: PLC0415

        sys.stdout.write(json.dumps(scenario_schema(), indent=2) + "\n")
        return
    if scenario is None:
        raise typer.BadParameter("name the file of a scenario, or ask for --schema", param_hint="SCENARIO.yaml")
    settings = _settings_of_a_home()
    from ingest.terms.home import load_scenario  # noqa: PLC0415
    from orchestration.what_if import stress_rows, write_rows  # noqa: PLC0415

    wanted = load_scenario(scenario)
    books, day = _books_of_the_day(settings)
    rows = stress_rows(books, wanted)
    target = write_rows(settings, day, f"stress-{wanted.scenario_id}", rows)
    columns = ["contract_id", "scenario_id", "share_change_amount", "claim_change_amount"]
    columns += ["expected_credit_loss_change_amount", "dscr", "covenant_breached", "null_reason"]
    about = "Share, claims and loss: what the scenario changes of each to the backstop's expiry; broken: a covenant, at the run rate."
    _show(rows.select(columns), target, about=about, as_json=as_json)


@app.command()
def compare(
    deals: Annotated[
        list[str] | None, typer.Argument(help="Contracts or deals to compare, or none; without any, all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare deals on the same park, leases and paths: who takes what, at which risk, tied how fast.

    Each contract is a case, under its own terms and under every other deal: those of `deals/`, other contracts, and `none`,
    the park without any. Prints what vendor, operator and lender take by contract year, the vendor's risk, and what leaving
    costs; writes all columns, those of credit.fct_deal_comparison, as CSV beside the monitor, and says where.

        parkledger compare sharon-nvda-2026 sharon-nvda-above-floor none

    With `--as-of DATE` on the books of that day, as known then: they are built aside from the landed files, once.
    """
    settings = _settings_of_a_home()
    from orchestration.what_if import compare_rows, write_rows  # noqa: PLC0415

    books, day = _books_of_the_day(settings)
    rows = compare_rows(books, deals or None)
    target = write_rows(settings, day, "compare", rows)
    columns = ["case_id", "deal_id", "contract_year", "vendor_take_amount", "vendor_risk_amount"]
    columns += ["operator_take_amount", "lender_take_amount", "lender_shortfall_amount", "operator_exit_cost_amount"]
    about = (
        "By contract year: what vendor, operator and lender take; its risk: what the vendor loses in the mean of the worst 1 % of paths; "
        "short: what debt service lacks; exit: what leaving costs the operator today."
    )
    _show(rows.select(columns), target, about=about, as_json=as_json)


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", help="Port of the web server.")] = 3000,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on. Whoever reaches it may start runs: put a login before any but loopback.",
        ),
    ] = "127.0.0.1",
    engine: EngineOption = None,
    only: Annotated[
        str | None, typer.Option("--only", help="`web` or `daemon` alone, for services of their own; without it, both.")
    ] = None,
) -> None:
    """Dagster's web server and daemon on this home: schedules and sensors, which are on from the start, and lineage."""
    settings = _with_engine(_settings_of_a_home(), engine)
    import os  # noqa: PLC0415

    modules = ["-m", "orchestration.definitions"]
    parts = {
        None: ["dagster", "dev", *modules, "--host", host, "--port", str(port)],
        "web": ["dagster_webserver", *modules, "--host", host, "--port", str(port)],
        "daemon": ["dagster._daemon", "run", *modules],
    }
    if only not in parts:
        raise typer.BadParameter("write web or daemon", param_hint="--only")
    from orchestration.run import instance_environment  # noqa: PLC0415

    environment = {
        **os.environ,
        **instance_environment(settings),
        "PARKLEDGER_HOME": str(settings.home.resolve()),
        "PARKLEDGER_AS_OF": settings.as_of,
        "PARKLEDGER_ENGINE": settings.engine,
    }
    # In place of this process, so that whoever ends it ends Dagster, which ends its own children.
    os.execve(sys.executable, [sys.executable, "-m", *parts[only]], environment)  # noqa: S606 - our own interpreter


@contract_app.command("check")
def contract_check() -> None:
    """Find every fault of contracts and deals, with file, line, key and remedy.

    Beside what a file says wrongly in itself: caps below what has been accrued, amendments that claim to have been known
    at a close that was stated without them, terms that are not those of a sealed month, and currencies of leases that no
    rate translates.
    """
    from orchestration.contract_commands import (  # noqa: PLC0415
        amendments_before_a_close,
        caps_below_paid,
        currencies_without_rates,
    )
    from orchestration.sealed_terms import changes  # noqa: PLC0415

    settings = _settings_of_a_home()
    home = _load(settings)
    faults = [problem for problem in home.problems if problem.file.startswith(("contracts/", "deals/"))]
    faults += changes(home)
    faults += caps_below_paid(settings, home)
    faults += amendments_before_a_close(settings, home)
    _check_reference(settings)
    faults += currencies_without_rates(settings, home)
    faults = list({(fault.file, fault.line, fault.key): fault for fault in faults}.values())
    for problem in faults:
        err.print(str(problem), style="red", highlight=False, markup=False)
    out.print(f"{len(home.contracts)} contracts and {len(home.deals)} deals can be used; {len(faults)} faults.")
    if faults:
        raise typer.Exit(EXIT_BAD_INPUT)


@contract_app.command("show")
def contract_show(contract: Annotated[str, typer.Argument(help="Id of a contract or deal.")]) -> None:
    """Print a term sheet in plain English, with the grade of the evidence in brackets."""
    from ingest.terms.sheet import term_sheet  # noqa: PLC0415

    home = _load(_settings_of_a_home())
    known = home.contracts | home.deals
    if contract not in known:
        err.print(f"{contract} is no usable contract or deal; there are: {', '.join(sorted(known))}", style="red")
        raise typer.Exit(EXIT_BAD_INPUT)
    for line in term_sheet(known[contract]):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


@contract_app.command("diff")
def contract_diff(
    contract: Annotated[str, typer.Argument(help="Id of a booked contract.")],
    amendment: Annotated[str, typer.Argument(help="amendment_id of one of its versions.")],
    as_json: JsonOption = False,
) -> None:
    """Show what an amendment changes in money, month by month, on the actual history."""
    from orchestration.contract_commands import money_changes  # noqa: PLC0415

    settings = _settings_of_a_home()
    if not settings.warehouse_path.exists():
        err.print(f"No history in {settings.home} yet: parkledger --home {settings.home} run", style="red")
        raise typer.Exit(EXIT_NOTHING_PUBLISHED)
    try:
        changes = money_changes(settings, _load(settings), contract, amendment)
    except ValueError as error:
        err.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    if as_json:
        out.print_json(data=[{name: str(value) for name, value in change._asdict().items()} for change in changes])
        return
    columns = ["month", "share without", "share with", "claim without", "claim with", "besides without", "besides with"]
    out.print(
        as_table(columns, [(f"{change[0]:%Y-%m}", *(f"{amount:,}" for amount in change[1:])) for change in changes])
    )
    share = sum(change.share_after_amount - change.share_before_amount for change in changes)
    claim = sum(change.claim_after_amount - change.claim_before_amount for change in changes)
    besides = sum(change.besides_after_amount - change.besides_before_amount for change in changes)
    out.print(f"{amendment} moves the share by {share:+,} and claims by {claim:+,}, in {len(changes)} months.")
    out.print(
        f"What the operator owes besides (claw-back, termination, interest; less what the vendor does) moves by {besides:+,}."
    )


@contract_app.command("schema")
def contract_schema() -> None:
    """Print the JSON Schema of a contract file, for editors."""
    from ingest.terms.schema import contract_schema as schema  # noqa: PLC0415

    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")


def _state_settings() -> Settings:
    return _State.settings


def _settings_of_a_home() -> Settings:
    settings = _State.settings
    if not (settings.home / "home.yaml").exists():
        err.print(
            f"{settings.home} is no home: it has no home.yaml. Make one with: parkledger init {settings.home}",
            style="red",
        )
        raise typer.Exit(EXIT_BAD_INPUT)
    return settings


def _load(settings: Settings) -> Any:
    from orchestration.state import load  # noqa: PLC0415

    return load(settings)


@contextmanager
def _working_tables(settings: Settings) -> Iterator[Any]:
    """The pipeline's own tables, read-only; a run that is under way keeps everybody else out."""
    import duckdb  # noqa: PLC0415

    if not settings.warehouse_path.exists():
        err.print(f"Nothing has landed in {settings.home} yet: parkledger --home {settings.home} run", style="red")
        raise typer.Exit(EXIT_NOTHING_PUBLISHED)
    try:
        connection = duckdb.connect(str(settings.warehouse_path), read_only=True)
    except duckdb.IOException as error:
        err.print(f"A run is under way; try again when it has ended ({str(error).splitlines()[0]})", style="red")
        raise typer.Exit(EXIT_FAILED) from None
    with connection:
        yield connection


def _one_row(found: list[Any], row_id: str) -> Any:
    if len(found) == 1:
        return found[0]
    said = "stands for no row" if not found else f"stands for {len(found)} rows"
    err.print(f"{row_id!r} {said} of the quarantine; `parkledger quarantine list` names them", style="red")
    raise typer.Exit(EXIT_BAD_INPUT)


def _report_problems(settings: Settings) -> None:
    from orchestration.sealed_terms import refuse_changes  # noqa: PLC0415

    home = _load(settings)
    refuse_changes(home)
    for problem in home.problems:
        err.print(f"left out: {problem}", style="yellow", highlight=False, markup=False)
    if not home.parks:
        said = (
            f"{settings.home / 'parks'}: there is no park. Copy example.yaml.txt there to <park_id>.yaml and fill it in"
        )
        err.print(said, style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_BAD_INPUT)


def _check_reference(settings: Settings) -> None:
    from orchestration.readiness import check_reference  # noqa: PLC0415 - it imports the credit jobs' libraries

    for note in check_reference(_load(settings)):
        err.print(f"missing: reference/{note}", style="yellow", highlight=False, markup=False)


def _manifest(settings: Settings) -> dict[str, Any]:
    from orchestration.publishing.manifest import manifest_of  # noqa: PLC0415

    _need_published(settings)
    return manifest_of(settings.published_folder)


def _need_published(settings: Settings) -> None:
    if not (settings.published_folder / "manifest.json").exists():
        err.print(f"Nothing is published in {settings.home} yet: parkledger --home {settings.home} run", style="red")
        raise typer.Exit(EXIT_NOTHING_PUBLISHED)


def _monitor_path(settings: Settings, manifest: dict[str, Any]) -> Path:
    return settings.reports_folder / str(manifest["as_of"]) / "monitor.html"


def _end(outcome: Any) -> None:
    if outcome.succeeded:
        return
    if outcome.refusal:
        err.print(outcome.refusal, style="red", highlight=False, markup=False, soft_wrap=True)
        err.print(f"Details: {outcome.log_path}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED)
    for message in outcome.failed_checks:
        err.print(f"check failed: {message}", style="red", highlight=False, markup=False)
    for message in [] if outcome.failed_checks else outcome.errors:
        err.print(message, style="red", highlight=False, markup=False)
    stands = (
        "The new snapshot is published; what failed came after it, and the next run tries it again."
        if outcome.published
        else "Nothing was published; what was published before stands."
    )
    err.print(f"{stands} Details: {outcome.log_path}", highlight=False)
    raise typer.Exit(EXIT_CHECK_FAILED if outcome.failed_checks else EXIT_FAILED)


def _tell(settings: Settings) -> None:
    """Try again what could not be sent, and what has come since."""
    from orchestration.alerting import deliver  # noqa: PLC0415

    for delivery in deliver(settings):
        if delivery.error:
            said = f"{delivery.waiting_count} notices to {delivery.channel_id} wait: {delivery.error}"
            err.print(said, style="yellow", highlight=False, markup=False)
        else:
            out.print(f"{delivery.sent_count} notices sent to {delivery.channel_id}", highlight=False, markup=False)


def as_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> Any:
    """A table to be printed; ``numbers``: columns aligned to the right."""
    from orchestration import display  # noqa: PLC0415 - only commands that print one need it

    return display.as_table(columns, rows, numbers=numbers)


# What a table on the terminal calls the columns of an answer; others go by their names.
_HEADINGS = {
    "contract_id": "contract",
    "scenario_id": "scenario",
    "share_change_amount": "share",
    "claim_change_amount": "claims",
    "expected_credit_loss_change_amount": "loss",
    "dscr": "DSCR",
    "covenant_breached": "broken",
    "null_reason": "why no DSCR",
    "case_id": "on the park of",
    "deal_id": "deal",
    "contract_year": "year",
    "vendor_take_amount": "vendor",
    "vendor_risk_amount": "its risk",
    "operator_take_amount": "operator",
    "lender_take_amount": "lender",
    "lender_shortfall_amount": "short",
    "operator_exit_cost_amount": "exit",
}
_MILLION = 10**6


def _show(rows: Any, target: Path, *, about: str, as_json: bool) -> None:
    """An answer on the terminal, in millions where amounts are that large, and where all of it is written."""
    if as_json:
        print(json.dumps(rows.to_dicts(), indent=2, default=str))
        return
    money = [number for number, name in enumerate(rows.columns) if name.endswith("_amount")]
    largest = max((abs(row[number]) for row in rows.rows() for number in money if row[number] is not None), default=0)
    divisor, digits = (_MILLION, 1) if largest >= 10 * _MILLION else (1, 0)

    def cell(number: int, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if number in money:
            # A nought that was a little less is no minus nought.
            return f"{round(value / divisor, digits) + 0:,.{digits}f}"
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    cells = [[cell(number, value) for number, value in enumerate(row)] for row in rows.rows()]
    numbers = [*money, *(number for number, name in enumerate(rows.columns) if name in {"dscr", "contract_year"})]
    out.print(as_table([_HEADINGS.get(name, name) for name in rows.columns], cells, numbers=numbers))
    unit = "millions" if divisor > 1 else "units"
    out.print(f"{about} In {unit} of each contract's currency.", highlight=False)
    out.print(f"All columns and rows, to the cent: {target}", highlight=False)


def main() -> None:
    """Run the command line; errors are one message without a traceback unless ``--debug`` is given."""
    _guarded(lambda: app(args=_common_first(sys.argv[1:])))


def _common_first(arguments: list[str]) -> list[str]:
    """Options that every command takes may also stand after the command: ``parkledger run --home THERE``."""
    common, others, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            others += [argument, *rest]
            break
        if argument in {"--home", "--as-of"}:
            common += [argument, *rest[:1]]
            rest = rest[1:]
        elif argument == "--debug" or argument.startswith(("--home=", "--as-of=")):
            common.append(argument)
        else:
            others.append(argument)
    return common + others


def _guarded(command: Callable[[], None]) -> None:
    try:
        command()
    except Exception as error:
        if _State.debug or "--debug" in sys.argv:
            raise
        bad_input = type(error).__name__ in {"TermsError", "ReferenceDataError", "CreditInputError"}
        from orchestration.remedies import explained  # noqa: PLC0415

        refused = None if bad_input else explained(f"{type(error).__name__}: {error}", _State.settings)
        if refused:
            err.print(refused, style="red", highlight=False, markup=False, soft_wrap=True)
            sys.exit(EXIT_REFUSED)
        err.print(str(error) or type(error).__name__, style="red", highlight=False, markup=False)
        if not bad_input:
            err.print("(--debug shows the traceback)", style="dim")
        sys.exit(EXIT_BAD_INPUT if bad_input else EXIT_FAILED)


if __name__ == "__main__":
    main()
