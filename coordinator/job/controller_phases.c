/* The order of phases: stages, epochs, evaluation. */
#include "common/config/optimizer_states.h"
#include "coordinator/job/controller_state.h"

/* ---- stages ---- */

/* Makes c->current the start of stage `stage`. */
static enum status start_values(struct controller *c, size_t stage, struct error *err)
{
    struct values *values;
    size_t states = optimizer_states(&controller_config(c, stage)->optimizer);
    enum status status =
        values_create(c->stages[stage].plan, (uint32_t)stage, states, &values, err);
    if (status != OK)
        return status;
    values_start(values, c->job->run.seed, stage > 0 ? c->stages[stage - 1].best : NULL);
    values_destroy(&c->current);
    c->current = values;
    c->stage = stage;
    return OK;
}

enum status controller_begin_stage(struct controller *c, size_t stage, struct error *err)
{
    enum status status = start_values(c, stage, err);
    for (size_t i = 0; i < PARTS_MAX; i++)
        predictions_destroy(&c->parts[i]);
    if (status == OK)
        controller_enter_prepare(c);
    return status;
}

static enum status begin_evaluation(struct controller *c, enum purpose purpose, struct error *err)
{
    size_t stage = purpose == PURPOSE_ADAPTED ? c->job->stage_count - 1 : 0;
    c->purpose = purpose;
    c->stage = stage;
    values_destroy(&c->current);
    enum status status = controller_keep_values(&c->current, c->stages[stage].best, err);
    return status == OK ? controller_enter_load(c, err) : status;
}

static enum status end_stage(struct controller *c, struct error *err)
{
    c->stages[c->stage].seconds = (double)(c->now_ms - c->stage_began_ms) / 1000.0;
    if (c->stage + 1 < c->job->stage_count)
        return controller_begin_stage(c, c->stage + 1, err);
    c->stage_began_ms = c->now_ms;
    return begin_evaluation(c, PURPOSE_ADAPTED, err);
}

/* The servers hold c->current, and what is known about it is known: what next? */
static enum status go_on(struct controller *c, struct error *err)
{
    const struct stage_config *config = controller_config(c, c->stage);
    if (c->stop_asked) {
        c->phase = PHASE_STOPPED;
        return OK;
    }
    if (c->current->epoch >= config->epochs)
        return end_stage(c, err);
    return controller_enter_train(c, err);
}

static enum status finish_evaluation(struct controller *c, struct error *err)
{
    struct predictions **kept = c->purpose == PURPOSE_ADAPTED ? &c->adapted : &c->source_only;
    predictions_destroy(kept);
    *kept = c->parts[controller_test_part(c)];
    c->parts[controller_test_part(c)] = NULL;
    if (c->purpose == PURPOSE_ADAPTED)
        return begin_evaluation(c, PURPOSE_SOURCE_ONLY, err);
    c->evaluate_seconds = (double)(c->now_ms - c->stage_began_ms) / 1000.0;
    controller_enter_show(c);
    return OK;
}

static enum status after_load(struct controller *c, struct error *err)
{
    if (c->purpose != PURPOSE_STAGE)
        return controller_enter_predict(c, PREDICT_TEST, err);
    if (c->unscored)
        return controller_enter_predict(c, PREDICT_SCORES, err);
    if (controller_config(c, c->stage)->losses.self_training > 0 &&
        c->current->epoch < controller_config(c, c->stage)->epochs)
        return controller_enter_predict(c, PREDICT_GUESSES, err);
    return go_on(c, err);
}

static enum status after_predict(struct controller *c, struct error *err)
{
    if (c->reason == PREDICT_TEST)
        return finish_evaluation(c, err);
    if (c->reason == PREDICT_SCORES) {
        enum status status = controller_finish_epoch(c, err);
        if (status != OK)
            return status;
    }
    return go_on(c, err);
}

static enum status after_train(struct controller *c, struct error *err)
{
    struct values *before = c->current;
    c->current = c->incoming;
    c->incoming = before;
    c->current->epoch++;
    c->current->stage_step += c->task_body.steps;
    c->unscored = true;
    controller_collect_terms(c);
    return controller_enter_predict(c, PREDICT_SCORES, err);
}

/* Goes to the next phase when the current one is complete. */
enum status controller_advance(struct controller *c, struct error *err)
{
    switch (c->phase) {
    case PHASE_PREPARE:
        if (c->pieces_left > 0)
            return OK;
        c->prepare_seconds += (double)(c->now_ms - c->phase_began_ms) / 1000.0;
        return controller_enter_load(c, err);
    case PHASE_LOAD:
        return controller_all_loaded(c) && c->view_settled && !c->must_load ? after_load(c, err)
                                                                            : OK;
    case PHASE_PREDICT:
        return c->pieces_left == 0 ? after_predict(c, err) : OK;
    case PHASE_TRAIN:
        return c->gathering.missing == 0 ? after_train(c, err) : OK;
    case PHASE_JOIN:
    case PHASE_SHOW:
    case PHASE_DONE:
    case PHASE_STOPPED:
        return OK;
    }
    return OK;
}
