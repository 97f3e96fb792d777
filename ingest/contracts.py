"""One frozen contract per feed: columns, types, units, natural key, and the severity of every rule.

A contract says what a row must be; checking is in `checking.py`, what is special to a feed in `feeds/`, writing in
`landing.py`. No file format is known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

Kind = Literal["text", "integer", "decimal", "milli", "micro", "instant", "date", "boolean", "json"]


class Severity(StrEnum):
    """What a broken rule costs: the whole file, the one row, or a note beside the row, which counts all the same.

    A policy may raise a row's rule to `block`: the row is quarantined, and its park-day is held back until it is mended.
    """

    REJECT_FILE = "reject_file"
    QUARANTINE_ROW = "quarantine_row"
    WARN = "warn"


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong, under the name that quarantine and manifest give it."""

    name: str
    severity: Severity
    description: str


@dataclass(frozen=True)
class Column:
    """One column of a feed.

    Attributes:
        name: canonical name, in the file and in the table unless `stored_as` says otherwise.
        kind: how a cell is read. `milli`, `micro`: a measured number, stored as its thousandfold or
            millionfold integer.
        unit: unit of the cell.
        description: what it is.
        is_required: whether a row without a value is quarantined, and a file without the column rejected.
        scale: decimal places of a `decimal`; the stored width is 18.
        rounds: whether more places are rounded (half away from zero: a measurement) or quarantined (money, prices).
        minimum, maximum: inclusive bounds.
        choices: allowed values of a text.
        default: value of an empty cell.
        stored_as: name in the table where the unit changes.
        is_wide: whether a whole number is stored in 64 bits; bounds keep all others within 32.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    is_required: bool = True
    scale: int = 0
    rounds: bool = False
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    choices: tuple[str, ...] = ()
    default: bool | int | None = None
    stored_as: str | None = None
    is_wide: bool = False

    @property
    def table_name(self) -> str:
        """Name of the column in the table."""
        return self.stored_as or self.name

    @property
    def sql_type(self) -> str:
        """DuckDB type of the stored column."""
        return {
            "text": "VARCHAR",
            "integer": "BIGINT" if self.is_wide else "INTEGER",
            "decimal": f"DECIMAL(18,{self.scale})",
            "milli": "BIGINT" if self.is_wide else "INTEGER",
            "micro": "BIGINT",
            "instant": "TIMESTAMPTZ",
            "date": "DATE",
            "boolean": "BOOLEAN",
            "json": "VARCHAR",
        }[self.kind]


@dataclass(frozen=True)
class Reference:
    """A column whose value must be known elsewhere; a row whose value is not yet known waits in quarantine.

    Attributes:
        column: the column.
        to: `lease` (any version landed in the same park), `tranche` (of the park's file) or `contract` (any file).
    """

    column: str
    to: Literal["lease", "tranche", "contract"]

    @property
    def rule(self) -> str:
        """Name of the rule."""
        return f"unknown_{self.to}"


@dataclass(frozen=True)
class FeedContract:
    """One feed.

    Attributes:
        name: name of the feed, of its landing folder and of its table in `raw`.
        description: first sentence is the grain.
        key: natural key beside the park; of several rows with one key the one recorded last counts.
        columns: in the order of the table.
        ordered: pairs of instants of which the first must lie before the second.
        references: what must be known elsewhere.
        in_lake: whether rows go to Parquet by park and day instead of a table.
        day_of: column whose day, by the park's clock, is the row's partition; None where rows stand for spans of days.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    ordered: tuple[tuple[str, str], ...] = ()
    references: tuple[Reference, ...] = ()
    in_lake: bool = False
    day_of: str | None = None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def header(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return tuple(column.name for column in self.columns if column.is_required)


# When the row became known; every feed may give it, and the landing time stands in.
RECORDED_AT = Column("recorded_at", "instant", "UTC", "when the sender knew the row", is_required=False)

# Instants outside are typing errors, and would make partitions of their own.
FIRST_YEAR, LAST_YEAR = 2000, 2099

# A GB300's board draws 1.4 kW and a Vera Rubin's below 2.3 kW; with a rack's fans and switches shared out and
# transients of 1.4 times, a GPU stays below 4 kW. More than 5 kW is a unit error (mW for W) for all hardware announced
# by November 2026.
MAX_POWER_W = Decimal(5000)
MAX_GPU_COUNT = Decimal(10_000_000)
_ZERO, _ONE = Decimal(0), Decimal(1)
_MAX_INT, _MAX_LONG = Decimal(2**31 - 1), Decimal(2**63 - 1)

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("unreadable", Severity.REJECT_FILE, "the file is empty, damaged, truncated or of no known format"),
        Rule("wrong_header", Severity.REJECT_FILE, "a required column is missing"),
        Rule("unknown_park", Severity.REJECT_FILE, "the folder names no readable park"),
        Rule("unknown_feed", Severity.REJECT_FILE, "the folder names no feed"),
        Rule("not_a_plain_file", Severity.REJECT_FILE, "a link, a device, or a path that leaves the landing folder"),
        Rule("row_not_whole", Severity.QUARANTINE_ROW, "too many or too few cells"),
        Rule(
            "line_too_long",
            Severity.QUARANTINE_ROW,
            "a line without end, of more than a megabyte; its beginning is kept",
        ),
        Rule("quote_not_closed", Severity.QUARANTINE_ROW, "a quote is opened and never closed"),
        Rule("not_utf8", Severity.QUARANTINE_ROW, "the line holds bytes that are no UTF-8, or that are no text"),
        Rule("truncated", Severity.QUARANTINE_ROW, "the file breaks off here"),
        Rule(
            "correction_of_another_bill",
            Severity.QUARANTINE_ROW,
            "the difference to a charge that another bill holds; send the corrected quantity as lease_usage",
        ),
        Rule("missing_value", Severity.QUARANTINE_ROW, "a required cell is empty"),
        Rule("not_a_number", Severity.QUARANTINE_ROW, "the cell is no number"),
        Rule("not_an_integer", Severity.QUARANTINE_ROW, "the cell is no whole number"),
        Rule("not_an_instant", Severity.QUARANTINE_ROW, "the cell is no ISO 8601 instant"),
        Rule("not_a_date", Severity.QUARANTINE_ROW, "the cell is no date like 2027-01-31"),
        Rule("not_a_boolean", Severity.QUARANTINE_ROW, "the cell is neither true nor false"),
        Rule("not_json", Severity.QUARANTINE_ROW, "the cell is no JSON"),
        Rule("naive_instant", Severity.QUARANTINE_ROW, "the instant has no offset, and the park does not allow it"),
        Rule("local_time_skipped_or_twice", Severity.QUARANTINE_ROW, "the park's clock shows this time never or twice"),
        Rule("out_of_range", Severity.QUARANTINE_ROW, "the value lies outside its physical or logical bounds"),
        Rule("too_many_decimals", Severity.QUARANTINE_ROW, "more decimal places than money or prices have"),
        Rule("not_allowed", Severity.QUARANTINE_ROW, "the value is none of the feed's enumeration"),
        Rule("unknown_currency", Severity.QUARANTINE_ROW, "no ISO 4217 code in use"),
        Rule("ends_before_it_starts", Severity.QUARANTINE_ROW, "the end does not lie after the start"),
        Rule("no_tranche", Severity.QUARANTINE_ROW, "the node matches the pattern of no tranche"),
        Rule("several_tranches", Severity.QUARANTINE_ROW, "the node matches the patterns of several tranches"),
        Rule("before_energised", Severity.QUARANTINE_ROW, "the sample lies before its tranche was energised"),
        Rule("power_above_model", Severity.QUARANTINE_ROW, "more power than a GPU of this model can draw"),
        Rule("energy_counter_back", Severity.WARN, "the energy counter fell, and not because it began anew"),
        Rule("in_the_future", Severity.QUARANTINE_ROW, "the home's clock has not come so far; the row waits for it"),
        Rule("crosses_day", Severity.QUARANTINE_ROW, "the interval leaves the day of the park's clock"),
        Rule("overlaps", Severity.WARN, "the interval overlaps another of its register in the same file"),
        Rule("event_incomplete", Severity.QUARANTINE_ROW, "an event of this kind needs this column"),
        Rule("unknown_lease", Severity.QUARANTINE_ROW, "no lease of this id has landed yet; the row waits for it"),
        Rule("unknown_tranche", Severity.QUARANTINE_ROW, "the park has no such tranche; the row waits for it"),
        Rule("unknown_contract", Severity.QUARANTINE_ROW, "there is no such contract; the row waits for it"),
    )
}

# Rules over values that can be read: a policy may have them warn instead of quarantine. All others leave no value that
# could count.
JUDGED_RULES = (
    "before_energised",
    "power_above_model",
    "energy_counter_back",
    "in_the_future",
    "crosses_day",
    "overlaps",
)


def _text(name: str, description: str, *, is_required: bool = True, choices: Sequence[str] = ()) -> Column:
    return Column(name, "text", "", description, is_required=is_required, choices=tuple(choices))


def _instant(name: str, description: str, *, is_required: bool = True) -> Column:
    return Column(name, "instant", "UTC", description, is_required=is_required)


def _money(name: str, description: str, *, is_required: bool = True) -> Column:
    return Column(name, "decimal", "currency_code", description, is_required=is_required, scale=2)


def _gpu_count(*, is_required: bool = True) -> Column:
    return Column(
        "gpu_count", "integer", "GPUs", "number of GPUs", is_required=is_required, minimum=_ONE, maximum=MAX_GPU_COUNT
    )


_CURRENCY = Column("currency_code", "text", "ISO 4217", "currency of the amounts in the row")

GPU_TELEMETRY = FeedContract(
    name="gpu_telemetry",
    description="One row per sample of one GPU, or of several read as one.",
    key=("gpu_id", "sampled_at"),
    day_of="sampled_at",
    columns=(
        _text("gpu_id", "the GPU, or the group that is read as one"),
        _text("node_id", "the node; its name decides the tranche"),
        _text("gpu_model", "model of the GPU"),
        _instant("sampled_at", "instant of the sample"),
        Column(
            "utilization_pct",
            "milli",
            "%",
            "mean utilisation per GPU; empty or N/A where the reader had none",
            is_required=False,
            minimum=_ZERO,
            maximum=Decimal(100),
            stored_as="utilization_milli_pct",
        ),
        Column(
            "power_w",
            "micro",
            "W",
            "mean power per GPU; empty or N/A where the reader had none",
            is_required=False,
            minimum=_ZERO,
            maximum=MAX_POWER_W,
            stored_as="power_microwatt",
        ),
        Column(
            "gpu_count",
            "integer",
            "GPUs",
            "GPUs that the row stands for",
            is_required=False,
            minimum=_ONE,
            maximum=MAX_GPU_COUNT,
            default=1,
        ),
        Column(
            "energy_mj",
            "integer",
            "mJ",
            "energy counter since boot",
            is_required=False,
            minimum=_ZERO,
            maximum=_MAX_LONG,
            is_wide=True,
        ),
        Column(
            "memory_used_mib",
            "integer",
            "MiB",
            "memory in use",
            is_required=False,
            minimum=_ZERO,
            maximum=_MAX_LONG,
            is_wide=True,
        ),
        Column(
            "xid_code", "integer", "", "last XID error", is_required=False, minimum=_ZERO, maximum=Decimal(1_000_000)
        ),
    ),
    in_lake=True,
)

POWER_METER = FeedContract(
    name="power_meter",
    description="One row per meter, register and interval.",
    key=("meter_id", "interval_start_at", "register"),
    day_of="interval_start_at",
    columns=(
        _text("meter_id", "the meter"),
        _text("register", "the meter's register"),
        _text("role", "what the register measures", choices=("facility", "it", "generation")),
        _instant("interval_start_at", "start of the interval"),
        _instant("interval_end_at", "end of the interval"),
        Column("energy_kwh", "decimal", "kWh", "energy of the interval", scale=6, rounds=True, minimum=_ZERO),
        _text("quality", "how the value came about", choices=("actual", "substituted", "estimated")),
    ),
    ordered=(("interval_start_at", "interval_end_at"),),
)

LEASES = FeedContract(
    name="leases",
    description="One row per version of a lease.",
    key=("lease_id", "version"),
    columns=(
        _text("lease_id", "the lease"),
        Column("version", "integer", "", "version of the lease, counted up", minimum=_ZERO, maximum=_MAX_INT),
        _text("tenant_id", "who leases"),
        _text("tenant_name", "the tenant's name", is_required=False),
        _text("tenant_parent_id", "the group that the tenant belongs to", is_required=False),
        _text("contract_id", "the contract between vendor and operator", is_required=False),
        _text("tranche_id", "the tranche whose GPUs are leased"),
        _text("gpu_model", "model of the GPUs"),
        _gpu_count(),
        _instant("starts_at", "first instant of this version"),
        _instant("ends_at", "first instant after the lease"),
        Column("price_per_gpu_hour", "decimal", "currency_code per GPU-hour", "price", scale=9, minimum=_ZERO),
        _CURRENCY,
        _text("workload", "what the GPUs do", choices=("training", "fine_tuning", "inference")),
        _text("customer_type", "who the tenant is to the vendor", choices=("third_party", "related", "vendor_own_use")),
        _text("pricing", "what is billed", choices=("reserved", "metered")),
        _text("status", "state of the lease; only active and ended ones bill"),
    ),
    ordered=(("starts_at", "ends_at"),),
    references=(Reference("tranche_id", "tranche"), Reference("contract_id", "contract")),
)

LEASE_USAGE = FeedContract(
    name="lease_usage",
    description="One row per lease and interval, with the GPU-hours that it used.",
    key=("lease_id", "interval_start_at"),
    day_of="interval_start_at",
    columns=(
        _text("lease_id", "the lease"),
        _instant("interval_start_at", "start of the interval"),
        _instant("interval_end_at", "end of the interval"),
        Column("gpu_hours", "decimal", "GPU-hours", "hours used", scale=6, rounds=True, minimum=_ZERO),
    ),
    ordered=(("interval_start_at", "interval_end_at"),),
    references=(Reference("lease_id", "lease"),),
)

LEASE_ASSIGNMENTS = FeedContract(
    name="lease_assignments",
    description="One row per lease, node and time from which the node works for the lease.",
    key=("lease_id", "node_id", "starts_at"),
    columns=(
        _text("lease_id", "the lease"),
        _text("node_id", "the node"),
        _instant("starts_at", "first instant"),
        _instant("ends_at", "first instant after"),
    ),
    ordered=(("starts_at", "ends_at"),),
    references=(Reference("lease_id", "lease"),),
)

LEASE_ADJUSTMENTS = FeedContract(
    name="lease_adjustments",
    description="One row per credit, refund, penalty, tax or pass-through on a lease.",
    key=("adjustment_id",),
    day_of="service_date",
    columns=(
        _text("adjustment_id", "the adjustment"),
        _text("lease_id", "the lease"),
        Column("service_date", "date", "park's zone", "the day that the adjustment is for"),
        _text(
            "kind",
            "what it is",
            choices=(
                "credit",
                "refund",
                "sla_penalty",
                "sales_tax",
                "power_passthrough",
                "bad_debt",
                "other_revenue",
                "storage_network_resale",
                "breakage_fee",
            ),
        ),
        _money("amount", "signed as it changes the tenant's bill"),
        _CURRENCY,
    ),
    references=(Reference("lease_id", "lease"),),
)

PAYMENTS = FeedContract(
    name="payments",
    description="One row per cash movement.",
    key=("payment_id",),
    day_of="received_at",
    columns=(
        _text("payment_id", "the payment"),
        _text("contract_id", "the contract that it belongs to", is_required=False),
        _text("direction", "who paid whom, seen from the vendor", choices=("received", "paid", "tenant_received")),
        _instant("received_at", "when the money arrived"),
        _money("amount", "amount moved"),
        _CURRENCY,
        _text("remittance_reference", "what the payer wrote", is_required=False),
        Column(
            "funded_by_claim",
            "boolean",
            "",
            "whether the vendor's own claim payment funded it",
            is_required=False,
            default=False,
        ),
        _text("lease_id", "the lease, where a tenant paid the operator", is_required=False),
    ),
    references=(Reference("contract_id", "contract"), Reference("lease_id", "lease")),
)

CREDIT_EVENTS = FeedContract(
    name="credit_events",
    description="One row per event.",
    key=("event_id",),
    day_of="effective_at",
    columns=(
        _text("event_id", "the event"),
        _text("contract_id", "the contract", is_required=False),
        _text("tranche_id", "the tranche", is_required=False),
        _text(
            "kind",
            "what happened",
            choices=(
                "maintenance",
                "operator_fault",
                "power_curtailment",
                "force_majeure",
                "acceptance_failed",
                "delivery",
                "acceptance",
                "commercial_operation",
                "dispute_opened",
                "dispute_closed",
                "write_off",
                "recovery",
                "resale",
                "rating_change",
                "insolvency",
                "termination",
                "withdrawal",
                "recall",
                "price_index",
                "manual_journal",
                "period_close",
            ),
        ),
        _instant("effective_at", "when it took effect"),
        _instant("ends_at", "when it ended", is_required=False),
        _gpu_count(is_required=False),
        _money("amount", "money that the event moves", is_required=False),
        Column("currency_code", "text", "ISO 4217", "currency of the amount", is_required=False),
        Column("payload", "json", "", "what else the event says", is_required=False),
    ),
    ordered=(("effective_at", "ends_at"),),
    references=(Reference("contract_id", "contract"), Reference("tranche_id", "tranche")),
)

# In the order of landing: leases first, since others refer to them.
CONTRACTS: dict[str, FeedContract] = {
    contract.name: contract
    for contract in (
        LEASES,
        LEASE_USAGE,
        LEASE_ASSIGNMENTS,
        LEASE_ADJUSTMENTS,
        PAYMENTS,
        CREDIT_EVENTS,
        POWER_METER,
        GPU_TELEMETRY,
    )
}

# Lineage of every row of a feed.
LINEAGE: dict[str, str] = {
    "park_id": "VARCHAR",
    "recorded_at": "TIMESTAMPTZ",
    "file_id": "VARCHAR",
    "line_no": "BIGINT",
    "content_hash": "VARCHAR",
}
