#include "common/config/key_table.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/job.h"

#define SEED_MAX 9007199254740992.0  /* 2^53: exact in every JSON reader */
#define BYTES_MAX 1125899906842624.0 /* 1 PiB */

#define GROUP(p, text)                                                                             \
    {                                                                                              \
        .path = (p), .type = KEY_GROUP, .help = (text)                                             \
    }
#define LIST(p, owner, field, n, element, low, high, text)                                         \
    {                                                                                              \
        .path = (p), .type = KEY_LIST, .offset = offsetof(struct owner, field),                    \
        .size = sizeof(struct element), .count_offset = offsetof(struct owner, n),                 \
        .count_least = (low), .count_most = (high), .help = (text)                                 \
    }
#define LIST_LOCAL(p, owner, field, n, element, low, high, text)                                   \
    {                                                                                              \
        .path = (p), .type = KEY_LIST, .flags = KEY_LOCAL,                                         \
        .offset = offsetof(struct owner, field), .size = sizeof(struct element),                   \
        .count_offset = offsetof(struct owner, n), .count_least = (low), .count_most = (high),     \
        .help = (text)                                                                             \
    }
#define VALUE(p, kind, f, owner, field, low, high, otherwise, text)                                \
    {                                                                                              \
        .path = (p), .type = (kind), .flags = (f), .offset = offsetof(struct owner, field),        \
        .size = sizeof(((struct owner *)0)->field), .least = (low), .most = (high),                \
        .fallback = (otherwise), .help = (text)                                                    \
    }
#define WHOLE(p, owner, field, low, high, otherwise, text)                                         \
    VALUE(p, KEY_WHOLE, 0, owner, field, low, high, otherwise, text)
#define WHOLE_LOCAL(p, owner, field, low, high, otherwise, text)                                   \
    VALUE(p, KEY_WHOLE, KEY_LOCAL, owner, field, low, high, otherwise, text)
#define REAL(p, owner, field, low, high, otherwise, text)                                          \
    VALUE(p, KEY_REAL, 0, owner, field, low, high, otherwise, text)
#define SWITCH(p, owner, field, otherwise, text)                                                   \
    VALUE(p, KEY_SWITCH, 0, owner, field, 0, 0, otherwise, text)
#define TEXT(p, f, owner, field, otherwise, text)                                                  \
    VALUE(p, KEY_TEXT, f, owner, field, 0, 0, otherwise, text)
#define CHOICE(p, f, owner, field, names, otherwise, text)                                         \
    {                                                                                              \
        .path = (p), .type = KEY_CHOICE, .flags = (f), .offset = offsetof(struct owner, field),    \
        .size = sizeof(((struct owner *)0)->field), .choices = (names), .fallback = (otherwise),   \
        .help = (text)                                                                             \
    }
#define MANY(p, kind, owner, field, n, low, high, few, many, otherwise, text)                      \
    {                                                                                              \
        .path = (p), .type = (kind), .offset = offsetof(struct owner, field),                      \
        .size = sizeof(((struct owner *)0)->field), .count_offset = offsetof(struct owner, n),     \
        .least = (low), .most = (high), .count_least = (few), .count_most = (many),                \
        .fallback = (otherwise), .help = (text)                                                    \
    }

/* Each in the order of its enum in job.h. */
static const char *const securities[] = {"curve", "none", NULL};
static const char *const transports[] = {"auto", "tcp", NULL};
static const char *const pools[] = {"mean", "none", NULL};
static const char *const trunk_dtypes[] = {"float32", "bfloat16", NULL};
static const char *const compressions[] = {
    "none", "bfloat16", "float16", "int8", "int8_stochastic", "top_k", NULL};
static const char *const batch_norms[] = {"frozen", "adapt", "train", NULL};
static const char *const live_kinds[] = {"all", "biases", "norms", "biases_and_norms", NULL};
static const char *const formats[] = {"idx", "folder", "csv", "list", "text", NULL};
static const char *const splits[] = {"train", "validation", "test", "divide", NULL};
static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
static const char *const schedules[] = {"constant", "cosine", "step", NULL};
static const char *const tasks[] = {"classification", "multilabel", "regression", NULL};
static const char *const modes[] = {"bsp", "ssp", "asp", NULL};
static const char *const merges[] = {"sum", "pcgrad", "agreement", NULL};
static const char *const selects[] = {"last", "source_validation", "information", "entropy", NULL};

/* clang-format off: one key an entry, and the columns read as a table. */
static const struct key keys[] = {
    GROUP("run", "This run: its name, its place, its seed."),
    TEXT("run.name", KEY_LOCAL | KEY_NAME, job, run.name, "\"run\"",
         "Name of the run, part of file names."),
    TEXT("run.directory", KEY_LOCAL, job, run.directory, "\"\"",
         "Folder of journal, checkpoints and result. Empty: runs/NAME."),
    WHOLE("run.seed", job, run.seed, 0, SEED_MAX, "1",
          "All randomness derives from it. The division of the data into splits does not."),
    WHOLE_LOCAL(
        "run.checkpoints_kept", job, run.checkpoints_kept, 1, 1000, "3",
        "Number of latest checkpoints kept; the selected one of each stage is always kept."),

    GROUP("cluster", "Processes. Nothing here but `shards` changes the result."),
    TEXT("cluster.bind", KEY_LOCAL, job, cluster.bind, "\"127.0.0.1\"",
         "Address that coordinator and servers listen on. Anything but loopback needs keys or "
         "security = \"none\"."),
    WHOLE_LOCAL("cluster.port", job, cluster.port, 0, 65535, "0",
                "Port of the coordinator. 0: a free one, written to the run's folder."),
    WHOLE_LOCAL("cluster.workers", job, cluster.workers, 1, JOB_WORKERS_MAX, "2",
                "Workers (`graft run` starts them on this machine)."),
    WHOLE_LOCAL("cluster.servers", job, cluster.servers, 1, JOB_SERVERS_MAX, "2",
                "Parameter servers."),
    WHOLE_LOCAL("cluster.replicas", job, cluster.replicas, 0, 1, "0",
                "1: every step is on two servers before workers get its weights, and the loss of a "
                "server costs no step. Needs two servers."),
    WHOLE_LOCAL("cluster.threads", job, cluster.threads, 1, 256, "1",
                "Compute threads of each worker. All workers must use the same number for bitwise "
                "equal results."),
    WHOLE_LOCAL("cluster.memory_limit", job, cluster.memory_limit, 0, BYTES_MAX, "0",
                "Bytes of memory that a worker may plan with (`graft inspect --memory`; processes "
                "take up to a tenth more or less); 0: no limit. What does not fit is dropped and "
                "computed again in backward, with the same result; what cannot fit is refused "
                "before the start."),
    WHOLE("cluster.shards", job, cluster.shards, 1, JOB_SHARDS_MAX, "8",
          "Fixed shares of the training data. Belongs to the job: results depend on it, but not on "
          "the number of workers. "
          "At most this many workers have work."),
    WHOLE_LOCAL("cluster.heartbeat_ms", job, cluster.heartbeat_ms, 50, 60000, "500",
                "Time between signs of life."),
    WHOLE_LOCAL("cluster.death_ms", job, cluster.death_ms, 200, 600000, "2500",
                "Silence after which a member is declared dead; at least two heartbeats."),
    WHOLE_LOCAL("cluster.join_seconds", job, cluster.join_seconds, 1, 86400, "30",
                "How long the start waits for all members."),
    CHOICE("cluster.security", KEY_LOCAL, job, cluster.security_none, securities, "\"curve\"",
           "\"none\" allows to listen beyond loopback without keys: anybody who reaches the port "
           "can take part."),
    TEXT("cluster.keys", KEY_LOCAL, job, cluster.keys, "\"\"",
         "Directory of keys (`graft keygen`): nobody else is answered over tcp, and all is "
         "encrypted there. Empty: no keys. Members on other machines name theirs by --keys."),
    CHOICE("cluster.transport", KEY_LOCAL, job, cluster.tcp_only, transports, "\"auto\"",
           "\"auto\": members on one host talk over Unix sockets, others over tcp; \"tcp\": all "
           "over tcp."),
    LIST_LOCAL(
        "cluster.hosts", job, cluster.hosts, cluster.host_count, host_config, 0, JOB_HOSTS_MAX,
        "Machines for `scripts/launch-ssh` (docs/CLUSTER.md), which takes their sums for workers "
        "and servers; `graft run` starts all on its own machine and does not look here."),
    TEXT("cluster.hosts[].login", KEY_LOCAL, host_config, login, NULL,
         "What ssh is told: HOST, USER@HOST, or a name of ~/.ssh/config."),
    TEXT("cluster.hosts[].address", KEY_LOCAL, host_config, address, "\"\"",
         "Address on which its servers listen and others reach them. Empty: login without USER@."),
    WHOLE_LOCAL("cluster.hosts[].workers", host_config, workers, 0, JOB_WORKERS_MAX, "0",
                "Workers there."),
    WHOLE_LOCAL("cluster.hosts[].servers", host_config, servers, 0, JOB_SERVERS_MAX, "0",
                "Parameter servers there."),
    TEXT("cluster.hosts[].directory", KEY_LOCAL, host_config, directory, "\"\"",
         "Folder there from which relative paths count. Empty: the same path as here."),
    TEXT("cluster.hosts[].programs", KEY_LOCAL, host_config, programs, "\"\"",
         "Folder of graft's programs there. Empty: by PATH."),

    GROUP("model", "The pretrained network."),
    TEXT("model.file", 0, job, model.file, "\"\"",
         "ONNX file. Empty: no network, the samples are feature vectors already."),
    TEXT("model.cut", 0, job, model.cut, "\"\"",
         "Tensor where the pretrained part ends; the new head follows. Empty: the first output."),
    CHOICE("model.pool", 0, job, model.pool, pools, "\"mean\"",
           "\"mean\" over the spatial axes of the cut tensor, or \"none\": flatten it."),
    CHOICE("model.trunk_dtype", 0, job, model.trunk_dtype, trunk_dtypes, "\"float32\"",
           "Numbers of the trunk's weights and activations; sums and features are float32 in any "
           "case. \"bfloat16\" (8 bits of mantissa) needs AVX512-BF16 or AMX."),

    GROUP("model.lora",
          "Low-rank adapters (LoRA, Hu 2021) beside weights of Conv, Gemm and MatMul; trained "
          "by stages with live = [\"*.lora_*\"], merged into the weights on export."),
    WHOLE("model.lora.rank", job, model.lora.rank, 0, 1024, "0", "Columns of an adapter; 0: none."),
    REAL("model.lora.alpha", job, model.lora.alpha, 1e-6, 1e6, "8.0",
         "The update of a weight is alpha / rank times the product of the two factors."),
    MANY("model.lora.layers", KEY_TEXTS, job, model.lora.layers, model.lora.layer_count, 0, 0, 1,
         JOB_PATTERNS_MAX, "[\"*\"]",
         "Patterns (*, ?) of the names of weights that get an adapter."),

    GROUP("data", "Samples: classes, how pixels become numbers, domains."),
    CHOICE(
        "data.task", 0, job, data.task, tasks, "\"classification\"",
        "What is learned: one class a sample, any number of labels a sample (\"multilabel\"), or "
        "numbers (\"regression\"). The last two read their targets from csv and list."),
    MANY("data.classes", KEY_TEXTS, job, data.classes, data.class_count, 0, 0, 1, JOB_CLASSES_MAX,
         NULL,
         "Names of the outputs, in their order: classes (labels in files are matched by name), "
         "labels or values."),
    GROUP("data.preprocess",
          "Every sample is brought to this form: resized (bilinear), then x = (v - mean) / std, "
          "where v is a pixel value from 0 to 255."),
    WHOLE("data.preprocess.width", job, data.preprocess.width, 0, 65536, "0",
          "Width of the network's input. Needed unless samples are texts."),
    WHOLE("data.preprocess.height", job, data.preprocess.height, 0, 65536, "0",
          "Height of the network's input. Likewise."),
    WHOLE("data.preprocess.channels", job, data.preprocess.channels, 1, 4, "3",
          "Channels. Gray is repeated to 3, colour becomes gray (ITU-R 601) for 1."),
    MANY("data.preprocess.mean", KEY_REALS, job, data.preprocess.mean, data.preprocess.mean_count,
         -1e9, 1e9, 1, 4, "0.0", "Subtracted from v: one number, or one a channel."),
    MANY("data.preprocess.std", KEY_REALS, job, data.preprocess.std, data.preprocess.std_count,
         1e-6, 1e9, 1, 4, "1.0", "Then divides: one number, or one a channel."),
    SWITCH("data.preprocess.invert", job, data.preprocess.invert, "false",
           "v = 255 - v before all that (dark on light)."),
    GROUP(
        "data.preprocess.text",
        "Texts become token ids as BERT does it: cleaned, split at blanks, punctuation and Chinese "
        "characters, cut into the longest pieces of the vocabulary (WordPiece), between [CLS] and "
        "[SEP], filled up with [PAD]. The model's inputs get them by name: ids, mask, types."),
    TEXT("data.preprocess.text.vocabulary", 0, job, data.preprocess.text.vocabulary, "\"\"",
         "vocab.txt, or a model that graft wrote. Empty: the samples are no texts."),
    WHOLE("data.preprocess.text.length", job, data.preprocess.text.length, 3, 65536, "128",
          "Tokens of every sample; longer texts lose their end."),
    SWITCH("data.preprocess.text.lower_case", job, data.preprocess.text.lower_case, "true",
           "Lower case without accents (\"uncased\" models)."),
    REAL("data.unreadable_share_max", job, data.unreadable_share_max, 0, 1, "0.01",
         "Share of samples that may fail to decode (they are skipped and counted) before the run "
         "stops."),
    GROUP("data.augment", "Random changes of training pictures, the same on any cluster."),
    WHOLE("data.augment.variants", job, data.augment.variants, 1, 64, "1",
          "Pictures a training sample becomes: itself and variants - 1 changed ones. All their "
          "features "
          "are kept; an epoch draws one of each sample."),
    REAL("data.augment.crop", job, data.augment.crop, 0, 0.95, "0.0",
         "Random crops cut off up to this share of the area."),
    SWITCH("data.augment.flip", job, data.augment.flip, "false", "Half of them left to right."),
    REAL("data.augment.jitter", job, data.augment.jitter, 0, 1, "0.0",
         "Brightness, contrast and saturation by factors of 1 - jitter to 1 + jitter."),
    REAL("data.augment.erase", job, data.augment.erase, 0, 0.9, "0.0",
         "Half of them lose a rectangle of up to this share of the area."),
    LIST("data.domains", job, data.domains, data.domain_count, domain_config, 1, JOB_DOMAINS_MAX,
         "Where samples come from: the source domain, the target domain, …"),
    TEXT("data.domains[].name", KEY_NAME, domain_config, name, NULL,
         "Name by which stages call it."),
    SWITCH("data.domains[].labelled", domain_config, labelled, "true",
           "false: labels are not used for training and no worker reads them. If the files hold "
           "labels, "
           "the coordinator reports accuracy on them."),
    MANY("data.domains[].divide", KEY_REALS, domain_config, divide, divide_count, 0, 1, 3, 3,
         "[0.8, 0.1, 0.1]",
         "Shares of train, validation and test, for sources with split = \"divide\"; they sum to "
         "1."),
    LIST("data.domains[].sources", domain_config, sources, source_count, source_config, 1,
         JOB_SOURCES_MAX, "Files of the domain."),
    CHOICE("data.domains[].sources[].format", 0, source_config, format, formats, NULL,
           "\"idx\" (MNIST's), \"folder\" (one folder a class), \"csv\" (one line a sample), "
           "\"list\" (lines of path, label, domain; multilabel: names joined by '|', or nothing; "
           "regression: numbers joined by '|'), \"text\" (NAME.csv with quotes as in RFC 4180, "
           "NAME.tsv without; any other file: a text a line)."),
    CHOICE("data.domains[].sources[].split", 0, source_config, split, splits, "\"divide\"",
           "What its samples are for; \"divide\": by the domain's shares."),
    TEXT("data.domains[].sources[].path", 0, source_config, path, NULL,
         "Images file, folder, CSV or list file. \"cache:…\" lies in the cache folder."),
    TEXT("data.domains[].sources[].labels", 0, source_config, labels, "\"\"",
         "idx: the labels file. Empty: none."),
    WHOLE("data.domains[].sources[].label_column", source_config, label_column, -1, 1048575, "-1",
          "csv, text: the label's column, counted from 0. -1: none. csv of multilabel, regression: "
          "the "
          "first of as many columns as data.classes has names, with 0 or 1, or numbers."),
    WHOLE("data.domains[].sources[].text_column", source_config, text_column, 0, 1048575, "0",
          "text: the text's column, counted from 0."),
    WHOLE("data.domains[].sources[].width", source_config, width, 0, 65536, "0",
          "csv: width of the picture in a line."),
    WHOLE("data.domains[].sources[].height", source_config, height, 0, 65536, "0",
          "csv: height of the picture in a line."),
    WHOLE("data.domains[].sources[].channels", source_config, channels, 1, 4, "1",
          "csv: channels, the last and fastest axis."),
    REAL("data.domains[].sources[].value_max", source_config, value_max, 1e-9, 1e9, "255.0",
         "csv: the number that stands for white (v = 255)."),
    SWITCH("data.domains[].sources[].header", source_config, header, "false",
           "csv, list, text: skip the first line."),

    GROUP("cache", "The feature cache: outputs of the frozen part, kept on disk."),
    VALUE("cache.bytes_max", KEY_WHOLE, KEY_LOCAL, job, cache.bytes_max, 0, BYTES_MAX, "8589934592",
          "Size of the folder; the files unused for longest go first. 0: keep nothing on disk."),

    LIST("stages", job, stages, stage_count, stage_config, 1, JOB_STAGES_MAX,
         "Trainings, one after the other."),
    TEXT("stages[].name", KEY_NAME, stage_config, name, NULL, "Name in reports and checkpoints."),
    MANY("stages[].domains", KEY_TEXTS, stage_config, domains, domain_count, 0, 0, 1,
         JOB_DOMAINS_MAX, NULL,
         "Domains it learns from. An epoch is one pass over the first unlabelled one, else the "
         "first."),
    MANY("stages[].live", KEY_TEXTS, stage_config, live.patterns, live.pattern_count, 0, 0, 0,
         JOB_PATTERNS_MAX, "[]",
         "Patterns (*, ?) of parameter names that are trained too. The new head always is."),
    WHOLE("stages[].last_blocks", stage_config, live.last_blocks, 0, 1000, "0",
          "Trains the last N layers with weights of the pretrained part too."),
    CHOICE("stages[].live_kind", 0, stage_config, live.kind, live_kinds, "\"all\"",
           "Of the parameters that live and last_blocks choose, only the \"biases\" (BitFit: "
           "live = [\"*\"]), the scales and shifts of normalisations (\"norms\"), or both."),
    CHOICE("stages[].batch_norm", 0, stage_config, live.batch_norm, batch_norms, "\"frozen\"",
           "Of BatchNormalizations that live and last_blocks choose: \"frozen\": scale and shift "
           "learn, mean and variance stay the file's. \"train\": those too: a micro-batch is "
           "normalised by its own, and the running ones follow those of the unlabelled domains, "
           "without any those of all. \"adapt\": likewise, but scale and shift stay (AdaBN, Li "
           "2016)."),
    REAL("stages[].batch_norm_momentum", stage_config, batch_norm_momentum, 0, 1, "0.1",
         "How far running statistics go toward a step's, as in PyTorch."),
    WHOLE("stages[].epochs", stage_config, epochs, 1, 100000, "10", "Passes over the data."),
    WHOLE("stages[].micro_batch", stage_config, micro_batch, 1, 4096, "16",
          "Samples of each domain and shard in a step."),
    WHOLE("stages[].accumulate", stage_config, accumulate, 1, 1024, "1",
          "Micro-batches of each domain and shard to a step: the gradient of accumulate * "
          "micro_batch samples in the memory of micro_batch. Losses over the whole step see all of "
          "them; then each micro-batch goes forward twice."),
    CHOICE("stages[].mode", 0, stage_config, mode, modes, "\"bsp\"",
           "\"bsp\": a step is a step of all shards. \"ssp\": each shard goes its own way, at most "
           "`staleness` steps before the slowest. \"asp\": without a bound. In the last two the "
           "weights depend on who was faster."),
    WHOLE("stages[].staleness", stage_config, staleness, 0, 1000000, "2",
          "ssp: steps that a shard may be ahead of the slowest."),
    SWITCH("stages[].staleness_scaling", stage_config, staleness_scaling, "false",
           "ssp, asp: divides the rate by the staleness in steps, if above 1 (Zhang 2016)."),
    REAL("stages[].delay_compensation", stage_config, delay_compensation, 0, 1e9, "0.0",
         "ssp, asp: lambda of DC-ASGD (Zheng 2017): g + lambda g*g*(w - the w that g was computed "
         "with). 0: off."),
    REAL("stages[].mixup", stage_config, mixup, 0, 100, "0.0",
         "Mixup (Zhang 2018) of labelled samples: alpha of the share's Beta(alpha, alpha), often "
         "0.2. Mixed is what crosses the freeze boundary: features, or pixels where nothing is "
         "frozen before them."),
    REAL("stages[].cutmix", stage_config, cutmix, 0, 100, "0.0",
         "CutMix (Yun 2019), likewise, often 1.0: a box of another sample's boundary tensor, which "
         "must have a width and height. With mixup, each takes half of the samples."),
    GROUP("stages[].optimizer", "How gradients become steps."),
    CHOICE("stages[].optimizer.kind", 0, stage_config, optimizer.kind, optimizers, "\"adam\"",
           "The rule."),
    REAL("stages[].optimizer.rate", stage_config, optimizer.rate, 0, 100, "0.001",
         "Learning rate."),
    REAL("stages[].optimizer.head_rate", stage_config, optimizer.head_rate, 0, 100, "0.0",
         "Learning rate of the new head; 0: the same."),
    REAL("stages[].optimizer.momentum", stage_config, optimizer.momentum, 0, 0.9999, "0.9",
         "sgd: momentum."),
    REAL("stages[].optimizer.beta1", stage_config, optimizer.beta1, 0, 0.9999, "0.9",
         "adam: decay of the mean."),
    REAL("stages[].optimizer.beta2", stage_config, optimizer.beta2, 0, 0.999999, "0.999",
         "adam: decay of the squares."),
    REAL("stages[].optimizer.epsilon", stage_config, optimizer.epsilon, 1e-16, 1, "1e-8",
         "adam: added to the root."),
    REAL("stages[].optimizer.weight_decay", stage_config, optimizer.weight_decay, 0, 10, "0.0",
         "Decay of all live weights."),
    SWITCH("stages[].optimizer.nesterov", stage_config, optimizer.nesterov, "false",
           "sgd: Nesterov's momentum."),
    GROUP("stages[].schedule", "Learning rate over time."),
    CHOICE("stages[].schedule.kind", 0, stage_config, schedule.kind, schedules, "\"constant\"",
           "The shape."),
    WHOLE("stages[].schedule.warmup_steps", stage_config, schedule.warmup_steps, 0, 1000000, "0",
          "Steps of linear rise from 0."),
    REAL("stages[].schedule.gamma", stage_config, schedule.gamma, 1e-6, 1, "0.1",
         "step: the factor …"),
    WHOLE("stages[].schedule.every_epochs", stage_config, schedule.every_epochs, 1, 100000, "10",
          "step: … every so many epochs."),
    REAL("stages[].schedule.final_factor", stage_config, schedule.final_factor, 0, 1, "0.0",
         "cosine: rate at the end / at the start."),
    GROUP("stages[].compression", "Gradients with fewer bytes on their way to the servers."),
    CHOICE("stages[].compression.kind", 0, stage_config, compression.kind, compressions, "\"none\"",
           "\"bfloat16\", \"float16\": half. \"int8\": a quarter, with a scale for 256 values. "
           "\"top_k\": the largest values alone. These keep what they leave out for the shard's "
           "next gradient (error feedback, Seide 2014), so a worker's death costs the epoch's "
           "steps so far. "
           "\"int8_stochastic\": rounded at random without bias (QSGD, Alistarh 2017), nothing is "
           "kept. "
           "Each shard is sent by itself: choose cluster.shards near the number of workers."),
    REAL("stages[].compression.share", stage_config, compression.share, 1e-5, 1, "0.01",
         "top_k: share of the values that are sent."),
    GROUP("stages[].losses", "What is minimised: a weighted sum. 0 turns a term off."),
    REAL("stages[].losses.cross_entropy", stage_config, losses.cross_entropy, 0, 1e6, "1.0",
         "On labelled domains; multilabel: binary cross-entropy of each label, their mean."),
    REAL("stages[].losses.squared_error", stage_config, losses.squared_error, 0, 1e6, "1.0",
         "regression: on labelled domains, of targets scaled to mean 0 and deviation 1; answers "
         "and the exported model are in the targets' own units."),
    REAL("stages[].losses.label_smoothing", stage_config, losses.label_smoothing, 0, 0.9, "0.0",
         "classification: share of the target spread over all classes."),
    REAL("stages[].losses.focal_gamma", stage_config, losses.focal_gamma, 0, 10, "0.0",
         "classification: above 0, the focal loss (Lin 2017) on labelled domains: sure answers "
         "count less."),
    MANY("stages[].losses.class_weights", KEY_REALS, stage_config, losses.class_weights,
         losses.class_weight_count, 0, 1e6, 0, JOB_CLASSES_MAX, "[]",
         "On labelled domains: a weight for each class, label or value, in the order of "
         "data.classes. Empty: 1 each."),
    REAL("stages[].losses.coral", stage_config, losses.coral, 0, 1e6, "0.0",
         "Deep CORAL (Sun & Saenko 2016) with exact moments over the cluster. Needs two domains."),
    REAL("stages[].losses.information", stage_config, losses.information, 0, 1e6, "0.0",
         "Information maximisation (Krause 2010) on unlabelled domains: sure and diverse answers; "
         "multilabel: of each label, their mean, so each is pulled towards half of the samples."),
    REAL("stages[].losses.self_training", stage_config, losses.self_training, 0, 1e6, "0.0",
         "classification: cross-entropy on the network's own labels of unlabelled domains."),
    REAL("stages[].losses.fraction_first", stage_config, losses.fraction_first, 0, 1, "0.2",
         "self_training: share of each class's surest samples used in the first epoch …"),
    REAL("stages[].losses.fraction_last", stage_config, losses.fraction_last, 0, 1, "0.8",
         "… and in the last, linear between."),
    REAL("stages[].losses.confidence_min", stage_config, losses.confidence_min, 0, 1, "0.6",
         "self_training: and only above this probability."),
    REAL("stages[].clip_norm", stage_config, clip_norm, 0, 1e9, "0.0",
         "Largest global norm of a step's gradient (Pascanu 2013): of all blocks together, after "
         "the merge; a longer one is scaled down to it. 0: any."),
    REAL("stages[].l2sp", stage_config, l2sp, 0, 1e3, "0.01",
         "Pull of pretrained live weights toward their start (L2-SP, Li 2018)."),
    REAL("stages[].head_decay", stage_config, head_decay, 0, 1e3, "0.0",
         "Pull of the new head toward 0."),
    CHOICE("stages[].merge", 0, stage_config, merge, merges, "\"sum\"",
           "How the gradients of several domains become one: \"sum\", \"pcgrad\" (project "
           "conflicts away, Yu 2020), "
           "\"agreement\" (keep where signs agree)."),
    MANY("stages[].domain_weights", KEY_REALS, stage_config, domain_weights, domain_weight_count, 0,
         1e6, 0, JOB_DOMAINS_MAX, "[]",
         "Weight of each of the stage's domains in the merge. Empty: 1 each."),
    CHOICE(
        "stages[].select", 0, stage_config, select, selects, "\"last\"",
        "Which epoch's weights the stage hands on: the last, the best on labelled validation data "
        "(\"source_validation\": accuracy, macro F1 or R²), or the best by a measure without "
        "labels (\"information\", "
        "\"entropy\")."),
};
/* clang-format on */

const struct key *key_table(size_t *count)
{
    *count = sizeof keys / sizeof *keys;
    return keys;
}

bool key_is_child(const struct key *key, const char *parent)
{
    size_t length = strlen(parent);
    if (length == 0)
        return strchr(key->path, '.') == NULL;
    return strncmp(key->path, parent, length) == 0 && key->path[length] == '.' &&
           strchr(key->path + length + 1, '.') == NULL;
}

const char *key_name(const struct key *key)
{
    const char *dot = strrchr(key->path, '.');
    return dot == NULL ? key->path : dot + 1;
}

const struct key *key_child(const char *parent, const char *name)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (key_is_child(&keys[i], parent) && strcmp(key_name(&keys[i]), name) == 0)
            return &keys[i];
    }
    return NULL;
}

const char *key_choice_name(const char *path, size_t index)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].path, path) == 0 && keys[i].type == KEY_CHOICE)
            return keys[i].choices[index];
    check_failed("a key with choices", __FILE__, __LINE__);
}

static void expected_choice(const struct key *key, char *out, size_t bytes)
{
    size_t used = (size_t)snprintf(out, bytes, "one of");
    for (size_t i = 0; key->choices[i] != NULL && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s \"%s\"", i > 0 ? "," : "",
                                 key->choices[i]);
}

static void expected_many(const struct key *key, char *out, size_t bytes)
{
    const char *what = key->type == KEY_TEXTS ? "texts" : "numbers";
    size_t low = key->count_least, high = key->count_most;
    size_t used = 0;
    if (low == high)
        used = (size_t)snprintf(out, bytes, "%zu %s", low, what);
    else
        used = (size_t)snprintf(out, bytes, "%zu to %zu %s", low, high, what);
    if (key->type == KEY_REALS && used < bytes)
        snprintf(out + used, bytes - used, " from %g to %g", key->least, key->most);
}

void key_expected(const struct key *key, char *out, size_t bytes)
{
    CHECK(bytes > 0);
    switch (key->type) {
    case KEY_GROUP:
        snprintf(out, bytes, "a group { … }");
        return;
    case KEY_LIST:
        snprintf(out, bytes, "a list ( { … }, … ) of %zu to %zu groups", key->count_least,
                 key->count_most);
        return;
    case KEY_WHOLE:
        snprintf(out, bytes, "an integer from %.0f to %.0f", key->least, key->most);
        return;
    case KEY_REAL:
        snprintf(out, bytes, "a number from %g to %g", key->least, key->most);
        return;
    case KEY_SWITCH:
        snprintf(out, bytes, "true or false");
        return;
    case KEY_TEXT:
        snprintf(out, bytes,
                 key->flags & KEY_NAME ? "a name of letters, digits, '.', '_' and '-'"
                                       : "text in quotes");
        return;
    case KEY_CHOICE:
        expected_choice(key, out, bytes);
        return;
    case KEY_TEXTS:
    case KEY_REALS:
        expected_many(key, out, bytes);
        return;
    }
    check_failed("a key type", __FILE__, __LINE__);
}
