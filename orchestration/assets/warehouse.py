"""The dbt project as Dagster assets: staging → metering → revenue share, backstop → journal."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import msgpack
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets
from packaging.version import Version

from orchestration import lake_copy, park_days, spark
from orchestration.assets.raw import OWNERS, WAREHOUSE_POOL
from orchestration.check_results import CheckResult, record
from orchestration.identity import run_id
from orchestration.partitions import days_anew
from orchestration.resources import HomeFolder, ProgressDisplay, Warehouse
from orchestration.settings import DBT_PROJECT, Settings

SOURCE_ONLY = "source"
PARSE_CACHE = "partial_parse.msgpack"


class ParkledgerTranslator(DagsterDbtTranslator):
    """Asset keys are ``schema/table``, so that Dagster and SQL name a thing alike."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """``raw/leases``, ``revenue_share/fct_share_month``."""
        if dbt_resource_props["resource_type"] == SOURCE_ONLY:
            return dg.AssetKey([dbt_resource_props["source_name"], dbt_resource_props["name"]])
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The schema is the group."""
        return None if dbt_resource_props["resource_type"] == SOURCE_ONLY else str(dbt_resource_props["schema"])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str] | None:  # noqa: ARG002
        """One team owns all models."""
        return OWNERS


class DbtBesidePython(DbtCliResource):
    """The dbt of this environment, without what Dagster does in order to know it.

    Dagster starts dbt once more to ask for its version, and loads dbt with all macros into its own process for row
    counts of single tables. Both cost seconds in each run: the version is known, the row counts are not asked for.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:  # type: ignore[override]  # noqa: ARG002
        return None


def point_dbt_at(settings: Settings) -> None:
    """Dbt's profile reads the working database and its limits from the environment."""
    os.environ["PARKLEDGER_WAREHOUSE"] = str(settings.warehouse_path.resolve())
    os.environ["PARKLEDGER_MEMORY_LIMIT"] = settings.memory_limit
    os.environ["PARKLEDGER_ENGINE"] = settings.engine
    os.environ["PARKLEDGER_EXCHANGE"] = str(settings.exchange_folder.resolve())
    os.environ["PARKLEDGER_LAKE_URL"] = settings.lake_url.rstrip("/")


def dbt_project() -> DbtProject:
    """The project, with its manifest parsed anew when a file of it is newer."""
    _find_dbt_beside_python()
    project = DbtProject(project_dir=DBT_PROJECT, profiles_dir=DBT_PROJECT)
    elsewhere = parsed_elsewhere(project.manifest_path.parent)
    if elsewhere or _is_stale(project.manifest_path):
        if not os.access(_existing(project.manifest_path), os.W_OK):
            raise PermissionError(
                f"{project.manifest_path} is older than the project, or of another place, and belongs to somebody else. "
                f"Let its owner run: {sys.executable} -m orchestration.prepare"
            )
        if elsewhere:
            (project.manifest_path.parent / PARSE_CACHE).unlink()
        project.preparer.prepare(project)
    return project


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _find_dbt_beside_python() -> None:
    """A console script is often called without its environment being activated, so dbt is not on the path."""
    if shutil.which("dbt") is None:
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def _is_stale(manifest: Path) -> bool:
    if not manifest.exists():
        return True
    parsed_at = manifest.stat().st_mtime
    folders = ("models", "macros", "tests", "seeds", "analyses")
    sources = [
        DBT_PROJECT / "dbt_project.yml",
        *(f for folder in folders for f in (DBT_PROJECT / folder).rglob("*") if f.is_file()),
    ]
    return any(f.stat().st_mtime > parsed_at for f in sources if f.exists())


def parsed_elsewhere(target: Path) -> bool:
    """Whether dbt's parse cache in ``target`` is of a project that stood in another folder.

    Dbt keeps the absolute path of each seed there and reads seeds from it, even if the checkout has been moved since,
    or the home is run by another one.
    """
    cache = target / PARSE_CACHE
    here = b"".join(map(msgpack.packb, ("root_path", str(DBT_PROJECT))))
    return cache.exists() and here not in cache.read_bytes()


def warehouse_assets(settings: Settings, project: DbtProject) -> dg.AssetsDefinition:
    """All models with their data tests as asset checks; dbt's unit tests belong to ``make test``."""

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        name="ledgers",
        dagster_dbt_translator=ParkledgerTranslator(),
        exclude="resource_type:unit_test",
        pool=WAREHOUSE_POOL,
    )
    def ledgers(
        context: dg.AssetExecutionContext,
        dbt: DbtCliResource,
        home_folder: HomeFolder,
        warehouse: Warehouse,
        progress: dg.ResourceParam[ProgressDisplay],
    ) -> Iterator[Any]:
        progress.step("Building the ledgers with dbt")
        with warehouse.reader() as connection:
            run = run_id(
                home_folder.load(), [row[0] for row in connection.sql("SELECT file_id FROM raw.landed_file").fetchall()]
            )
            before = park_days.states(connection)
        if days := days_anew(context.run.tags):
            with warehouse.writer() as connection:
                park_days.read_anew(connection, *days)
        settings.dbt_target_folder.mkdir(parents=True, exist_ok=True)
        if parsed_elsewhere(settings.dbt_target_folder):
            (settings.dbt_target_folder / PARSE_CACHE).unlink()
        # By the environment, for changed vars would make dbt parse the whole project anew.
        os.environ["PARKLEDGER_RUN_ID"] = run
        os.environ["PARKLEDGER_RUN_PROCESS"] = str(os.getpid())
        if settings.lake_url:
            progress.step("Copying the lake to its object store")
            with warehouse.writer() as connection:
                try:
                    lake_copy.copy_new(connection, settings)
                except lake_copy.LakeCopyError as error:
                    raise dg.Failure(str(error)) from error
        if settings.engine == "spark":
            spark.meter(settings, dbt, progress)
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        invocation = dbt.cli(arguments, context=context, target_path=settings.dbt_target_folder)
        cache = settings.dbt_target_folder / PARSE_CACHE
        if cache.exists():
            cache.chmod(0o600)  # dagster-dbt has copied it with the mode that it has in the project
        try:
            for done, event in enumerate(invocation.stream(), start=1):
                progress.advance(_name_of(event), done)
                yield event
        finally:
            if invocation.process is not None and invocation.process.poll() is None:
                invocation.process.terminate()  # a failure here must not leave dbt writing behind our back
                invocation.process.wait()
        with warehouse.writer() as connection:
            record(connection, "dbt", _test_results(settings.dbt_target_folder))
            after = park_days.states(connection)
        for table, metadata in park_days.changes(before, after).items():
            context.log_event(dg.AssetObservation(asset_key=table.split("."), metadata=metadata))

    return ledgers


def _test_results(target: Path) -> list[CheckResult]:
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    nodes = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    return [
        CheckResult(
            check_name=nodes[r["unique_id"]]["name"],
            table_name=", ".join(
                sorted(".".join(nodes[d]["relation_name"].replace('"', "").split(".")[-2:]) for d in _models(nodes, r))
            ),
            severity=nodes[r["unique_id"]]["config"]["severity"].lower(),
            passed=r["status"] == "pass",
            measured=f"{r['failures']} rows fail",
            expected="0 rows fail",
        )
        for r in results
        if r["unique_id"].startswith("test.")
    ]


def _models(nodes: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    return [name for name in nodes[result["unique_id"]]["depends_on"]["nodes"] if name.startswith("model.")]


def _name_of(event: Any) -> str:
    if isinstance(event, dg.AssetCheckResult | dg.AssetCheckEvaluation):
        return f"tested {event.asset_key.path[-1] if event.asset_key else ''}"
    key = getattr(event, "asset_key", None) or getattr(event, "output_name", "")
    return "built " + (key.to_user_string() if isinstance(key, dg.AssetKey) else str(key))
