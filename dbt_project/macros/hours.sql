{#
    Hours of a GPU count in the overlap of two half-open intervals of instants. Microseconds are whole numbers (HUGEINT);
    hours are DECIMAL(38, 18), divided once.
#}
{% macro gpu_microseconds_of_overlap(gpu_count, from_a, to_a, from_b, to_b) -%}
cast({{ gpu_count }} as hugeint)
            * greatest(0, epoch_us(least({{ to_a }}, {{ to_b }})) - epoch_us(greatest({{ from_a }}, {{ from_b }})))
{%- endmacro %}

{% macro gpu_hours_of_overlap(gpu_count, from_a, to_a, from_b, to_b) -%}
main.whole_quotient(
            {{ gpu_microseconds_of_overlap(gpu_count, from_a, to_a, from_b, to_b) }}, 3600000000
        )
{%- endmacro %}

{# GPU-microseconds (whole number) as published GPU-hours, DECIMAL(28, 9). #}
{% macro as_hours(gpu_microseconds) -%}
cast(main.whole_quotient({{ gpu_microseconds }}, 3600000000) as decimal(28, 9))
{%- endmacro %}
