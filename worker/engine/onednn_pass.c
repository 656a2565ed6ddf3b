#include "worker/engine/onednn_pass.h"

#include "common/base/check.h"
#include "common/base/memory.h"

static size_t take(struct onednn_pass *pass, size_t bytes)
{
    size_t at = pass->scratch_bytes;
    pass->scratch_bytes += (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    return at;
}

static enum status add_leg(struct onednn_pass *pass, const struct onednn *dnn,
                           const struct onednn_layout *wanted, const struct onednn_operand *operand,
                           struct error *err)
{
    struct onednn_leg *leg = &pass->legs[pass->leg_count++];
    *leg = (struct onednn_leg){.arg = operand->arg, .output = operand->output};
    leg->turned = !onednn_same(wanted, operand->plain);
    if (leg->turned) {
        leg->at = take(pass, onednn_bytes(wanted));
        enum status status =
            onednn_call_reorder(&leg->reorder, dnn, operand->output ? wanted : operand->plain,
                                operand->output ? operand->plain : wanted, err);
        if (status != OK)
            return status;
    }
    return onednn_call_bind(&pass->call, dnn, operand->arg, NULL, err);
}

enum status onednn_pass_init(struct onednn_pass *pass, const struct onednn *dnn,
                             dnnl_primitive_desc_t desc, const struct onednn_operand *operands,
                             size_t count, struct error *err)
{
    const struct onednn_layout *wanted[ONEDNN_OPERANDS_MAX];
    CHECK(count <= ONEDNN_OPERANDS_MAX);
    for (size_t i = 0; i < count; i++)
        wanted[i] = onednn_wanted(dnn, desc, operands[i].arg);
    size_t scratchpad =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
    enum status status = onednn_call_init(&pass->call, desc, err);
    for (size_t i = 0; i < count && status == OK; i++)
        status = add_leg(pass, dnn, wanted[i], &operands[i], err);
    pass->scratchpad_at = take(pass, scratchpad);
    if (status == OK && scratchpad > 0)
        status = onednn_call_bind(&pass->call, dnn, DNNL_ARG_SCRATCHPAD, NULL, err);
    return status;
}

static void pass_operand(struct onednn_pass *pass, const struct onednn *dnn, struct onednn_leg *leg,
                         const float *data, char *scratch)
{
    if (!leg->turned) {
        onednn_call_set(&pass->call, leg->arg, data);
        return;
    }
    onednn_call_set(&pass->call, leg->arg, scratch + leg->at);
    onednn_call_set(&leg->reorder, DNNL_ARG_FROM,
                    leg->output ? scratch + leg->at : (const void *)data);
    onednn_call_set(&leg->reorder, DNNL_ARG_TO,
                    leg->output ? (const void *)data : scratch + leg->at);
    if (!leg->output)
        onednn_call_run(&leg->reorder, dnn);
}

void onednn_pass_run(struct onednn_pass *pass, const struct onednn *dnn, const float *const *data,
                     void *scratch)
{
    for (size_t i = 0; i < pass->leg_count; i++)
        pass_operand(pass, dnn, &pass->legs[i], data[i], scratch);
    onednn_call_set(&pass->call, DNNL_ARG_SCRATCHPAD, (char *)scratch + pass->scratchpad_at);
    onednn_call_run(&pass->call, dnn);
    for (size_t i = 0; i < pass->leg_count; i++)
        if (pass->legs[i].output && pass->legs[i].turned)
            onednn_call_run(&pass->legs[i].reorder, dnn);
}

void onednn_pass_deinit(struct onednn_pass *pass)
{
    onednn_call_deinit(&pass->call);
    for (size_t i = 0; i < pass->leg_count; i++)
        onednn_call_deinit(&pass->legs[i].reorder);
    *pass = (struct onednn_pass){0};
}
