"""A small home to be simulated: two parks of a few racks, one with summer time, on the two shapes of share."""

from pathlib import Path

from ingest.terms.home import Home, load_home

NORTH, SOUTH = "north-1", "south-1"

_PARK = """park_id: {park}
park_name: {park}
operator:
  {{operator_id: {park}-op, operator_name: Op, parent_id: {park}-op, country_code: AU, rating: B, rating_agency: SP}}
country_code: AU
time_zone: {zone}
currency_code: USD
it_power_mw: 10
telemetry_interval_seconds: {interval}
pue_bounds: ["1.0", "2.0"]
tranches:
  - tranche_id: {park}-a
    contract_id: {park}-c
    gpu_model: GB300
    gpu_count: {gpus}
    planned_date: 2027-01-01
    energised_date: 2027-01-01
    nodes: "a-*"
  - tranche_id: {park}-b
    contract_id: {park}-c
    gpu_model: GB300
    gpu_count: 130
    planned_date: 2027-02-11
    energised_date: 2027-02-11
    nodes: "b-*"
"""
_CONTRACT = """contract_id: {park}-c
vendor_id: nvidia
operator_id: {park}-op
park_id: {park}
currency_code: USD
service_commencement_date: 2027-01-01
expiry_date: 2032-12-31
versions:
  - amendment_id: original
    valid_from: 2027-01-01
    recorded_at: 2026-06-01T00:00:00Z
    revenue_share:
{share}
      exclusions: [sales_tax, power_passthrough, sla_penalties, credits_refunds, bad_debt]
      statement_due_days: 15
      payment_terms_days: 30
    backstop:
      committed_fraction: "0.85"
      ramp: [{{from_month: 1, to_month: 2, fraction: "0.70"}}]
      excluded_causes: [operator_fault, late_delivery, maintenance_above_allowance, power_curtailment]
      maintenance_allowance_fraction: "0.02"
      deductible_fraction: "0.05"
      buyback_price: [{{from_month: 1, to_month: null, price_per_gpu_hour: "2.33", index: null}}]
      period_cap: {{amount: "300000", period: month}}
      lifetime_cap: {{amount: "900000", reduces_with: [payment]}}
"""
_PERCENTAGE = """      share_basis: pct_of_base
      base_measure: net_billed
      tiers:
        - {tier_no: 1, axis: contract_month, from: 1, to: 3, rate: "0.25", application: marginal}
        - {tier_no: 2, axis: contract_month, from: 4, to: null, rate: "0.20", application: marginal}"""
_ABOVE_FLOOR = """      share_basis: pct_above_floor
      base_measure: gross_billed
      floor_price_per_gpu_hour: "2.36"
      withholding_tax_rate: "0.10"
      gross_up: true
      tiers:
        - {tier_no: 1, axis: contract_month, from: 1, to: null, rate: "0.50", application: marginal}"""


def write_home(
    path: Path, *, as_of: str = "2027-11-20", interval: int = 3600, parks: str = f"{NORTH}, {SOUTH}"
) -> Path:
    """Write the home's terms; nothing is simulated yet."""
    for folder in ("parks", "contracts"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "home.yaml").write_text(
        f"title: Test\nas_of: {as_of}\nsimulation: {{seed: 7, parks: [{parks}], note: Simulation for a test.}}\n"
    )
    for park, zone, gpus, share in (
        (NORTH, "Asia/Jakarta", 300, _PERCENTAGE),
        (SOUTH, "Australia/Sydney", 400, _ABOVE_FLOOR),
    ):
        text = _PARK.format(park=park, zone=zone, gpus=gpus, interval=interval)
        (path / "parks" / f"{park}.yaml").write_text(text)
        (path / "contracts" / f"{park}-c.yaml").write_text(_CONTRACT.format(park=park, share=share))
    return path


def load(path: Path) -> Home:
    """The home, which must be without problems."""
    home = load_home(path)
    assert home.problems == (), [str(problem) for problem in home.problems]
    return home
