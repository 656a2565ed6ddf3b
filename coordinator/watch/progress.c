#include "coordinator/watch/progress.h"

#include <math.h>
#include <string.h>

#define BAR_CHARACTERS 20
#define NAME_CHARACTERS 24
#define RATE_SECONDS_MIN 0.5 /* before, a rate is noise */

void progress_init(struct progress *progress, bool terminal)
{
    *progress = (struct progress){.terminal = terminal, .shown_seconds = -INFINITY};
}

/* A new phase counts from its own beginning. */
static bool note_phase(struct progress *progress, double now, const struct progress_state *state)
{
    char phase[sizeof progress->phase];
    snprintf(phase, sizeof phase, "%s/%s", state->what, state->stage);
    bool other = strcmp(phase, progress->phase) != 0;
    if (other || state->done < progress->began_done) {
        progress->began_seconds = now;
        progress->began_done = state->done;
    }
    if (other) {
        memcpy(progress->phase, phase, sizeof phase);
        progress->rate = 0;
    }
    return other;
}

static void note_rate(struct progress *progress, double now, const struct progress_state *state)
{
    double seconds = now - progress->began_seconds;
    if (seconds >= RATE_SECONDS_MIN && state->done > progress->began_done)
        progress->rate = (double)(state->done - progress->began_done) / seconds;
}

static double samples_left(const struct progress_state *state)
{
    return state->total > state->done ? (double)(state->total - state->done) : 0;
}

static double share_done(const struct progress_state *state)
{
    if (state->total == 0)
        return 0;
    return fmin(1.0, (double)state->done / (double)state->total);
}

static void add_bar(char *line, size_t bytes, double share)
{
    int filled = (int)(share * BAR_CHARACTERS);
    char bar[BAR_CHARACTERS + 1];
    for (int i = 0; i < BAR_CHARACTERS; i++)
        bar[i] = i < filled ? '#' : '-';
    bar[BAR_CHARACTERS] = '\0';
    snprintf(line + strlen(line), bytes - strlen(line), " [%s]", bar);
}

static void add_left(char *line, size_t bytes, double seconds)
{
    if (!(seconds < 360000.0))
        return;
    unsigned long whole = (unsigned long)ceil(seconds), hours = whole / 3600;
    size_t at = strlen(line);
    if (hours > 0)
        snprintf(line + at, bytes - at, ", %lu:%02lu:%02lu left", hours, whole / 60 % 60,
                 whole % 60);
    else
        snprintf(line + at, bytes - at, ", %lu:%02lu left", whole / 60, whole % 60);
}

static void add_numbers(char *line, size_t bytes, const struct progress *progress,
                        const struct progress_state *state)
{
    if (state->total > 0)
        snprintf(line + strlen(line), bytes - strlen(line), " %3.0f %%", 100 * share_done(state));
    if (progress->rate > 0) {
        snprintf(line + strlen(line), bytes - strlen(line), ", %.0f samples/s", progress->rate);
        add_left(line, bytes, samples_left(state) / progress->rate);
    }
    if (isfinite(state->loss))
        snprintf(line + strlen(line), bytes - strlen(line), ", loss %.4g", state->loss);
}

static void make_line(char *line, size_t bytes, const struct progress *progress,
                      const struct progress_state *state)
{
    snprintf(line, bytes, "%.*s: %s", NAME_CHARACTERS, state->stage, state->what);
    if (state->epochs > 0)
        snprintf(line + strlen(line), bytes - strlen(line), " %u/%u", state->epoch, state->epochs);
    if (progress->terminal)
        add_bar(line, bytes, share_done(state));
    add_numbers(line, bytes, progress, state);
}

void progress_show(struct progress *progress, FILE *to, double now,
                   const struct progress_state *state)
{
    char line[PROGRESS_LINE_BYTES];
    bool other = note_phase(progress, now, state);
    double every = progress->terminal ? PROGRESS_REDRAW_SECONDS : PROGRESS_PLAIN_SECONDS;
    note_rate(progress, now, state);
    if (!other && now - progress->shown_seconds < every)
        return;
    progress->shown_seconds = now;
    make_line(line, sizeof line, progress, state);
    /* ESC [ K: what a longer line left behind the cursor. */
    fprintf(to, progress->terminal ? "\r%s\033[K" : "%s\n", line);
    fflush(to);
    progress->drawn = progress->terminal;
}

void progress_clear(struct progress *progress, FILE *to)
{
    if (progress->drawn)
        fputs("\r\033[K", to);
    progress->drawn = false;
}
