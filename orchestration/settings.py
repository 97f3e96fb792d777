"""Every setting from one place: paths below the home, the engine's limits and the thresholds of checks.

Environment variables carry the prefix ``PARKLEDGER_`` (``PARKLEDGER_HOME=/books parkledger run``).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT = PROJECT_ROOT / "dbt_project"


class Settings(BaseSettings):
    """Where a home's files stand and how much of the machine a run may take."""

    model_config = SettingsConfigDict(env_prefix="PARKLEDGER_", frozen=True)

    home: Path = Field(
        default=PROJECT_ROOT / "data", description="The home folder with terms, landing files and results."
    )
    as_of: str = Field(default="home", description="A date (2027-12-31), or 'home' for what home.yaml says.")
    memory_limit: str = Field(default="2GB", description="DuckDB's memory limit for the working database.")
    threads: int = Field(default=2, ge=1, description="Threads of DuckDB, of dbt and of Spark in this process.")
    engine: Literal["duckdb", "spark"] = Field(
        default="duckdb", description="What turns telemetry into GPU-hours: DuckDB, or Spark through dbt-spark."
    )
    spark_url: str = Field(
        default="",
        pattern=r"^(|sc://.+|thrift://[^:/]+:\d+)$",
        description="A cluster by Spark Connect (sc://host:15002) or Thrift (thrift://host:10000); empty: in this process.",
    )
    spark_memory: str = Field(default="2g", description="Memory of Spark in this process, as Java writes it.")
    lake_url: str = Field(
        default="",
        pattern=r"^(|[a-z][a-z0-9]+://.+)$",
        description="Where the lake has a copy that metering reads (s3://bucket/books); empty: in the home.",
    )

    umask: str = Field(
        default="077",
        pattern="^[0-7]{3}$",
        description="What is taken from the mode of every file that is written: 077 keeps a home to its account, 027 lets a group read.",
    )
    dagster_postgres_url: SecretStr | None = Field(
        default=None,
        description="A PostgreSQL database for Dagster's own runs and events; without it SQLite under the home.",
    )

    @property
    def warehouse_path(self) -> Path:
        """The working database; only the pipeline opens it."""
        return self.home / "warehouse.duckdb"

    @property
    def published_folder(self) -> Path:
        """What readers see: snapshot database, Parquet copies, manifest."""
        return self.home / "published"

    @property
    def published_path(self) -> Path:
        """The read-only snapshot database."""
        return self.published_folder / "parkledger.duckdb"

    @property
    def reports_folder(self) -> Path:
        """Investor monitors."""
        return self.home / "reports"

    @property
    def monthly_reports_folder(self) -> Path:
        """Investor monitors as of the last day of each stated month, drawn once its books had closed."""
        return self.reports_folder / "monthly"

    @property
    def dagster_folder(self) -> Path:
        """Dagster's own instance: runs, events, schedules."""
        return self.home / "dagster"

    @property
    def state_path(self) -> Path:
        """What the last published run had read, for telling whether anything is new."""
        return self.home / ".parkledger" / "state.json"

    @property
    def exchange_folder(self) -> Path:
        """What DuckDB hands to Spark and takes back. A cluster must see it under the same path."""
        return self.home / ".parkledger" / "spark"

    @property
    def dbt_target_folder(self) -> Path:
        """Dbt's compiled files and run results for this home."""
        return self.home / ".parkledger" / "dbt"
