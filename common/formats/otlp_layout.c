/*
 * How it works. First the Profile messages: their fields 1, 3, 5 and 6 changed wire type when 1.8
 * renumbered them, so one profile with a time or a period tells 1.7 from 1.8.
 *
 * Then the samples, where 1.10 moved values from field 2 to 4, attributes from 3 to 2, and the link
 * from 4 to 3. A link is one number: a field 4 that is packed holds values (1.10), a packed field 3
 * attributes (1.8); one such sample decides. But not all producers pack (async-profiler, and with
 * it io.pyroscope, writes a value as a plain number), and samples with nothing but timestamps have
 * no values. Without a packed sample, all samples are held against both readings:
 *
 *   - by a reading that is the right one, every attribute and link index fits its table, and there
 *     are as many values as timestamps where both are present;
 *   - of two readings that fit, the right one gives more samples a value or a timestamp;
 *   - where that is equal, both read the same, or it is the newer one.
 *
 * Strings by reference in attributes (since 1.10), and Profile's field 8 as bytes (1.8 only), spare
 * that.
 */
#include "formats/otlp_layout.h"

struct reading_of {
    bool fits;
    uint64_t n_valued; /* samples with values or timestamps */
};

struct evidence {
    uint64_t n_attributes, n_links; /* at least 1: index 0 fits always */
    bool decided, unknown_age;
    enum otlp_layout layout; /* when decided */
    struct reading_of v110, v18;
};

static void decide(struct evidence *e, enum otlp_layout layout)
{
    if (!e->decided)
        e->layout = layout;
    e->decided = true;
}

/* --- samples ------------------------------------------------------------------------------------
 */

struct numbers {
    uint64_t n, max;
    bool packed;
};

static bool note_numbers(struct numbers *n, const struct pb_field *f)
{
    struct cursor c = cursor_of(f->data);
    uint64_t v = f->value;

    if (f->type == PB_VARINT) {
        n->n++;
        n->max = v > n->max ? v : n->max;
    }
    n->packed |= f->data.len > 0;
    while (c.at < c.end) {
        if (!varint_get(&c, &v))
            return false;
        n->n++;
        n->max = v > n->max ? v : n->max;
    }
    return true;
}

static void weigh(struct reading_of *r, bool indexes_fit, uint64_t n_values, uint64_t n_times)
{
    r->fits &= indexes_fit && (!n_values || !n_times || n_values == n_times);
    r->n_valued += n_values || n_times;
}

static void judge_sample(struct evidence *e, const struct numbers n[6])
{
    if (e->unknown_age && n[2].n && !n[2].packed && n[3].packed) {
        decide(e, OTLP_LAYOUT_OLD); /* a stack's length, and values */
        return;
    }
    if (n[4].packed)
        decide(e, OTLP_LAYOUT_110);
    else if (n[3].packed)
        decide(e, OTLP_LAYOUT_18);
    weigh(&e->v110, n[2].max < e->n_attributes && n[3].max < e->n_links, n[4].n, n[5].n);
    weigh(&e->v18, n[3].max < e->n_attributes && n[4].max < e->n_links, n[2].n, n[5].n);
}

static bool look_at_sample(struct evidence *e, struct bytes message)
{
    struct numbers n[6] = {{0}};
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number == 6 || (f.number == 5 && f.type == PB_VARINT)) {
            if (e->unknown_age)
                decide(e, OTLP_LAYOUT_OLD); /* timestamps, a link */
        } else if (f.number == 5) {
            n[5].n += f.data.len / 8;
        } else if (f.number >= 2 && f.number <= 4 && (f.type == PB_VARINT || f.type == PB_LEN)) {
            if (!note_numbers(&n[f.number], &f))
                return false;
        }
    }
    judge_sample(e, n);
    return step == PB_END;
}

/* --- profiles -----------------------------------------------------------------------------------
 */

/* What one field of Profile says about its age: 1 is 1.8 or later, -1 before, 0 nothing. */
static int age_of(const struct pb_field *f)
{
    if (f->number == 3)
        return f->type == PB_FIXED64 ? 1 : -1; /* time; before: location_indices */
    if (f->number == 4)
        return 0;
    if (f->number == 5)
        return f->type == PB_LEN ? 1 : -1; /* period_type; before: duration */
    if (f->number == 6)
        return f->type == PB_VARINT ? 1 : -1; /* period; before: period_type */
    return 0;
}

static bool look_at_profile_fields(struct evidence *e, struct bytes message)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    int age = 0;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (age == 0)
            age = age_of(&f);
        if (f.number == 8 && f.type == PB_LEN && age > 0)
            decide(e, OTLP_LAYOUT_18); /* profile_id, which is field 7 since 1.9 */
    }
    if (age < 0)
        decide(e, OTLP_LAYOUT_OLD);
    e->unknown_age = age == 0;
    return step == PB_END;
}

static bool look_at_profile(struct evidence *e, struct bytes message)
{
    struct cursor c = cursor_of(message);
    struct pb_field f;

    if (!look_at_profile_fields(e, message))
        return false;
    while (!e->decided && pb_next(&c, &f) == PB_FIELD)
        if (f.number == 2 && f.type == PB_LEN && !look_at_sample(e, f.data))
            return false;
    return true;
}

/* --- the way down to the profiles ---------------------------------------------------------------
 */

typedef bool look_fn(struct evidence *e, struct bytes message);

static bool look_at_scope(struct evidence *e, struct bytes message, look_fn *look)
{
    struct cursor c = cursor_of(message);
    enum pb_step step = PB_END;
    struct pb_field f;

    while (!e->decided && (step = pb_next(&c, &f)) == PB_FIELD)
        if (f.number == 2 && f.type == PB_LEN && !look(e, f.data))
            return false;
    return e->decided || step == PB_END;
}

static bool look_at_resource(struct evidence *e, struct bytes message, look_fn *look)
{
    struct cursor c = cursor_of(message);
    enum pb_step step = PB_END;
    struct pb_field f;

    while (!e->decided && (step = pb_next(&c, &f)) == PB_FIELD)
        if (f.number == 2 && f.type == PB_LEN && !look_at_scope(e, f.data, look))
            return false;
    return e->decided || step == PB_END;
}

static bool look_at_all(struct evidence *e, struct bytes raw, look_fn *look)
{
    struct cursor c = cursor_of(raw);
    enum pb_step step = PB_END;
    struct pb_field f;

    while (!e->decided && (step = pb_next(&c, &f)) == PB_FIELD)
        if (f.number == 1 && f.type == PB_LEN && !look_at_resource(e, f.data, look))
            return false;
    return e->decided || step == PB_END;
}

/* Before 1.8 the attributes of the dictionary had their key as text. */
static bool attributes_are_old(const struct otlp_dict *d)
{
    const struct otlp_table *t = &d->table[OTLP_ATTRIBUTES];

    for (uint32_t i = 0; i < t->n; i++) {
        struct cursor c = cursor_of(t->at[i]);
        struct pb_field f;

        if (pb_next(&c, &f) == PB_FIELD)
            return f.number == 1 && f.type == PB_LEN;
    }
    return false;
}

static enum otlp_layout verdict(const struct evidence *e)
{
    if (e->decided)
        return e->layout;
    if (e->v110.fits && (!e->v18.fits || e->v110.n_valued >= e->v18.n_valued))
        return OTLP_LAYOUT_110;
    return e->v18.fits ? OTLP_LAYOUT_18 : OTLP_LAYOUT_UNCLEAR;
}

int otlp_layout_detect(const struct otlp_dict *d, struct bytes raw, enum otlp_layout *ret)
{
    struct evidence e = {
        .n_attributes = d->table[OTLP_ATTRIBUTES].n + (uint64_t)!d->table[OTLP_ATTRIBUTES].n,
        .n_links = d->table[OTLP_LINKS].n + (uint64_t)!d->table[OTLP_LINKS].n,
        .v110 = {.fits = true},
        .v18 = {.fits = true},
    };

    if (attributes_are_old(d))
        decide(&e, OTLP_LAYOUT_OLD);
    if (!look_at_all(&e, raw, look_at_profile))
        return otlp_malformed(d->rd, "a profile or a sample");
    *ret = verdict(&e);
    return 0;
}

bool otlp_top_level_is_old(struct bytes raw)
{
    struct cursor c = cursor_of(raw);
    bool any = false, dictionary = false;
    struct pb_field f;

    while (pb_next(&c, &f) == PB_FIELD) {
        if (f.number >= 3 && f.number <= 8)
            return true; /* 1.6: the tables stand here */
        any |= f.number == 1;
        dictionary |= f.number == 2;
    }
    return any && !dictionary && otlp_count_profiles(raw) > 0;
}

static bool count_profile(struct evidence *e, struct bytes message)
{
    (void)message;
    e->n_links++;
    return true;
}

uint32_t otlp_count_profiles(struct bytes raw)
{
    struct evidence count = {0};

    look_at_all(&count, raw, count_profile);
    return count.n_links < UINT32_MAX ? (uint32_t)count.n_links : UINT32_MAX;
}
