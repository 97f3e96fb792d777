"""The dbt project as Dagster assets: staging → metering → revenue share, backstop → journal."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from orchestration.assets.raw import OWNERS, WAREHOUSE_POOL
from orchestration.resources import ProgressDisplay, RunIdentity
from orchestration.settings import DBT_PROJECT, Settings

SOURCE_ONLY = "source"


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


def dbt_project() -> DbtProject:
    """The project, with its manifest parsed anew when a file of it is newer."""
    project = DbtProject(project_dir=DBT_PROJECT, profiles_dir=DBT_PROJECT)
    if _is_stale(project.manifest_path):
        os.environ.setdefault("PARKLEDGER_WAREHOUSE", str(DBT_PROJECT / "target" / "parse-only.duckdb"))
        project.preparer.prepare(project)
    return project


def _is_stale(manifest: Path) -> bool:
    if not manifest.exists():
        return True
    parsed_at = manifest.stat().st_mtime
    folders = ("models", "macros", "tests", "seeds", "analyses")
    sources = [DBT_PROJECT / "dbt_project.yml", *(f for folder in folders for f in (DBT_PROJECT / folder).rglob("*") if f.is_file())]
    return any(f.stat().st_mtime > parsed_at for f in sources if f.exists())


def warehouse_assets(settings: Settings, project: DbtProject) -> dg.AssetsDefinition:
    """All models with their data tests as asset checks; dbt's unit tests belong to ``make test``."""

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        name="warehouse",
        dagster_dbt_translator=ParkledgerTranslator(),
        exclude="resource_type:unit_test",
        pool=WAREHOUSE_POOL,
    )
    def warehouse(
        context: dg.AssetExecutionContext,
        dbt: DbtCliResource,
        run_identity: RunIdentity,
        progress: dg.ResourceParam[ProgressDisplay],
    ) -> Iterator[Any]:
        progress.step("Building the ledgers with dbt")
        settings.dbt_target_folder.mkdir(parents=True, exist_ok=True)
        arguments = ["build", "--exclude-resource-type", "unit_test", "--vars", f"{{run_id: {run_identity.read(settings)}}}"]
        invocation = dbt.cli(arguments, context=context, target_path=settings.dbt_target_folder)
        done = 0
        for event in invocation.stream():
            done += 1
            progress.advance(_name_of(event), done)
            yield event

    return warehouse


def _name_of(event: Any) -> str:
    if isinstance(event, dg.AssetCheckResult | dg.AssetCheckEvaluation):
        return f"tested {event.asset_key.path[-1] if event.asset_key else ''}"
    key = getattr(event, "asset_key", None) or getattr(event, "output_name", "")
    return "built " + (key.to_user_string() if isinstance(key, dg.AssetKey) else str(key))
