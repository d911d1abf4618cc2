"""The document's question on real photographs: 47 of its animals, the real MobileNetV2."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from meznet_helpers import cli, features, prototypes
from meznet_helpers.images import read_tree
from meznet_helpers.measure import partitions, repeats
from meznet_helpers.prototypes import study
from meznet_helpers.prototypes.index import held_out

NET = "keras/MobileNetV2@imagenet"


@pytest.fixture(autouse=True, scope="module")
def _no_downloads(real, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(real / "keras"))
        patch.setenv("MEZNET_OFFLINE", "1")
        patch.setenv("MEZNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_the_command_on_forty_seven_animals(real, tmp_path, capsys):
    """Built by ``meznet index build``; then twenty partitions of the same embeddings."""
    file = tmp_path / "animals.safetensors"
    folder = str(real / "animals47")
    assert (
        cli.main(["index", "build", "--data", folder, "--out", str(file), "--backbone", NET]) == 0
    )
    index = prototypes.load(file)
    assert len(index) == 47 and index.vectors.shape == (47, 1280)
    tree = read_tree(folder)
    assert index.counts.sum() == len(tree) == 2667
    vectors = features.embed(tree, NET)  # from the cache that the command filled
    means = np.stack([vectors[tree.truth == at].mean(axis=0) for at in range(47)])
    np.testing.assert_allclose(index.vectors, means, rtol=1e-4, atol=1e-5)

    judged = study.judge(vectors, tree.truth, partitions.random(tree.truth, 20))
    table = repeats.accuracy(judged, (1, 4))
    worst = repeats.by_class(judged, tree.labels.names).head(3)
    right = held_out(tree.truth)
    known = index.search(vectors[right]).known.mean()
    with capsys.disabled():
        for row in table.itertuples():
            interval = f"{row.low:.1%} to {row.high:.1%}, {row.runs} partitions, n = {row.n:.0f}"
            print(f"\n47 real animals, top-{row.k:.0f}: {row.accuracy:.1%} ({interval})")
        print(worst[["label", "accuracy", "mistaken"]].round(2).to_string(index=False))
    first = table.set_index("k")["accuracy"]
    assert 0.80 < first[1] < first[4] < 1 and first[4] > 0.95
    assert known > 0.95, "all images made these prototypes"


def test_one_partition_by_hand(real):
    """The same accuracy with scikit-learn's cosine, without an index."""
    tree = read_tree(real / "animals47")
    vectors, (weight,) = features.embed(tree, NET), partitions.random(tree.truth, 1, seed=7)
    means = np.stack([vectors[(weight > 0) & (tree.truth == at)].mean(axis=0) for at in range(47)])
    said = cosine_similarity(vectors[weight == 0], means).argmax(axis=1)
    judged = study.judge(vectors, tree.truth, weight[None])
    assert (judged["rank"] == 1).mean() == (said == tree.truth[weight == 0]).mean()
