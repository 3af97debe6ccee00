#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

/* The master's "broker/config": a sealed memfd with JSON, into struct broker's
 * fields. Unknown keys are ignored, a value that can't be is an error. */

#include "supervisord/broker/broker.h"

/* Fills the settings of *ret (and nothing else of it). 0 or -EINVAL, -ENOMEM;
 * why says what is wrong then, and *ret is as after config_done. */
int config_parse(
    const char *text, size_t size, struct broker *ret, struct buf *why);

/* Reads the memfd, which stays the caller's, and parses. */
int config_read(int fd, struct broker *ret, struct buf *why);

/* Exchanges the settings of the two. */
void config_swap(struct broker *a, struct broker *b);

/* Frees the settings. */
void config_done(struct broker *b);

#endif
