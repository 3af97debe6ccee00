#ifndef RUNTIME_THREAD_H
#define RUNTIME_THREAD_H

/*
 * Starts the link's threads, each with a stack of its own size and a guard
 * behind it; 0 or an exit status, said in the log.
 */
int threads_start(void);
void threads_join(void);

#endif
