#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/config/cfg_text.h"
#include "common/config/key_table.h"
#include "common/config/nearest.h"
#include "tests/unit/data_fixture.h"

#define HEAD "data = { classes = [\"a\", \"b\"]; preprocess = { width = 4; height = 4; };\n"
#define LABELLED "{ name = \"src\"; sources = ( { format = \"folder\"; path = \"p\"; } ); }"
#define UNLABELLED                                                                                 \
    "{ name = \"tgt\"; labelled = false; sources = ( { format = \"folder\"; path = \"p\"; } ); }"
#define DOMAINS "domains = ( " LABELLED ", " UNLABELLED " ); };\n"
#define STAGE "stages = ( { name = \"one\"; domains = [\"src\"]; },\n"
#define SECOND "{ name = \"two\"; domains = [\"src\", \"tgt\"]; losses = { coral = 1; }; } );\n"
#define GOOD HEAD DOMAINS STAGE SECOND

static struct job *load(const char *text, const char *const *overrides, size_t count)
{
    struct job *job = NULL;
    struct error err;
    if (job_load(NULL, text, overrides, count, &job, &err) != OK)
        fail_msg("%s", err.text);
    return job;
}

static void refused(const char *text, const char *override, const char *sentence)
{
    struct job *job = NULL;
    struct error err = {OK, ""};
    enum status status = job_load(NULL, text, &override, override != NULL, &job, &err);
    assert_null(job);
    assert_int_equal(status, ERR_INPUT);
    assert_int_equal(err.status, ERR_INPUT);
    assert_string_equal(err.text, sentence);
}

static void refused_with(const char *override, const char *sentence)
{
    refused(GOOD, override, sentence);
}

static struct job *load_with(const char *override)
{
    return load(GOOD, &override, 1);
}

static void defaults_fill_what_the_file_lacks(void **state)
{
    (void)state;
    struct job *job = load(GOOD, NULL, 0);
    assert_string_equal(job->run.name, "run");
    assert_string_equal(job->run.directory, "runs/run");
    assert_int_equal(job->cluster.workers, 2);
    assert_int_equal(job->cluster.shards, 8);
    assert_string_equal(job->cluster.bind, "127.0.0.1");
    assert_false(job->cluster.security_none || job->cluster.tcp_only);
    assert_string_equal(job->cluster.keys, "");
    assert_int_equal(job->cache.bytes_max, (uint64_t)8 << 30);
    assert_int_equal(job->stage_count, 2);
    assert_int_equal(job->stages[1].micro_batch, 16);
    assert_true(job->stages[1].losses.coral == 1.0);
    assert_true(job->stages[1].domain_weights[1] == 1.0);
    assert_true(job->data.preprocess.std[2] == 1.0);
    assert_int_equal(job->data.domains[0].sources[0].label_column, -1);
    assert_true(job->data.domains[0].labelled);
    assert_false(job->data.domains[1].labelled);
    assert_int_equal(job_domain_index(job, "tgt"), 1);
    assert_int_equal(job_class_index(job, "c"), -1);
    job_destroy(&job);
    assert_null(job);
}

static void resolved_text_loads_to_the_same_job(void **state)
{
    (void)state;
    const char *overrides[] = {"run.seed=123456789012",
                               "stages.one.optimizer.rate=0.1234567890123456", "run.name=x-1",
                               "model.file=a \"quoted\" \\ path", "model.cut=t"};
    struct job *job = load(GOOD, overrides, 5);
    struct job *again = load(job->text, NULL, 0);
    assert_string_equal(job->text, again->text);
    assert_int_equal(strlen(job->text), job->text_bytes);
    assert_memory_equal(&job->digest, &again->digest, sizeof job->digest);
    assert_int_equal(again->run.seed, 123456789012);
    assert_true(again->stages[0].optimizer.rate == 0.1234567890123456);
    assert_string_equal(again->model.file, "a \"quoted\" \\ path");
    job_destroy(&job);
    job_destroy(&again);
}

static void digest_ignores_the_cluster_but_not_shards(void **state)
{
    (void)state;
    const char *elsewhere[] = {"cluster.workers=7", "cluster.servers=1", "run.name=z",
                               "run.directory=d",   "cache.bytes_max=1", "cluster.security=none",
                               "cluster.threads=4"};
    const char *other[] = {"cluster.shards=4", "run.seed=2", "stages.two.l2sp=0.5"};
    struct job *job = load(GOOD, NULL, 0), *moved = load(GOOD, elsewhere, 7);
    assert_memory_equal(&job->digest, &moved->digest, sizeof job->digest);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct job *changed = load_with(other[i]);
        assert_memory_not_equal(&job->digest, &changed->digest, sizeof job->digest);
        job_destroy(&changed);
    }
    job_destroy(&job);
    job_destroy(&moved);
}

#define WITH_HOSTS                                                                                 \
    GOOD "cluster = { hosts = ( { login = \"me@box1\"; workers = 2; },\n"                          \
         "{ login = \"box2\"; servers = 1; programs = \"bin\"; } ); };\n"

static void hosts_are_read_and_do_not_change_the_digest(void **state)
{
    (void)state;
    struct job *job = load(GOOD, NULL, 0), *hosts = load(WITH_HOSTS, NULL, 0);
    struct job *again = load(hosts->text, NULL, 0);
    assert_int_equal(job->cluster.host_count, 0);
    assert_int_equal(again->cluster.host_count, 2);
    assert_string_equal(again->cluster.hosts[0].login, "me@box1");
    assert_int_equal(again->cluster.hosts[0].workers, 2);
    assert_string_equal(again->cluster.hosts[1].programs, "bin");
    assert_memory_equal(&job->digest, &hosts->digest, sizeof job->digest);
    job_destroy(&job);
    job_destroy(&hosts);
    job_destroy(&again);
    refused(WITH_HOSTS, "cluster.hosts.[1].servers=0",
            "job text:6: cluster.hosts.[1]: box2 has neither workers nor servers");
    refused(WITH_HOSTS, "cluster.hosts.[0].login=-oProxyCommand",
            "override 'cluster.hosts.[0].login=-oProxyCommand': cluster.hosts.[0].login: "
            "\"-oProxyCommand\" is no name of a host");
}

static void overrides_reach_every_kind_of_key(void **state)
{
    (void)state;
    const char *overrides[] = {
        "cluster.workers=4",
        "stages.[1].epochs=3",
        "stages.0.epochs=5",
        "stages.two.merge=pcgrad",
        "stages[0].live=[\"a*\"]",
        "model.file=m.onnx",
        "data.preprocess.invert=true",
        "data.preprocess.mean=[1, 2.5, 3]",
        "data.domains.tgt.divide=[1, 0, 0.0]",
        "run.name=\"quoted\"",
        "stages.two.select=entropy",
        "run.directory=",
    };
    struct job *job = load(GOOD, overrides, sizeof overrides / sizeof *overrides);
    assert_int_equal(job->cluster.workers, 4);
    assert_int_equal(job->stages[1].epochs, 3);
    assert_int_equal(job->stages[0].epochs, 5);
    assert_int_equal(job->stages[1].merge, MERGE_PCGRAD);
    assert_string_equal(job->stages[0].live.patterns[0], "a*");
    assert_true(job->data.preprocess.invert);
    assert_true(job->data.preprocess.mean[1] == 2.5);
    assert_true(job->data.domains[1].divide[0] == 1.0);
    assert_string_equal(job->run.name, "quoted");
    assert_string_equal(job->run.directory, "runs/quoted");
    assert_int_equal(job->stages[1].select, SELECT_ENTROPY);
    job_destroy(&job);
}

static void the_last_override_of_a_key_wins(void **state)
{
    (void)state;
    const char *overrides[] = {"cluster.workers=4", "cluster.workers=5"};
    struct job *job = load(GOOD, overrides, 2);
    assert_int_equal(job->cluster.workers, 5);
    job_destroy(&job);
}

static void bad_overrides_are_named(void **state)
{
    (void)state;
    refused_with("stages.[1].epochs=0",
                 "override 'stages.[1].epochs=0': stages.[1].epochs: expected an integer "
                 "from 1 to 100000, got 0");
    refused_with("cluster.worker=2",
                 "override 'cluster.worker=2': unknown key 'worker'; did you mean 'workers'?");
    refused_with("zebra=2",
                 "override 'zebra=2': unknown key 'zebra'; docs/CONFIG.md lists all keys");
    refused_with("cluster=2", "override 'cluster=2': names a group; name a key inside it");
    refused_with("stages.1=2", "override 'stages.1=2': names a list element; name a key inside it");
    refused_with("cluster.workers.x=2",
                 "override 'cluster.workers.x=2': goes on below a key; override the whole value");
    refused_with("stages.9.epochs=2",
                 "override 'stages.9.epochs=2': stages has no element '9'; overrides change "
                 "elements, the file adds them");
    refused_with("cluster.workers",
                 "override 'cluster.workers': expected PATH=VALUE, such as cluster.workers=4");
    refused_with("cluster.workers=1; cluster = 2",
                 "override 'cluster.workers=1; cluster = 2': '1; cluster = 2' is not one value");
    refused_with("cluster.workers={}",
                 "override 'cluster.workers={}': the value must be a number, true, false, "
                 "text or an array of them");
}

static void unknown_keys_get_a_suggestion_and_a_line(void **state)
{
    (void)state;
    refused(GOOD "cluster = {\n  wrokers = 3;\n};\n", NULL,
            "job text:6: unknown key 'cluster.wrokers'; did you mean 'cluster.workers'?");
    refused(GOOD "epochs = 3;\n", NULL,
            "job text:5: unknown key 'epochs'; did you mean 'stages[].epochs'?");
    refused(HEAD DOMAINS STAGE "\n{ name = \"b\"; domain = [\"src\"]; } );", NULL,
            "job text:5: unknown key 'stages.[1].domain'; did you mean 'stages.[1].domains'?");
}

static void wrong_types_and_ranges_name_line_and_value(void **state)
{
    (void)state;
    refused(GOOD "\ncluster = { workers = 0; };", NULL,
            "job text:6: cluster.workers: expected an integer from 1 to 1024, got 0");
    refused(GOOD "cluster = { workers = 1.5; };", NULL,
            "job text:5: cluster.workers: expected an integer from 1 to 1024, got 1.5");
    refused(GOOD "cluster = { workers = 4294967297; };", NULL,
            "job text:5: cluster.workers: expected an integer from 1 to 1024, got 4294967297");
    refused(GOOD "run = { name = 12; };", NULL,
            "job text:5: run.name: expected a name of letters, digits, '.', '_' and '-', got 12");
    refused(
        GOOD "run = { name = \"../x\"; };", NULL,
        "job text:5: run.name: expected a name of letters, digits, '.', '_' and '-', got \"../x\"");
    refused(GOOD "model = { pool = \"max\"; };", NULL,
            "job text:5: model.pool: expected one of \"mean\", \"none\", got \"max\"");
    refused(GOOD "cluster = 3;", NULL, "job text:5: cluster: expected a group { … }");
    refused(GOOD "model = { file = { }; };", NULL,
            "job text:5: model.file: expected text in quotes, got a group");
    refused(HEAD DOMAINS "stages = { };", NULL,
            "job text:3: stages: expected a list ( { … }, … ) of 1 to 8 groups");
    refused(HEAD DOMAINS "stages = ( 1 );", NULL, "job text:3: stages.[0]: expected a group { … }");
    refused(HEAD DOMAINS, NULL,
            "job text: stages: missing; expected a list ( { … }, … ) of 1 to 8 groups");
    refused("data = { classes = []; };", NULL,
            "job text:1: data.classes: expected 1 to 4096 texts, got 0 values");
}

static void hostile_text_is_refused(void **state)
{
    (void)state;
    refused("a = 1\n  @include \"/etc/passwd\"\n", NULL,
            "job text:2: @include is not supported; use one file");
    refused("a = 99999999999999999999;", NULL,
            "job text:1: number with too many digits; at most 18 are read");
    refused("a = 0xffffffff;", NULL, "job text:1: write large numbers in decimal digits");
    refused("a = \"unfinished", NULL,
            "job text:1: syntax error; expected lines like name = value; with quotes "
            "around text");
    char *out = NULL;
    struct error err;
    assert_int_equal(cfg_text_prepare("t", "a\0b", 3, &out, &err), ERR_INPUT);
    assert_int_equal(cfg_text_prepare("t", "", JOB_CONFIG_BYTES_MAX + 1, &out, &err), ERR_INPUT);
    assert_null(out);
}

static void large_numbers_in_strings_names_and_comments_stay(void **state)
{
    (void)state;
    struct job *job = load(
        GOOD
        "# 99999999999999999999 @include\n/* 3000000000 [ */ run = { name = \"n3000000000\"; "
        "seed = 3000000000; directory = \"[3000000000]\"; }; cache = { bytes_max = 3000000000L; };",
        NULL, 0);
    assert_int_equal(job->run.seed, 3000000000);
    assert_int_equal(job->cache.bytes_max, 3000000000);
    assert_string_equal(job->run.name, "n3000000000");
    assert_string_equal(job->run.directory, "[3000000000]");
    job_destroy(&job);
}

static void keys_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    refused_with("data.domains.src.divide=[0.5, 0.1, 0.1]",
                 "override 'data.domains.src.divide=[0.5, 0.1, 0.1]': data.domains.src.divide: the "
                 "shares sum to 0.7 instead of 1");
    refused_with("data.classes=[\"a\", \"a\"]",
                 "override 'data.classes=[\"a\", \"a\"]': data.classes: \"a\" stands there twice");
    refused_with("stages.two.domains=[\"src\", \"tgtt\"]",
                 "override 'stages.two.domains=[\"src\", \"tgtt\"]': stages.two.domains: no domain "
                 "is called 'tgtt'; did you mean 'tgt'?");
    refused_with("stages.two.domains=[\"src\", \"src\"]",
                 "override 'stages.two.domains=[\"src\", \"src\"]': stages.two.domains: 'src' "
                 "stands there twice");
    refused_with("stages.two.staleness_scaling=true",
                 "override 'stages.two.staleness_scaling=true': stages.two.staleness_scaling: only "
                 "for mode \"ssp\" or \"asp\"; in "
                 "\"bsp\" no gradient is stale");
    refused_with("stages.two.delay_compensation=1",
                 "override 'stages.two.delay_compensation=1': stages.two.delay_compensation: only "
                 "for mode \"ssp\" or \"asp\"; in "
                 "\"bsp\" no gradient is stale");
    refused_with("stages.two.name=one", "job text:3: stages: the name 'one' stands there twice");
    refused_with("data.domains.tgt.name=src",
                 "job text:2: data.domains: the name 'src' stands there twice");
    refused_with("stages.one.losses.self_training=1",
                 "override 'stages.one.losses.self_training=1': stages.one.losses.self_training: "
                 "none of the stage's domains is unlabelled");
    refused_with("stages.one.losses.coral=1",
                 "override 'stages.one.losses.coral=1': stages.one.losses.coral: needs a labelled "
                 "and an unlabelled domain");
    refused_with(
        "stages.two.domains=[\"tgt\"]",
        "job text:4: stages.two.losses.cross_entropy: none of the stage's domains is labelled");
    refused_with("stages.two.losses.coral=0",
                 "job text:4: stages.two.losses: no term uses the unlabelled domains; set coral, "
                 "information or self_training, or batch_norm");
    refused_with("stages.one.losses.cross_entropy=0",
                 "job text:3: stages.one.losses: all are 0, nothing would be learned");
    refused_with("stages.two.domain_weights=[1, 2, 3]",
                 "override 'stages.two.domain_weights=[1, 2, 3]': stages.two.domain_weights: 3 "
                 "numbers for 2 domains");
    refused_with(
        "stages.two.last_blocks=1",
        "job text:4: stages.two: last_blocks and live need a network, but model.file is empty");
    refused_with("data.preprocess.mean=[1, 2]",
                 "override 'data.preprocess.mean=[1, 2]': data.preprocess.mean: 2 numbers for 3 "
                 "channels; give 1 or 3");
    refused_with("cluster.death_ms=900", "override 'cluster.death_ms=900': cluster.death_ms: 900 "
                                         "is less than two heartbeats of 500 ms");
    refused(GOOD "cluster = { security = \"none\"; };", "cluster.keys=k",
            "override 'cluster.keys=k': cluster.keys: given, but cluster.security is \"none\"");
    refused_with("data.domains.src.sources.0.labels=x",
                 "override 'data.domains.src.sources.0.labels=x': "
                 "data.domains.src.sources.[0].labels: only idx has a labels file");
    refused_with(
        "data.domains.src.sources.0.format=idx",
        "job text:2: data.domains.src.sources.[0].labels: missing, and domain 'src' is labelled");
    refused_with("data.domains.tgt.sources.0.format=csv",
                 "job text:2: data.domains.tgt.sources.[0]: csv needs width and height (for plain "
                 "numbers: width = their count, height = 1)");
}

#define TASK(name)                                                                                 \
    "data = { task = \"" name "\"; classes = [\"a\", \"b\"]; "                                     \
    "preprocess = { width = 4; height = 4; channels = 1; };\n"
#define COLUMNS "format = \"csv\"; path = \"p\"; width = 4; height = 4; label_column = 16;"
#define TABLES                                                                                     \
    "domains = ( { name = \"src\"; sources = ( { " COLUMNS " } ); },\n"                            \
    "{ name = \"tgt\"; labelled = false; sources = ( { " COLUMNS " } ); } ); };\n"
#define ADAPT(losses) "stages = ( { name = \"x\"; domains = [\"src\", \"tgt\"];\n" losses " } );"

/* Each on line 5. */
static void running_statistics_follow_unlabelled_domains_without_a_loss(void **state)
{
    (void)state;
    const char *const overrides[] = {"stages.two.losses.coral=0", "stages.two.batch_norm=adapt"};
    struct job *job = load(GOOD, overrides, 2);
    assert_true(job->stages[0].followed[0]); /* the only one, labelled */
    assert_false(job->stages[1].followed[0]);
    assert_true(job->stages[1].followed[1]);
    assert_true(job->stages[1].batch_norm_momentum == 0.1);
    job_destroy(&job);
}

static void what_a_task_does_not_have_is_refused_with_its_line(void **state)
{
    (void)state;
    refused(TASK("multilabel") TABLES ADAPT("losses = { self_training = 1; };"), NULL,
            "job text:5: stages.x.losses.self_training: guesses one class a sample: only for "
            "classification");
    refused(TASK("multilabel") TABLES ADAPT("losses = { coral = 1; focal_gamma = 2; };"), NULL,
            "job text:5: stages.x.losses.focal_gamma: only for classification");
    refused(TASK("regression") TABLES ADAPT("losses = { coral = 1; label_smoothing = 0.1; };"),
            NULL, "job text:5: stages.x.losses.label_smoothing: only for classification");
    refused(TASK("regression") TABLES ADAPT("losses = { information = 1; };"), NULL,
            "job text:5: stages.x.losses.information: not for regression: numbers have no "
            "probabilities");
    refused(TASK("regression") TABLES ADAPT("losses = { coral = 1; cross_entropy = 2; };"), NULL,
            "job text:5: stages.x.losses.cross_entropy: not for regression, whose loss is "
            "squared_error");
    refused(TASK("multilabel") TABLES ADAPT("losses = { coral = 1; squared_error = 2; };"), NULL,
            "job text:5: stages.x.losses.squared_error: only for regression");
    refused(TASK("classification") TABLES ADAPT("losses = { coral = 1; squared_error = 2; };"),
            NULL, "job text:5: stages.x.losses.squared_error: only for regression");
    refused(TASK("regression") TABLES ADAPT("losses = { coral = 1; }; select = \"entropy\";"), NULL,
            "job text:5: stages.x.select: regression has no probabilities; use \"last\" or "
            "\"source_validation\"");
    refused(TASK("regression") TABLES ADAPT("losses = { squared_error = 0; coral = 1; };"), NULL,
            "job text:4: stages.x: the first stage needs losses.squared_error: the new head knows "
            "nothing yet");
    refused(
        TASK("multilabel") DOMAINS ADAPT(""), NULL,
        "job text:2: data.domains.src.sources.[0].format: folders of a labelled domain tell one "
        "class a sample; for this data.task use csv, list or text");
}

static void mixing_is_refused_where_it_makes_no_sense(void **state)
{
    (void)state;
    refused(
        GOOD, "stages.two.mixup=0.2",
        "override 'stages.two.mixup=0.2': stages.two.mixup: excludes losses.coral: mixed samples "
        "scatter less than real ones, and CORAL would bring the other domain there");
    refused(TASK("classification") TABLES ADAPT("micro_batch = 1; cutmix = 1.0; "
                                                "losses = { information = 1; };"),
            NULL, "job text:5: stages.x.cutmix: a micro_batch of 1 has nothing to mix with");
    refused(TASK("classification") TABLES
            "stages = ( { name = \"a\"; domains = [\"src\"]; },\n"
            "{ name = \"x\"; domains = [\"tgt\"]; mixup = 1.0; losses = { cross_entropy = 0; "
            "information = 1; }; } );",
            NULL, "job text:5: stages.x.mixup: none of the stage's domains is labelled");
}

static void sound_jobs_of_every_task_load(void **state)
{
    (void)state;
    struct job *job =
        load(TASK("multilabel") TABLES ADAPT("losses = { information = 1; };"), NULL, 0);
    assert_int_equal(job->data.task, DATA_MULTILABEL);
    assert_int_equal(job_label_columns(&job->data, &job->data.domains[0].sources[0]), 2);
    assert_true(job_labelled_loss(&job->data, &job->stages[0].losses) == 1);
    job_destroy(&job);
    job = load(TASK("regression") TABLES ADAPT("losses = { coral = 1; squared_error = 0.5; };"),
               NULL, 0);
    assert_true(job_labelled_loss(&job->data, &job->stages[0].losses) == 0.5);
    job_destroy(&job);
}

static void a_stage_without_labels_comes_second_at_the_earliest(void **state)
{
    (void)state;
    refused(HEAD DOMAINS "stages = ( { name = \"x\"; domains = [\"src\", \"tgt\"]; losses = { "
                         "cross_entropy = 0; coral = 1; }; } );",
            NULL,
            "job text:3: stages.x: the first stage needs losses.cross_entropy: the new head knows "
            "nothing yet");
}

static void files_are_named_in_errors(void **state)
{
    (void)state;
    struct job *job = NULL;
    struct error err;
    char path[PATH_BYTES], wanted[PATH_BYTES];
    fixture_text("bad.cfg", GOOD "cluster = { servers = -1; };");
    fixture_path(path, "bad.cfg");
    assert_int_equal(job_load(path, NULL, NULL, 0, &job, &err), ERR_INPUT);
    assert_int_equal(
        file_path(wanted, NULL,
                  "%.60s:5: cluster.servers: expected an integer from 1 to 256, got -1", path),
        OK);
    assert_string_equal(err.text, wanted);
    fixture_path(path, "missing.cfg");
    assert_int_equal(job_load(path, NULL, NULL, 0, &job, &err), ERR_IO);
    fixture_contains(err.text, "missing.cfg: No such file");
}

static void the_demo_job_loads(void **state)
{
    (void)state;
    struct job *job = NULL;
    struct error err;
    if (access("configs/demo.cfg", R_OK) != 0)
        skip(); /* not started in the repository's folder */
    if (job_load("configs/demo.cfg", NULL, NULL, 0, &job, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(job->data.class_count, 10);
    job_destroy(&job);
}

static void paths_resolve_into_the_cache_folder(void **state)
{
    (void)state;
    char out[PATH_BYTES], wanted[PATH_BYTES];
    assert_int_equal(job_path("a/b", out, NULL), OK);
    assert_string_equal(out, "a/b");
    fixture_path(wanted, "demo/x");
    assert_int_equal(job_path("cache:demo/x", out, NULL), OK);
    assert_string_equal(out, wanted);
    unsetenv("GRAFT_CACHE");
    setenv("HOME", "/home/u", 1);
    assert_int_equal(job_path("cache:x", out, NULL), OK);
    assert_string_equal(out, "/home/u/.cache/graft/x");
}

static void every_key_has_help_a_parent_and_a_sound_default(void **state)
{
    (void)state;
    size_t count;
    const struct key *keys = key_table(&count);
    for (size_t i = 0; i < count; i++) {
        char parent[KEY_PATH_BYTES], expected[256];
        assert_true(strlen(keys[i].path) < KEY_PATH_BYTES - 8);
        assert_true(strlen(keys[i].help) > 0);
        key_expected(&keys[i], expected, sizeof expected);
        assert_true(strlen(expected) > 0);
        snprintf(parent, sizeof parent, "%s", keys[i].path);
        char *dot = strrchr(parent, '.');
        if (dot != NULL)
            *dot = '\0';
        assert_ptr_equal(key_child(dot != NULL ? parent : "", key_name(&keys[i])), &keys[i]);
    }
}

/* The printed reference as text, to be freed. */
static char *printed_reference(void)
{
    char path[PATH_BYTES];
    struct file_map map;
    fixture_path(path, "CONFIG.md");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(job_print_reference(fileno(file), NULL), OK);
    fclose(file);
    assert_int_equal(file_map(path, 1 << 20, &map, NULL), OK);
    char *text = calloc(map.bytes + 1, 1);
    assert_non_null(text);
    memcpy(text, map.data, map.bytes);
    file_unmap(&map);
    return text;
}

static void the_reference_lists_every_key(void **state)
{
    (void)state;
    size_t count;
    const struct key *keys = key_table(&count);
    char *text = printed_reference();
    for (size_t i = 0; i < count; i++)
        fixture_contains(text, key_name(&keys[i]));
    free(text);
}

static void the_committed_reference_is_current(void **state)
{
    (void)state;
    struct file_map map;
    if (access("docs/CONFIG.md", R_OK) != 0)
        skip(); /* not started in the repository's folder */
    char *text = printed_reference();
    assert_int_equal(file_map("docs/CONFIG.md", 1 << 20, &map, NULL), OK);
    if (map.bytes != strlen(text) || memcmp(map.data, text, map.bytes) != 0)
        fail_msg("docs/CONFIG.md differs from the key table; print it again");
    file_unmap(&map);
    free(text);
}

static void nearest_counts_swaps_as_one(void **state)
{
    (void)state;
    const char *const words[] = {"workers", "servers", "threads"};
    assert_int_equal(nearest_distance("workers", "workers"), 0);
    assert_int_equal(nearest_distance("wrokers", "workers"), 1);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_index("sevrers", words, 3), 1);
    assert_int_equal(nearest_index("zebra", words, 3), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_what_the_file_lacks),
        cmocka_unit_test(resolved_text_loads_to_the_same_job),
        cmocka_unit_test(digest_ignores_the_cluster_but_not_shards),
        cmocka_unit_test(hosts_are_read_and_do_not_change_the_digest),
        cmocka_unit_test(overrides_reach_every_kind_of_key),
        cmocka_unit_test(the_last_override_of_a_key_wins),
        cmocka_unit_test(bad_overrides_are_named),
        cmocka_unit_test(unknown_keys_get_a_suggestion_and_a_line),
        cmocka_unit_test(wrong_types_and_ranges_name_line_and_value),
        cmocka_unit_test(hostile_text_is_refused),
        cmocka_unit_test(large_numbers_in_strings_names_and_comments_stay),
        cmocka_unit_test(keys_that_contradict_each_other_are_refused),
        cmocka_unit_test(running_statistics_follow_unlabelled_domains_without_a_loss),
        cmocka_unit_test(what_a_task_does_not_have_is_refused_with_its_line),
        cmocka_unit_test(mixing_is_refused_where_it_makes_no_sense),
        cmocka_unit_test(sound_jobs_of_every_task_load),
        cmocka_unit_test(a_stage_without_labels_comes_second_at_the_earliest),
        cmocka_unit_test_setup_teardown(files_are_named_in_errors, fixture_setup, fixture_teardown),
        cmocka_unit_test(the_demo_job_loads),
        cmocka_unit_test_setup_teardown(paths_resolve_into_the_cache_folder, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(every_key_has_help_a_parent_and_a_sound_default),
        cmocka_unit_test_setup_teardown(the_reference_lists_every_key, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(the_committed_reference_is_current, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(nearest_counts_swaps_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
