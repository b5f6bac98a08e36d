{#-
    What a model has seen of the topics that are landed above it. Before the model reads, its hook notes the least of what its
    parents have seen; once the model is built, the other hook makes the note valid. A build that ends in between leaves the
    watermark as it was: it says less than the model has seen, which is safe.
-#}
{% macro watermark(when) -%}
{%- if when not in ('before', 'after') -%}
    {{ exceptions.raise_compiler_error("watermark('before') is for pre-hook, and watermark('after') for post-hook; not " ~ when) }}
{%- endif -%}
{%- if execute -%}
    {%- set parents = feature_sync.watermark_parents(model) -%}
    {%- if parents and when == 'before' -%}
        {%- do feature_sync.note_watermark(this, parents) -%}
    {%- elif parents -%}
        {%- do feature_sync.keep_watermark(feature_sync.watermark_relation(this)) -%}
    {%- endif -%}
{%- endif -%}
{%- endmacro %}
