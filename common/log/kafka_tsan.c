/*
 * Only under ThreadSanitizer: librdkafka starts its threads by C11's thrd_create, of which GCC 12's
 * and clang 14's runtimes know nothing; such a thread crashes at its first intercepted call. These
 * two take the place of glibc's and go through pthreads, which the runtimes do know.
 */
#include "log/kafka_client.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)

#include "base/xalloc.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct start {
    thrd_start_t run;
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;

    free(arg);
    return (void *)(intptr_t)start.run(start.arg);
}

int thrd_create(thrd_t *ret, thrd_start_t start, void *arg)
{
    struct start *s = xmalloc(sizeof *s);

    *s = (struct start){start, arg};
    if (pthread_create(ret, NULL, run, s) == 0)
        return thrd_success;
    free(s);
    return thrd_error;
}

int thrd_join(thrd_t thread, int *ret)
{
    void *result;

    if (pthread_join(thread, &result) != 0)
        return thrd_error;
    if (ret)
        *ret = (int)(intptr_t)result;
    return thrd_success;
}

#endif

/* Called by kafka_client.c, so that a static library brings this file along. */
void kafka_tsan_threads(void)
{
}
