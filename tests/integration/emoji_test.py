#!/usr/bin/env python3
"""The emoji job: its division by emoji, and that the target's labels do not touch the weights. `make emoji-test`."""
import csv
import random
import re
import shutil
import sys

from harness import CACHE, ROOT, Skip, directory, main, started

CONFIG = ROOT / "configs/emoji.cfg"
EMOJI = CACHE / "emoji"
SPLITS = ("train", "validation", "test")
SHORT = ("stages.source.epochs=2", "stages.adapt.epochs=1")


def rows(split):
    if not (EMOJI / "recipe").exists():
        raise Skip("the emoji job's model and drawings are not there: scripts/fetch-emoji")
    with open(EMOJI / f"{split}.csv", newline="") as file:
        return list(csv.reader(file))


def identity(path):
    """The code of the drawing without skin tones, variation selectors and the vendor."""
    code = path.split("/")[1].removesuffix(".png")
    return re.sub("-(1f3f[b-f]|fe0f)", "", code)


def no_emoji_is_in_two_splits():
    found = {split: {identity(path) for path, _, _ in rows(split)} for split in SPLITS}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not found[a] & found[b], f"in {a} and {b}: {sorted(found[a] & found[b])[:5]}"
    total = sum(map(len, found.values()))
    for split, share in zip(SPLITS, (0.7, 0.1, 0.2)):
        assert abs(len(found[split]) / total - share) < 0.01, f"{split}: {len(found[split])} of {total}"


def both_vendors_show_the_same_emoji_in_a_split():
    for split in SPLITS:
        vendors = {domain: {identity(path) for path, _, found in rows(split) if found == domain}
                   for domain in ("google", "twitter")}
        assert vendors["google"] == vendors["twitter"], split


def skin_tones_are_where_their_emoji_is():
    toned = 0
    for split in SPLITS:
        plain = {identity(path) for path, _, domain in rows(split) if not domain.endswith("-tones")}
        for path, label, domain in rows(split):
            is_toned = re.search("-1f3f[b-f]", path) is not None
            assert is_toned == domain.endswith("-tones") and path.startswith(domain.split("-")[0] + "/"), path
            assert not is_toned or label == "People & Body", path
            toned += is_toned and identity(path) in plain
    assert toned > 3000, toned


def every_drawing_of_the_lists_is_there():
    for split in SPLITS:
        for path, _, _ in rows(split):
            assert (EMOJI / path).read_bytes()[:4] == b"\x89PNG", path


def weights_of(path, **keywords):
    with started(CONFIG, path, sets=SHORT, **keywords) as run:
        return run.ok()["weights_sha256"]


def target_labels_do_not_touch_the_weights():
    train = rows("train")
    labels = [label for _, label, domain in train if domain == "twitter"]
    random.Random(5).shuffle(labels)
    with directory() as path:
        expected = weights_of(path / "run")
        cache = path / "cache"
        shutil.copytree(EMOJI, cache / "emoji")
        (cache / "features").symlink_to(CACHE / "features")     # features depend on the drawings, not on labels
        with open(cache / "emoji/train.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for drawing, label, domain in train:
                writer.writerow((drawing, labels.pop() if domain == "twitter" else label, domain))
        assert weights_of(path / "shuffled", env={"GRAFT_CACHE": str(cache)}) == expected


if __name__ == "__main__":
    sys.exit(main([
        no_emoji_is_in_two_splits,
        both_vendors_show_the_same_emoji_in_a_split,
        skin_tones_are_where_their_emoji_is,
        every_drawing_of_the_lists_is_there,
        target_labels_do_not_touch_the_weights,
    ]))
