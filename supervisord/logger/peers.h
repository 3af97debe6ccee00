#ifndef LOGGER_PEERS_H
#define LOGGER_PEERS_H

/*
 * Those the logger listens to: the guardian (fd 3), and the master, whose
 * channel the guardian brings. Neither can end it but by FINISH: a master that
 * talks nonsense is hung up on, a guardian that is gone makes it an orphan.
 */

#include <stdbool.h>

int peers_init(int guardian); /* 0 or -errno: it is not a socket */

int peers_guardian(void);        /* descriptor, or -1 */
int peers_master(void);          /* descriptor, or -1 */
short peers_master_events(void); /* for poll */
const char *peers_home(void);    /* HOME's path, or NULL */
bool peers_finish(void);         /* FINISH has come */

void peers_read_guardian(void);
void peers_serve_master(void); /* after poll */
void peers_tell(void);         /* sends what the master should hear */

#endif
