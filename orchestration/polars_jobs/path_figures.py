"""What the paths of one correlation case say, as figures: all that is kept of a simulation, so that memory does not grow with
contracts × months × paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestration.polars_jobs.backstop_paths import (
    Array,
    PathResult,
    Tail,
    expected_shortfall,
    mean_and_error,
    most_likely,
    tails,
    wrong_way_multiplier,
)

TAIL_LEVELS = {"95": 0.95, "99": 0.99, "999": 0.999}


@dataclass(frozen=True)
class PathFigures:
    """Amounts are means over the paths in the contract's currency. ``claims`` and ``share`` are undiscounted, all else is
    discounted; ``tails`` by the names of TAIL_LEVELS, ``likely`` and ``least`` are of the claims' present value;
    ``joint_loss`` is claims and loss on the share receivable together. ``claims_by_month`` and ``share_by_month`` (T,).
    """

    claims: float
    claims_error: float
    present_value: float
    present_value_error: float
    tails: Mapping[str, Tail]
    likely: float
    least: float
    share: float
    resale: float
    claw_back: float
    receivable_loss: float
    joint_loss: float
    joint_loss_es_99: float
    any_claim_probability: float
    operator_default_probability: float
    wrong_way: float | None
    claims_by_month: Array
    share_by_month: Array


def figures_of(result: PathResult, *, antithetic: bool) -> PathFigures:
    """The figures of the paths; where antithetic, standard errors come from pairs of mirrored paths."""
    claims, claims_error = mean_and_error(result.claims, antithetic=antithetic)
    value, value_error = mean_and_error(result.present_value, antithetic=antithetic)
    joint = result.present_value + result.receivable_loss
    return PathFigures(
        claims=claims,
        claims_error=claims_error,
        present_value=value,
        present_value_error=value_error,
        tails=dict(zip(TAIL_LEVELS, tails(result.present_value, list(TAIL_LEVELS.values())), strict=True)),
        likely=most_likely(result.present_value),
        least=float(np.min(result.present_value)),
        share=float(result.share.mean()),
        resale=float(result.resale.mean()),
        claw_back=float(result.claw_back.mean()),
        receivable_loss=float(result.receivable_loss.mean()),
        joint_loss=float(joint.mean()),
        joint_loss_es_99=expected_shortfall(joint, 0.99),
        any_claim_probability=float((result.claims > 0).mean()),
        operator_default_probability=float(result.defaulted.mean()),
        wrong_way=wrong_way_multiplier(result.unvoided, result.defaulted),
        claims_by_month=result.claims_by_month,
        share_by_month=result.share_by_month,
    )
