/* ---- Reading one value ---- */

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static double power_of_ten(int exponent)
{
    double power = 1.0, base = 10.0;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            power *= base;
        base *= base;
    }
    return power;
}

/* Read a decimal number that fills all of start..end but for spaces. No locale, no library, no hexadecimals.
   Up to 15 digits it is rounded correctly, beyond to within the last bit or two of a double. */
static int read_number(const char *start, const char *end, double *value)
{
    uint64_t digits = 0;
    int exponent = 0, any = 0, fraction = 0, negative, written = 0, sign = 1;
    while (start < end && is_space(*start))
        start++;
    while (end > start && is_space(end[-1]))
        end--;
    negative = start < end && *start == '-';
    if (start < end && (*start == '-' || *start == '+'))
        start++;
    for (; start < end; start++) {
        if (*start == '.' && !fraction) {
            fraction = 1;
        } else if (*start >= '0' && *start <= '9') {
            any = 1;
            if (digits < UINT64_C(1000000000000000000)) {
                digits = digits * 10 + (uint64_t)(*start - '0');
                exponent -= fraction;
            } else if (!fraction) {
                exponent++;
            }
        } else {
            break;
        }
    }
    if (!any)
        return 0;
    if (start < end && (*start == 'e' || *start == 'E')) {
        start++;
        if (start < end && (*start == '-' || *start == '+'))
            sign = *start++ == '-' ? -1 : 1;
        if (start == end)
            return 0;
        for (; start < end && *start >= '0' && *start <= '9'; start++)
            written = written < 10000 ? written * 10 + (*start - '0') : written;
        exponent += sign * written;
    }
    if (start != end)
        return 0;
    while (digits && exponent < 0 && digits % 10 == 0) {
        digits /= 10;
        exponent++;
    }
    *value = (double)digits;
    if (!digits || exponent < -400)
        *value = 0.0;
    else if (exponent > 400)
        *value = HUGE_VAL;
    else if (exponent < -300)
        *value = *value / power_of_ten(300) / power_of_ten(-exponent - 300);
    else if (exponent < 0)
        *value /= power_of_ten(-exponent);
    else
        *value *= power_of_ten(exponent);
    if (negative)
        *value = -*value;
    return 1;
}

static int is_finite(double value)
{
    return value - value == 0.0;
}

static int same_text(const char *start, const char *end, const char *text)
{
    size_t length = (size_t)(end - start);
    return strlen(text) == length && memcmp(start, text, length) == 0;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Compare words in any case and with any blanks between. */
static int same_words(const char *start, const char *end, const char *text)
{
    while (start < end && is_space(*start))
        start++;
    while (end > start && is_space(end[-1]))
        end--;
    while (start < end && *text) {
        if (is_space(*start) != is_space(*text))
            return 0;
        if (is_space(*start)) {
            while (is_space(*start))
                start++;
            while (is_space(*text))
                text++;
        } else if (lower(*start++) != lower(*text++)) {
            return 0;
        }
    }
    return start == end && !*text;
}

/* Does a text say, in the words of any program, that there is no value? */
static int is_missing(const char *start, const char *end)
{
    int i, more = 1;
    while (more) {
        more = 0;
        if (start < end && is_space(*start))
            start += more = 1;
        else if (end > start && is_space(end[-1]))
            end -= more = 1;
        else if (end - start > 1 && memcmp(start, "\302\240", 2) == 0)
            start += 2 * (more = 1);
        else if (end - start > 1 && memcmp(end - 2, "\302\240", 2) == 0)
            end -= 2 * (more = 1);
    }
    for (i = 0; i < (int)(sizeof MISSING / sizeof *MISSING); i++)
        if (strlen(MISSING[i]) == (size_t)(end - start) && same_words(start, end, MISSING[i]))
            return 1;
    return 0;
}

{% if uses_limit %}
/* Return what follows `<`, `>=`, LESS THAN and the like: of such a value the limit of detection is taken. */
static const char *without_limit(const char *start, const char *end)
{
    static const char *const words[] = {"less than", "greater than"};
    const char *at = start;
    int word;
    while (at < end && is_space(*at))
        at++;
    if (at < end && (*at == '<' || *at == '>'))
        return at + 1 + (at + 1 < end && at[1] == '=');
    for (word = 0; word < 2; word++) {
        size_t length = strlen(words[word]), i = 0;
        while (i < length && at + i < end && (at[i] | (words[word][i] == ' ' ? 0 : 32)) == words[word][i])
            i++;
        if (i == length)
            return at + length;
    }
    return start;
}

{% endif %}
/* Repair what is plainly another unit of the same variable. */
static double in_unit(int rule, double value)
{
    switch (rule) {
    case 1: return value > 1 ? value / 100 : value; /* fraction from percent */
    case 2: return value <= 1 ? value * 100 : value; /* percent from a fraction */
    case 3: return value < 60 ? value : value >= 600 ? value / 100 : value / 10; /* pH 735 or 73.5 */
    case 4: return value >= 79 ? (value - 32) * 5 / 9 : value; /* Celsius from Fahrenheit */
    case 5: return value <= 3 ? value * 100 : value > 300 ? value / 2.54 : value; /* centimetres from metres */
    default: return value;
    }
}

/* The category that a text means: by a name, else by a spelling, as it is written, else in other letters or as another
   form of a number, where that means but one; else as points. Facts count as they are written. */
static int category_of(const measure *m, const char *start, const char *end, int loose, double *index)
{
    double value = 0;
    int tier, i, is_number = read_number(start, end, &value);
    for (tier = 0; tier < 3; tier++) {
        int found = -1, several = 0;
        for (i = m->first_text; i < m->first_text + m->texts; i++)
            if (TEXTS[i].tier == tier && same_text(start, end, TEXTS[i].text)) {
                *index = TEXTS[i].category;
                return 1;
            }
        for (i = m->first_text; loose && i < m->first_text + m->texts; i++)
            if (TEXTS[i].tier == tier && same_words(start, end, TEXTS[i].text)) {
                several |= found >= 0 && found != TEXTS[i].category;
                found = TEXTS[i].category;
            }
        for (i = m->first_number; loose && is_number && i < m->first_number + m->numbers; i++)
            if (NUMBERS[i].tier == tier && NUMBERS[i].value == value) {
                several |= found >= 0 && found != NUMBERS[i].category;
                found = NUMBERS[i].category;
            }
        if (found >= 0 && !several) {
            *index = found;
            return 1;
        }
    }
    return 0;
}

/* ---- Collecting a stay ---- */

void {{ name }}_stay_clear({{ name }}_stay *stay)
{
    int i;
    memset(stay, 0, sizeof *stay);
    for (i = 0; i < {{ NAME }}_FACTS; i++)
        stay->fact[i] = NAN;
}

int {{ name }}_variable(const char *name)
{
    int low = 0, high = (int)(sizeof SOURCES / sizeof *SOURCES) - 1;
    while (low <= high) {
        int middle = (low + high) / 2, order = strcmp(name, SOURCES[middle].name);
        if (order == 0)
            return SOURCES[middle].place * {{ NAME }}_VARIABLES + SOURCES[middle].variable;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

{% if total %}
/* Keep a component of the Glasgow coma scale by its exact time: the total is their sum where all three have one. */
static int keep_component({{ name }}_stay *stay, double hours, int component, int place, int category)
{
    {{ name }}_scale *at = stay->scale;
    int i;
    for (i = 0; i < stay->scales && at[i].hours != hours; i++)
        ;
    if (i == {{ NAME }}_MOST_SCALES) {
        stay->full = 1;
        return 0;
    }
    if (i == stay->scales) {
        stay->scales++;
        at[i].hours = hours;
    }
    if (!at[i].place[component] || place < at[i].place[component] - 1
        || (place == at[i].place[component] - 1 && category > at[i].category[component])) {
        at[i].place[component] = (unsigned char)(place + 1);
        at[i].category[component] = (unsigned char)category;
    }
    return 1;
}

{% endif %}
/* Keep a clean value: the last of an hour; of several at one time that of the first name, then the largest. */
static int keep({{ name }}_stay *stay, double hours, int variable, int place, double value)
{
    const measure *m = &MEASURES[variable];
    int hour = (int)(hours - TOLERANCE_HOURS);
    {{ name }}_cell *cell;
    if (hour > {{ NAME }}_HOURS - 1)
        hour = {{ NAME }}_HOURS - 1;
    cell = &stay->cell[hour][variable];
{% if total %}
    if (m->component && !keep_component(stay, hours, m->component - 1, place, (int)value))
        return {{ NAME }}_FULL;
{% endif %}
    if (m->summed)
        cell->value = cell->place ? cell->value + value : value;
    else if (!cell->place || hours > cell->hours
             || (hours == cell->hours
                 && (place < cell->place - 1 || (place == cell->place - 1 && value > cell->value))))
        cell->value = value;
    else
        return {{ NAME }}_KEPT;
    cell->hours = hours;
    cell->place = (unsigned char)(place + 1);
    stay->measured = 1;
    return {{ NAME }}_KEPT;
}

static int clean_and_keep({{ name }}_stay *stay, double hours, int variable, double value, int category)
{
    int place = variable / {{ NAME }}_VARIABLES;
    const measure *m = &MEASURES[variable % {{ NAME }}_VARIABLES];
    if (!category) {
        value = in_unit(m->rule, value);
        if (!(value <= LARGEST && value >= -LARGEST) || value < m->low || value > m->high)
            return {{ NAME }}_IMPLAUSIBLE;
    }
    if (!(hours > -TOLERANCE_HOURS && hours < {{ NAME }}_HOURS + TOLERANCE_HOURS))
        return {{ NAME }}_OUTSIDE;
    return keep(stay, hours, variable % {{ NAME }}_VARIABLES, place, value);
}

int {{ name }}_stay_add({{ name }}_stay *stay, double hours, int variable, double value)
{
    int tier, i;
    const measure *m;
    if (variable < 0 || variable % {{ NAME }}_VARIABLES >= MEASURED)
        return {{ NAME }}_UNKNOWN;
    if (!is_finite(hours) || value != value)
        return {{ NAME }}_UNREADABLE;
    m = &MEASURES[variable % {{ NAME }}_VARIABLES];
    if (!m->categories)
        return clean_and_keep(stay, hours, variable, value, 0);
    for (tier = 0; tier < 3; tier++)
        for (i = m->first_number; i < m->first_number + m->numbers; i++)
            if (NUMBERS[i].tier == tier && NUMBERS[i].value == value)
                return clean_and_keep(stay, hours, variable, NUMBERS[i].category, 1);
    return {{ NAME }}_UNREADABLE;
}

int {{ name }}_stay_add_text({{ name }}_stay *stay, double hours, const char *variable, const char *text)
{
    const char *start = text, *end = text + strlen(text);
    int code = {{ name }}_variable(variable), read;
    const measure *m;
    double value;
    while (start < end && *start == ' ')
        start++;
    while (end > start && end[-1] == ' ')
        end--;
    if (start == end)
        return {{ NAME }}_MISSING;
    if (code < 0)
        return {{ NAME }}_UNKNOWN;
    if (!is_finite(hours))
        return {{ NAME }}_UNREADABLE;
    m = &MEASURES[code % {{ NAME }}_VARIABLES];
    if (m->categories) {
        read = category_of(m, start, end, 1, &value);
    } else {
{% if uses_limit %}
        read = read_number(m->rule == RULE_LIMIT ? without_limit(start, end) : start, end, &value);
{% else %}
        read = read_number(start, end, &value);
{% endif %}
    }
    if (!read)
        return is_missing(start, end) ? {{ NAME }}_MISSING : {{ NAME }}_UNREADABLE;
    return clean_and_keep(stay, hours, code, value, m->categories);
}

int {{ name }}_stay_fact({{ name }}_stay *stay, const char *name, const char *text)
{
    int i;
    double value;
    for (i = MEASURED; i < {{ NAME }}_VARIABLES; i++) {
        const measure *m = &MEASURES[i];
        const char *end = text + strlen(text);
        if (strcmp(name, FACT_NAMES[i - MEASURED]) != 0)
            continue;
        if (m->categories ? !category_of(m, text, end, 0, &value) : !read_number(text, end, &value) || !is_finite(value))
            return {{ NAME }}_UNREADABLE;
        stay->fact[i - MEASURED] = value;
        return {{ NAME }}_KEPT;
    }
    return {{ NAME }}_UNKNOWN;
}

/* ---- From the measurements to the network's input ---- */

/* What is known of each variable up to an hour. */
typedef struct {
    double latest[{{ NAME }}_VARIABLES], now[{{ NAME }}_VARIABLES];
    int measured_now[{{ NAME }}_VARIABLES], last_hour[{{ NAME }}_VARIABLES];
    double lowest[{{ NAME }}_VARIABLES], highest[{{ NAME }}_VARIABLES], total[{{ NAME }}_VARIABLES];
    int count[{{ NAME }}_VARIABLES];
} known;

{% if total %}
/* The latest total of an hour: as measured, or later and the sum of three components of one time. */
static {{ name }}_cell total_of(const {{ name }}_stay *stay, int hour)
{
    {{ name }}_cell cell = stay->cell[hour][TOTAL];
    int i, j;
    for (i = 0; i < stay->scales; i++) {
        const {{ name }}_scale *at = &stay->scale[i];
        int own = (int)(at->hours - TOLERANCE_HOURS), points = 0;
        if ((own < {{ NAME }}_HOURS ? own : {{ NAME }}_HOURS - 1) != hour)
            continue;
        if (!at->place[0] || !at->place[1] || !at->place[2] || (cell.place && at->hours <= cell.hours))
            continue;
        for (j = 0; j < 3; j++)
            points += POINTS[j][at->category[j]];
        cell.value = points;
        cell.hours = at->hours;
        cell.place = 1;
    }
    return cell;
}

{% endif %}
static void begin(const {{ name }}_stay *stay, known *k)
{
    int i;
    memset(k, 0, sizeof *k);
    for (i = 0; i < {{ NAME }}_VARIABLES; i++) {
        double normal = MEASURES[i].normal;
        k->latest[i] = k->lowest[i] = k->highest[i] = k->total[i] = normal;
        if (i >= MEASURED) {
            double fact = stay->fact[i - MEASURED];
            k->now[i] = is_finite(fact) ? fact : MEASURES[i].categories ? -1.0 : normal;
        }
    }
}

static void learn(const {{ name }}_stay *stay, int hour, known *k)
{
    int i;
    for (i = 0; i < MEASURED; i++) {
{% if total %}
        {{ name }}_cell cell = i == TOTAL ? total_of(stay, hour) : stay->cell[hour][i];
{% else %}
        {{ name }}_cell cell = stay->cell[hour][i];
{% endif %}
        k->measured_now[i] = cell.place != 0;
        k->now[i] = MEASURES[i].summed ? MEASURES[i].normal : k->latest[i];
        if (!cell.place)
            continue;
        k->now[i] = k->latest[i] = cell.value;
        k->last_hour[i] = hour;
        k->lowest[i] = k->count[i] && k->lowest[i] < cell.value ? k->lowest[i] : cell.value;
        k->highest[i] = k->count[i] && k->highest[i] > cell.value ? k->highest[i] : cell.value;
        k->total[i] = k->count[i] ? k->total[i] + cell.value : cell.value;
        k->count[i]++;
    }
}

static double part_of(const known *k, const feature *f, int hour)
{
    int v = f->variable;
    switch (f->part) {
    case PART_MASK: return k->measured_now[v];
    case PART_DELTA: return log1p((double)(hour - k->last_hour[v]));
    case PART_MIN: return k->lowest[v];
    case PART_MAX: return k->highest[v];
    case PART_MEAN: return k->count[v] ? k->total[v] / k->count[v] : k->total[v];
    default: return k->now[v];
    }
}

static void row_of(const known *k, int hour, float *x)
{
    int i;
    for (i = 0; i < {{ NAME }}_FEATURES; i++) {
        const feature *f = &FEATURES[i];
        double value = part_of(k, f, hour);
        if (f->category >= 0)
            value = value == f->category;
        else if (f->logged)
            value = log1p(value > 0 ? value : 0.0);
        x[i] = (float)((value - f->mean) / f->std);
    }
}

void {{ name }}_stay_input(const {{ name }}_stay *stay, float *x)
{
    known k;
    int hour;
    begin(stay, &k);
    for (hour = 0; hour < {{ NAME }}_HOURS; hour++) {
        learn(stay, hour, &k);
        row_of(&k, hour, x + hour * {{ NAME }}_FEATURES);
    }
}

float {{ name }}_stay_risk(const {{ name }}_stay *stay)
{
    float x[{{ NAME }}_HOURS * {{ NAME }}_FEATURES];
    if (!stay->measured || stay->full)
        return NAN;
    {{ name }}_stay_input(stay, x);
    return {{ name }}_risk(x);
}
