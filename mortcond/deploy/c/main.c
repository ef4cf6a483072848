#ifdef {{ NAME }}_MAIN

/* A program: reads a table of events (stay_id, hours, variable, value){% if facts %} and, if named, one of stays
   (stay_id, {{ facts | join(", ") }}){% endif %} as CSV, and prints
   stay_id,risk. Here alone memory is asked for: the rows may come in any order. Exit code 3: the table cannot be used. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENT_COLUMNS = 4, STAY_COLUMNS = 1 + {{ NAME }}_FACTS, MOST_COLUMNS = 256, MOST_NOTES = 5 };

typedef struct {
    long long stay;
    long row; /* the line of the file */
    const char *cell[4];
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

/* Read a whole number, as 12 or 12.0; ids are never rounded. */
static int read_id(const char *text, long long *id)
{
    const char *at = text;
    int negative = *at == '-';
    long long value = 0;
    at += *at == '-' || *at == '+';
    if (*at < '0' || *at > '9')
        return 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > (9223372036854775807LL - (*at - '0')) / 10)
            return 0;
        value = value * 10 + (*at - '0');
    }
    if (*at == '.')
        for (at++; *at == '0'; at++)
            ;
    *id = negative ? -value : value;
    return *at == 0;
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
        if (where[i] < 0 && (i == 0 || wanted == EVENT_COLUMNS))
            return fail(path, 1, "there is no column", names[i]);
    }
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
        for (i = 0; i < 4; i++)
            next->cell[i] = i < wanted && where[i] >= 0 ? trimmed(cells[where[i]]) : "";
        if (!read_id(next->cell[0], &next->stay)) {
            found->count -= !*next->cell[wanted - 1]; /* a row without a value is no row */
            if (*next->cell[wanted - 1])
                return fail(path, first, "the stay_id is no whole number:", next->cell[0]);
        }
    }
    if (found->count)
        qsort(found->rows, found->count, sizeof *found->rows, by_stay);
    return 0;
}

static int is_missing(const char *text)
{
    int i;
    for (i = 0; i < (int)(sizeof MISSING / sizeof *MISSING); i++)
        if (strcmp(text, MISSING[i]) == 0)
            return 1;
    return *text == 0;
}

static long left_out[3]; /* unreadable, implausible, of an unknown variable */

static void note(int code, const char *path, const event *e)
{
    int kind = code == {{ NAME }}_UNREADABLE ? 0 : code == {{ NAME }}_IMPLAUSIBLE ? 1 : 2;
    static const char *const kinds[] = {"cannot be read", "is implausible", "is of no variable of this model"};
    if (code != {{ NAME }}_UNREADABLE && code != {{ NAME }}_IMPLAUSIBLE && code != {{ NAME }}_UNKNOWN)
        return;
    if (left_out[kind]++ < MOST_NOTES)
        fprintf(stderr, "%s, row %ld: %s %s %s; left out.\n", path, e->row, e->cell[2], e->cell[3], kinds[kind]);
}

static int add_rows(const char *path, const table *events, size_t *at, {{ name }}_stay *stay)
{
    long long id = events->rows[*at].stay;
    for (; *at < events->count && events->rows[*at].stay == id; ++*at) {
        const event *e = &events->rows[*at];
        const char *hours = e->cell[1];
        double time;
        if (is_missing(e->cell[3]))
            continue;
        if (!*e->cell[2])
            return fail(path, e->row, "there is no variable", NULL);
        if (!read_number(hours, hours + strlen(hours), &time) || !is_finite(time))
            return fail(path, e->row, "the hours are no number:", hours);
        note({{ name }}_stay_add_text(stay, time, e->cell[2], e->cell[3]), path, e);
    }
    return 0;
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
        if (*text && {{ name }}_stay_fact(stay, FACT_NAMES[i], text) == {{ NAME }}_UNREADABLE && strcmp(FACT_NAMES[i], "icu_type"))
            return fail(path, stays->rows[low].row, "this is not what was expected:", text);
    }
    return 0;
}

{% endif %}
int main(int count, char **arguments)
{
    static const char *const event_columns[] = {"stay_id", "hours", "variable", "value"};
{% if facts %}
    static const char *const stay_columns[] = {"stay_id"{% for fact in facts %}, "{{ fact }}"{% endfor %}};
    table stays = {NULL, 0, NULL};
{% endif %}
    static {{ name }}_stay stay;
    table events;
    size_t at = 0;
    int i, most = {{ 3 if facts else 2 }};
    for (i = 0; i < 3; i++)
        left_out[i] = 0;
    if (count < 2 || count > most) {
        fprintf(stderr, "Usage: %s EVENTS.csv{{ " [STAYS.csv]" if facts else "" }}\n%s\n", arguments[0], {{ name }}_intended_use);
        return 2;
    }
    if (read_table(arguments[1], event_columns, EVENT_COLUMNS, &events))
        return 3;
{% if facts %}
    if (count == 3 && read_table(arguments[2], stay_columns, STAY_COLUMNS, &stays))
        return 3;
{% endif %}
    if (!events.count)
        return fail(arguments[1], 0, "it holds no measurement", NULL);
    puts("stay_id,risk");
    while (at < events.count) {
        long long id = events.rows[at].stay;
        float risk;
        {{ name }}_stay_clear(&stay);
        if (add_rows(arguments[1], &events, &at, &stay))
            return 3;
{% if facts %}
        if (add_facts(arguments[2], &stays, id, &stay))
            return 3;
{% endif %}
        risk = {{ name }}_stay_risk(&stay);
        if (risk == risk)
            printf("%lld,%.6f\n", id, (double)risk);
        else
            printf("%lld,\n", id);
    }
    for (i = 0; i < 3; i++)
        if (left_out[i] > MOST_NOTES)
            fprintf(stderr, "%ld more values were left out like these.\n", left_out[i] - MOST_NOTES);
    free(events.rows);
    free(events.text);
{% if facts %}
    free(stays.rows);
    free(stays.text);
{% endif %}
    return fflush(stdout) || ferror(stdout) ? 1 : 0;
}

#endif
