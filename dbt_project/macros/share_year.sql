{# First day of the year that a month of a block belongs to: the contract's, unless the true-up names another (fiscal: February to January). #}
{% macro share_year_from(segment) -%}
case {{ segment }}.true_up_frequency
        when 'calendar_year' then cast(date_trunc('year', {{ segment }}.service_month) as date)
        when 'fiscal_year' then cast(date_trunc('year', {{ segment }}.service_month - interval 1 month) + interval 1 month as date)
        else cast(
            date_trunc('month', {{ segment }}.service_commencement_date)
            + to_years(cast(({{ segment }}.contract_month - 1) // 12 as integer)) as date
        )
    end
{%- endmacro %}
