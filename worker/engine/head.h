/* The head: all that live parameters feed, trained by reverse-mode differentiation over the graph.
 * `head` holds the program and the current live weights; a `tape` holds the activations of one
 * micro-batch, so that several micro-batches can be between forward and backward. One thread owns
 * both. No heap call after creation. Deterministic: the same (weights, features, count) give the
 * same bits. A micro-batch always runs as batch_max samples, the missing ones repeating the last (with
 * gradients of zero, which change no sum, and in no batch statistic): choose batch_max as the micro-batch. */
#ifndef GRAFT_WORKER_ENGINE_HEAD_H
#define GRAFT_WORKER_ENGINE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/plan.h"

struct head;
struct tape;

/* What the head may do with memory. */
struct head_room {
    bool overlap; /* several tapes are between forward and backward at once; else one at a time */
    size_t tapes; /* how many there will be */
    size_t bytes_max; /* of head_bytes: work + tapes · tape */
};

/* Errors: ERR_MEMORY; ERR_SUPPORT for a live parameter that no gradient can reach; those of
 * constants.h. `room` NULL: overlap, no limit. When bytes_max asks for it, values are computed again in
 * backward (tape_plan.h), as few as possible; when even that does not fit, the head is the smallest
 * possible one: the caller compares head_bytes. */
enum status head_create(const struct plan *plan, size_t batch_max, const struct head_room *room,
                        struct head **out, struct error *err) MUST_CHECK;
void head_destroy(struct head **head);

struct head_bytes {
    size_t work;      /* activations, gradients, scratch of the micro-batch in work */
    size_t tape;      /* what each tape keeps over the turn */
    size_t weights;   /* the live ones */
    size_t operators; /* that compute a value */
    size_t forwards;  /* times that they do so in a micro-batch's forward and backward */
};
struct head_bytes head_bytes(const struct head *head);

/* Counted since creation: kernels called forward and backward, gradients that they were asked for. */
struct head_work {
    uint64_t forwards, backwards, gradients;
};
struct head_work head_work(const struct head *head);

/* Copies live[live_elements] in; later forwards use it. */
void head_set_weights(struct head *head, const float *live);

/* The head's working memory is taken with the first tape. */
enum status tape_create(struct head *head, struct tape **out, struct error *err) MUST_CHECK;
void tape_destroy(struct tape **tape);

/* Gives the working memory back; only without tapes. */
void head_rest(struct head *head);

/* features [count, boundary_elements], count ≤ batch_max; features must stay unchanged until the
 * backward, and as long as tape_hidden is read (with nothing pretrained live it points into them).
 * Errors: ERR_INPUT for an index outside its axis. */
enum status head_forward(struct head *head, struct tape *tape, const float *features, size_t count,
                         struct error *err) MUST_CHECK;

/* The same for a prediction: normalisations use their running statistics, and there is no backward. */
enum status head_predict(struct head *head, struct tape *tape, const float *features, size_t count,
                         struct error *err) MUST_CHECK;

/* Results of the last forward, valid until the next: hidden [count, feature_count], logits [count,
 * class_count]. */
const float *tape_hidden(const struct tape *tape);
const float *tape_logits(const struct tape *tape);

/* dlogits [count, K] and dhidden [count, d] (either may be NULL = zero) are the gradients of a SUM
 * of losses. Once for each forward, unless the room says overlap. Accumulates: gradient[live_elements] += d(sum)/d(live),
 * for running statistics += count · those of this micro-batch. */
void head_backward(struct head *head, struct tape *tape, const float *dhidden, const float *dlogits,
                   float *gradient);

#endif
