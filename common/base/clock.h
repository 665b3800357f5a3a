/* Clocks. Pure modules take times as arguments; only programs and tests read these. */
#ifndef HEARTH_BASE_CLOCK_H
#define HEARTH_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ns(void);    /* Unix time */
int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);    /* for intervals; starts anywhere */

enum { MS_PER_S = 1000 };
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

#endif
