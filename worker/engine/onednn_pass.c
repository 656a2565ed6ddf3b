#include "worker/engine/onednn_pass.h"

#include "common/base/check.h"
#include "common/base/memory.h"

static enum status add_leg(struct onednn_pass *pass, const struct onednn *dnn,
                           const struct onednn_layout *wanted, const struct onednn_operand *operand,
                           struct error *err)
{
    struct onednn_leg *leg = &pass->legs[pass->leg_count++];
    *leg = (struct onednn_leg){.arg = operand->arg, .output = operand->output};
    if (!onednn_same(wanted, operand->plain)) {
        leg->buffer = memory_alloc(onednn_bytes(wanted), 1);
        if (leg->buffer == NULL)
            return error_set(err, ERR_MEMORY, "no memory for %zu bytes", onednn_bytes(wanted));
        enum status status =
            onednn_call_reorder(&leg->reorder, dnn, operand->output ? wanted : operand->plain,
                                operand->output ? operand->plain : wanted, err);
        if (status != OK)
            return status;
        onednn_call_set(&leg->reorder, operand->output ? DNNL_ARG_FROM : DNNL_ARG_TO, leg->buffer);
    }
    return onednn_call_bind(&pass->call, dnn, operand->arg, leg->buffer, err);
}

enum status onednn_pass_init(struct onednn_pass *pass, const struct onednn *dnn,
                             dnnl_primitive_desc_t desc, const struct onednn_operand *operands,
                             size_t count, struct error *err)
{
    const struct onednn_layout *wanted[ONEDNN_OPERANDS_MAX];
    CHECK(count <= ONEDNN_OPERANDS_MAX);
    for (size_t i = 0; i < count; i++)
        wanted[i] = onednn_wanted(dnn, desc, operands[i].arg);
    enum status status = onednn_call_init(&pass->call, desc, err);
    for (size_t i = 0; i < count && status == OK; i++)
        status = add_leg(pass, dnn, wanted[i], &operands[i], err);
    return status;
}

static void pass_operand(struct onednn_pass *pass, const struct onednn *dnn, struct onednn_leg *leg,
                         const float *data)
{
    if (leg->buffer == NULL) {
        onednn_call_set(&pass->call, leg->arg, data);
        return;
    }
    onednn_call_set(&leg->reorder, leg->output ? DNNL_ARG_TO : DNNL_ARG_FROM, data);
    if (!leg->output)
        onednn_call_run(&leg->reorder, dnn);
}

void onednn_pass_run(struct onednn_pass *pass, const struct onednn *dnn, const float *const *data)
{
    for (size_t i = 0; i < pass->leg_count; i++)
        pass_operand(pass, dnn, &pass->legs[i], data[i]);
    onednn_call_run(&pass->call, dnn);
    for (size_t i = 0; i < pass->leg_count; i++)
        if (pass->legs[i].output && pass->legs[i].buffer != NULL)
            onednn_call_run(&pass->legs[i].reorder, dnn);
}

void onednn_pass_deinit(struct onednn_pass *pass)
{
    onednn_call_deinit(&pass->call);
    for (size_t i = 0; i < pass->leg_count; i++) {
        onednn_call_deinit(&pass->legs[i].reorder);
        memory_free(pass->legs[i].buffer);
    }
    pass->leg_count = 0;
}
