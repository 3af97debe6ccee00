#ifndef MASTER_ANSWERS_H
#define MASTER_ANSWERS_H

/*
 * Requests that wait for an answer of the store's thread or of the logger,
 * found again by a number.
 */

#include <stddef.h>
#include <stdint.h>

struct buf;
struct master;
struct request;
struct state_question;

/* Asks the store; the request is answered with what it says. */
void answers_ask_store(struct request *r, struct state_question *q);

/* The store's thread has answered; json is taken. */
void answers_arrived(
    struct master *m, uint64_t token, int error, struct buf *json);

/*
 * A number for a question to the logger; arrived is called once with the text,
 * or with size 0 when there is no answer within a second.
 */
uint32_t answers_new_tail(struct master *m,
    void (*arrived)(void *arg, const char *text, size_t size), void *arg);
void answers_tail_arrived(
    struct master *m, uint32_t cookie, const char *text, size_t size);

#endif
