{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- Schemas carry exactly the name that the project gives them: the marts are a public interface. -#}
    {{ target.schema if custom_schema_name is none else custom_schema_name | trim }}
{%- endmacro %}
