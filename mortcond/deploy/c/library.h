/* {{ about.title | paragraph }}

   Written by mortcond; not meant to be changed by hand.

   INTENDED USE
   {{ about.intended_use | paragraph }}
   {{ about.limits | paragraph }}

   LINEAGE
   {{ about.lineage | paragraph }}
   SHA-256 of the model: {{ about.model_sha256 }}

   USE
   From raw measurements, in any order, each with the hours since ICU admission:

       static {{ name }}_stay stay;
       {{ name }}_stay_clear(&stay);
       {{ name }}_stay_add(&stay, 0.5, {{ NAME }}_{{ p.measures[0].enum }}, ...);
       {{ name }}_stay_add_text(&stay, 1.25, {{ p.measures[0].name | literal }}, "...");
       risk = {{ name }}_stay_risk(&stay);

   or from a prepared input: {{ name }}_risk(x). Compile the source with -O3; link the math library (-lm).
   As a program that reads a table of events: cc -O3 -D{{ NAME }}_MAIN -o {{ name }} {{ file }}.c -lm */

#ifndef {{ NAME }}_H
#define {{ NAME }}_H

#ifdef __cplusplus
extern "C" {
#endif

enum {
    {{ NAME }}_HOURS = {{ hours }},
    {{ NAME }}_FEATURES = {{ features }},
    {{ NAME }}_VARIABLES = {{ p.measures | length }},
    {{ NAME }}_FACTS = {{ p.facts | length }}
};

/* The variables, for {{ name }}_stay_add. Values are in the unit that is told here; some others are recognised. */
enum {
{% for m in p.measures[:p.measured] %}
    {{ NAME }}_{{ m.enum }} = {{ loop.index0 }}{{ "," if not loop.last }} /* {{ m.comment }}{{ ", " ~ m.unit if m.unit }} */
{% endfor %}
};

/* What became of a measurement. */
enum {
    {{ NAME }}_KEPT = 0,
    {{ NAME }}_MISSING = 1,     /* the text says that there is no value */
    {{ NAME }}_OUTSIDE = 2,     /* not within the {{ hours }} hours */
    {{ NAME }}_UNKNOWN = 3,     /* no variable of this model: ignored */
    {{ NAME }}_UNREADABLE = 4,  /* no number, or no category of the variable: left out */
    {{ NAME }}_IMPLAUSIBLE = 5{{ "," if total }} /* outside the plausible range: left out */
{% if total %}
    {{ NAME }}_FULL = 6         /* more times with a Glasgow coma scale than are kept: there will be no risk */
{% endif %}
};

typedef struct {
    double hours, value;
    unsigned char place; /* 0: nothing measured */
} {{ name }}_cell;

{% if total %}
#ifndef {{ NAME }}_MOST_SCALES
#define {{ NAME }}_MOST_SCALES {{ 4 * hours }} /* times with a component of the Glasgow coma scale */
#endif

typedef struct {
    double hours;
    unsigned char place[3], category[3];
} {{ name }}_scale;

{% endif %}
/* All that was measured of one stay. Its parts are nobody's business. */
typedef struct {
    {{ name }}_cell cell[{{ NAME }}_HOURS][{{ NAME }}_VARIABLES];
    double fact[{{ p.facts | length or 1 }}];
{% if total %}
    {{ name }}_scale scale[{{ NAME }}_MOST_SCALES];
    int scales;
{% endif %}
    int measured, full;
} {{ name }}_stay;

/* Forget everything of a stay. Call it first. */
void {{ name }}_stay_clear({{ name }}_stay *stay);

/* Add a measurement: of several in an hour the last counts, sums add up. A category is told by the number that is its
   name; other categories go as text. Returns what became of it. */
int {{ name }}_stay_add({{ name }}_stay *stay, double hours, int variable, double value);

/* The same by the variable's name and a text, as a table of events has them. */
int {{ name }}_stay_add_text({{ name }}_stay *stay, double hours, const char *variable, const char *text);

/* Say a fact of the stay{{ ": " ~ p.facts | join(", ") if p.facts else " (this model knows none)" }}. */
int {{ name }}_stay_fact({{ name }}_stay *stay, const char *name, const char *text);

/* Return the number of a variable for {{ name }}_stay_add by its name, -1 where there is none. */
int {{ name }}_variable(const char *name);

/* Write the network's input, [{{ hours }}][{{ features }}]: carried forward, normal values, one-hot, masks, scaled. */
void {{ name }}_stay_input(const {{ name }}_stay *stay, float *x);

/* Return the risk of death in hospital, 0 to 1; NAN where nothing was measured. */
float {{ name }}_stay_risk(const {{ name }}_stay *stay);

/* Return the risk from a prepared input, [{{ hours }}][{{ features }}]. */
float {{ name }}_risk(const float *x);

/* The same from the first hours only{{ ", which this network cannot do: NAN unless hours is %d" % hours if whole_window }}. */
float {{ name }}_risk_of(const float *x, int hours);

/* The risks of several stays, x [stays][{{ hours }}][{{ features }}]. */
void {{ name }}_risks(const float *x, int stays, float *risk);

extern const char {{ name }}_title[], {{ name }}_intended_use[], {{ name }}_limits[];
extern const char {{ name }}_lineage[], {{ name }}_model_sha256[];
extern const float {{ name }}_prevalence; /* share of deaths among the stays it was trained on; -1: unknown */

#ifdef __cplusplus
}
#endif

#endif
