{#
    An amount of `components` in its contract's currency, DECIMAL(38, 18): as it is without a foreign rate (`fx`), else times the mean of the
    rates, or the mean of what each day's rates make of it where the pair is quoted the other way round or through a third currency.
#}
{% macro translated(amount) -%}
case
            when fx.rate_count is null then cast({{ amount }} as decimal(38, 18))
            when fx.rate_sum is not null then main.exact_quotient(main.exact_product({{ amount }}, fx.rate_sum), fx.rate_count)
            else
                main.exact_quotient(
                    list_sum(list_transform(fx.rates, lambda rate: main.exact_ratio({{ amount }}, rate.multiplier, rate.divisor))), fx.rate_count
                )
        end
{%- endmacro %}
