/* The way from log.h to the implementation that made the handle. */
#include "log/log_impl.h"

int log_publish(struct log_producer *p, struct log_publish *pub)
{
    return p->ops->publish(p, pub);
}

uint32_t log_producer_partitions(const struct log_producer *p)
{
    return p->ops->partitions(p);
}

bool log_producer_ready(const struct log_producer *p)
{
    return p->ops->ready(p);
}

void log_producer_close(struct log_producer *p, void (*closed)(void *ctx), void *ctx)
{
    p->ops->close(p, closed, ctx);
}

void log_consumer_start(struct log_consumer *c, uint32_t partition, uint64_t offset)
{
    c->ops->start(c, partition, offset);
}

void log_consumer_released(struct log_consumer *c)
{
    c->ops->released(c);
}

void log_consumer_pause(struct log_consumer *c, uint32_t partition)
{
    c->ops->pause(c, partition);
}

void log_consumer_resume(struct log_consumer *c, uint32_t partition)
{
    c->ops->resume(c, partition);
}

void log_consumer_flushed(struct log_consumer *c, uint32_t partition, uint64_t offset)
{
    c->ops->flushed(c, partition, offset);
}

bool log_consumer_end(struct log_consumer *c, uint32_t partition, uint64_t *ret_end)
{
    return c->ops->end(c, partition, ret_end);
}

uint32_t log_consumer_partitions(const struct log_consumer *c)
{
    return c->ops->partitions(c);
}

void log_consumer_close(struct log_consumer *c, void (*closed)(void *ctx), void *ctx)
{
    c->ops->close(c, closed, ctx);
}
