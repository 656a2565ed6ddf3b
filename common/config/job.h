/* The job: one configuration file as validated, typed values. Every key is declared in ONE table
 * (key_table.c) with type, range, default and help; this file holds the structs that table fills.
 * Words: DESIGN §2.
 *
 * Paths: relative to the current directory; a path that begins with "cache:" lies in the cache
 * folder (GRAFT_CACHE, else ~/.cache/graft) of whichever machine opens it. All arrays and strings
 * are owned by the struct job and live until job_destroy. After job_load every value is inside its
 * declared range and cross-checks hold, so no other code re-validates.
 */
#ifndef GRAFT_COMMON_CONFIG_JOB_H
#define GRAFT_COMMON_CONFIG_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"

#define JOB_CLASSES_MAX 4096
#define JOB_DOMAINS_MAX 8
#define JOB_SOURCES_MAX 16
#define JOB_STAGES_MAX 8
#define JOB_SHARDS_MAX 1024
#define JOB_WORKERS_MAX 1024
#define JOB_SERVERS_MAX 256
#define JOB_HOSTS_MAX 1024
#define JOB_PATTERNS_MAX 64
#define JOB_CONFIG_BYTES_MAX (256 * 1024)

struct run_config {
    const char *name;
    const char *directory; /* journal, checkpoints, result */
    uint64_t seed;
    uint32_t checkpoints_kept; /* the last k; a stage's selected one is always kept */
};

/* A machine that scripts/launch-ssh starts members on. */
struct host_config {
    const char *login;   /* what ssh is told: HOST, USER@HOST, or a name of ~/.ssh/config */
    const char *address; /* others reach its servers there; "" = login without USER@ */
    uint32_t workers, servers;
    const char *directory; /* there; "" = the one that launch-ssh is started in */
    const char *programs;  /* folder of graft's programs there; "" = by PATH */
};

struct cluster_config {
    const char *bind; /* host the coordinator and servers bind, "127.0.0.1" */
    uint32_t port;    /* coordinator's; 0 = a free one, written to the run directory */
    uint32_t workers; /* local processes `graft run` starts */
    uint32_t servers;
    uint32_t replicas; /* copies of each parameter on other servers, 0 or 1 */
    uint32_t threads;  /* compute threads of each worker */
    uint32_t shards;   /* of the job, a power of two not required */
    uint32_t heartbeat_ms;
    uint32_t death_ms;     /* silence after which a member is declared dead */
    uint32_t join_seconds; /* how long to wait for the first view's members */
    uint64_t memory_limit; /* bytes of one worker; 0 = none */
    bool security_none;    /* security = "none": allow to bind beyond loopback without keys */
    const char *keys;      /* directory of keys, "" = none */
    bool tcp_only;         /* transport = "tcp": also between members on one host */
    struct host_config *hosts;
    size_t host_count;
};

enum model_pool { POOL_MEAN, POOL_NONE };
enum trunk_dtype { TRUNK_FLOAT32, TRUNK_BFLOAT16 };

/* Low-rank adapters; common/model/lora.h. */
struct lora_config {
    uint32_t rank;       /* 0: none */
    double alpha;        /* the update is alpha/rank · B·A */
    const char **layers; /* name patterns (fnmatch) of the weights that get one */
    size_t layer_count;
};

struct model_config {
    const char *file;     /* .onnx; "" = none: the samples are feature vectors already */
    const char *cut;      /* tensor where the pretrained part ends; "" = the graph's first output */
    enum model_pool pool; /* mean over the spatial axes of the cut tensor, or flatten */
    enum trunk_dtype trunk_dtype; /* of the trunk's weights and activations */
    struct lora_config lora;
};

/* Texts as token ids; worker/data/wordpiece.h. */
struct text_config {
    const char *vocabulary; /* "" = the samples are no texts */
    uint32_t length;        /* tokens of a sample, [CLS] and [SEP] among them */
    bool lower_case;        /* and without accents */
};

struct preprocess_config {
    uint32_t width, height, channels;
    double mean[4], std[4];       /* per channel, of pixel values 0…255: x = (v - mean) / std */
    size_t mean_count, std_count; /* as written: 1 (then repeated for all channels) or channels */
    bool invert;                  /* v = 255 - v before */
    struct text_config text;
};

enum source_format { FORMAT_IDX, FORMAT_FOLDER, FORMAT_CSV, FORMAT_LIST, FORMAT_TEXT };
enum split { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST, SPLIT_DIVIDE };
#define SPLIT_COUNT 3

struct source_config {
    enum source_format format;
    enum split split;     /* SPLIT_DIVIDE: divided by the domain's fractions */
    const char *path;     /* images file, folder, CSV or list file */
    const char *labels;   /* IDX labels file, "" = none */
    int32_t label_column; /* CSV, text: 0-based, negative = none; the first of job_label_columns */
    uint32_t text_column; /* text: 0-based */
    uint32_t width, height,
        channels;     /* CSV: shape of the pixel columns, row-major, channels last */
    double value_max; /* CSV: the value that stands for white (255) */
    bool header;      /* CSV, list, text: skip the first line */
};

struct domain_config {
    const char *name;
    bool labelled; /* false: labels never reach a worker; the coordinator uses them for the table
                      only */
    double divide[SPLIT_COUNT]; /* fractions of train, validation, test for SPLIT_DIVIDE sources;
                                   sum 1 */
    size_t divide_count;        /* SPLIT_COUNT */
    struct source_config *sources;
    size_t source_count;
};

/* Random changes of training pictures; worker/data/augment.h. */
struct augment_config {
    uint32_t
        variants;  /* pictures (and features) kept per training sample; the first is unchanged */
    double crop;   /* share of the area that a crop may cut off */
    bool flip;     /* half of them left to right */
    double jitter; /* of brightness, contrast, saturation: factors 1 ± jitter */
    double erase;  /* share of the area that may be erased */
};

/* What there is to answer about a sample: one class; each of K labels, there or not; K numbers. */
enum data_task { DATA_CLASSIFICATION, DATA_MULTILABEL, DATA_REGRESSION };

struct data_config {
    enum data_task task;
    const char **classes; /* names of the outputs: classes, labels or values */
    size_t class_count;   /* K */
    struct preprocess_config preprocess;
    struct augment_config augment;
    struct domain_config *domains;
    size_t domain_count;
    double unreadable_share_max; /* share of samples that may fail to decode before the run stops */
};

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW };

struct optimizer_config {
    enum optimizer_kind kind;
    double rate, momentum, beta1, beta2, epsilon, weight_decay;
    bool nesterov;
    double head_rate; /* learning rate of the new head; 0 = rate */
};

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_STEP };

struct schedule_config {
    enum schedule_kind kind;
    uint32_t warmup_steps; /* linear from 0 */
    double gamma;          /* step: factor every `every_epochs` epochs */
    uint32_t every_epochs;
    double final_factor; /* cosine: rate at the end / rate at the start */
};

/* What becomes of a shard's gradient on its way to the server: common/wire/coding.h. */
enum compression_kind {
    COMPRESSION_NONE,
    COMPRESSION_BFLOAT16,
    COMPRESSION_FLOAT16,
    COMPRESSION_INT8,
    COMPRESSION_INT8_STOCHASTIC,
    COMPRESSION_TOP_K,
};

struct compression_config {
    enum compression_kind kind;
    double share; /* top_k: of the values that are sent */
};

enum merge_kind { MERGE_SUM, MERGE_PCGRAD, MERGE_AGREEMENT };
enum select_kind { SELECT_LAST, SELECT_SOURCE_VALIDATION, SELECT_INFORMATION, SELECT_ENTROPY };

struct loss_config {
    double cross_entropy; /* weight; on labelled domains, but not for regression */
    double squared_error; /* weight; on labelled domains, for regression */
    double label_smoothing;
    double focal_gamma;                    /* > 0: the focal loss in place of cross-entropy */
    double class_weights[JOB_CLASSES_MAX]; /* of labelled samples' loss */
    size_t class_weight_count;             /* as written: 0 (then all 1) or the number of classes */
    double coral;                          /* weight of Deep CORAL with global moments; 0 = off */
    double information;    /* weight of information maximisation on unlabelled domains; 0 = off */
    double self_training;  /* weight of pseudo-label cross-entropy on unlabelled domains; 0 = off */
    double fraction_first; /* class-balanced share of pseudo labels kept, first epoch … */
    double fraction_last;  /* … and last epoch, linear between */
    double confidence_min; /* and only above this confidence */
};

/* Which of the chosen parameters are trained: BitFit trains biases (Ben Zaken 2022). */
enum live_kind { LIVE_ALL, LIVE_BIASES, LIVE_NORMS, LIVE_BIASES_AND_NORMS };

/* How the BatchNormalizations whose scale or bias is chosen normalise in training, and what of them
 * moves. FROZEN: by the running statistics of the file; scale and bias learn. TRAIN: by the
 * micro-batch's own (Ioffe & Szegedy 2015), the running ones follow; scale and bias learn. ADAPT: as
 * TRAIN, but scale and bias stay (AdaBN, Li et al. 2016). Prediction is by the running ones always. */
enum batch_norm { BATCH_NORM_FROZEN, BATCH_NORM_ADAPT, BATCH_NORM_TRAIN };

/* Parameters of the pretrained part that a stage trains; the new head always is. */
struct live_config {
    const char **patterns; /* of names (fnmatch) */
    size_t pattern_count;
    uint32_t last_blocks; /* additionally the last N weighted layers (Conv, Gemm, MatMul with their
                             scalars) */
    enum live_kind kind;
    enum batch_norm batch_norm;
};

/* When a worker may go on: BSP, when all have done the step (Valiant 1990); SSP, at most `staleness`
 * steps before the slowest shard (Ho et al. 2013); ASP, at once. In the last two each shard is a
 * virtual worker with a clock of its own, and each of its gradients a step of the servers'. */
enum stage_mode { MODE_BSP, MODE_SSP, MODE_ASP };

struct stage_config {
    const char *name;
    const char **domains; /* names, in the order of the gradients' domains */
    size_t domain_count;
    struct live_config live;
    uint32_t epochs;
    uint32_t micro_batch; /* samples per domain, shard and … */
    uint32_t accumulate;  /* … so many times to a step */
    double mixup,
        cutmix; /* α of the share's Beta(α, α), labelled domains; 0: off; worker/data/mix.h */
    enum stage_mode mode;
    uint32_t staleness;        /* SSP: steps */
    bool staleness_scaling;    /* SSP, ASP: rate / staleness */
    double delay_compensation; /* SSP, ASP: λ of DC-ASGD; 0: off */
    struct optimizer_config optimizer;
    struct schedule_config schedule;
    struct loss_config losses;
    double batch_norm_momentum;     /* m of new = (1 - m)·old + m·(mean over shards) */
    bool followed[JOB_DOMAINS_MAX]; /* by running statistics: unlabelled domains, if there are none
                                       all; set by job_check */
    double clip_norm;               /* largest L2 norm of a step's merged gradient; 0: any */
    double l2sp;       /* α: pull of pretrained live tensors toward their start (Li 2018) */
    double head_decay; /* β: decay of the new head */
    struct compression_config compression;
    enum merge_kind merge;
    double domain_weights[JOB_DOMAINS_MAX]; /* of each domain's mean gradient in the merge; default
                                               1 */
    size_t domain_weight_count;             /* as written: 0 (then all 1) or domain_count */
    enum select_kind select;
};

struct cache_config {
    uint64_t bytes_max; /* of the feature cache folder; the oldest files go first */
};

struct job {
    struct run_config run;
    struct cluster_config cluster;
    struct model_config model;
    struct data_config data;
    struct cache_config cache;
    struct stage_config *stages;
    size_t stage_count;
    const char *text; /* the resolved configuration (after overrides), as libconfig text */
    size_t text_bytes;
    /* Digest of the resolved text without the sections run.directory, run.name and cluster (which
     * must not change the result): the same job on another cluster has the same digest. */
    struct digest digest;
    void *owned; /* all memory of the job */
};

/* Reads `path` (or `text` when path is NULL: what a member receives), applies `overrides`
 * ("PATH=VALUE", e.g. "cluster.workers=4", "stages.[1].epochs=3"), validates against the table.
 * Does not open any file the job names. Errors: ERR_INPUT "FILE:LINE: key: what was expected;
 * nearest known key", ERR_IO, ERR_MEMORY. */
enum status job_load(const char *path, const char *text, const char *const *overrides,
                     size_t override_count, struct job **out, struct error *err) MUST_CHECK;
void job_destroy(struct job **job);

/* Prints the key table as Markdown (docs/CONFIG.md is made of it). */
enum status job_print_reference(int fd, struct error *err) MUST_CHECK;

/* Resolves a config path ("cache:…") to a real one in `out` (PATH_BYTES). */
enum status job_path(const char *path, char *out, struct error *err) MUST_CHECK;

/* Columns of a CSV line that are no part of the sample: 0, 1 (a class), or one a label or value. */
size_t job_label_columns(const struct data_config *data, const struct source_config *source);

/* Weight of the loss on labelled domains, whichever the task has. */
double job_labelled_loss(const struct data_config *data, const struct loss_config *losses);

/* Does a stage train by ssp or asp? */
bool job_unsynchronised(const struct job *job);

/* Do workers keep what coding left out of a gradient, for the shard's next one? */
bool job_feeds_back_errors(const struct stage_config *stage);

/* Does a stage clip gradients by their global norm? */
bool job_clips(const struct job *job);

/* Are the samples texts? */
bool job_is_text(const struct preprocess_config *preprocess);

/* Index of a domain or class by name; -1 when there is none. */
int job_domain_index(const struct job *job, const char *name);
int job_class_index(const struct job *job, const char *name);

#endif
