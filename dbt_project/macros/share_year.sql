{# First day of the contract year of a month: twelve contract months each, from the month of commencement. #}
{% macro contract_year_from(segment) -%}
cast(
            date_trunc('month', {{ segment }}.service_commencement_date)
            + to_years(cast(({{ segment }}.contract_month - 1) // 12 as integer)) as date
        )
{%- endmacro %}

{# First day of the year that a month of a block belongs to: the contract's, unless the true-up names another (fiscal: February to January). #}
{% macro share_year_from(segment) -%}
case {{ segment }}.true_up_frequency
        when 'calendar_year' then cast(date_trunc('year', {{ segment }}.service_month) as date)
        when 'fiscal_year' then cast(date_trunc('year', {{ segment }}.service_month - interval 1 month) + interval 1 month as date)
        else {{ contract_year_from(segment) }}
    end
{%- endmacro %}

{# What a list of months has added up to since a first day: one of its amounts over the months from then on. #}
{% macro accrued_since(months, amount, from_date) -%}
coalesce(list_sum(list_transform(
                    list_filter({{ months }}, lambda month: month.service_month >= {{ from_date }}), lambda month: month.{{ amount }}
                )), 0)
{%- endmacro %}
