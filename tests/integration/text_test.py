#!/usr/bin/env python3
"""Texts: the tokens are those of Hugging Face's tokenizers, and a job on a small BERT learns from them."""
import csv
import functools
import json
import random
import subprocess
import sys
import unicodedata

try:
    import numpy as np
    import onnx
    import onnxruntime
    import tokenizers
except ImportError:
    np = onnx = onnxruntime = tokenizers = None

from harness import BUILD, Skip, directory, graft, main, started

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
EVERY = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
LENGTH = 12
HIDDEN = 8


def need_referee():
    if np is None:
        raise Skip("no tokenizers, ONNX and ONNX Runtime: scripts/setup referee")


# ---- tokens ----

def vocabulary(path, seed=1):
    """Letters of many scripts, alone and within words, and longer pieces of them."""
    chance = random.Random(seed)
    signs = [c for c in EVERY if unicodedata.category(c)[0] in "LMNPS"]
    signs = sorted(set("abcdefghijklmnopqrstuvwxyzABCXYZÄÖéßıǆ0123456789#[]-,.!?" "ᄀ하ᅮᆨᆫ東京αβγσςאבابกาहिन्दी") | set(chance.sample(signs, 12000)))
    pieces = ["".join(chance.choice("abcdeé") for _ in range(chance.randint(2, 6))) for _ in range(2000)]
    tokens = list(dict.fromkeys(SPECIAL + signs + ["##" + c for c in signs] + pieces + ["##" + p for p in pieces]))
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


def ours(path, texts, form, length):
    data = b"".join(b"%d\n%s" % (len(text), text) for text in map(str.encode, texts))
    done = subprocess.run([str(BUILD / "encode"), str(path), form, str(length)], input=data, capture_output=True, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.decode().splitlines()]


def theirs(path, texts, form, length):
    tokenizer = tokenizers.BertWordPieceTokenizer(str(path), lowercase=form == "uncased")
    tokenizer.enable_truncation(length)
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def different(path, texts, form, length=64):
    got, expected = ours(path, texts, form, length), theirs(path, texts, form, length)
    assert len(got) == len(expected) == len(texts)
    return [text for text, a, b in zip(texts, got, expected) if a != b]


@functools.cache
def newer():
    """Code points that are treated otherwise: tokenizers' tables of Unicode are of 2016, utf8proc's are newer."""
    with directory() as path:
        vocab = vocabulary(path / "vocab.txt")
        return {text[1] for form in ("uncased", "cased") for text in different(vocab, ["a" + c + "b" for c in EVERY], form)}


def every_code_point_is_treated_as_the_referee_does():
    need_referee()
    changed = {c for c in newer() if unicodedata.ucd_3_2_0.category(c) != "Cn"}
    assert len(newer()) < 900, len(newer())  # of 1,112,064
    # Of the characters of Unicode 3.2 these have got another category since.
    assert changed <= set("\u166d\u1734\u1885\u1886"), [hex(ord(c)) for c in changed]


def hostile(chance, signs):
    parts = []
    for _ in range(chance.randint(0, 40)):
        group = chance.choice(signs)
        parts += chance.choices(group, k=chance.randint(1, chance.choice((2, 5, 130))))
        if chance.random() < 0.15:
            parts.append(chance.choice(SPECIAL + ["[SEP", "[sep]", "##a", "##", " ", "\r\n", "\0"]))
    return "".join(parts)


def hostile_texts_become_the_referees_tokens():
    need_referee()
    chance = random.Random(7)
    with directory() as path:
        vocab = vocabulary(path / "vocab.txt")
        skip = newer()
        by_kind = {}
        for c in EVERY:
            if c not in skip and unicodedata.category(c) != "Cn":
                by_kind.setdefault(unicodedata.category(c), []).append(c)
        signs = [*by_kind.values(), list("abcdeé  ABCDE  ÄßİıſK"), by_kind["Mn"] + by_kind["Mc"] + by_kind["Me"], list("abcdeé")]
        texts = [hostile(chance, signs) for _ in range(4000)]
        for form in ("uncased", "cased"):
            for length in (2, 3, 16, 512):
                assert not (bad := different(vocab, texts, form, length)), f"{form}, {length}: {len(bad)}, such as {bad[0]!r}"


# ---- a job ----

WORDS = "the a of plot film phone battery actor screen was is very so quite bought saw it we".split()
PRAISE, BLAME = "good great love fine superb".split(), "bad awful hate poor dull".split()
TOKENS = SPECIAL + WORDS + PRAISE + BLAME + ["##s", "##ly", ",", ".", '"', "!"]


def sentence(chance, good):
    words = chance.choices(WORDS, k=chance.randint(2, 14))
    for word in chance.sample(PRAISE if good else BLAME, 2):
        words.insert(chance.randint(0, min(6, len(words))), chance.choice((word, word.upper(), word + "s")))
    return chance.choice(('{}', '"{}", so', "{}!\nVery")).format(" ".join(words))


def write_texts(path, seed, labels=True, count=160):
    """labels=False: wrong ones, as long as the right ones."""
    chance = random.Random(seed)
    with open(path, "w", newline="") as file:
        for i in range(count):
            text = sentence(chance, i % 2 == 0)
            csv.writer(file, lineterminator="\n").writerow([("good", "poor")[(i + (not labels)) % 2], text])


def small_bert(path):
    """One layer with attention under the mask; the sentence is the mean over its tokens."""
    chance = np.random.default_rng(3)
    weights, nodes = {}, []

    def weight(name, *shape, scale=0.5):
        weights[name] = (chance.standard_normal(shape) * scale).astype(np.float32)
        return name

    def add(op, *inputs, name=None, **attributes):
        name = name or f"t{len(nodes)}"
        nodes.append(onnx.helper.make_node(op, inputs, [name], name="n_" + name, **attributes))
        return name

    def constant(name, values, kind=np.int64):
        weights[name] = np.array(values, kind)
        return name

    def linear(x, name, out):
        return add("Add", add("MatMul", x, weight(name + ".weight", HIDDEN, out)), weight(name + ".bias", out, scale=0.1))

    x = add("Gather", weight("embeddings.word.weight", len(TOKENS), HIDDEN, scale=1.0), "input_ids")
    x = add("Add", x, add("Gather", weight("embeddings.type.weight", 2, HIDDEN), "token_type_ids"))
    x = add("Add", x, weight("embeddings.position.weight", LENGTH, HIDDEN, scale=0.1))
    mask = add("Cast", "attention_mask", to=onnx.TensorProto.FLOAT)
    away = add("Unsqueeze", add("Mul", add("Sub", constant("one", 1, np.float32), mask), constant("far", -1e4, np.float32)),
               constant("axis1", [1]))
    scores = add("Add", add("MatMul", linear(x, "query", HIDDEN), add("Transpose", linear(x, "key", HIDDEN), perm=[0, 2, 1])), away)
    attended = linear(add("MatMul", add("Softmax", scores, axis=-1), linear(x, "value", HIDDEN)), "output", HIDDEN)
    weights["norm.weight"], weights["norm.bias"] = np.ones(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)
    x = add("LayerNormalization", add("Add", x, attended), "norm.weight", "norm.bias", axis=-1)
    column = add("Unsqueeze", mask, constant("axis2", [2]))
    total = add("ReduceSum", add("Mul", x, column), "axis1", keepdims=0)
    add("Div", total, add("ReduceSum", column, "axis1", keepdims=0), name="sentence")
    # In another order than a sample's usual one: they are found by name.
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "length"])
              for name in ("attention_mask", "token_type_ids", "input_ids")]
    output = onnx.helper.make_tensor_value_info("sentence", onnx.TensorProto.FLOAT, ["batch", HIDDEN])
    graph = onnx.helper.make_graph(nodes, "bert", inputs, [output],
                                   [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def text_job(path):
    need_referee()
    small_bert(path / "bert.onnx")
    (path / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    write_texts(path / "source.csv", 1)
    write_texts(path / "target.csv", 2)
    write_texts(path / "new.csv", 3)
    (path / "job.cfg").write_text(f"""
cluster = {{ workers = 2; servers = 2; shards = 4; }};
model = {{ file = "{path}/bert.onnx"; }};
data = {{
  classes = [ "good", "poor" ];
  preprocess = {{ text = {{ vocabulary = "{path}/vocab.txt"; length = {LENGTH}; }}; }};
  domains = (
    {{ name = "source"; divide = [ 0.8, 0.2, 0.0 ];
       sources = ( {{ format = "text"; path = "{path}/source.csv"; label_column = 0; text_column = 1; }} ); }},
    {{ name = "target"; labelled = false; divide = [ 0.5, 0.0, 0.5 ];
       sources = ( {{ format = "text"; path = "{path}/target.csv"; label_column = 0; text_column = 1; }} ); }}
  );
}};
cache = {{ bytes_max = 0; }};
stages = (
  {{ name = "source"; domains = [ "source" ]; live = [ "*" ]; epochs = 8; micro_batch = 4; optimizer = {{ rate = 0.02; }}; }},
  {{ name = "adapt"; domains = [ "source", "target" ]; live = [ "*" ]; epochs = 2; micro_batch = 4;
     optimizer = {{ rate = 0.005; }}; losses = {{ information = 0.3; }}; }}
);
""")
    return path / "job.cfg"


def a_job_on_texts_learns_and_its_model_answers_alone():
    """The answers of `graft predict` are those of ONNX Runtime on the referee's tokens."""
    with directory() as path:
        with started(text_job(path), path / "run") as run:
            result = run.ok()
        assert result["adapted"]["accuracy"] > 0.9, result["adapted"]["accuracy"]
        assert not (path / "run/changes.png").exists()
        vocab = path / "vocab.txt"
        (path / "vocab.txt").rename(path / "kept.txt")
        model = path / "run/adapted.onnx"
        assert str(vocab).encode() not in model.read_bytes()
        done = graft("predict", model, path / "new.csv", "--text-column", "1", "--label-column", "0", "--labels", "--logits")
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        rows = list(csv.reader(open(path / "new.csv", newline="")))
        assert [line["row"] for line in lines] == list(range(len(rows))) and [line["label"] for line in lines] == [r[0] for r in rows]
        ids = theirs(path / "kept.txt", [text for _, text in rows], "uncased", LENGTH)
        assert min(map(len, ids)) < LENGTH == max(map(len, ids))
        feed = {"input_ids": np.array([i + [0] * (LENGTH - len(i)) for i in ids]),
                "attention_mask": np.array([[1] * len(i) + [0] * (LENGTH - len(i)) for i in ids]),
                "token_type_ids": np.zeros((len(ids), LENGTH), np.int64)}
        onnx.checker.check_model(onnx.load(model))
        expected = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        assert np.abs(np.array([line["logits"] for line in lines]) - expected).max() < 1e-4
        done = graft("evaluate", model, path / "new.csv", "--text-column", "1", "--label-column", "0")
        assert json.loads(done.stdout)["accuracy"] > 0.9


def lines_and_tables_give_the_same_answers():
    with directory() as path:
        with started(text_job(path), path / "run", sets=["stages.source.epochs=1", "stages.adapt.epochs=1"]) as run:
            run.ok()
        model, texts = path / "run/adapted.onnx", ['good "film"', "a bad, bad phone", "screens"]
        (path / "t.txt").write_text("".join(text + "\n" for text in texts))
        (path / "t.tsv").write_text("text\tid\n" + "".join(f"{text}\t{i}\n" for i, text in enumerate(texts)))
        answers = [graft("predict", model, path / "t.txt").stdout, graft("predict", model, path / "t.tsv", "--header").stdout]
        assert answers[0].count("\n") == 3 and answers[0].replace("t.txt", "t.tsv") == answers[1]


def weights_of(path, *sets):
    with started(path / "job.cfg", path / "run", sets=["stages.source.epochs=2", "stages.adapt.epochs=1", *sets]) as run:
        return run.ok()["weights_sha256"]


def neither_workers_nor_target_labels_change_the_weights():
    with directory() as path:
        text_job(path)
        expected = weights_of(path)
        write_texts(path / "target.csv", 2, labels=False)
        (path / "run").rename(path / "first")
        assert weights_of(path, "cluster.workers=3", "cluster.servers=1") == expected


def refused(path, words, *sets):
    with started(path / "job.cfg", path / "run", sets=sets) as run:
        run.refused(*words)


def what_is_wrong_with_texts_is_one_line():
    with directory() as path:
        text_job(path)
        refused(path, ["nothing.txt", "No such file"], f"data.preprocess.text.vocabulary={path}/nothing.txt")
        refused(path, ["job.cfg", "no token [UNK]"], f"data.preprocess.text.vocabulary={path}/job.cfg")
        refused(path, ["bert.onnx", "carries no vocabulary"],
                f"data.preprocess.text.vocabulary={path}/bert.onnx")
        model = onnx.load(path / "bert.onnx")
        model.graph.input[1].name = "position_ids"
        for node in model.graph.node:
            node.input[:] = ["position_ids" if name == "token_type_ids" else name for name in node.input]
        onnx.save(model, path / "odd.onnx")
        refused(path, ["odd.onnx", "position_ids", "ids, mask or type"], f"model.file={path}/odd.onnx")


if __name__ == "__main__":
    sys.exit(main([
        every_code_point_is_treated_as_the_referee_does,
        hostile_texts_become_the_referees_tokens,
        a_job_on_texts_learns_and_its_model_answers_alone,
        lines_and_tables_give_the_same_answers,
        neither_workers_nor_target_labels_change_the_weights,
        what_is_wrong_with_texts_is_one_line,
    ]))
