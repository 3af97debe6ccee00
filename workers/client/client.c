/* The C client of the task queue. */
typedef int client_is_to_come;
