/*
 * Errors. A function returns 0, a negative errno that ends the operation (pass it up through
 * err_trace, untouched), or a positive MODULE_E_* that its direct caller handles.
 *
 * What a user or an agent did wrong is a struct failure: a code for programs, a sentence with the
 * limit and the value for people, and a hint that names the setting. It becomes the JSON
 * {"code", "message", "hint"} of a 4xx answer, or a line on stderr.
 */
#ifndef HEARTH_BASE_ERR_H
#define HEARTH_BASE_ERR_H

/* Returns r. A negative r is logged at debug level with its place: the way up can be read. */
#define err_trace(r) err_trace_at((r), __FILE__, __LINE__, __func__)
int err_trace_at(int r, const char *file, int line, const char *func);

/* States what only a bug can break; stays on in release. Never judges input from outside. */
#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))
__attribute__((noreturn)) void check_failed(const char *cond, const char *file, int line);

struct failure {
    int status;             /* HTTP status that fits: 400, 413, 415, 429, 503 … */
    char code[40];          /* snake_case, stable: "body_too_large" */
    char message[320];
    char hint[200];         /* may be empty */
};

/* Fills f and returns FAILURE (1), so that a decoder can `return fail(f, …)`. hint may be NULL.
 * (cmocka has a macro of this name: tests include this file first.) */
enum { FAILURE = 1 };
int fail(struct failure *f, int status, const char *code, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
