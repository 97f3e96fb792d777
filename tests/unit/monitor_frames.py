"""Plausible published frames for the monitor's tests: two parks, two contracts, fifteen months, columns as published.

Everything is arithmetic on the month's number: no randomness, so that a changed page is a changed page.
The frames foot (waterfall, roll-forwards, capacity balance), because the monitor's tests check that the page does.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import polars as pl

AS_OF = date(2027, 12, 31)
CENT = Decimal("0.01")
MONTHS = [date(2026 + (9 + i) // 12, (9 + i) % 12 + 1, 1) for i in range(15)]
BUCKETS = ["current", "1-30", "31-60", "61-90", "91-120", ">120"]

PARKS: list[dict[str, Any]] = [
    {
        "park_id": "sharon-au-1", "park_name": "Sharon AI Australia", "operator_id": "sharon-ai", "country_code": "AU",
        "time_zone": "Australia/Sydney", "currency_code": "USD", "it_power_mw": Decimal("72.000000"),
    },
    {
        "park_id": "firmus-batam-1", "park_name": "Firmus Batam", "operator_id": "firmus", "country_code": "ID",
        "time_zone": "Asia/Jakarta", "currency_code": "USD", "it_power_mw": Decimal("360.000000"),
    },
]  # fmt: skip
CONTRACTS: list[dict[str, Any]] = [
    {
        "contract_id": "sharon-nvda-2026", "vendor_id": "nvidia", "operator_id": "sharon-ai", "park_id": "sharon-au-1",
        "currency_code": "USD", "signed_date": date(2026, 6, 12), "expiry_date": date(2032, 9, 30),
        "accounting_class": "purchase_commitment_disclosure",
    },
    {
        "contract_id": "firmus-nvda-2026", "vendor_id": "nvidia", "operator_id": "firmus", "park_id": "firmus-batam-1",
        "currency_code": "USD", "signed_date": date(2026, 6, 29), "expiry_date": date(2034, 12, 31),
        "accounting_class": "purchase_commitment_disclosure",
    },
    {
        "contract_id": "sharon-amd-deal", "vendor_id": "amd", "operator_id": "sharon-ai", "park_id": "sharon-au-1",
        "currency_code": "USD", "signed_date": date(2026, 6, 29), "expiry_date": date(2034, 12, 31),
        "accounting_class": "none",
    },
]  # fmt: skip
TRANCHES: list[dict[str, Any]] = [
    {"tranche_id": "sharon-au-1-a", "contract_id": "sharon-nvda-2026", "park_id": "sharon-au-1", "gpu_model": "GB300",
     "gpu_count": 20000, "energised_date": date(2026, 10, 1)},
    {"tranche_id": "sharon-au-1-b", "contract_id": "sharon-nvda-2026", "park_id": "sharon-au-1", "gpu_model": "GB300",
     "gpu_count": 20000, "energised_date": date(2027, 1, 1)},
    {"tranche_id": "firmus-batam-1-a", "contract_id": "firmus-nvda-2026", "park_id": "firmus-batam-1",
     "gpu_model": "GB300", "gpu_count": 40000, "energised_date": date(2027, 3, 1)},
    {"tranche_id": "firmus-batam-1-b", "contract_id": "firmus-nvda-2026", "park_id": "firmus-batam-1",
     "gpu_model": "VR200", "gpu_count": 60000, "energised_date": date(2027, 9, 1)},
    {"tranche_id": "firmus-batam-1-c", "contract_id": "firmus-nvda-2026", "park_id": "firmus-batam-1",
     "gpu_model": "VR200", "gpu_count": 70000, "energised_date": date(2028, 2, 1)},
]  # fmt: skip
PRICE = {"sharon-nvda-2026": Decimal("2.33"), "firmus-nvda-2026": Decimal("2.12")}
LEASE_PRICE = {"sharon-nvda-2026": Decimal("2.95"), "firmus-nvda-2026": Decimal("2.70")}


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def _days(month: date) -> int:
    return calendar.monthrange(month.year, month.month)[1]


def _occupancy(contract: str, index: int) -> Decimal:
    wave = [0, 3, 5, 8, 9, 7, 4, 1, -2, -6, -9, -8, -4, 0, 3][index]
    start = Decimal("0.74") if contract.startswith("sharon") else Decimal("0.52") + Decimal("0.02") * index
    return start + Decimal(wave) / 100


def _tranche_month(tranche: dict[str, Any], index: int) -> dict[str, Any] | None:
    month = MONTHS[index]
    if tranche["energised_date"] > month:
        return None
    contract = tranche["contract_id"]
    installed = Decimal(tranche["gpu_count"] * 24 * _days(month))
    excluded = (installed * Decimal("0.012")).quantize(Decimal("0.001"))
    vendor_use = (installed * Decimal("0.010")).quantize(Decimal("0.001"))
    third_party = (installed * (_occupancy(contract, index) - Decimal("0.02"))).quantize(Decimal("0.001"))
    committed = installed * Decimal("0.85")
    unsold = max(Decimal(0), committed - excluded - third_party - vendor_use)
    deductible = min(unsold, committed * Decimal("0.05"))
    claim_hours = unsold - deductible
    before = claim_hours * PRICE[contract]
    return {
        "tranche_id": tranche["tranche_id"], "service_month": month, "contract_id": contract,
        "installed_gpu_hours": installed, "excluded_gpu_hours": excluded, "committed_gpu_hours": committed,
        "third_party_gpu_hours": third_party, "vendor_use_gpu_hours": vendor_use, "unsold_gpu_hours": unsold,
        "deductible_gpu_hours": deductible, "claim_gpu_hours": claim_hours,
        "buyback_price_per_gpu_hour": PRICE[contract], "claim_before_caps_amount": before,
        "claim_amount": cents(before), "currency_code": "USD",
    }  # fmt: skip


def _frame(rows: list[dict[str, Any]], **types: pl.DataType) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        [pl.col(name).cast(kind) for name, kind in types.items()]
    )


def _core() -> dict[str, pl.DataFrame]:
    operators = [
        {"operator_id": "sharon-ai", "operator_name": "SharonAI Holdings Inc.", "parent_id": "sharon-ai",
         "country_code": "AU", "rating": "B", "rating_agency": "SP"},
        {"operator_id": "firmus", "operator_name": "Firmus Technologies", "parent_id": "firmus",
         "country_code": "AU", "rating": "B+", "rating_agency": "SP"},
    ]  # fmt: skip
    terms = []
    listed = [
        ("revenue_share", "share_basis", "pct_of_base", "S1", "press summaries of July 2026"),
        ("revenue_share", "tiers", "25 % to month 24, 20 % to month 48, 12 % after", "assumed", "no rate is public"),
        ("revenue_share", "statement_due_days", "15", "assumed", "practice"),
        ("revenue_share", "payment_terms_days", "60", "assumed", "10-Q says 90 days to one year for some customers"),
        ("backstop", "committed_fraction", "0.85", "assumed", "utility take-or-pay analogue"),
        ("backstop", "deductible_fraction", "0.05", "assumed", "no deductible is public"),
        ("backstop", "buyback_price", "2.33", "S1", "deal value over hours, recomputed"),
        ("backstop", "lifetime_cap", "4880000000.00", "S1", "press summary of the 8-K"),
        ("backstop", "settlement_type", "unsold_hours_x_price", "P", "10-Q of 26 July 2026"),
    ]
    for contract in CONTRACTS:
        for instrument, term, value, grade, source in listed:
            terms.append({
                "contract_id": contract["contract_id"], "instrument": instrument, "term": term,
                "valid_from": contract["signed_date"], "amendment_id": "original", "value_text": value,
                "valid_to": None, "evidence_grade": grade, "source": source,
            })  # fmt: skip
    return {
        "core.dim_park": pl.DataFrame(PARKS),
        "core.dim_operator": pl.DataFrame(operators),
        "core.dim_tenant": pl.DataFrame([
            {"tenant_id": "t-1", "tenant_name": "Example tenant one", "customer_type": "third_party"},
            {"tenant_id": "t-2", "tenant_name": "Example tenant two", "customer_type": "third_party"},
        ]),
        "core.dim_contract": pl.DataFrame(CONTRACTS).with_columns(
            is_booked=~pl.col("contract_id").str.ends_with("-deal")
        ),
        "core.dim_tranche": pl.DataFrame(TRANCHES),
        "core.fct_contract_terms": _frame(terms, valid_to=pl.Date()),
    }  # fmt: skip


def _metering() -> dict[str, pl.DataFrame]:
    days, power = [], []
    for index, month in enumerate(MONTHS):
        for day_no in range(_days(month)):
            day = month + timedelta(days=day_no)
            by_park: dict[str, Decimal] = {}
            for tranche in TRANCHES:
                if tranche["energised_date"] > day:
                    continue
                installed = Decimal(tranche["gpu_count"] * 24)
                no_sample, fault, maintenance = (installed * Decimal(x) for x in ("0.002", "0.004", "0.006"))
                available = installed - no_sample - fault - maintenance
                leased = installed * _occupancy(tranche["contract_id"], index)
                busy = leased * (Decimal("0.58") + Decimal(index) / 200)
                energy = (busy * Decimal("1.45") + (installed - busy) * Decimal("0.35")).quantize(Decimal("0.001"))
                by_park[tranche["park_id"]] = by_park.get(tranche["park_id"], Decimal(0)) + energy
                days.append({
                    "tranche_id": tranche["tranche_id"], "service_date": day, "park_id": tranche["park_id"],
                    "installed_gpu_hours": installed, "no_sample_gpu_hours": no_sample, "fault_gpu_hours": fault,
                    "maintenance_gpu_hours": maintenance, "available_gpu_hours": available,
                    "leased_gpu_hours": leased, "busy_gpu_hours": busy, "it_energy_kwh": energy,
                    "coverage_fraction": Decimal("0.998"), "occupancy_fraction": leased / available,
                    "utilization_fraction": busy / leased,
                })  # fmt: skip
            for park, energy in by_park.items():
                pue = Decimal("1.28") if park.startswith("firmus") else Decimal("1.19")
                pue += Decimal([0, 1, 3, 4, 3, 1, 0, -1, -2, -1, 0, 1, 2, 3, 4][index]) / 100
                power.append({
                    "park_id": park, "service_date": day, "facility_energy_kwh": (energy * pue).quantize(CENT),
                    "it_energy_kwh": energy, "generation_energy_kwh": Decimal(0), "pue": pue,
                    "estimated_energy_fraction": Decimal("0.013"),
                })  # fmt: skip
    exceptions = [
        {"exception_id": f"x-{i}", "kind": kind, "tranche_id": "sharon-au-1-a", "service_date": date(2027, 12, 1 + i),
         "quantity": Decimal(12 * (i + 1)), "unit": unit}
        for i, (kind, unit) in enumerate([
            ("busy_without_lease", "GPU-hours"), ("leased_without_telemetry", "GPU-hours"),
            ("pue_out_of_bounds", "ratio"), ("energy_mismatch", "kWh"),
        ])
    ]  # fmt: skip
    return {
        "metering.fct_capacity_day": pl.DataFrame(days),
        "metering.fct_power_day": pl.DataFrame(power),
        "metering.fct_metering_exceptions": pl.DataFrame(exceptions),
    }


def _contract_months() -> dict[str, pl.DataFrame]:
    backstop = [row for index in range(15) for one in TRANCHES if (row := _tranche_month(one, index))]
    balance = []
    for row in backstop:
        uses = {
            "third_party": row["third_party_gpu_hours"], "vendor_use": row["vendor_use_gpu_hours"],
            "bought_back": row["claim_gpu_hours"], "excluded": row["excluded_gpu_hours"],
            "deductible": row["deductible_gpu_hours"],
        }  # fmt: skip
        uses["other_unsold"] = row["installed_gpu_hours"] - sum(uses.values())
        balance += [
            {"tranche_id": row["tranche_id"], "service_month": row["service_month"], "use": use, "gpu_hours": hours}
            for use, hours in uses.items()
        ]
    base_rows, share_rows, tier_rows, cap_rows, exposure_rows = [], [], [], [], []
    cumulative = dict.fromkeys(PRICE, Decimal(0))
    paid = dict.fromkeys(PRICE, Decimal(0))
    cap = {"sharon-nvda-2026": Decimal("4880000000.00"), "firmus-nvda-2026": Decimal("12400000000.00")}
    for month in MONTHS:
        for contract, price in LEASE_PRICE.items():
            here = [row for row in backstop if row["service_month"] == month and row["contract_id"] == contract]
            if not here:
                continue
            gross = cents(sum((row["third_party_gpu_hours"] for row in here), Decimal(0)) * price)
            parts = {
                "gross": gross, "sales_tax": -cents(gross * Decimal("0.04")),
                "power_passthrough": -cents(gross * Decimal("0.021")), "sla_penalties": -cents(gross / 180),
                "credits_refunds": -cents(gross / 310),
            }  # fmt: skip
            base = sum(parts.values(), Decimal(0))
            rate = Decimal("0.25") if month < date(2027, 10, 1) else Decimal("0.24")
            share = cents(base * rate)
            cumulative[contract] += share
            key = {"contract_id": contract, "service_month": month}
            base_rows += [
                {**key, "component": name, "amount": amount, "currency_code": "USD"}
                for name, amount in {**parts, "base": base}.items()
            ]
            tier_rows.append({**key, "tier_no": 1, "base_amount": base, "rate": rate, "share_amount": base * rate})
            share_rows.append({
                **key, "base_amount": base, "effective_rate": rate, "share_before_limits_amount": base * rate,
                "minimum_amount": None, "cap_reduction_amount": Decimal(0), "activation_fraction": Decimal(1),
                "recouped_amount": Decimal(0), "share_amount": share, "invoiced_amount": share,
                "cumulative_share_amount": cumulative[contract], "currency_code": "USD",
            })  # fmt: skip
            paid[contract] += sum((row["claim_amount"] for row in here), Decimal(0))
            left = cap[contract] - paid[contract]
            exposure = cents(left * Decimal("0.93"))
            cap_rows.append({
                **key, "claimed_to_date_amount": paid[contract],
                "paid_to_date_amount": cents(paid[contract] / 2), "lifetime_cap_left_amount": left,
                "max_exposure_amount": exposure, "currency_code": "USD",
            })  # fmt: skip
            weights = [Decimal(w) for w in ("0.015", "0.19", "0.2", "0.2", "0.2", "0.195")]
            rest = exposure
            for year, weight in zip(range(2028, 2034), weights, strict=True):
                amount = rest if year == 2033 else cents(exposure * weight)
                rest -= amount
                exposure_rows.append({
                    "contract_id": contract, "as_of_month": month, "vendor_fiscal_year": year,
                    "max_exposure_amount": amount, "currency_code": "USD",
                })  # fmt: skip
    return {
        "backstop.fct_backstop_month": pl.DataFrame(backstop),
        "backstop.fct_capacity_balance_month": pl.DataFrame(balance),
        "backstop.fct_backstop_cap_month": pl.DataFrame(cap_rows),
        "backstop.fct_max_exposure_fiscal_year": pl.DataFrame(exposure_rows),
        "revenue_share.fct_share_base_month": pl.DataFrame(base_rows),
        "revenue_share.fct_share_month": _frame(share_rows, minimum_amount=pl.Decimal(18, 2)),
        "revenue_share.fct_share_tier_month": pl.DataFrame(tier_rows),
    }


def _credit(share: pl.DataFrame) -> dict[str, pl.DataFrame]:
    rolls, ageing, metrics, exposures, losses, allowances, matrix, draws = [], [], [], [], [], [], [], []
    shares = {(row["contract_id"], row["service_month"]): row["share_amount"] for row in share.to_dicts()}
    opening = dict.fromkeys(PRICE, Decimal(0))
    allowance = {(c, s): Decimal(0) for c in PRICE for s in ("cecl", "ifrs9")}
    for index, month in enumerate(MONTHS):
        for contract in PRICE:
            if (contract, month) not in shares:
                continue
            invoiced = shares.get((contract, MONTHS[index - 1]), Decimal(0)) if index else Decimal(0)
            paid_back = MONTHS[index - 3] if index >= 3 else None
            applied = (
                cents(shares.get((contract, paid_back), Decimal(0)) * Decimal("0.97")) if paid_back else Decimal(0)
            )
            note = cents(invoiced / 900)
            written_off = Decimal("41250.00") if month == date(2027, 11, 1) else Decimal(0)
            start = opening[contract]
            closing = start + invoiced - note - applied - written_off
            opening[contract] = closing
            key = {"contract_id": contract, "month": month}
            rolls.append({
                **key, "opening_amount": start, "invoices_amount": invoiced, "credit_notes_amount": note,
                "applied_amount": applied, "set_off_amount": Decimal(0), "write_offs_amount": written_off,
                "reinstated_amount": Decimal(0), "fx_amount": Decimal(0), "closing_amount": closing,
                "control_account_amount": closing, "currency_code": "USD",
            })  # fmt: skip
            open_left = closing
            buckets = {}
            for bucket, part in zip(BUCKETS[1:], ("0.04", "0.012", "0.006", "0.003", "0.001"), strict=True):
                buckets[bucket] = cents(closing * Decimal(part))
                open_left -= buckets[bucket]
            buckets = {"current": open_left, **buckets}
            for bucket in BUCKETS:
                disputed = cents(buckets[bucket] / 20) if bucket == "61-90" else Decimal(0)
                ageing.append({
                    **key, "bucket": bucket, "open_amount": buckets[bucket], "disputed_amount": disputed,
                    "unapplied_amount": Decimal("1500.00") if bucket == "current" and closing else Decimal(0),
                    "currency_code": "USD",
                })  # fmt: skip
                loss_rate = [Decimal(x) for x in ("0.004", "0.018", "0.06", "0.14", "0.3", "0.6")][
                    BUCKETS.index(bucket)
                ]
                matrix.append({
                    **key, "bucket": bucket, "open_amount": buckets[bucket], "loss_rate": loss_rate,
                    "forward_scalar": Decimal("1.1"), "expected_credit_loss_amount":
                        cents(buckets[bucket] * loss_rate * Decimal("1.1")), "currency_code": "USD",
                })  # fmt: skip
            young = invoiced == 0
            metrics.append({
                **key, "dso_days": None if young else 88.4 + index % 4, "countback_dso_days": None if young else 86.1,
                "best_possible_dso_days": None if young else 79.9, "average_days_delinquent": None if young else 8.5,
                "receivables_turnover": None if young else 4.13, "collection_effectiveness_fraction":
                    None if young else 0.91,
                **{f"{name}_null_reason": "no sales in the window" if young else None for name in (
                    "dso_days", "countback_dso_days", "best_possible_dso_days", "average_days_delinquent",
                    "receivables_turnover", "collection_effectiveness_fraction")},
            })  # fmt: skip
            unbilled = shares[contract, month]
            claim = cents(unbilled * Decimal("0.41"))
            gross = closing + unbilled
            exposures.append({
                **key, "receivable_amount": closing, "unbilled_amount": unbilled, "claims_payable_amount": claim,
                "gross_amount": gross, "net_amount": gross, "netting_enforceable": False, "currency_code": "USD",
            })  # fmt: skip
            for standard in ("cecl", "ifrs9"):
                total = Decimal(0)
                for scenario, weight, pd in (
                    ("base", "0.5", "0.043"),
                    ("down", "0.35", "0.091"),
                    ("up", "0.15", "0.021"),
                ):
                    for horizon, part in (("lifetime", "1"), ("twelve_month", "0.8")):
                        if standard == "cecl" and horizon == "twelve_month":
                            continue
                        loss = cents(gross * Decimal(pd) * Decimal("0.65") * Decimal(part))
                        if horizon == "lifetime":
                            total += Decimal(weight) * loss
                        losses.append({
                            **key, "standard": standard, "scenario": scenario, "stage": 1, "horizon": horizon,
                            "pd_fraction": Decimal(pd), "lgd_fraction": Decimal("0.65"), "exposure_amount": gross,
                            "expected_credit_loss_amount": loss, "weight": Decimal(weight), "currency_code": "USD",
                        })  # fmt: skip
                total = cents(total)
                start = allowance[contract, standard]
                allowance[contract, standard] = total
                allowances.append({
                    **key, "standard": standard, "opening_amount": start, "adoption_amount": Decimal(0),
                    "provision_amount": total - start + written_off, "write_off_amount": written_off,
                    "recovery_amount": Decimal(0), "fx_amount": Decimal(0), "transfer_amount": Decimal(0),
                    "closing_amount": total, "currency_code": "USD",
                })  # fmt: skip
            scale = 1.0 if contract.startswith("sharon") else 3.1
            for case, tail in (("independent", 1.0), ("base", 1.35), ("stressed", 1.9)):
                expected = scale * 4.1e8 * (1 + index / 60)
                draws.append({
                    **key, "correlation_case": case, "path_count": 20000, "seed": 20260701, "expected_amount": expected,
                    "present_value_amount": expected * 0.88, "standard_error_amount": expected * 0.0041,
                    **{f"var_{q}_amount": expected * f * tail for q, f in (("95", 2.2), ("99", 3.0), ("99_9", 3.9))},
                    **{f"es_{q}_amount": expected * f * tail for q, f in (("95", 2.6), ("99", 3.4), ("99_9", 4.2))},
                    "any_claim_probability": 0.93, "joint_loss_amount": expected * 0.2 * tail,
                    "wrong_way_multiplier": tail, "break_even_occupancy_fraction": 0.71, "currency_code": "USD",
                })  # fmt: skip
    return {
        "credit.fct_receivable_rollforward_month": pl.DataFrame(rolls),
        "credit.fct_ageing_month": pl.DataFrame(ageing),
        "credit.fct_collection_metrics_month": pl.DataFrame(metrics, infer_schema_length=None),
        "credit.fct_provision_matrix_month": pl.DataFrame(matrix),
        "credit.fct_credit_loss_month": pl.DataFrame(losses),
        "credit.fct_allowance_rollforward_month": pl.DataFrame(allowances),
        "credit.fct_backstop_distribution_month": pl.DataFrame(draws),
        "credit.fct_exposure_month": pl.DataFrame(exposures),
        "credit.fct_concentration_month": pl.DataFrame([
            {"month": month, "dimension": dimension, "hhi": 5000 + 120 * i + 400 * j, "effective_number":
                1e4 / (5000 + 120 * i + 400 * j), "top_1_fraction": 0.55 + 0.01 * i, "top_3_fraction": 1.0,
             "exposure_to_equity_fraction": 0.06 + 0.0005 * i}
            for i, month in enumerate(MONTHS)
            for j, dimension in enumerate(["operator", "parent", "country", "gpu_generation"])
        ]),
        "credit.fct_covenant_test_month": pl.DataFrame([
            {"contract_id": contract, "covenant_id": covenant, "month": month, "value": value - 0.01 * i,
             "threshold": threshold, "headroom": value - 0.01 * i - threshold, "passed": value - 0.01 * i >= threshold,
             "consequence": consequence}
            for i, month in enumerate(MONTHS)
            for contract in PRICE
            for covenant, value, threshold, consequence in (
                ("dscr", 1.52, 1.30, "lockup"), ("min_occupancy", 0.86, 0.60, "sweep"),
            )
        ]),
        "credit.fct_reverse_stress": pl.DataFrame([
            {"contract_id": contract, "month": MONTHS[-1], "target": target, "driver": driver, "level": level,
             "null_reason": None if level is not None else "does not break up to 100"}
            for contract in PRICE
            for target in ("covenant:dscr", "period_cap")
            for driver, level in (("price_change_fraction", -0.217), ("power_price_multiple", None))
        ]),
        "credit.fct_deal_comparison": pl.DataFrame([
            {"case_id": contract, "deal_id": deal, "contract_year": year, "month": MONTHS[-1],
             "vendor_take_amount": cents(Decimal("9000000") * share), "vendor_risk_amount": cents(Decimal("4000000") * share),
             "operator_take_amount": cents(Decimal("20000000") - Decimal("9000000") * share),
             "lender_take_amount": Decimal("30000000.00"), "lender_shortfall_amount": Decimal("2000000.00"),
             "currency_code": "USD"}
            for contract in PRICE
            for deal, share in ((contract, 1), ("none", 0))
            for year in (2, 3)
        ]),
        "credit.fct_stress_result": pl.DataFrame([
            {"scenario_id": scenario, "contract_id": contract, "month": MONTHS[-1],
             "share_amount": Decimal("31000000.00"),
             "claim_amount": cents(Decimal("5200000") * Decimal(factor)), "expected_credit_loss_amount":
                cents(Decimal("1400000") * Decimal(factor)), "dscr": round(1.4 - 0.06 * float(factor), 4),
             "covenant_breached": float(factor) > 2, "currency_code": "USD"}
            for contract in PRICE
            for scenario, factor in (("price_fall_43", "3.1"), ("price_rise_38", "0.4"), ("power_x3", "1.6"),
                                     ("delivery_slip_180", "1.1"), ("largest_tenant_default", "2.4"))
        ]),
    }  # fmt: skip


def _issuer() -> dict[str, pl.DataFrame]:
    quarters = [
        (date(2026, 1, 25), "Q4 FY26", 68127, 38466, 157293), (date(2026, 4, 26), "Q1 FY27", 81615, 40710, 195474),
        (date(2026, 7, 26), "Q2 FY27", 96221, 63059, 228984),
    ]  # fmt: skip
    facts = [
        {"issuer_id": "nvidia", "fiscal_period_end": date(2026, 7, 26), "fiscal_label": "Q2 FY27",
         "item": f"ai_cloud_agreements_{year}", "value_text": str(value), "value": Decimal(value), "unit": "USDm",
         "source": "10-Q, additional commitments", "grade": grade}
        for year, value, grade in (("rest_of_fy27", 0, "S1"), ("fy28", 6000, "S1"), ("fy29", 8000, "S1"),
                                   ("fy30", 7000, "S1"), ("fy31", 6000, "S1"), ("fy32_and_later", 9000, "S1"))
    ]  # fmt: skip
    facts.append({
        "issuer_id": "nvidia", "fiscal_period_end": date(2026, 7, 26), "fiscal_label": "Q2 FY27",
        "item": "ai_cloud_agreements", "value_text": "36000", "value": Decimal(36000), "unit": "USDm",
        "source": "10-Q, management's discussion", "grade": "P",
    })  # fmt: skip
    return {
        "issuer.fct_issuer_quarter": pl.DataFrame([
            {"issuer_id": "nvidia", "fiscal_period_end": end, "fiscal_label": label, "revenue": Decimal(revenue),
             "accounts_receivable": Decimal(receivable), "allowance": None, "dso_days": receivable / revenue * 91,
             "receivables_turnover": None if index == 0 else revenue * 4 / ((receivable + quarters[index - 1][3]) / 2),
             "days_in_quarter": 91, "equity": Decimal(equity)}
            for index, (end, label, revenue, receivable, equity) in enumerate(quarters)
        ], infer_schema_length=None),
        "issuer.fct_issuer_fact": pl.DataFrame(facts),
    }  # fmt: skip


def _quality() -> dict[str, pl.DataFrame]:
    files = []
    for index, feed in enumerate(["gpu_telemetry", "power_meter", "leases", "payments", "credit_events"]):
        for number in range(3):
            rows = 1000 * (index + 1) + number
            files.append({
                "file_id": f"{feed}-{number}", "park_id": "sharon-au-1", "feed": feed,
                "path": f"landing/sharon-au-1/{feed}/simulated-{number}.csv", "received_at":
                    datetime(2027, 12, 31, tzinfo=UTC), "row_count": rows, "landed_count": rows - 7 - number,
                "duplicate_count": 4, "superseded_count": number, "quarantined_count": 3, "state": "landed",
            })  # fmt: skip
    files.append({
        "file_id": "bad", "park_id": "sharon-au-1", "feed": "leases", "path": "landing/sharon-au-1/leases/broken.csv",
        "received_at": datetime(2027, 12, 30, tzinfo=UTC), "row_count": 0, "landed_count": 0, "duplicate_count": 0,
        "superseded_count": 0, "quarantined_count": 0, "state": "rejected",
    })  # fmt: skip
    checks = [
        ("trial_balance_foots", "ledger.fct_trial_balance_month", "error", True, "0.00", "0.00"),
        ("subledger_equals_control_account", "credit.fct_receivable_rollforward_month", "error", True, "0.00", "0.00"),
        ("capacity_conserved", "backstop.fct_capacity_balance_month", "error", True, "0", "0"),
        ("pue_within_bounds", "metering.fct_power_day", "warn", False, "2 days outside", "0 days outside"),
    ]
    return {
        "quality.fct_landed_file": pl.DataFrame(files),
        "quality.fct_quarantined_row": pl.DataFrame([
            {"file_id": "leases-1", "line_no": 7, "feed": "leases", "rule": "price_not_negative", "column_name":
                "price_per_gpu_hour", "row_text": "l-9,1,t-1,…", "recorded_at": datetime(2027, 12, 31, tzinfo=UTC)},
        ]),
        "quality.fct_check_result": pl.DataFrame([
            {"run_id": "r-1", "check_name": name, "table_name": table, "severity": severity, "passed": passed,
             "measured": measured, "expected": expected}
            for name, table, severity, passed, measured, expected in checks
        ]),
        "quality.fct_run": pl.DataFrame([
            {"run_id": "r-1", "started_at": datetime(2028, 1, 1, tzinfo=UTC), "finished_at":
                datetime(2028, 1, 1, 0, 2, tzinfo=UTC), "trigger": "command", "code_version": "0.1.0", "as_of": AS_OF,
             "rows_in": 31234, "rows_out": 99120},
        ]),
    }  # fmt: skip


def _ledger() -> dict[str, pl.DataFrame]:
    return {
        "ledger.fct_period_close": pl.DataFrame([
            {"contract_id": contract, "posting_month": month, "closed_at": datetime(2028, 1, 1, tzinfo=UTC),
             "closed_by": "policy", "state_hash": "ab12"}
            for contract in PRICE for month in MONTHS[:-1]
        ]),
    }  # fmt: skip


def _monitor() -> dict[str, pl.DataFrame]:
    metrics = [
        ("occupancy", "Occupancy", "leased / available GPU-hours", "fraction", "up", "metering.fct_capacity_day"),
        ("utilisation", "Utilisation", "busy / leased GPU-hours", "fraction", "up", "metering.fct_capacity_day"),
        ("take_rate", "Effective take rate", "share / base", "fraction", "none", "revenue_share.fct_share_month"),
        ("walt_months", "WALT", "Σ months × value / Σ value", "months", "up", "core.dim_lease"),
    ]
    values = []
    for key, _, _, unit, _, _ in metrics:
        for index, month in enumerate(MONTHS):
            known = key != "walt_months"
            values.append({
                "metric": key, "entity_level": "programme", "entity_id": "programme", "month": month,
                "value": (0.7 + index * 0.01 if unit == "fraction" else 31.0 - index) if known else None,
                "null_reason": None if known else "no lease book",
                "evidence_grade": "assumed" if key == "take_rate" else "P",
            })  # fmt: skip
    return {
        "monitor.dim_metric": pl.DataFrame(
            metrics, schema=["metric", "title", "formula", "unit", "better", "source"], orient="row"
        ),
        "monitor.fct_metric_month": pl.DataFrame(values, infer_schema_length=None),
        "monitor.fct_alert": _frame(
            [
                {"alert_id": "a-1", "metric": "occupancy", "entity_id": "firmus-batam-1", "month": MONTHS[-2],
                 "rule": "occupancy below committed fraction for 3 months", "severity": "warning",
                 "raised_at": datetime(2027, 12, 11, tzinfo=UTC), "cleared_at": None},
            ],
            cleared_at=pl.Datetime("us", "UTC"),
        ),
    }  # fmt: skip


def all_tables() -> dict[str, pl.DataFrame]:
    """Every table that the monitor reads, named "<schema>.<table>"."""
    months = _contract_months()
    return {
        **_core(), **_metering(), **months, **_credit(months["revenue_share.fct_share_month"]), **_issuer(),
        **_quality(), **_ledger(), **_monitor(),
    }  # fmt: skip


def manifest() -> dict[str, Any]:
    """A manifest as the snapshot writes it."""
    return {
        "run_id": "r-1",
        "title": "AI Compute Partnership, public terms",
        "as_of": "2027-12-31",
        "known_at": "2028-01-01T00:00:00Z",
        "is_simulated": True,
        "simulation_note": "Leases, telemetry and payments are generated; terms are those made public.",
        "versions": {"parkledger": "0.1.0", "duckdb": "2.0.0", "polars": "2.1.0"},
        "tables": {"revenue_share.fct_share_month": {"row_count": 25, "content_hash": "9f3c"}},
    }
