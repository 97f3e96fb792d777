"""What rows are held to beside their feed's contract: the park, the home's clock, and the thresholds of policies.

No rows are checked here.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ingest.contracts import MAX_POWER_W
from ingest.terms.park import Park
from ingest.terms.policy import DEFAULTS, Policies

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Attributes:
    park: the park of the rows.
    clock_at: the home's clock; None where nothing is too late (a trial without a home).
    policies: thresholds and severities.
    """

    park: Park
    clock_at: datetime | None = None
    policies: Policies = field(default_factory=lambda: DEFAULTS)

    @property
    def zone(self) -> ZoneInfo:
        """The park's clock."""
        return ZoneInfo(self.park.time_zone)

    @property
    def latest_at(self) -> datetime | None:
        """Instants beyond it lie in the future."""
        if self.clock_at is None:
            return None
        return self.clock_at + timedelta(minutes=self.policies.future_tolerance_minutes)

    def energised_at(self, tranche_id: str) -> datetime | None:
        """When the day begins on which a tranche was energised, in UTC; None before that is known."""
        for tranche in self.park.tranches:
            if tranche.tranche_id == tranche_id and tranche.energised_date is not None:
                day = tranche.energised_date
                return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)
        return None

    def power_bound_w(self, gpu_model: str) -> int:
        """The most that a GPU of a model may draw by its sensor: the longest name of the policy within the model's."""
        bounds = self.policies.gpu_power_bounds_w
        name = gpu_model.upper().replace("-", " ")
        fitting = [key for key in bounds if key.upper() in name]
        return bounds[max(fitting, key=len)] if fitting else int(MAX_POWER_W)
