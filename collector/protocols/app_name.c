/* Left to right: the app up to '{', labels up to '}', each key up to '=', each value up to ','. */
#include "collector/protocols/app_name.h"

static struct bytes trim(struct bytes s)
{
    while (s.len && s.data[0] <= ' ') {
        s.data++;
        s.len--;
    }
    while (s.len && s.data[s.len - 1] <= ' ')
        s.len--;
    return s;
}

static struct bytes unquote(struct bytes s)
{
    if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"')
        return bytes_of(s.data + 1, s.len - 2);
    return s;
}

/* Cuts what is before the first c off s; all of it when there is none. */
static struct bytes cut(struct bytes *s, uint8_t c, bool *found)
{
    const uint8_t *at = s->len ? memchr(s->data, c, s->len) : NULL;
    size_t n = at ? (size_t)(at - s->data) : s->len;
    struct bytes head = bytes_of(s->data, n);

    *found = at != NULL;
    s->data += at ? n + 1 : n;
    s->len -= at ? n + 1 : n;
    return head;
}

static int bad_name(struct failure *f, const char *what)
{
    return fail(f, 400, "bad_name", "a name is app or app{key=value,key2=value2}",
                "the parameter name is malformed: %s", what);
}

static int add_label(struct app_name *a, struct bytes pair, struct failure *f)
{
    bool found;
    struct bytes key = trim(cut(&pair, '=', &found)), value = unquote(trim(pair));

    if (!found)
        return key.len ? bad_name(f, "a label has no '='") : 0;
    if (key.len == 0)
        return bad_name(f, "a label has no key");
    if (a->n == TAGS_MAX)
        return fail(f, 400, "too_many_tags", NULL, "the name has more than %d labels", TAGS_MAX);
    a->labels[a->n++] = (struct tag){key, value};
    return 0;
}

int app_name_parse(struct bytes name, struct app_name *ret, struct failure *f)
{
    bool open, closed, more = true;
    struct bytes labels;

    ret->n = 0;
    ret->app = trim(cut(&name, '{', &open));
    if (!open)
        return 0;
    labels = cut(&name, '}', &closed);
    if (!closed)
        return bad_name(f, "'{' is not closed");
    if (trim(name).len)
        return bad_name(f, "there is text behind '}'");
    while (more)
        if (add_label(ret, cut(&labels, ',', &more), f))
            return FAILURE;
    return 0;
}
