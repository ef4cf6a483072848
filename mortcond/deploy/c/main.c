#ifdef {{ NAME }}_MAIN

/* A program: reads a table of events (stay_id, hours, variable, value){% if facts %} and, if named, one of stays
   (stay_id, {{ facts | join(", ") }}){% endif %} as CSV, and prints
   stay_id,risk. Here alone memory is asked for: the rows may come in any order. Exit code 3: the table cannot be used. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const UNITS[] = { {% for m in p.measures %}{{ m.unit | literal }}{{ ", " if not loop.last }}{% endfor %} };

enum { EVENT_COLUMNS = 6, NEEDED = 4, STAY_COLUMNS = 1 + {{ NAME }}_FACTS, MOST_COLUMNS = 256, MOST_NOTES = 5 };

typedef struct {
    long long stay;
    long row; /* the line of the file */
    double hours;
    const char *cell[6]; /* stay_id, hours, variable, value, unit, text; or stay_id and facts */
} event;

typedef struct {
    event *rows;
    size_t count;
    char *text; /* of the file: the cells are parts of it */
} table;

static int fail(const char *path, long row, const char *problem, const char *cell)
{
    fprintf(stderr, "Error: %s", path);
    if (row)
        fprintf(stderr, ", row %ld", row);
    fprintf(stderr, ": %s%s%s%s\n", problem, cell ? " '" : "", cell ? cell : "", cell ? "'." : ".");
    return 3;
}

static char *whole_file(const char *path)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t size = 0, room = 1 << 16, got;
    char *text = file ? malloc(room) : NULL;
    while (text && (got = fread(text + size, 1, room - size - 1, file)) > 0) {
        size += got;
        if (size + 1 == room) {
            char *larger = room > (size_t)-1 / 2 ? NULL : realloc(text, room *= 2);
            if (!larger)
                free(text);
            text = larger;
        }
    }
    if (text && (ferror(file) || memchr(text, 0, size))) {
        free(text);
        text = NULL;
        errno = errno ? errno : EINVAL;
    }
    if (file && file != stdin)
        fclose(file);
    if (text)
        text[size] = 0;
    return text;
}

/* Cut one line of CSV into cells, in place; return their number, -1 where quotes are not closed. */
static int cells_of(char **at, long *row, char **cells)
{
    char *in = *at, *out;
    int count = 0;
    for (;;) {
        int quoted = *in == '"';
        char stop;
        in += quoted;
        out = in;
        if (count < MOST_COLUMNS)
            cells[count] = out;
        count++;
        while (*in && (quoted || (*in != ',' && *in != '\n' && *in != '\r'))) {
            if (quoted && *in == '"') {
                if (in[1] != '"') {
                    quoted = 0;
                    in++;
                    continue;
                }
                in++;
            }
            *row += *in == '\n';
            *out++ = *in++;
        }
        if (quoted)
            return -1;
        stop = *in;
        if (stop)
            in++;
        if (stop == '\r' && *in == '\n')
            in++;
        *out = 0;
        if (stop != ',') {
            *at = in;
            return count;
        }
    }
}

static char *trimmed(char *text)
{
    size_t length = strlen(text);
    while (length && is_space(text[length - 1]))
        text[--length] = 0;
    while (is_space(*text))
        text++;
    return text;
}

static int by_stay(const void *a, const void *b)
{
    const event *left = a, *right = b;
    if (left->stay != right->stay)
        return left->stay < right->stay ? -1 : 1;
    return left->row < right->row ? -1 : left->row > right->row;
}

/* Read a whole number, as 12, 12.0 or 1e3; one that may have lost digits is none. */
static int read_id(const char *text, long long *id)
{
    const char *at = text + (*text == '-' || *text == '+');
    double value;
    long long whole = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (whole > (9223372036854775807LL - (*at - '0')) / 10)
            return 0;
        whole = whole * 10 + (*at - '0');
    }
    *id = *text == '-' ? -whole : whole;
    if (!*at)
        return at > text && at[-1] >= '0' && at[-1] <= '9';
    if (!read_number(text, text + strlen(text), &value))
        return 0;
    if (!(value < 9007199254740992.0 && value > -9007199254740992.0))
        return 0;
    if (strpbrk(text, "eE") && !(value < 1e11 && value > -1e11))
        return 0;
    *id = (long long)value;
    return (double)*id == value;
}

static int find_columns(const char *path, char **cells, int count, const char *const *names, int wanted, int *where)
{
    int i, j;
    for (i = 0; i < wanted; i++) {
        where[i] = -1;
        for (j = 0; j < count && j < MOST_COLUMNS; j++) {
            char *c, *name = trimmed(cells[j]);
            for (c = name; *c; c++)
                *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
            if (strcmp(name, names[i]) == 0)
                where[i] = j;
        }
        if (where[i] < 0 && (i == 0 || (wanted == EVENT_COLUMNS && i < NEEDED)))
            return fail(path, 1, "there is no column", names[i]);
    }
    return 0;
}

static int nothing(const char *text)
{
    return is_missing(text, text + strlen(text));
}

static long left_out[4] = {0, 0, 0, 0}; /* unreadable, implausible, of an unknown variable, without a place */

static void note(int kind, const char *path, const event *e)
{
    static const char *const kinds[] = {"cannot be read", "is implausible", "is of no variable of this model",
                                        "has no stay_id, hours or variable"};
    if (left_out[kind]++ < MOST_NOTES)
        fprintf(stderr, "%s, row %ld: %s %s %s; left out.\n", path, e->row, e->cell[2], e->cell[3], kinds[kind]);
}

/* Is a unit, where one is written, that of the variable? Others are converted by mortcond, and not here. */
static int own_unit(const event *e)
{
    int code = {{ name }}_variable(e->cell[2]);
    const char *unit = e->cell[4], *own = code < 0 ? "" : UNITS[code % {{ NAME }}_VARIABLES];
    return code < 0 || !*own || nothing(unit) || same_words(unit, unit + strlen(unit), own);
}

/* Check a row: 0 it counts, -1 it is left out, else the exit code. */
static int check_row(const char *path, int wanted, event *e)
{
    const char *hours = e->cell[1];
    if (nothing(e->cell[0])) {
        if (wanted != EVENT_COLUMNS)
            return fail(path, e->row, "the stay_id is no whole number:", e->cell[0]);
        if (*e->cell[3])
            note(3, path, e);
        return -1;
    }
    if (!read_id(e->cell[0], &e->stay))
        return fail(path, e->row, "the stay_id is no whole number:", e->cell[0]);
    if (wanted != EVENT_COLUMNS)
        return 0;
    e->hours = NAN; /* a row without a value only tells that its stay is there */
    if (!nothing(hours) && (!read_number(hours, hours + strlen(hours), &e->hours) || !is_finite(e->hours)))
        return fail(path, e->row, "the hours are no number:", hours);
    if (!*e->cell[3])
        return 0;
    if (!nothing(e->cell[5]))
        return fail(path, e->row, "a column text is not read here:", e->cell[5]);
    if (!own_unit(e))
        return fail(path, e->row, "this is not the variable's own unit:", e->cell[4]);
    if (nothing(hours) || !*e->cell[2])
        note(3, path, e);
    return 0;
}

static int read_table(const char *path, const char *const *names, int wanted, table *found)
{
    char *cells[MOST_COLUMNS], *at;
    int where[EVENT_COLUMNS + STAY_COLUMNS], columns, count, i;
    long row = 1;
    size_t room = 0;
    errno = 0;
    found->rows = NULL;
    found->count = 0;
    at = found->text = whole_file(path);
    if (!at)
        return fail(path, 0, errno == EINVAL ? "it is no text" : errno ? strerror(errno) : "there is no memory", NULL);
    if (strncmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    if (!*at)
        return fail(path, 0, "it is empty", NULL);
    columns = cells_of(&at, &row, cells);
    if (columns < 0 || columns > MOST_COLUMNS)
        return fail(path, row, "its header is no line of CSV", NULL);
    if (find_columns(path, cells, columns, names, wanted, where))
        return 3;
    while (*at) {
        long first = ++row;
        event *next;
        if (*at == '\n' || *at == '\r') {
            at += *at == '\r' && at[1] == '\n' ? 2 : 1;
            continue;
        }
        count = cells_of(&at, &row, cells);
        if (count != columns)
            return fail(path, first, count < 0 ? "a quote is not closed" : "it has not as many cells as the header", NULL);
        if (found->count == room) {
            next = realloc(found->rows, (room = room ? room * 2 : 1024) * sizeof *next);
            if (!next)
                return fail(path, 0, "there is not enough memory", NULL);
            found->rows = next;
        }
        next = &found->rows[found->count++];
        next->row = first;
        for (i = 0; i < EVENT_COLUMNS; i++)
            next->cell[i] = i < wanted && where[i] >= 0 ? trimmed(cells[where[i]]) : "";
        count = check_row(path, wanted, next);
        if (count > 0)
            return count;
        found->count += count;
    }
    if (found->count)
        qsort(found->rows, found->count, sizeof *found->rows, by_stay);
    return 0;
}

static void add_rows(const char *path, const table *events, size_t *at, {{ name }}_stay *stay)
{
    long long id = events->rows[*at].stay;
    for (; *at < events->count && events->rows[*at].stay == id; ++*at) {
        const event *e = &events->rows[*at];
        if (!*e->cell[2] || !is_finite(e->hours))
            continue;
        switch ({{ name }}_stay_add_text(stay, e->hours, e->cell[2], e->cell[3])) {
        case {{ NAME }}_UNREADABLE: note(0, path, e); break;
        case {{ NAME }}_IMPLAUSIBLE: note(1, path, e); break;
        case {{ NAME }}_UNKNOWN: note(2, path, e); break;
        default: break;
        }
    }
}

{% if facts %}
static int add_facts(const char *path, const table *stays, long long id, {{ name }}_stay *stay)
{
    size_t low = 0, high = stays->count;
    int i;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (stays->rows[middle].stay < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == stays->count || stays->rows[low].stay != id)
        return 0;
    for (i = 0; i < {{ NAME }}_FACTS; i++) {
        const char *text = stays->rows[low].cell[1 + i];
        if (!nothing(text) && {{ name }}_stay_fact(stay, FACT_NAMES[i], text) == {{ NAME }}_UNREADABLE && strcmp(FACT_NAMES[i], "icu_type"))
            return fail(path, stays->rows[low].row, "this is not what was expected:", text);
    }
    return 0;
}

{% endif %}
/* Print the risk of every stay; returns the exit code. */
static int print_risks(const char *path, const table *events{{ ", const char *stays_path, const table *stays" if facts }})
{
    static {{ name }}_stay stay;
    size_t at = 0;
    puts("stay_id,risk");
    while (at < events->count) {
        long long id = events->rows[at].stay;
        float risk;
        {{ name }}_stay_clear(&stay);
        add_rows(path, events, &at, &stay);
{% if facts %}
        if (add_facts(stays_path, stays, id, &stay))
            return 3;
{% endif %}
        risk = {{ name }}_stay_risk(&stay);
        if (risk == risk)
            printf("%lld,%.6f\n", id, (double)risk);
        else
            printf("%lld,\n", id);
    }
    return fflush(stdout) || ferror(stdout) ? 1 : 0;
}

static int any_known(const table *events)
{
    size_t i;
    for (i = 0; i < events->count; i++) {
        const event *e = &events->rows[i];
        if (*e->cell[3] && is_finite(e->hours) && {{ name }}_variable(e->cell[2]) >= 0)
            return 1;
    }
    return 0;
}

static void forget(table *t)
{
    free(t->rows);
    free(t->text);
}

int main(int count, char **arguments)
{
    static const char *const event_columns[] = {"stay_id", "hours", "variable", "value", "unit", "text"};
{% if facts %}
    static const char *const stay_columns[] = {"stay_id"{% for fact in facts %}, "{{ fact }}"{% endfor %}};
    table stays = {NULL, 0, NULL};
{% endif %}
    table events = {NULL, 0, NULL};
    int i, code;
    if (count < 2 || count > {{ 3 if facts else 2 }}) {
        fprintf(stderr, "Usage: %s EVENTS.csv{{ " [STAYS.csv]" if facts else "" }}\n%s\n", arguments[0], {{ name }}_intended_use);
        return 2;
    }
    code = read_table(arguments[1], event_columns, EVENT_COLUMNS, &events);
{% if facts %}
    if (!code && count == 3)
        code = read_table(arguments[2], stay_columns, STAY_COLUMNS, &stays);
{% endif %}
    if (!code && !events.count)
        code = fail(arguments[1], 0, "it holds no measurement", NULL);
    if (!code && !any_known(&events))
        code = fail(arguments[1], 0, "no row has a variable of this model", NULL);
    if (!code)
        code = print_risks(arguments[1], &events{{ ", arguments[2], &stays" if facts }});
    for (i = 0; !code && i < 4; i++)
        if (left_out[i] > MOST_NOTES)
            fprintf(stderr, "%ld more values were left out like these.\n", left_out[i] - MOST_NOTES);
    forget(&events);
{% if facts %}
    forget(&stays);
{% endif %}
    return code;
}

#endif
