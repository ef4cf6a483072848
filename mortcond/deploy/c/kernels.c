{# Comes in: wide, whether this is the half for AVX2. Goes out: the kernels, each name with its half's ending. #}
{% set s = "_wide" if wide else "" %}
#undef LANES
#if {{ "1" if wide else "defined(__GNUC__) && !defined(__TINYC__) && (defined(__SSE2__) || defined(__ARM_NEON))" }}
#define LANES {{ 8 if wide else 4 }}
typedef float lanes{{ s }} __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef unsigned bits{{ s }} __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
#undef AT
#undef CONST_AT
#define AT(p) (*(lanes{{ s }} *)(p))
#define CONST_AT(p) (*(const lanes{{ s }} *)(p))
#else
#define LANES 1
#endif

{% if uses.sigmoid or uses.tanh %}
#if LANES > 1
/* exp as in exponential(), several numbers at a time; a NaN stays one. */
static inline lanes{{ s }} exponentials{{ s }}(lanes{{ s }} x)
{
    const lanes{{ s }} zero = {0}, least = zero - 87.0f, most = zero + 88.0f;
    bits{{ s }} below = (bits{{ s }})(x < least), above = (bits{{ s }})(x > most);
    lanes{{ s }} n, r, p;
    x = (lanes{{ s }})(((bits{{ s }})x & ~below) | ((bits{{ s }})least & below));
    x = (lanes{{ s }})(((bits{{ s }})x & ~above) | ((bits{{ s }})most & above));
    n = x * 1.44269504f + 12582912.0f;
    below = ((bits{{ s }})n + 127u) << 23;
    n -= 12582912.0f;
    r = x - n * 0.693359375f;
    r += n * 2.12194440e-4f;
    p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * (lanes{{ s }})below;
}
#endif

{% endif %}
{% if uses.sigmoid %}
static void all_sigmoid{{ s }}(int count, float *x)
{
    int j = 0;
#if LANES > 1
    const int whole = count - count % LANES;
    for (; j < whole; j += LANES)
        AT(x + j) = 1.0f / (1.0f + exponentials{{ s }}(-AT(x + j)));
#endif
    for (; j < count; j++)
        x[j] = 1.0f / (1.0f + exponential(-x[j]));
}

{% endif %}
{% if uses.tanh %}
static void all_tanh{{ s }}(int count, float *x)
{
    int j = 0;
#if LANES > 1
    const int whole = count - count % LANES;
    for (; j < whole; j += LANES)
        AT(x + j) = 1.0f - 2.0f / (1.0f + exponentials{{ s }}(AT(x + j) * 2.0f));
#endif
    for (; j < count; j++)
        x[j] = 1.0f - 2.0f / (1.0f + exponential(2.0f * x[j]));
}

{% endif %}
{% if uses.product %}
/* sum[outputs] += x[inputs] kernel[inputs][outputs] */
static inline void product{{ s }}(int inputs, int outputs, const float *x, const float *kernel, float *sum)
{
    int i, j = 0;
#if LANES > 1
{% for block in (8, 4, 1) %}
    for (; j + {{ block }} * LANES <= outputs; j += {{ block }} * LANES) {
{% for b in range(block) %}
        lanes{{ s }} s{{ b }} = CONST_AT(sum + j + {{ b }} * LANES);
{% endfor %}
        for (i = 0; i < inputs; i++) {
            const float *k = kernel + i * outputs + j;
{% for b in range(block) %}
            s{{ b }} += x[i] * CONST_AT(k + {{ b }} * LANES);
{% endfor %}
        }
{% for b in range(block) %}
        AT(sum + j + {{ b }} * LANES) = s{{ b }};
{% endfor %}
    }
{% endfor %}
#endif
    for (; j < outputs; j++) {
        float total = sum[j];
        for (i = 0; i < inputs; i++)
            total += x[i] * kernel[i * outputs + j];
        sum[j] = total;
    }
}

{% endif %}
{% if uses.product8 %}
/* The same with weights of 8 bits: sum += scale (x kernel). */
static inline void product8{{ s }}(int inputs, int outputs, const float *x, const signed char *kernel, const float *scale, float *sum)
{
    float total[64];
    int i, j, start;
    for (start = 0; start < outputs; start += 64) {
        int count = outputs - start < 64 ? outputs - start : 64;
        memset(total, 0, sizeof total);
        for (i = 0; i < inputs; i++)
            for (j = 0; j < count; j++)
                total[j] += x[i] * (float)kernel[i * outputs + start + j];
        for (j = 0; j < count; j++)
            sum[start + j] += scale[start + j] * total[j];
    }
}

{% endif %}
{% if uses.widened %}
/* Weights of 8 bits as floats, for the length of a call: they are used in every hour. */
static void widen{{ s }}(int inputs, int outputs, const signed char *kernel, const float *scale, float *wide)
{
    int i, j;
    for (i = 0; i < inputs; i++)
        for (j = 0; j < outputs; j++)
            wide[i * outputs + j] = scale[j] * (float)kernel[i * outputs + j];
}

{% endif %}
{% if uses.renewed %}
{% set eight = eight_bits and not wide %}
{% set kind = "signed char" if eight else "float" %}
/* sum is {{ "as product8 has it before the scale, of" if eight else "the product of" }} the hour `old`; make it that of the hour x: of those features only that changed. Where
   values are large, what would be taken away again leaves an error behind: then, and at first, all is multiplied. */
static inline void renew{{ "8" if eight else "" }}{{ s }}(int inputs, int outputs, const float *x, const float *old, const {{ kind }} *kernel, float *sum)
{
    int changed[MOST_INPUTS], count = 0, whole = !old, i, j;
    for (i = 0; old && i < inputs; i++) {
        changed[count] = i;
        count += x[i] != old[i];
    }
    for (i = 0; i < count; i++) {
        float new_value = x[changed[i]], old_value = old[changed[i]];
        whole |= !(new_value <= MOST_CARRIED && new_value >= -MOST_CARRIED);
        whole |= !(old_value <= MOST_CARRIED && old_value >= -MOST_CARRIED);
    }
    if (whole) {
        memset(sum, 0, (size_t)outputs * sizeof *sum);
{% if eight %}
        for (i = 0; i < inputs; i++)
            for (j = 0; j < outputs; j++)
                sum[j] += x[i] * (float)kernel[i * outputs + j];
{% else %}
        product{{ s }}(inputs, outputs, x, kernel, sum);
{% endif %}
        return;
    }
    for (i = 0; i < count; i++) {
        const {{ kind }} *k = kernel + changed[i] * outputs;
        float difference = x[changed[i]] - old[changed[i]];
        j = 0;
{% if not eight %}
#if LANES > 1
        for (; j + LANES <= outputs; j += LANES)
            AT(sum + j) += difference * CONST_AT(k + j);
#endif
{% endif %}
        for (; j < outputs; j++)
            sum[j] += difference * (float)k[j];
    }
}

{% endif %}
{% if uses.recurrent %}
/* c = f c + i tanh(g); h = o tanh(c), from the sums of the gates i, f, o, g (eq. 2 and 3 of the paper). */
static inline void open_gates{{ s }}(int units, float *z, float *h, float *c)
{
    int j;
    all_sigmoid{{ s }}(3 * units, z);
    all_tanh{{ s }}(units, z + 3 * units);
    for (j = 0; j < units; j++)
        h[j] = c[j] = z[units + j] * c[j] + z[j] * z[3 * units + j];
    all_tanh{{ s }}(units, h);
    for (j = 0; j < units; j++)
        h[j] *= z[2 * units + j];
}
{% endif %}
