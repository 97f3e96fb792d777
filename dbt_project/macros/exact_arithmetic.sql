{#
    Exact arithmetic on money and hours, as DuckDB scalar macros.

    DuckDB's `/` on decimals gives DOUBLE, and a product of two wide decimals overflows, so amounts travel as DECIMAL(38, 18)
    (20 digits before the point) and pass through the functions below only. None of them touches a binary float.

    atto(x)                 x in units of 1e-18, as HUGEINT
    from_atto(n)            back again, DECIMAL(38, 18)
    rounded_quotient(a, b)  HUGEINT a / b to the nearest integer, halves away from zero
    exact_product(a, rate)  DECIMAL(38, 18) a × DECIMAL(…, 9) rate, rounded at the 18th decimal
    exact_quotient(a, n)    DECIMAL(38, 18) a ÷ whole number n, rounded at the 18th decimal
    whole_quotient(a, n)    the same of a whole number a, in a quarter of the time
    exact_ratio(a, b, c)    a × b ÷ c of three DECIMAL(38, 18), |a|, |c| < 8e15, |b| < 1e18: long division in limbs of b, cut at the 18th decimal;
                            limbs of nine digits where |c| < 8e10, so that a remainder times a limb fits into 128 bits, else of four
    settled(x)              x at 12 decimals, DECIMAL(38, 12): takes back the last digits of the divisions above, so that an exact half of a cent is
                            a half again, and is the unrounded form in which amounts are published
    floored_money(x, d)     x cut down to d decimals, as DECIMAL(38, 2): what a cap leaves is never passed, not by a cent
    rounded_money(x, d)     x to d decimals, half away from zero, once, as DECIMAL(18, 2); d is the currency's ISO 4217 minor unit, 0 to 2
#}
{% macro create_exact_arithmetic() %}
create or replace macro main.atto(x) as (
    cast(trunc(x) as hugeint) * 1000000000000000000::hugeint + cast((x - trunc(x)) * 1000000000000000000::decimal(19, 0) as hugeint)
);
create or replace macro main.from_atto(n) as (cast(n as decimal(38, 0)) * 0.000000000000000001::decimal(18, 18));
create or replace macro main.rounded_quotient(a, b) as (
    sign(a) * sign(b) * ((abs(a) + abs(b) // 2) // abs(b))
);
create or replace macro main.exact_product(a, rate) as (
    cast(cast(trunc(cast(a as decimal(38, 18))) as decimal(20, 0)) * rate as decimal(38, 18))
    + cast(cast(cast(a as decimal(38, 18)) - trunc(cast(a as decimal(38, 18))) as decimal(18, 18)) * rate as decimal(38, 18))
);
create or replace macro main.exact_quotient(a, n) as (
    main.from_atto(main.rounded_quotient(main.atto(cast(a as decimal(38, 18))), cast(n as hugeint)))
);
create or replace macro main.whole_quotient(a, n) as (
    main.from_atto(main.rounded_quotient(cast(a as hugeint) * 1000000000000000000::hugeint, cast(n as hugeint)))
);
create or replace macro main.divided_on(done, limb) as ({
    'a': done.a,
    'b': done.b,
    'c': done.c,
    'whole': done.whole,
    'quotient': done.quotient * 1000000000::hugeint + (done.remainder * 1000000000::hugeint + done.a * limb) // done.c,
    'remainder': (done.remainder * 1000000000::hugeint + done.a * limb) % done.c
});
create or replace macro main.ratio_by_thousand_millions(parts) as (
    list_transform(list_transform(list_transform(list_transform(list_transform(
        [parts],
        lambda x: {'a': x.a % x.c, 'b': x.b, 'c': x.c, 'whole': x.a // x.c * x.b, 'quotient': 0::hugeint, 'remainder': 0::hugeint}),
        lambda x: main.divided_on(x, x.b // 1000000000000000000000000000::hugeint)),
        lambda x: main.divided_on(x, x.b // 1000000000000000000::hugeint % 1000000000::hugeint)),
        lambda x: main.divided_on(x, x.b // 1000000000::hugeint % 1000000000::hugeint)),
        lambda x: x.whole + main.divided_on(x, x.b % 1000000000::hugeint).quotient
    )[1]
);
create or replace macro main.ratio_by_ten_thousands(a, b, c) as (
    list_reduce(
        list_transform(
            [100000000000000000000000000000000, 10000000000000000000000000000, 1000000000000000000000000, 100000000000000000000, 10000000000000000, 1000000000000, 100000000, 10000, 1]::hugeint[],
            lambda limb_unit: {'quotient': 0::hugeint, 'remainder': b // limb_unit % 10000::hugeint}
        ),
        lambda done, limb: {
            'quotient': done.quotient * 10000::hugeint + (done.remainder * 10000::hugeint + a * limb.remainder) // c,
            'remainder': (done.remainder * 10000::hugeint + a * limb.remainder) % c
        },
        {'quotient': 0::hugeint, 'remainder': 0::hugeint}
    ).quotient
);
-- Arguments are handed on as one value: written out wherever they are named, they would be worked out again for each limb.
create or replace macro main.exact_ratio(a, b, c) as (
    list_transform(
        [{
            'a': main.atto(cast(a as decimal(38, 18))), 'b': main.atto(cast(b as decimal(38, 18))), 'c': main.atto(cast(c as decimal(38, 18)))
        }],
        lambda x: main.from_atto(sign(x.a) * sign(x.b) * sign(x.c) * case
            when abs(x.c) < 80000000000000000000000000000::hugeint
                then main.ratio_by_thousand_millions({'a': abs(x.a), 'b': abs(x.b), 'c': abs(x.c)})
            else main.ratio_by_ten_thousands(abs(x.a), abs(x.b), abs(x.c))
        end)
    )[1]
);
create or replace macro main.settled(x) as (cast(x as decimal(38, 12)));
create or replace macro main.floored_money(x, d) as (
    case d
        when 0 then cast(floor(x) as decimal(38, 2))
        when 1 then cast(floor(x * 10) * 0.1 as decimal(38, 2))
        else cast(floor(x * 100) * 0.01 as decimal(38, 2))
    end
);
create or replace macro main.rounded_money(x, d) as (
    case d
        when 2 then cast(round(main.settled(x), 2) as decimal(18, 2))
        when 1 then cast(round(main.settled(x), 1) as decimal(18, 2))
        when 0 then cast(round(main.settled(x), 0) as decimal(18, 2))
        else cast(error('a currency with ' || d || ' decimals cannot be held in DECIMAL(18, 2)') as decimal(18, 2))
    end
)
{% endmacro %}
