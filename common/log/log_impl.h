/*
 * What an implementation of log.h fills in. A producer or consumer begins with its struct here; the
 * functions of log.h go straight to its operations. For common/log only.
 */
#ifndef HEARTH_LOG_LOG_IMPL_H
#define HEARTH_LOG_LOG_IMPL_H

#include "log/log.h"

struct log_producer_ops {
    int (*publish)(struct log_producer *p, struct log_publish *pub);
    uint32_t (*partitions)(const struct log_producer *p);
    bool (*ready)(const struct log_producer *p);
    void (*close)(struct log_producer *p, void (*closed)(void *ctx), void *ctx);
};

struct log_consumer_ops {
    void (*start)(struct log_consumer *c, uint32_t partition, uint64_t offset);
    void (*released)(struct log_consumer *c);
    void (*pause)(struct log_consumer *c, uint32_t partition);
    void (*resume)(struct log_consumer *c, uint32_t partition);
    void (*flushed)(struct log_consumer *c, uint32_t partition, uint64_t offset);
    bool (*end)(struct log_consumer *c, uint32_t partition, uint64_t *ret_end);
    uint32_t (*partitions)(const struct log_consumer *c);
    void (*close)(struct log_consumer *c, void (*closed)(void *ctx), void *ctx);
};

struct log_producer {
    const struct log_producer_ops *ops;
};

struct log_consumer {
    const struct log_consumer_ops *ops;
};

#endif
