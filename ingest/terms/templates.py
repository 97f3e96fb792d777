"""The files of an empty home, with commented examples. No logic.

Examples end in `.yaml.txt`, so that nothing of them counts until the user copies one to `.yaml`; a test reads them
as if that had been done.
"""

from ingest.feed_guide import feed_guide

HOME = """\
# A home: everything of one set of books. See INPUTS in the guide for every key.
title: My parks
as_of: today                       # or a date like 2027-12-31: the clock then stands still at the end of that day
reporting_currency_code: USD       # currency of the reports; contracts keep their own
# evidence_required: true          # every value in parks and contracts must then say where it comes from
# simulation:                      # feeds that nobody has, generated from a seed; reports say so
#   seed: 1
#   parks: [my-park-1]
#   note: "Simulated feeds."
"""

PARK = """\
# Copy to <park_id>.yaml. One file a park.
park_id: my-park-1                 # also the folder's name under landing/
park_name: My first park
operator:
  operator_id: my-operator
  operator_name: My Operator Ltd
  parent_id: my-operator
  country_code: AU                 # ISO 3166
  rating: B                        # optional, with its agency
  rating_agency: SP
country_code: AU
time_zone: Australia/Sydney        # IANA; service days, months and hours follow this clock
currency_code: USD                 # ISO 4217
it_power_mw: 10
telemetry_interval_seconds: 60     # one sample stands for so many seconds
pue_bounds: ["1.0", "2.0"]         # a PUE outside is reported
naive_timestamps: error            # or park_zone: instants without offset follow the park's clock
tranches:                          # GPUs of one model delivered together
  - tranche_id: my-park-1-a
    contract_id: my-contract-1     # or null: no deal
    gpu_model: GB300
    gpu_count: 5000
    planned_date: 2027-01-01
    energised_date: 2027-01-01     # null until then
    nodes: "a-*"                   # node ids that belong to it
economics:                         # optional
  tariff_per_mwh: "75.00"
  land_per_month: "1000000"
  operation_per_gpu_month: "100"
  debt:
    - {lender: Bank, principal: "100000000", rate: "0.08", floating: true, amortisation: linear, maturity: 2032-12-31}
evidence:                          # P filed or quoted, S1 press or analyst, S2 aggregator, assumed
  it_power_mw: {grade: assumed, source: "an example"}
"""

CONTRACT = """\
# Copy to <contract_id>.yaml. One file a contract; amendments are further versions, never edits.
contract_id: my-contract-1
vendor_id: nvidia                  # built in; others in vendors/
operator_id: my-operator
park_id: my-park-1
currency_code: USD
signed_date: 2026-12-01
service_commencement_date: 2027-01-01
expiry_date: 2032-12-31            # last day
versions:
  - amendment_id: original
    valid_from: 2027-01-01
    recorded_at: 2026-12-01T00:00:00Z    # when the books may know it
    revenue_share:
      share_basis: pct_of_base     # pct_of_base | pct_above_floor | greater_of_min_or_pct | pct_above_breakpoint
      base_measure: net_billed     # gross_billed | net_billed | cash_collected
      customer_scope: third_party_only   # third_party_only | incl_related | incl_vendor_own_use
      exclusions: [sales_tax, power_passthrough, sla_penalties, credits_refunds]
      declining: true              # says that rates fall, and is checked
      tiers:                       # months and dates inclusive on both sides
        - {tier_no: 1, axis: contract_month, from: 1, to: 24, rate: "0.25", application: marginal}
        - {tier_no: 2, axis: contract_month, from: 25, to: null, rate: "0.20", application: marginal}
      minimum_guarantee: null      # {amount: "100000", period: month}
      period_cap: null             # {amount: "5000000", period: month}
      lifetime_cap: null           # an amount
      negative_base: credit_note
      statement_due_days: 15
      payment_terms_days: 60
    backstop:
      settlement_type: unsold_hours_x_price
      committed_fraction: "0.85"
      ramp: [{from_month: 1, to_month: 3, fraction: "0.50"}]   # by month of the tranche; else 1
      excluded_causes: [operator_fault, late_delivery, maintenance_above_allowance, power_curtailment]
      maintenance_allowance_fraction: "0.02"
      effective_condition: {event: energised, longstop_days: 180}
      deductible_fraction: "0.05"
      buyback_price: [{from_month: 1, to_month: null, price_per_gpu_hour: "2.00", index: null}]
      period_cap: {amount: "10000000", period: month}
      lifetime_cap: {amount: "500000000", reduces_with: [payment]}
      seller_withdrawal: {allowed: true, notice_days: 90, recall: false}
      buyer_own_use_reduces: true
      claim: {notice_days: 20, cure_days: 10, payment_days: 45}
      set_off: {scope: none, enforceable: false}
      survives_operator_insolvency: false
      accounting_class: purchase_commitment_disclosure
    covenants:
      - {covenant_id: dscr, metric: dscr, operator: ">=", threshold: "1.3", test_frequency: quarter, consequence: sweep}
    evidence:
      revenue_share: {grade: assumed, source: "an example"}
      backstop: {grade: assumed, source: "an example"}
"""

VENDOR = """\
# Copy to <vendor_id>.yaml. nvidia is built in.
vendor_id: my-vendor
vendor_name: My Vendor Inc.
issuer_id: my-vendor               # as in reference/issuer_facts.csv
fiscal_year_end: {month: 12, rule: month_end}   # last_sunday | last_saturday | last_friday | month_end
"""

POLICY = """\
# Copy to any name.yaml. Policies are your choice and no contract's term; these are some of the defaults.
close_after_days: 10               # a month closes at the end of this day after its last
default_days_past_due: 90
"""

SCENARIO = """\
# Copy to <scenario_id>.yaml. With a weight it is a macro scenario of expected credit loss (weights sum to 1), without
# one a stress.
scenario_id: my-slump
scenario_name: Prices fall by a third
drivers:
  - {driver: price_change_fraction, value: "-0.33", source: "our planning", grade: assumed}
"""

ALERTS = """\
# Copy to alerts.yaml. Without it the shipped rules watch (`parkledger alerts rules`), and nobody is told.
# Secrets never stand here: write ${NAME}, and put NAME into the environment. `parkledger alerts test` tries every channel.
channels:
  - channel_id: desk
    url: "mailtos://${ALERT_MAIL_USER}:${ALERT_MAIL_PASSWORD}@smtp.example.org?to=desk@example.org"
  - channel_id: chat
    url: "${ALERT_CHAT_URL}"               # any address that Apprise knows: slack://…, msteams://…, json://host/path
    severities: [critical]
  - channel_id: file
    file: reports/alerts.jsonl
rules:
  - {rule_id: debt-service, kind: level, metric: dscr, below: 1.0, severity: critical, says: debt service is not covered}
  - {rule_id: dso-jump, kind: change, metric: dso_days, rises_by: 15, months: 1, says: DSO rose by more than fifteen days}
  - {rule_id: occupancy-trend, kind: trend, metric: occupancy_fraction, falls_by: 0.02, months: 3, says: occupancy falls}
  - {rule_id: dscr-countdown, kind: countdown, metric: dscr, below: 1.0, within_months: 6, months: 6, says: cover runs out}
  - {rule_id: no-pue, kind: missing, metric: pue_ratio, months: 1, entity_levels: [park], says: PUE is not measured}
"""

LANDING = f"""\
# Landing

Drop files under `<park_id>/<feed>/`, with any name, in any order, any number of times. Nothing in here is ever changed.
The same bytes count once; of several rows with one key, the one recorded last counts.

Files that are still being written should end in `.part` or `.tmp`, or begin with a dot, until they are renamed.

CSV (comma, header, UTF-8) or Parquet, each plain, gzip or zstd, with the columns below in any order; columns that are
not needed may be missing or empty, further ones stay in the file only. What other tools write (dcgm-exporter,
Prometheus, NEM12, Green Button, FOCUS and more) is read as it is: `parkledger land FILE --park P` says what a file is
taken for, and reads it on trial.

A sample belongs to the tranche whose `nodes` pattern matches its `node_id`. Adjustments are signed as they change the
tenant's bill: credits, refunds, penalties and bad debt negative, taxes and pass-through positive.

{feed_guide()}"""

REFERENCE = """\
# Reference

Optional tables: fx.csv, yield_curve.csv, default_rates.csv, gpu_price_index.csv, power_price.csv, issuer_facts.csv, and
SEC companyfacts JSON as it comes. Those of the demo home (data/reference in the project) show every header and are real: copy
what you need. Without default_rates.csv the demo's table stands in. Four more that the demo has no use for:

credit_curves.csv: default curves of operators, which count before their ratings from curve_date on. kind is cumulative_pd (a
fraction to the horizon) or cds_spread (a fraction a year: 0.0811 for 811 bp; recovery_fraction 0.40 where empty).

    obligor_id,curve_date,kind,horizon_years,value,recovery_fraction,source,grade
    my-operator,2027-03-31,cds_spread,5,0.0811,0.40,"broker's sheet of the day",S1

instruments.csv: what the vendor has lent to a contract's operator, flow by flow: the first paid out (below 0), the others due.

    instrument_id,contract_id,flow_date,amount,currency_code,source,grade
    my-loan,my-contract-1,2027-01-15,-1000000.00,USD,"loan agreement",P
    my-loan,my-contract-1,2028-01-15,1090000.00,USD,"loan agreement",P

operator_facts.csv: what operators' own statements tell. Of the whole operator, cash and undrawn facilities (item cash,
undrawn_facility), for months of liquidity and covenants on min_liquidity. Of one contract and the month of as_of_date, in
its currency: operating_cost (a share of ebitda rests on it), debt_service_due, debt_service_paid (by its own means) and
cash_for_debt_service (a backstop of debt service, an activation on dscr), lease_payment_due and lease_payment_paid. A
statement counts from the day after published_date on; one of the same day and item that is published later replaces it.

    operator_id,as_of_date,published_date,item,amount,currency_code,source,grade,contract_id
    my-operator,2027-06-30,2027-08-27,cash,182000000.00,USD,"half-year report, note 7",P,
    my-operator,2027-02-28,2027-03-05,operating_cost,1250000.00,USD,"certificate of the month",P,my-contract-1

hardware_values.csv: prices of used hardware (kind market) and what a lender's schedule holds it at (kind lender_schedule; of
one park, or of all where park_id is empty), for the residual mark; market prices also for a residual-value support.

    observed_date,gpu_model,kind,park_id,price_per_gpu,currency_code,source,grade
    2027-06-30,GB300,lender_schedule,my-park-1,38000.00,USD,"loan agreement, schedule 4",P
    2027-06-30,GB300,market,,33500.00,USD,"broker's quote",S1
"""

# Path in the home and content.
FILES: dict[str, str] = {
    "home.yaml": HOME,
    "parks/example.yaml.txt": PARK,
    "contracts/example.yaml.txt": CONTRACT,
    "deals/example.yaml.txt": CONTRACT.replace("my-contract-1", "my-deal-1").replace(
        "# Copy to <contract_id>.yaml. One file a contract; amendments are further versions, never edits.",
        "# Copy to <contract_id>.yaml. Written like a contract, never booked: for comparison on the same park.",
    ),
    "vendors/example.yaml.txt": VENDOR,
    "policies/example.yaml.txt": POLICY,
    "scenarios/example.yaml.txt": SCENARIO,
    "alerts.yaml.txt": ALERTS,
    "landing/README.md": LANDING,
    "reference/README.md": REFERENCE,
}
