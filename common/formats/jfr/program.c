/*
 * How it works. A class compiles to a flat list of steps, structs inside it included, arrays of
 * structs by reference. A struct without any field takes no bytes, so an array of them is passed
 * whatever its count says; every other element takes a byte at least, so counts above the bytes
 * left are refused before anything loops.
 */
#include "formats/jfr/program.h"

#include "base/xalloc.h"

enum {
    STRUCT_DEPTH_MAX = 8, /* structs in structs, and arrays in arrays */
    CLASS_OPS_MAX = 512,
    OPS_MAX = 1 << 20,
};

enum { PROGRAM_NONE, PROGRAM_READY, PROGRAM_UNREADABLE };

struct compiler {
    struct jfr_metadata *m;
    jfr_slot_of *slot_of;
    void *ctx;
    uint32_t first;
};

static bool push_op(struct compiler *k, struct jfr_op op)
{
    struct jfr_metadata *m = k->m;

    if (m->n_ops - k->first == CLASS_OPS_MAX || m->n_ops == OPS_MAX)
        return false;
    if (m->n_ops == m->op_cap)
        XGROW(m->ops, m->op_cap, (size_t)m->n_ops + 1);
    m->ops[m->n_ops++] = op;
    return true;
}

static bool compile_class(struct compiler *k, uint32_t class, unsigned depth);

static bool compile_field(struct compiler *k, const struct jfr_field *f, unsigned depth)
{
    uint32_t class = jfr_class_by_id(k->m, f->class_id);
    struct jfr_op op = {.slot = JFR_NO_SLOT, .array = f->array, .class = class};

    if (class == JFR_NONE)
        return false;
    op.kind = (uint8_t)(f->pooled ? JFR_REF : k->m->classes[class].kind);
    if (op.kind == JFR_STRUCT && !op.array)
        return compile_class(k, class, depth + 1);
    if (depth == 0 && !op.array && k->slot_of)
        op.slot = k->slot_of(k->ctx, f);
    return push_op(k, op);
}

static bool compile_class(struct compiler *k, uint32_t class, unsigned depth)
{
    const struct jfr_class *at = &k->m->classes[class];

    if (depth == STRUCT_DEPTH_MAX)
        return false;
    if (at->kind != JFR_STRUCT)
        return push_op(k, (struct jfr_op){(uint8_t)at->kind, JFR_NO_SLOT, false, class});
    for (uint32_t i = 0; i < at->n_fields; i++)
        if (!compile_field(k, &k->m->fields[at->first_field + i], depth))
            return false;
    return true;
}

static bool is_varint(const struct jfr_op *op)
{
    return !op->array && (op->kind == JFR_REF || (op->kind >= JFR_INT16 && op->kind <= JFR_INT64));
}

bool jfr_compile(struct jfr_metadata *m, uint32_t class, jfr_slot_of *slot_of, void *ctx,
                 struct jfr_program *ret)
{
    struct compiler k = {m, slot_of, ctx, m->n_ops};

    if (!compile_class(&k, class, 0)) {
        m->n_ops = k.first;
        return false;
    }
    *ret = (struct jfr_program){.first = k.first,
                                .n = m->n_ops - k.first,
                                .varints = m->compressed,
                                .state = PROGRAM_READY};
    for (uint32_t i = 0; i < ret->n; i++) {
        ret->varints &= is_varint(&m->ops[k.first + i]);
        if (m->ops[k.first + i].slot != JFR_NO_SLOT)
            ret->n_picked = i + 1;
    }
    return true;
}

const struct jfr_program *jfr_program_of(struct jfr_metadata *m, uint32_t class)
{
    struct jfr_program *p = &m->classes[class].program;

    if (p->state == PROGRAM_NONE && !jfr_compile(m, class, NULL, NULL, p))
        p->state = PROGRAM_UNREADABLE;
    return p->state == PROGRAM_READY ? p : NULL;
}

static bool skip_class(struct jfr_metadata *m, struct jfr_cursor *c, uint32_t class,
                       unsigned depth);

static bool skip_one(struct jfr_cursor *c, enum jfr_kind kind)
{
    struct jfr_text text;
    uint64_t ignored;

    switch (kind) {
    case JFR_INT8:
        return jfr_skip(c, 1);
    case JFR_INT16:
        return jfr_number(c, 2, &ignored);
    case JFR_INT32:
        return jfr_number(c, 4, &ignored);
    case JFR_INT64:
    case JFR_REF:
        return jfr_number(c, 8, &ignored);
    case JFR_FLOAT:
        return jfr_skip(c, 4);
    case JFR_DOUBLE:
        return jfr_skip(c, 8);
    case JFR_STRING:
        return jfr_read_text(c, &text);
    case JFR_STRUCT:
        break;
    }
    return false;
}

/* An array of structs: of numbers alone at once, which stack traces are. */
static bool skip_structs(struct jfr_metadata *m, struct jfr_cursor *c, uint32_t class, uint64_t n,
                         unsigned depth)
{
    const struct jfr_program *p = jfr_program_of(m, class);

    if (!p)
        return false;
    if (p->n == 0)
        return true;
    if (n > jfr_left(c))
        return false;
    if (p->varints)
        return jfr_skip_varints(c, n * p->n);
    while (n-- > 0)
        if (!skip_class(m, c, class, depth + 1))
            return false;
    return true;
}

static bool skip_op(struct jfr_metadata *m, struct jfr_cursor *c, const struct jfr_op *op,
                    unsigned depth)
{
    uint64_t n;

    if (!op->array)
        return skip_one(c, (enum jfr_kind)op->kind);
    if (!jfr_int(c, &n))
        return false;
    if (op->kind == JFR_STRUCT)
        return skip_structs(m, c, op->class, n, depth);
    if (n > jfr_left(c))
        return false;
    if (op->kind == JFR_INT8)
        return jfr_skip(c, n);
    while (n-- > 0)
        if (!skip_one(c, (enum jfr_kind)op->kind))
            return false;
    return true;
}

static bool skip_class(struct jfr_metadata *m, struct jfr_cursor *c, uint32_t class, unsigned depth)
{
    const struct jfr_program *p = depth < STRUCT_DEPTH_MAX ? jfr_program_of(m, class) : NULL;

    if (!p)
        return false;
    for (uint32_t i = p->first, end = p->first + p->n; i < end; i++) {
        struct jfr_op op = m->ops[i]; /* skipping may compile, and move the steps */

        if (!skip_op(m, c, &op, depth))
            return false;
    }
    return true;
}

bool jfr_skip_value(struct jfr_metadata *m, struct jfr_cursor *c, uint32_t class)
{
    return skip_class(m, c, class, 0);
}

static double real_of(uint64_t bits, bool wide)
{
    uint32_t half = (uint32_t)bits;
    double d;
    float f;

    if (wide) {
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    memcpy(&f, &half, sizeof f);
    return (double)f;
}

double jfr_real(const struct jfr_value *v)
{
    if (v->kind == JFR_FLOAT || v->kind == JFR_DOUBLE)
        return real_of(v->number, v->kind == JFR_DOUBLE);
    return (double)v->number;
}

static bool pick_one(struct jfr_cursor *c, const struct jfr_op *op, struct jfr_value *ret)
{
    ret->kind = op->kind;
    ret->class = op->class;
    switch ((enum jfr_kind)op->kind) {
    case JFR_INT8:
        return jfr_fixed(c, 1, &ret->number);
    case JFR_INT16:
        return jfr_number(c, 2, &ret->number);
    case JFR_INT32:
        return jfr_number(c, 4, &ret->number);
    case JFR_INT64:
    case JFR_REF:
        return jfr_number(c, 8, &ret->number);
    case JFR_FLOAT:
        return jfr_fixed(c, 4, &ret->number);
    case JFR_DOUBLE:
        return jfr_fixed(c, 8, &ret->number);
    case JFR_STRING:
        ret->text = c->at;
        return skip_one(c, JFR_STRING);
    case JFR_STRUCT:
        break;
    }
    return false;
}

bool jfr_pick(struct jfr_metadata *m, struct jfr_cursor *c, const struct jfr_program *p,
              struct jfr_value *slots)
{
    for (uint32_t i = p->first, end = p->first + p->n_picked; i < end; i++) {
        struct jfr_op op = m->ops[i]; /* skipping may compile, and move the steps */

        if (op.slot == JFR_NO_SLOT ? !skip_op(m, c, &op, 0) : !pick_one(c, &op, &slots[op.slot]))
            return false;
    }
    return true;
}
