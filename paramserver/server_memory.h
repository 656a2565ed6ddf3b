/* What a parameter server of the job will need at most, before it starts. The largest stage counts: a
 * LOAD replaces the table. */
#ifndef GRAFT_PARAMSERVER_SERVER_MEMORY_H
#define GRAFT_PARAMSERVER_SERVER_MEMORY_H

/* `graft-server --memory CONFIG [PATH=VALUE]...`: prints the plan. Returns the exit status. */
int server_memory_main(int argc, char **argv);

#endif
