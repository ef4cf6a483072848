/* {{ about.title | paragraph }}

   {{ about.intended_use | paragraph }}
   SHA-256 of the model: {{ about.model_sha256 }}
   How to use it, its limits and its lineage: {{ file }}.h */

#include "{{ file }}.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "compile without -ffast-math: it makes NaN and rounding other than this file needs"
#endif

const char {{ name }}_title[] = {{ about.title | literal }};
const char {{ name }}_intended_use[] = {{ about.intended_use | literal }};
const char {{ name }}_limits[] = {{ about.limits | literal }};
const char {{ name }}_lineage[] = {{ about.lineage | literal }};
const char {{ name }}_model_sha256[] = {{ about.model_sha256 | literal }};
const float {{ name }}_prevalence = {{ "-1.0f" if about.prevalence is none else about.prevalence | c_float }};

/* ---- Weights ---- */

{% for c in constants %}
/* {{ c.what | paragraph }} */
static const {{ c.kind }} {{ c.name }}[{{ c.size }}] = {
{{ c.numbers }}
};

{% endfor %}
/* ---- The network ---- */

{% if uses[false].renewed %}
#define MOST_CARRIED 8.0f
enum { MOST_INPUTS = {{ most_inputs }} };

{% endif %}
{% if uses[false].sigmoid or uses[false].tanh or uses[false].exponential %}
/* exp(x), to within 2 in the last of 24 bits, from -87 to 88 and not beyond (after Moshier's Cephes library); of a NaN
   a NaN. */
static float exponential(float x)
{
    float n, r, p;
    uint32_t bits;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    n = x * 1.44269504f + 12582912.0f;
    memcpy(&bits, &n, sizeof bits);
    bits = (bits + 127u) << 23;
    n -= 12582912.0f;
    r = x - n * 0.693359375f;
    r += n * 2.12194440e-4f;
    p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    memcpy(&n, &bits, sizeof n);
    return p * n;
}

{% endif %}

{% macro half(wide) %}
{% set s = "_wide" if wide else "" %}
{% with uses = uses[wide] %}
{% include "kernels.c" %}
{% endwith %}

{% for layer in layers[wide] %}
{% with layer = layer %}
{% include "recurrent.c" %}
{% endwith %}

{% endfor %}
static float run{{ s }}(const float *x, int hours)
{
    float at[{{ memory }}];
    int r, j, step;
    (void)r, (void)j, (void)step;
{% for line in lines[wide] %}
    {{ line }}
{% endfor %}
}
{% endmacro %}
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__TINYC__) && !defined({{ NAME }}_PLAIN)
#define WIDE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
{{ half(true) }}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

{{ half(false) }}

float {{ name }}_risk_of(const float *x, int hours)
{
{% if whole_window %}
    if (hours != {{ NAME }}_HOURS)
        return NAN;
{% else %}
    if (hours < 1 || hours > {{ NAME }}_HOURS)
        return NAN;
{% endif %}
#ifdef WIDE
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return run_wide(x, hours);
#endif
    return run(x, hours);
}

float {{ name }}_risk(const float *x)
{
    return {{ name }}_risk_of(x, {{ NAME }}_HOURS);
}

void {{ name }}_risks(const float *x, int stays, float *risk)
{
    int i;
    for (i = 0; i < stays; i++)
        risk[i] = {{ name }}_risk(x + (size_t)i * {{ NAME }}_HOURS * {{ NAME }}_FEATURES);
}

/* ---- From raw measurements ---- */

#define TOLERANCE_HOURS {{ p.tolerance }}
#define LARGEST {{ p.largest }}
enum { MEASURED = {{ p.measured }}, RULE_LIMIT = 6 };
enum { PART_VALUE, PART_MASK, PART_DELTA, PART_MIN, PART_MAX, PART_MEAN, PART_STATIC };

typedef struct {
    double low, high, normal; /* plausible range; value before the first measurement */
    short first_text, texts, first_number, numbers;
    unsigned char rule, summed, categories, component;
} measure;

static const measure MEASURES[{{ NAME }}_VARIABLES] = {
{% for m in p.measures %}
    { {{ m.low }}, {{ m.high }}, {{ m.normal }}, {{ m.first_text }}, {{ m.texts }}, {{ m.first_number }}, {{ m.numbers }}, {{ m.rule }}, {{ m.summed }}, {{ m.categories }}, {{ m.component }} }{{ "," if not loop.last }} /* {{ m.comment }} */
{% endfor %}
};

/* The texts that mean a category, and the numbers that are a category's name. */
static const struct {
    const char *text;
    short category, tier;
} TEXTS[] = {
{% for text, category, tier in p.texts %}
    { {{ text }}, {{ category }}, {{ tier }} },
{% endfor %}
    { "", -1, -1 }
};

static const struct {
    double value;
    short category, tier;
} NUMBERS[] = {
{% for value, category, tier in p.numbers %}
    { {{ value }}, {{ category }}, {{ tier }} },
{% endfor %}
    { 0.0, -1, -1 }
};

/* The names of the variables, sorted. */
static const struct {
    const char *name;
    short variable, place;
} SOURCES[] = {
{% for _, text, variable, place in p.sources %}
    { {{ text }}, {{ variable }}, {{ place }} }{{ "," if not loop.last }}
{% endfor %}
};

static const char *const MISSING[] = { {{ p.missing | join(", ") }} };
static const char *const FACT_NAMES[] = { {% for fact in p.facts %}{{ fact | literal }}, {% endfor %}"" };

typedef struct {
    unsigned char part, logged;
    short variable, category;
    double mean, std;
} feature;

static const feature FEATURES[{{ NAME }}_FEATURES] = {
{% for f in p.features %}
    { {{ f.part }}, {{ f.log }}, {{ f.variable }}, {{ f.category }}, {{ f.mean }}, {{ f.std }} }{{ "," if not loop.last }} /* {{ f.comment }} */
{% endfor %}
};

{% if total %}
enum { TOTAL = {{ total.variable }} };
static const unsigned char POINTS[3][{{ total.points | map("length") | max }}] = {
{% for points in total.points %}
    { {{ points | join(", ") }} }{{ "," if not loop.last }}
{% endfor %}
};

{% endif %}
{% include "prepare.c" %}

{% include "main.c" %}
