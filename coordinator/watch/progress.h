/* Progress for a person at a terminal: one line that is written over, "adapt 3/15 [#####-----] 812
 * samples/s, 0:41 left, loss 0.312". Elsewhere (a file, a pipe) a plain line at each new phase and
 * every PROGRESS_PLAIN_SECONDS. Time comes with the calls; no thread, no allocation. */
#ifndef GRAFT_COORDINATOR_WATCH_PROGRESS_H
#define GRAFT_COORDINATOR_WATCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_LINE_BYTES 160
#define PROGRESS_REDRAW_SECONDS 0.2
#define PROGRESS_PLAIN_SECONDS 10.0

struct progress_state {
    const char *stage;      /* name */
    const char *what;       /* "prepare", "train", "evaluate" */
    uint64_t done, total;   /* samples of the phase, over all its epochs; total 0: not known yet */
    uint32_t epoch, epochs; /* in work, from 1; 0 when the phase has no epochs */
    double loss;            /* of the last epoch; NAN: none */
};

struct progress {
    bool terminal;
    bool drawn; /* an unfinished line stands on the terminal */
    double shown_seconds;
    double began_seconds; /* of the phase and epoch that is counted */
    uint64_t began_done;
    char phase[96];
    double rate; /* samples per second of the phase; 0: not known */
};

/* terminal: isatty() of the stream that will be shown on. */
void progress_init(struct progress *progress, bool terminal);

/* Shows `state` if it is time. `now` in seconds, monotonic. */
void progress_show(struct progress *progress, FILE *to, double now,
                   const struct progress_state *state);

/* Before anything else is printed: takes the unfinished line away. */
void progress_clear(struct progress *progress, FILE *to);

#endif
