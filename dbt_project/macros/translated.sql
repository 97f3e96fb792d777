{#
    An amount of `components` in its contract's currency, DECIMAL(38, 18): as it is without a foreign rate (`fx`), else times the mean of the
    rates, or times the mean of 1 ÷ rate where only the inverse pair is quoted.
#}
{% macro translated(amount) -%}
case
            when fx.rate_count is null then cast({{ amount }} as decimal(38, 18))
            when not fx.is_inverse then main.exact_quotient(main.exact_product({{ amount }}, fx.rate_sum), fx.rate_count)
            else
                main.exact_quotient(
                    list_sum(list_transform(fx.rates, lambda rate: main.exact_ratio({{ amount }}, 1, rate))), fx.rate_count
                )
        end
{%- endmacro %}
