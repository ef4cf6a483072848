{# One recurrent layer. Comes in: wide, layer (see c/__init__.py). Goes out: its function. #}
{% set s = "_wide" if wide else "" %}
{% set W = layer.widths | sum %}
{% set eight = eight_bits and not wide %}
{% set own = "f" if eight_bits and wide else "w" %}
{% macro product(inputs, outputs, x, constant, sum) %}
product{{ "8" if eight }}{{ s }}({{ inputs }}, {{ outputs }}, {{ x }}, {{ own }}{{ constant }}, {{ "w%d_scale, " % constant if eight }}{{ sum }});
{%- endmacro %}
static void recurrent_{{ layer.out }}{{ s }}(const float *x, int hours, const float *counts, float *out)
{
{% if layer.renewed %}
    float sum[{{ W }}];
{% endif %}
    float h[{{ layer.units }}] = {0}, c[{{ layer.units }}] = {0}, z[{{ 4 * layer.units }}];
{% if layer.gates[0].links | length > 1 %}
    float hidden[2][{{ layer.most_hidden }}];
{% endif %}
{% if layer.renewed %}
    const float *old = NULL;
{% endif %}
{% if eight_bits and wide %}
{% for m in layer.matrices %}
    float f{{ m.constant }}[{{ m.inputs * m.outputs }}];
{% endfor %}
{% endif %}
    int step, j;
{% if eight_bits and wide %}
{% for m in layer.matrices %}
    widen{{ s }}({{ m.inputs }}, {{ m.outputs }}, w{{ m.constant }}, w{{ m.constant }}_scale, f{{ m.constant }});
{% endfor %}
{% endif %}
    for (step = 0; step < hours; step++) {
        int hour = {{ "hours - 1 - step" if layer.backwards else "step" }};
        const float *now = x + hour * {{ layer.inputs }};
        if (counts && !(counts[hour] > 0.0f)) { /* nothing was measured: the state stays */
{% if layer.sequences %}
            memcpy(out + hour * {{ layer.units }}, h, sizeof h);
{% endif %}
            continue;
        }
{% if layer.renewed %}
        renew{{ "8" if eight }}{{ s }}({{ layer.inputs }}, {{ W }}, now, old, {{ own }}{{ layer.kernel }}, sum);
        old = now;
{% endif %}
{% if not layer.chain %}
        for (j = 0; j < {{ W }}; j++)
            z[j] = w{{ layer.bias }}[j]{% if layer.renewed %} + sum[j]{{ " * w%d_scale[j]" % layer.kernel if eight }}{% endif %};
{% if not layer.renewed %}
        {{ product(layer.inputs, W, "now", layer.kernel, "z") }}
{% endif %}
        {{ product(layer.units, W, "h", layer.recurrent, "z") }}
{% else %}
        {
            float first[{{ W }}];
            for (j = 0; j < {{ W }}; j++)
                first[j] = {% if layer.renewed %}sum[j]{{ " * w%d_scale[j]" % layer.kernel if eight }}{% else %}0.0f{% endif %};
{% if not layer.renewed %}
            {{ product(layer.inputs, W, "now", layer.kernel, "first") }}
{% endif %}
            {{ product(layer.units, W, "h", layer.recurrent, "first") }}
            for (j = 0; j < {{ W }}; j++)
                first[j] = first[j] > 0.0f ? first[j] : first[j] != first[j] ? first[j] : 0.0f;
            memcpy(z, w{{ layer.bias }}, sizeof z);
{% for gate in layer.gates %}
{% for link in gate.links %}
{% set source = "first + %d" % gate.start if loop.first else "hidden[%d]" % ((loop.index0 + 1) % 2) %}
{% if loop.last %}
            {{ product(link.inputs, link.outputs, source, link.constant, "z + %d" % (gate.index * layer.units)) }}
{% else %}
            memset(hidden[{{ loop.index0 % 2 }}], 0, {{ link.outputs }} * sizeof(float));
            {{ product(link.inputs, link.outputs, source, link.constant, "hidden[%d]" % (loop.index0 % 2)) }}
            for (j = 0; j < {{ link.outputs }}; j++)
                hidden[{{ loop.index0 % 2 }}][j] = hidden[{{ loop.index0 % 2 }}][j] > 0.0f ? hidden[{{ loop.index0 % 2 }}][j] : hidden[{{ loop.index0 % 2 }}][j] != hidden[{{ loop.index0 % 2 }}][j] ? hidden[{{ loop.index0 % 2 }}][j] : 0.0f;
{% endif %}
{% endfor %}
{% endfor %}
        }
{% endif %}
        open_gates{{ s }}({{ layer.units }}, z, h, c);
{% if layer.sequences %}
        memcpy(out + hour * {{ layer.units }}, h, sizeof h);
{% endif %}
    }
{% if not layer.sequences %}
    memcpy(out, h, sizeof h);
{% endif %}
}
