"""Terms as tables of the schema `raw`, rewritten whole from the YAML at each run. No terms are read or checked here."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from ingest.inserting import insert_rows
from ingest.terms.contract import ClaimFx, Contract, Version
from ingest.terms.flatten import contract_terms, value_text, version_terms
from ingest.terms.home import Home
from ingest.terms.scalars import minor_unit_digits
from ingest.transactions import transaction

Row = dict[str, Any]

_RATE, _MONEY, _HOURS = "DECIMAL(18,9)", "DECIMAL(18,2)", "DECIMAL(18,6)"
_TEXT, _INT, _DATE, _INSTANT, _BOOL, _TEXTS = "VARCHAR", "INTEGER", "DATE", "TIMESTAMPTZ", "BOOLEAN", "VARCHAR[]"
_VERSION = {"contract_id": _TEXT, "amendment_id": _TEXT}
_DATED = {"valid_from": _DATE, "recorded_at": _INSTANT}

COLUMNS: dict[str, dict[str, str]] = {
    "home": {
        "title": _TEXT,
        "as_of_date": _DATE,
        "clock_at": _INSTANT,
        "reporting_currency_code": _TEXT,
        "is_simulated": _BOOL,
        "simulation_note": _TEXT,
    },
    "policy": {"policy": _TEXT, "value_text": _TEXT},
    "park": {
        "park_id": _TEXT,
        "park_name": _TEXT,
        "operator_id": _TEXT,
        "country_code": _TEXT,
        "time_zone": _TEXT,
        "currency_code": _TEXT,
        "it_power_mw": _HOURS,
        "telemetry_interval_seconds": _INT,
        "pue_min": "DECIMAL(9,6)",
        "pue_max": "DECIMAL(9,6)",
        "is_simulated": _BOOL,
    },
    "operator": {
        "operator_id": _TEXT,
        "operator_name": _TEXT,
        "parent_id": _TEXT,
        "country_code": _TEXT,
        "rating": _TEXT,
        "rating_agency": _TEXT,
    },
    "vendor": {
        "vendor_id": _TEXT,
        "vendor_name": _TEXT,
        "issuer_id": _TEXT,
        "fiscal_year_end_month": _INT,
        "fiscal_year_end_rule": _TEXT,
    },
    "tranche": {
        "tranche_id": _TEXT,
        "park_id": _TEXT,
        "contract_id": _TEXT,
        "gpu_model": _TEXT,
        "gpu_count": _INT,
        "planned_date": _DATE,
        "energised_date": _DATE,
        "nodes": _TEXT,
    },
    "park_economics": {
        "park_id": _TEXT,
        "tariff_per_mwh": _RATE,
        "land_per_month": _MONEY,
        "operation_per_gpu_month": _RATE,
        "currency_code": _TEXT,
        "evidence_grade": _TEXT,
    },
    "park_debt": {
        "park_id": _TEXT,
        "lender": _TEXT,
        "principal": _MONEY,
        "rate": _RATE,
        "floating": _BOOL,
        "amortisation": _TEXT,
        "maturity": _DATE,
    },
    "contract": {
        "contract_id": _TEXT,
        "vendor_id": _TEXT,
        "operator_id": _TEXT,
        "park_id": _TEXT,
        "currency_code": _TEXT,
        "minor_unit_digits": _INT,
        "signed_date": _DATE,
        "service_commencement_date": _DATE,
        "expiry_date": _DATE,
        "is_booked": _BOOL,
    },
    "contract_version": {**_VERSION, **_DATED, "instrument": _TEXT},
    "share_terms": {
        "contract_id": _TEXT,
        "share_id": _TEXT,
        "amendment_id": _TEXT,
        **_DATED,
        "share_basis": _TEXT,
        "base_measure": _TEXT,
        "base_scope": _TEXT,
        "customer_scope": _TEXT,
        "exclusions": _TEXTS,
        "floor_price_per_gpu_hour": _RATE,
        "breakpoint_amount": _MONEY,
        "declining": _BOOL,
        "combine": _TEXT,
        "minimum_amount": _MONEY,
        "minimum_period": _TEXT,
        "minimum_creditable": _BOOL,
        "period_cap_amount": _MONEY,
        "period_cap_period": _TEXT,
        "lifetime_cap_amount": _MONEY,
        "return_multiple": _RATE,
        "hardware_amount": _MONEY,
        "true_up_frequency": _TEXT,
        "true_up_carry_forward": _BOOL,
        "true_up_due_days": _INT,
        "true_up_interest": _BOOL,
        "reserve_fraction": _RATE,
        "reserve_release_months": _INT,
        "negative_base": _TEXT,
        "accrual_period": _TEXT,
        "statement_due_days": _INT,
        "payment_terms_days": _INT,
        "late_rate": _RATE,
        "fx_source": _TEXT,
        "fx_fix": _TEXT,
        "withholding_tax_rate": _RATE,
        "gross_up": _BOOL,
        "receivable_accounting_class": _TEXT,
    },
    "share_tier": {
        "contract_id": _TEXT,
        "share_id": _TEXT,
        "amendment_id": _TEXT,
        "tier_no": _INT,
        "axis": _TEXT,
        "from_month": _INT,
        "to_month": _INT,
        "from_date": _DATE,
        "to_date": _DATE,
        "from_value": _RATE,
        "to_value": _RATE,
        "rate": _RATE,
        "application": _TEXT,
    },
    "share_activation": {
        "contract_id": _TEXT,
        "share_id": _TEXT,
        "amendment_id": _TEXT,
        "criterion_no": _INT,
        "metric": _TEXT,
        "operator": _TEXT,
        "value": _RATE,
        "test_window_months": _INT,
        "cure_months": _INT,
    },
    "backstop_terms": {
        **_VERSION,
        **_DATED,
        "settlement_type": _TEXT,
        "committed_fraction": _RATE,
        "excluded_causes": _TEXTS,
        "maintenance_allowance_fraction": _RATE,
        "effective_event": _TEXT,
        "longstop_days": _INT,
        "deductible_gpu_hours": _HOURS,
        "deductible_fraction": _RATE,
        "first_loss_band": _RATE,
        "period_cap_amount": _MONEY,
        "period_cap_period": _TEXT,
        "annual_cap_amount": _MONEY,
        "lifetime_cap_amount": _MONEY,
        "lifetime_cap_reduces_with": _TEXTS,
        "lifetime_cap_index_id": _TEXT,
        "withdrawal_allowed": _BOOL,
        "withdrawal_notice_days": _INT,
        "withdrawal_recall": _BOOL,
        "withdrawal_tranche_min": _INT,
        "withdrawal_claw_back_fraction": _RATE,
        "buyer_own_use_reduces": _BOOL,
        "claim_notice_days": _INT,
        "claim_cure_days": _INT,
        "claim_payment_days": _INT,
        "set_off_scope": _TEXT,
        "set_off_enforceable": _BOOL,
        "resale_allowed": _BOOL,
        "resale_proceeds_to": _TEXT,
        "survives_operator_insolvency": _BOOL,
        "expiry_date": _DATE,
        "accounting_class": _TEXT,
        "make_up_window_months": _INT,
        "fx_source": _TEXT,
        "fx_fix": _TEXT,
        "residual_value_support_pct": _RATE,
        "attachment_pct": _RATE,
        "rv_date": _DATE,
        "rv_hardware_price_per_gpu": _MONEY,
    },
    "backstop_ramp": {**_VERSION, "from_month": _INT, "to_month": _INT, "fraction": _RATE},
    "backstop_price": {
        **_VERSION,
        "from_month": _INT,
        "to_month": _INT,
        "price_per_gpu_hour": _RATE,
        "index_id": _TEXT,
    },
    "backstop_termination": {
        **_VERSION,
        "ground": _TEXT,
        "notice_days": _INT,
        "payer": _TEXT,
        "termination_amount": _MONEY,
    },
    "token_advance": {
        **_VERSION,
        **_DATED,
        "advance_id": _TEXT,
        "share_id": _TEXT,
        "advance_type": _TEXT,
        "face_amount": _MONEY,
        "currency_code": _TEXT,
        "unit": _TEXT,
        "conversion_price": _RATE,
        "beneficiary": _TEXT,
        "grant_date": _DATE,
        "expiry_date": _DATE,
        "recoup_order": _TEXT,
        "recoupment_rate": _RATE,
        "recourse": _TEXT,
        "interest": _RATE,
    },
    "covenant": {
        **_VERSION,
        **_DATED,
        "covenant_id": _TEXT,
        "metric": _TEXT,
        "operator": _TEXT,
        "threshold": _RATE,
        "test_frequency": _TEXT,
        "lookback_months": _INT,
        "cure_days": _INT,
        "consequence": _TEXT,
    },
    "collateral": {
        **_VERSION,
        **_DATED,
        "collateral_no": _INT,
        "collateral_type": _TEXT,
        "pledged_amount": _MONEY,
        "currency_code": _TEXT,
        "haircut": _RATE,
        "rank": _INT,
        "perfected_date": _DATE,
    },
    "contract_term": {
        "contract_id": _TEXT,
        "instrument": _TEXT,
        "term": _TEXT,
        "valid_from": _DATE,
        "valid_to": _DATE,
        "amendment_id": _TEXT,
        "recorded_at": _INSTANT,
        "value_text": _TEXT,
        "evidence_grade": _TEXT,
        "source": _TEXT,
    },
    "alert_rule": {
        "rule_id": _TEXT,
        "kind": _TEXT,
        "rule": _TEXT,
        "metric": _TEXT,
        "severity": _TEXT,
        "side": _TEXT,
        "threshold": _RATE,
        "months": _INT,
        "within_months": _RATE,
        "is_relative": _BOOL,
        "entity_levels": _TEXTS,
        "entities": _TEXTS,
    },
    "scenario": {
        "scenario_id": _TEXT,
        "scenario_name": _TEXT,
        "weight": "DECIMAL(9,6)",
        "driver": _TEXT,
        "value": _RATE,
        "source": _TEXT,
        "evidence_grade": _TEXT,
    },
}

# What each table holds; the first sentence is its grain.
TABLES: dict[str, str] = {
    "home": "One row: the home's title, clock and reporting currency.",
    "policy": "One row per policy, with the user's value or the default.",
    "park": "One row per park.",
    "operator": "One row per operator.",
    "vendor": "One row per vendor, with its fiscal calendar.",
    "tranche": "One row per tranche of GPUs; contract_id is null where no deal covers it.",
    "park_economics": "One row per park whose costs are given.",
    "park_debt": "One row per loan of a park.",
    "contract": "One row per contract or deal; deals are not booked.",
    "contract_version": "One row per contract, amendment and instrument that the amendment names.",
    "share_terms": "One row per contract, share and amendment.",
    "share_tier": "One row per contract, share, amendment and tier.",
    "share_activation": "One row per contract, share, amendment and criterion.",
    "backstop_terms": "One row per contract and amendment that names the backstop.",
    "backstop_ramp": "One row per contract, amendment and step of the ramp; outside any step it is 1.",
    "backstop_price": "One row per contract, amendment and step of the buy-back price.",
    "backstop_termination": "One row per contract, amendment and ground on which the backstop may end early.",
    "token_advance": "One row per contract, amendment and advance.",
    "covenant": "One row per contract, amendment and covenant.",
    "collateral": "One row per contract, amendment and thing pledged.",
    "contract_term": "One row per contract, instrument, term and amendment: every term as text, with its evidence.",
    "alert_rule": "One row per rule of an alert; null where a rule of its kind has no such thing.",
    "scenario": "One row per scenario and driver.",
}

# What a term is worth as evidence where the file leaves it to the schema's default.
_DEFAULT_GRADE, _DEFAULT_SOURCE = "assumed", "default reading of parkledger"
_SIDES = ("below", "above", "falls_by", "rises_by")
_GRADES_FROM_WEAKEST = ("assumed", "S2", "S1", "P")


def known_at(version: Version) -> datetime:
    """When the ledger may know a version: `recorded_at`, else the beginning of `valid_from` in UTC."""
    return version.recorded_at or datetime.combine(version.valid_from, time(), tzinfo=UTC)


def _alert_rows(home: Home) -> Iterator[tuple[str, Row]]:
    for rule in home.alerts.rules:
        given = rule.model_dump(include=set(COLUMNS["alert_rule"]))
        side = next((name for name in _SIDES if getattr(rule, name, None) is not None), None)
        threshold = getattr(rule, side) if side else None
        is_relative = getattr(rule, "relative", None)
        yield (
            "alert_rule",
            {**given, "rule": rule.says, "side": side, "threshold": threshold, "is_relative": is_relative},
        )


def _home_rows(home: Home) -> Iterator[tuple[str, Row]]:
    simulation = home.simulation
    yield (
        "home",
        {
            "title": home.title,
            "as_of_date": home.as_of_date,
            "clock_at": home.clock_at,
            "reporting_currency_code": home.reporting_currency_code,
            "is_simulated": simulation is not None and bool(simulation.parks),
            "simulation_note": simulation.note if simulation else None,
        },
    )
    for name in type(home.policies).model_fields:
        yield "policy", {"policy": name, "value_text": value_text(getattr(home.policies, name))}
    yield from _alert_rows(home)
    for vendor in home.vendors.values():
        yield (
            "vendor",
            {
                "vendor_id": vendor.vendor_id,
                "vendor_name": vendor.vendor_name,
                "issuer_id": vendor.issuer_id,
                "fiscal_year_end_month": vendor.fiscal_year_end.month,
                "fiscal_year_end_rule": vendor.fiscal_year_end.rule,
            },
        )
    for scenario in home.scenarios.values():
        for driver in scenario.drivers:
            yield (
                "scenario",
                {
                    "scenario_id": scenario.scenario_id,
                    "scenario_name": scenario.scenario_name,
                    "weight": scenario.weight,
                    "driver": driver.driver,
                    "value": driver.value,
                    "source": driver.source,
                    "evidence_grade": driver.grade,
                },
            )


def _park_rows(home: Home) -> Iterator[tuple[str, Row]]:
    operators: dict[str, Row] = {}
    for park in home.parks.values():
        operators[park.operator.operator_id] = park.operator.model_dump()
        yield (
            "park",
            {
                **park.model_dump(
                    include={"park_id", "park_name", "country_code", "time_zone", "currency_code", "it_power_mw"}
                ),
                "operator_id": park.operator.operator_id,
                "telemetry_interval_seconds": park.telemetry_interval_seconds,
                "pue_min": park.pue_bounds[0],
                "pue_max": park.pue_bounds[1],
                "is_simulated": home.is_simulated(park.park_id),
            },
        )
        for tranche in park.tranches:
            row = tranche.model_dump()
            # A tranche whose contract was left out goes on being metered, without a deal.
            row["contract_id"] = tranche.contract_id if tranche.contract_id in home.contracts else None
            yield "tranche", {"park_id": park.park_id, **row}
        if park.economics:
            grades = [item.grade for key, item in park.evidence.items() if key.split(".")[0] == "economics"]
            yield (
                "park_economics",
                {
                    "park_id": park.park_id,
                    **park.economics.model_dump(exclude={"debt", "currency_code"}),
                    "currency_code": park.economics.currency_code or park.currency_code,
                    "evidence_grade": min(grades, key=_GRADES_FROM_WEAKEST.index, default=None),
                },
            )
            for debt in park.economics.debt:
                yield "park_debt", {"park_id": park.park_id, **debt.model_dump()}
    for row in operators.values():
        yield "operator", row


def _tier_bounds(axis: str, start: Decimal | date | None, end: Decimal | date | None) -> Row:
    kind = {"contract_month": "month", "date": "date"}.get(axis, "value")
    whole = kind == "month"
    return {
        f"from_{kind}": int(start) if whole and isinstance(start, Decimal) else start,
        f"to_{kind}": int(end) if whole and isinstance(end, Decimal) else end,
    }


def _share_rows(contract_id: str, version: Version, dated: Row) -> Iterator[tuple[str, Row]]:
    for share in version.revenue_share or []:
        keys: Row = {"contract_id": contract_id, "share_id": share.share_id, "amendment_id": version.amendment_id}
        minimum, cap, multiple, true_up = (
            share.minimum_guarantee,
            share.period_cap,
            share.return_multiple_cap,
            share.true_up,
        )
        direct = {name for name in COLUMNS["share_terms"] if name in type(share).model_fields}
        yield (
            "share_terms",
            {
                **share.model_dump(include=direct),
                **keys,
                **dated,
                "minimum_amount": minimum.amount if minimum else None,
                "minimum_period": minimum.period if minimum else None,
                "minimum_creditable": minimum.creditable if minimum else None,
                "period_cap_amount": cap.amount if cap else None,
                "period_cap_period": cap.period if cap else None,
                "lifetime_cap_amount": share.lifetime_cap.amount if share.lifetime_cap else None,
                "return_multiple": multiple.multiple if multiple else None,
                "hardware_amount": multiple.hardware_amount if multiple else None,
                "true_up_frequency": true_up.frequency if true_up else None,
                "true_up_carry_forward": true_up.carry_forward if true_up else None,
                "true_up_due_days": true_up.due_days if true_up else None,
                "true_up_interest": true_up.interest if true_up else None,
                "reserve_fraction": share.reserve_pct,
                "fx_source": share.fx.source,
                "fx_fix": share.fx.fix,
            },
        )
        for tier in share.tiers:
            yield (
                "share_tier",
                {
                    **keys,
                    "tier_no": tier.tier_no,
                    "axis": tier.axis,
                    **_tier_bounds(tier.axis, tier.from_, tier.to),
                    "rate": tier.rate,
                    "application": tier.application,
                },
            )
        for number, criterion in enumerate(share.activation, start=1):
            yield "share_activation", {**keys, "criterion_no": number, **criterion.model_dump()}


def _backstop_rows(contract: Contract, version: Version, keys: Row, dated: Row) -> Iterator[tuple[str, Row]]:
    backstop = version.backstop
    if backstop is None:
        return
    direct = {name for name in COLUMNS["backstop_terms"] if name in type(backstop).model_fields}
    cap, lifetime, fx = backstop.period_cap, backstop.lifetime_cap, backstop.fx or ClaimFx()
    yield (
        "backstop_terms",
        {
            **backstop.model_dump(include=direct),
            **keys,
            **dated,
            "effective_event": backstop.effective_condition.event,
            "longstop_days": backstop.effective_condition.longstop_days,
            "period_cap_amount": cap.amount if cap else None,
            "period_cap_period": cap.period if cap else None,
            "annual_cap_amount": backstop.annual_cap,
            "lifetime_cap_amount": lifetime.amount if lifetime else None,
            "lifetime_cap_reduces_with": lifetime.reduces_with if lifetime else None,
            "lifetime_cap_index_id": lifetime.index if lifetime else None,
            "withdrawal_allowed": backstop.seller_withdrawal.allowed,
            "withdrawal_notice_days": backstop.seller_withdrawal.notice_days,
            "withdrawal_recall": backstop.seller_withdrawal.recall,
            "withdrawal_tranche_min": backstop.seller_withdrawal.tranche_min,
            "withdrawal_claw_back_fraction": backstop.seller_withdrawal.clawback_pct,
            "claim_notice_days": backstop.claim.notice_days,
            "claim_cure_days": backstop.claim.cure_days,
            "claim_payment_days": backstop.claim.payment_days,
            "set_off_scope": backstop.set_off.scope,
            "set_off_enforceable": backstop.set_off.enforceable,
            "resale_allowed": backstop.resale.allowed,
            "resale_proceeds_to": backstop.resale.proceeds_to,
            "expiry_date": backstop.expiry_date or contract.expiry_date,
            "make_up_window_months": backstop.make_up.window_months if backstop.make_up else None,
            "fx_source": fx.source,
            "fx_fix": fx.fix,
        },
    )
    for step in backstop.ramp:
        yield "backstop_ramp", {**keys, **step.model_dump()}
    for price in backstop.buyback_price:
        yield "backstop_price", {**keys, **price.model_dump(exclude={"index"}), "index_id": price.index}
    for end in backstop.early_termination:
        said = {"ground": end.ground, "notice_days": end.notice_days, "payer": end.payer or "operator"}
        yield "backstop_termination", {**keys, **said, "termination_amount": end.termination_payment}


def _valid_to(contract: Contract, version: Version, instrument: str, clock_at: datetime) -> date | None:
    """Last day of a version's instrument as known at the home's clock; the contract's expiry for the last one.

    A version that another one of the same first day corrects holds on no day: its last day is the one before its first.
    """
    later = [
        other
        for other in contract.versions
        if other is not version
        and instrument in other.instruments()
        and known_at(other) <= clock_at
        and (other.valid_from, known_at(other)) > (version.valid_from, known_at(version))
    ]
    if not later:
        return contract.expiry_date
    return min(other.valid_from for other in later) - timedelta(days=1)


def _term_rows(home: Home, contract: Contract) -> Iterator[tuple[str, Row]]:
    first = min(contract.versions, key=lambda version: (version.valid_from, known_at(version)))
    for term in contract_terms(contract):
        yield (
            "contract_term",
            {
                "contract_id": contract.contract_id,
                "instrument": term.instrument,
                "term": term.term,
                "valid_from": first.valid_from,
                "valid_to": contract.expiry_date,
                "amendment_id": first.amendment_id,
                "recorded_at": known_at(first),
                "value_text": term.value_text,
                "evidence_grade": term.evidence.grade if term.evidence else None,
                "source": term.evidence.source if term.evidence else None,
            },
        )
    for version in contract.versions:
        for term in version_terms(version):
            grade = term.evidence.grade if term.evidence else None if term.is_explicit else _DEFAULT_GRADE
            source = term.evidence.source if term.evidence else None if term.is_explicit else _DEFAULT_SOURCE
            yield (
                "contract_term",
                {
                    "contract_id": contract.contract_id,
                    "instrument": term.instrument,
                    "term": term.term,
                    "valid_from": version.valid_from,
                    "valid_to": _valid_to(contract, version, term.instrument, home.clock_at),
                    "amendment_id": version.amendment_id,
                    "recorded_at": known_at(version),
                    "value_text": term.value_text,
                    "evidence_grade": grade,
                    "source": source,
                },
            )


def _contract_rows(home: Home, contracts: Iterable[Contract], *, is_booked: bool) -> Iterator[tuple[str, Row]]:
    for contract in contracts:
        direct = {name for name in COLUMNS["contract"] if name in Contract.model_fields}
        yield (
            "contract",
            {
                **contract.model_dump(include=direct),
                "minor_unit_digits": minor_unit_digits(contract.currency_code),
                "is_booked": is_booked,
            },
        )
        for version in contract.versions:
            keys: Row = {"contract_id": contract.contract_id, "amendment_id": version.amendment_id}
            dated: Row = {"valid_from": version.valid_from, "recorded_at": known_at(version)}
            for instrument in version.instruments():
                yield "contract_version", {**keys, **dated, "instrument": instrument}
            yield from _share_rows(contract.contract_id, version, dated)
            yield from _backstop_rows(contract, version, keys, dated)
            currency = {"currency_code": contract.currency_code}
            for advance in version.token_advances:
                row = advance.model_dump(include=set(COLUMNS["token_advance"]), exclude_none=True)
                share_id = contract.recouping_share_id(advance)
                yield "token_advance", {**currency, **row, **keys, **dated, "share_id": share_id}
            for covenant in version.covenants:
                yield "covenant", {**covenant.model_dump(include=set(COLUMNS["covenant"])), **keys, **dated}
            for number, pledge in enumerate(version.collateral, start=1):
                row = pledge.model_dump(include=set(COLUMNS["collateral"]), exclude_none=True)
                yield "collateral", {**currency, **row, **keys, **dated, "collateral_no": number}
        yield from _term_rows(home, contract)


def _all_rows(home: Home) -> Iterator[tuple[str, Row]]:
    yield from _home_rows(home)
    yield from _park_rows(home)
    yield from _contract_rows(home, home.contracts.values(), is_booked=True)
    yield from _contract_rows(home, home.deals.values(), is_booked=False)


def write_terms(con: duckdb.DuckDBPyConnection, home: Home) -> dict[str, int]:
    """Rewrite the terms tables of `raw` in one transaction.

    Args:
        con: a writing connection whose TimeZone is UTC.
        home: the loaded home.

    Returns:
        Row count of each table.
    """
    rows: dict[str, list[list[Any]]] = {table: [] for table in COLUMNS}
    for table, row in _all_rows(home):
        unknown = row.keys() - COLUMNS[table].keys()
        if unknown:
            raise ValueError(f"raw.{table} has no column {sorted(unknown)}")
        rows[table].append([row.get(column) for column in COLUMNS[table]])
    with transaction(con):
        con.execute("CREATE SCHEMA IF NOT EXISTS raw")
        for table, columns in COLUMNS.items():
            definition = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            con.execute(f"CREATE OR REPLACE TABLE raw.{table} ({definition})")
            insert_rows(con, f"raw.{table}", columns, rows[table])
    return {table: len(values) for table, values in rows.items()}
