"""Tests of meznet_helpers.finetune. Training runs on torch, so it does so in other processes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import Recipe

# A small net with all that makes resuming hard: batch norm, dropout, weights of every shape.
PRELUDE = """
import dataclasses, json, os, sys
import numpy as np, torch
from meznet_helpers import finetune
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import Recipe, fit, forward, nets, predict, run
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labels import from_names
from torch.nn import functional

torch.set_num_threads(1)

def data(counts=(24, 24, 24), seed=0, size=12, names="red green blue"):
    \"\"\"Noise with one channel a little brighter: that of the label.\"\"\"
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    arrays = rng.integers(0, 200, (len(truth), size, size, 3))
    arrays[np.arange(len(truth)), :, :, truth % 3] += 25
    images = Images(list(arrays.astype(np.uint8)), [f"{seed}/{n}" for n in range(len(truth))])
    return Dataset(images, truth, from_names(names.split()))

def small(outputs=3, width=8):
    torch.manual_seed(5)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 3, stride=2), torch.nn.BatchNorm2d(width), torch.nn.ReLU(),
        torch.nn.Dropout(0.2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(width, outputs),
    )

def turning(net, after):
    \"\"\"Let the net climb its loss after so many steps.\"\"\"
    steps = []
    def turn(_, __, logits):
        if net.training:
            steps.append(1)
            if len(steps) > after:
                logits.register_hook(lambda gradient: -2 * gradient)
    net.register_forward_hook(turn)
    return net

def same(net, other):
    pairs = zip(net.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MeznetError as error:
        return str(error)
    return "nothing was refused"

train, valid = data(), data((10, 12, 14), seed=1)
recipe = Recipe(epochs=4, rate=0.1, batch=16, size=12)
"""


@pytest.fixture(scope="module")
def on_torch(torch_python):
    """Run code after the prelude; the last expression it prints is JSON."""
    return lambda code: json.loads(torch_python(PRELUDE + code))


@pytest.fixture(scope="module")
def on_fresh_torch(fresh_python):
    """The same in an interpreter of its own, for code that changes a library."""
    return lambda code: json.loads(fresh_python(PRELUDE + code, OMP_NUM_THREADS="1"))


# ---- the recipe


def test_rates_rise_then_fall_to_zero():
    recipe = Recipe(rate=0.3)
    rates = [recipe.rate_at(step, 50) for step in range(50)]
    np.testing.assert_allclose(rates[:5], 0.3 * np.arange(1, 6) / 5)
    np.testing.assert_allclose(rates[5:], 0.15 * (1 + np.cos(np.pi * np.arange(45) / 45)))
    assert (
        recipe.rate_at(0, 1) == 0.3 and recipe.rate_at(1, 2) < 0.31
    )  # a training of a step or two


@pytest.mark.parametrize(("crop", "flip"), [(0.5, True), (0.75, False), (1.0, True)])
def test_crops_lie_inside_the_image(crop, flip):
    maps = Recipe(crop=crop, flip=flip).crops(np.random.default_rng(0), 3000)
    assert maps.shape == (3000, 2, 3) and maps.dtype == np.float32
    width, height = np.abs(maps[:, 0, 0]), maps[:, 1, 1]
    np.testing.assert_array_equal(width, height)
    assert (maps[:, 0, 1] == 0).all() and (maps[:, 1, 0] == 0).all()
    assert crop - 1e-6 <= (width * height).min() < crop + 0.01 and (width <= 1).all()
    reach = np.abs(maps[:, :, 2]) + width[:, None]
    assert reach.max() <= 1 + 1e-6 and (crop == 1 or reach.max() > 0.99)
    mirrored = (maps[:, 0, 0] < 0).mean()
    assert 0.45 < mirrored < 0.55 if flip else mirrored == 0
    if crop < 1:  # across and down are drawn apart
        assert abs(np.corrcoef(maps[:, 0, 2], maps[:, 1, 2])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("rate", 0),
        ("rate", float("inf")),
        ("rate", float("nan")),
        ("batch", 0),
        ("size", 0),
        ("decay", -0.1),
        ("smoothing", 1.0),
        ("class_weight", "even"),
        ("patience", 0),
        ("crop", 0),
        ("crop", 1.1),
    ],
)
def test_a_recipe_out_of_range(field, value):
    with pytest.raises(MeznetError, match=f"^{field} is .*; it must be "):
        Recipe(**{field: value})


# ---- one step, written out


def test_three_steps_are_what_torch_says(on_torch):
    """Smoothing, class weights, rates, and decay of matrices alone: one batch an epoch."""
    found = on_torch("""
from sklearn.utils.class_weight import compute_class_weight
train = data((8, 16, 24))
recipe = Recipe(epochs=3, rate=0.1, batch=48, size=12, crop=1, flip=False, decay=0.5,
                smoothing=0.2, class_weight="balanced")
def plain():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(432, 3))
ours, theirs = plain(), plain()
history = fit(ours, train, valid, recipe)
x = torch.from_numpy(np.stack(train.images.arrays)).permute(0, 3, 1, 2).float()
y = torch.from_numpy(train.truth)
weight = torch.tensor(compute_class_weight("balanced", classes=np.arange(3), y=train.truth))
groups = [{"params": [theirs[1].weight], "weight_decay": 0.5},
          {"params": [theirs[1].bias], "weight_decay": 0.0}]
optimizer, rows, weights = torch.optim.AdamW(groups), [], []
for step in range(3):
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(step, 3)
    logits = theirs(x)
    chances = torch.full((48, 3), 0.2 / 3)
    chances[range(48), y] += 0.8
    parts = -(chances * weight.float() * logits.log_softmax(1)).sum(1)
    optimizer.zero_grad()
    (parts.sum() / weight.float()[y].sum()).backward()
    optimizer.step()
    rows.append([functional.cross_entropy(logits, y).item(),
                 (logits.argmax(1) == y).float().mean().item(), recipe.rate_at(step, 3)])
    weights.append({name: each.clone() for name, each in theirs.state_dict().items()})
kept = weights[history["best"].tolist().index(True)]
off = {name: (each - kept[name]).abs().max().item() for name, each in ours.state_dict().items()}
print(json.dumps([history[["loss", "accuracy", "rate"]].values.tolist(), rows, off]))
""")
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)
    assert found[2].keys() == {"1.weight", "1.bias"} and max(found[2].values()) < 1e-4


# ---- history, best epoch, early stop


def test_history_and_the_best_weights(on_torch):
    """The net gets better for two epochs, and then worse; it is left as it was after two."""
    found = on_torch("""
from sklearn.metrics import accuracy_score, log_loss
net = turning(small(), after=8)
history = fit(net, train, valid, recipe)
probs = predict(net, valid.images, recipe)
stopped = fit(turning(small(), after=8), train, valid, dataclasses.replace(recipe, patience=1))
before = torch.get_rng_state()
equal = fit(small(), train, valid, recipe)
print(json.dumps({
    "rows": json.loads(history.to_json(orient="records")),
    "loss": log_loss(valid.truth, probs.astype(np.float64)),
    "accuracy": accuracy_score(valid.truth, probs.argmax(1)),
    "stopped": len(stopped), "dtype": str(probs.dtype), "shape": probs.shape,
    "untouched": torch.equal(before, torch.get_rng_state()),
    "equal": equal[["valid_accuracy", "valid_loss", "best"]].values.tolist(),
}))
""")
    rows = found["rows"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["steps"] for row in rows] == [4] * 4  # 72 images, 16 at a time
    merits = [(row["valid_accuracy"], -row["valid_loss"]) for row in rows]
    best = merits.index(max(merits))
    assert best < 3 and rows[best]["valid_accuracy"] > rows[3]["valid_accuracy"] + 0.05
    assert [row["best"] for row in rows] == [number == best for number in range(4)]
    assert found["loss"] == pytest.approx(rows[best]["valid_loss"], rel=1e-4)
    assert found["accuracy"] == pytest.approx(rows[best]["valid_accuracy"])
    assert found["stopped"] == best + 2
    equal = [row for row in found["equal"] if row[0] == max(row[0] for row in found["equal"])]
    assert len(equal) > 1 and min(equal, key=lambda row: row[1])[2]  # of these the lowest loss
    assert sum(row[2] for row in found["equal"]) == 1
    expected = [Recipe(rate=0.1).rate_at(step, 16) for step in (3, 7, 11, 15)]
    assert [row["rate"] for row in rows] == pytest.approx(expected)
    assert found["dtype"] == "float32" and found["shape"] == [36, 3] and found["untouched"]


def test_the_same_seed_gives_the_same_weights(on_torch):
    found = on_torch("""
one, two, other = small(), small(), small()
a = fit(one, train, valid, recipe, seed=1)
torch.manual_seed(99)
b = fit(two, train, valid, recipe, seed=1)
fit(other, train, valid, recipe, seed=2)
print(json.dumps([same(one, two), a.drop(columns="seconds").equals(b.drop(columns="seconds")),
                  same(one, other)]))
""")
    assert found == [True, True, False]


# ---- checkpoints

BROKEN_OFF = """
net, path = turning(small(), after=8), sys.argv[1]
steps = []
net[0].register_forward_hook(lambda *_: steps.append(net.training))
net[0].register_forward_hook(lambda *_: os._exit(9) if sum(steps) == 14 else None)
fit(net, train, valid, recipe, checkpoint=path)
"""


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory):
    """A training of four epochs whose process died in the fourth; the best was the second."""
    path = tmp_path_factory.mktemp("checkpoint") / "net.safetensors"
    done = subprocess.run([sys.executable, "-c", PRELUDE + BROKEN_OFF, path], capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return path


def test_a_resumed_training_ends_with_the_weights_of_one_at_a_stretch(on_torch, broken_off):
    found = on_torch(f"""
import shutil
path, again = {str(broken_off)!r}, {str(broken_off) + ".again"!r}
shutil.copy(path, again)
tensors, about = run.read(again)
net = turning(small(), after=8 - 12)  # three epochs are behind it
resumed = fit(net, train, valid, recipe, checkpoint=again)
whole = turning(small(), after=8)
history = fit(whole, train, valid, recipe)
columns = [name for name in history if name != "seconds"]
finished = small()
for each in finished.parameters():
    each.data.zero_()
size = os.path.getmtime(again)
last = fit(finished, train, valid, recipe, checkpoint=again)
print(json.dumps({{
    "epochs": len(about["log"]), "same": same(net, whole),
    "seconds": (resumed["seconds"][:3] == [line["seconds"] for line in about["log"]]).all().item(),
    "history": resumed[columns].equals(history[columns]),
    "best": history["best"].tolist(),
    "again": [same(finished, whole), last[columns].equals(history[columns]),
              size == os.path.getmtime(again)],
    "kept": sorted({{name.partition("/")[0] for name in tensors}}),
}}))
""")
    assert found["epochs"] == 3 and found["kept"] == [
        "best",
        "exp_avg",
        "exp_avg_sq",
        "step",
        "weights",
    ]
    assert found["best"].index(True) < 2
    assert found["same"] and found["history"] and found["seconds"]
    assert found["again"] == [True, True, True]  # a finished one trains nothing


@pytest.mark.parametrize("layout", ["contiguous_format", "channels_last"])
def test_resumed_checkpoints_are_equal_bit_for_bit(layout, on_torch, tmp_path):
    """The last weights, the best ones, and the optimizer's moments."""
    found = on_torch(f"""
paths = [{str(tmp_path)!r} + name for name in ("/one", "/two")]
class Stop(Exception): pass
def wide():
    net = small().to(memory_format=torch.{layout})
    net.unused = torch.nn.Parameter(torch.zeros(3))
    return net
net, seen = wide(), []
def count(*_):
    seen.append(net.training)
    if sum(seen) > 9:
        raise Stop
net[0].register_forward_hook(count)
try:
    fit(net, train, valid, recipe, checkpoint=paths[0])
except Stop:
    pass
epochs = [len(run.read(paths[0])[1]["log"])]
for path in paths:
    fit(wide(), train, valid, recipe, checkpoint=path)
one, two = (run.read(path)[0] for path in paths)
epochs.append(len(run.read(paths[0])[1]["log"]))
print(json.dumps([epochs, sorted(one), one.keys() == two.keys(),
                  all(torch.equal(one[name], two[name]) for name in one)]))
""")
    assert found[0] == [2, 4] and found[2:] == [True, True]
    kinds = {name.partition("/")[0] for name in found[1]}
    assert {"weights", "best"} <= kinds and "exp_avg_sq/0.weight" in found[1]


def test_checkpoints_of_another_training(on_torch, broken_off):
    found = on_torch(f"""
path = {str(broken_off)!r}
def go(net=None, train=train, valid=valid, recipe=recipe, **more):
    return refused(fit, net or small(), train, valid, recipe, checkpoint=path, **more)
def swapped(data):  # the same names and pictures; two labels have changed places
    truth = data.truth.copy()
    truth[[0, -1]] = truth[[-1, 0]]
    return dataclasses.replace(data, truth=truth)
def other(data):  # the same names and labels; one picture has another pixel
    images = [image.copy() for image in data.images]
    images[3][0, 0, 0] ^= 1
    return dataclasses.replace(data, images=Images(images, data.images.names))
more, less = torch.nn.Sequential(*small(), torch.nn.Linear(3, 3)), small()
less[-1].bias = None
print(json.dumps({{
    "wide": go(small(width=9)), "more": go(more), "less": go(less), "seed": go(seed=4),
    "labels": go(train=data(names="a b c"), valid=data((1, 1, 1), seed=1, names="a b c")),
    "recipe": go(recipe=dataclasses.replace(recipe, rate=0.5)),
    "train": go(train=data(seed=3)), "valid": go(valid=data(seed=3)), "source": go(source="b"),
    "train truth": go(train=swapped(train)), "valid truth": go(valid=swapped(valid)),
    "train pixel": go(train=other(train)), "valid pixel": go(valid=other(valid)),
}}))
""")
    end = r"; delete it or name another file\."
    for key, said in {
        "wide": 'of another net, whose weight "0.weight" differs',
        "more": 'of another net, whose weight "7.weight" differs',
        "less": 'of another net, whose weight "6.bias" differs',
        "seed": "with other seed, 0 instead of 4",
        "labels": "with other labels",
        "recipe": "with other rate in its recipe, 0.1 instead of 0.5",
        "train": "with other training images",
        "valid": "with other validation images",
        "source": "with other source",
        "train truth": "with other training images",
        "valid truth": "with other validation images",
        "train pixel": "with other training images",
        "valid pixel": "with other validation images",
    }.items():
        assert found[key].startswith(f"{broken_off} is of a training "), key
        assert found[key].removesuffix("; delete it or name another file.").endswith(said), end


def test_files_that_are_no_checkpoint(on_torch, tmp_path):
    from safetensors.numpy import save_file

    (tmp_path / "text").write_text("nothing")
    save_file({"a": np.zeros(3)}, tmp_path / "plain")
    save_file(
        {"a": np.zeros(3)}, tmp_path / "other", {"meznet": '{"kind": "meznet-predictions-1"}'}
    )
    (tmp_path / "file").write_text("")
    found = on_torch(f"""
for name in ("text", "plain", "other", "file/below"):
    path = os.path.join({str(tmp_path)!r}, name)
    print(refused(fit, small(), train, valid, recipe, checkpoint=path), file=sys.stderr)
names = ("text", "plain", "other", "file/below")
print(json.dumps([refused(fit, small(), train, valid, recipe,
                          checkpoint=os.path.join({str(tmp_path)!r}, name)) for name in names]))
""")
    for name, said in zip(("text", "plain", "other"), found, strict=False):
        assert said.startswith(f"{tmp_path / name} is no checkpoint of a training")
    assert "can't be written" in found[3]


# ---- mixed precision


def test_the_rate_waits_for_steps_that_were_taken(on_fresh_torch):
    """Gradients overflow in steps 3 and 4: the optimizer stands still, and so does the rate."""
    found = on_fresh_torch("""
run._scaler = lambda device, mixed: torch.amp.GradScaler("cpu", init_scale=64.0)
net = small()
rates, weights, seen = [], [], []
original = torch.optim.AdamW.zero_grad
def spy(self, *args):
    rates.append(self.param_groups[0]["lr"])
    weights.append(net[0].weight.detach().clone())
    return original(self, *args)
torch.optim.AdamW.zero_grad = spy
net[-1].weight.register_hook(lambda g: seen.append(1) or g * (np.inf if len(seen) in (3, 4) else 1))
history = fit(net, train, valid, dataclasses.replace(recipe, mixed=True))
moved = [not torch.equal(a, b) for a, b in zip(weights, weights[1:])]
print(json.dumps([rates, moved, history["steps"].tolist()]))
""")
    rates, moved, steps = found
    expected = [Recipe(rate=0.1).rate_at(step, 16) for step in range(14)]
    assert rates == pytest.approx([*expected[:3], expected[2], expected[2], *expected[3:]])
    assert moved == [True, True, False, False, *[True] * 11]
    assert steps == [2, 4, 4, 4]


def test_a_scaled_training_resumes_with_its_scale(on_fresh_torch, tmp_path):
    found = on_fresh_torch(f"""
path = {str(tmp_path / "net.safetensors")!r}
made = []
def scaler(device, mixed):
    made.append(torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=3))
    return made[-1]
run._scaler = scaler
class Stop(Exception): pass
def go(net, stop=99):
    steps = []
    def count(g):
        steps.append(1)
        if len(steps) == stop:
            raise Stop
        return g
    net[-1].weight.register_hook(count)
    try:
        fit(net, train, valid, recipe, checkpoint=path if stop < 99 or resuming else None)
    except Stop:
        pass
    return net
resuming = False
go(small(), stop=10)
resuming = True
net = go(small())
resuming = False
whole = go(small())
print(json.dumps([same(net, whole), [each.get_scale() for each in made[1:]]]))
""")
    assert found[0] and found[1][0] == found[1][1] == 64.0 * 2**5


def test_mixed_precision_on_a_cpu_is_bfloat16(on_torch):
    found = on_torch("""
net, kinds = small(), []
net[0].register_forward_hook(lambda *args: kinds.append((net.training, str(args[2].dtype))))
history = fit(net, train, valid, dataclasses.replace(recipe, mixed=True))
scaler = run._scaler(torch.device("cpu"), True)
print(json.dumps([sorted(set(kinds)), history["valid_accuracy"].max(), scaler.is_enabled(),
                  run._scaler(torch.device("cuda"), False).is_enabled(),
                  str(predict(net, valid.images, recipe).dtype)]))
""")
    assert found[0] == [[False, "torch.bfloat16"], [True, "torch.bfloat16"]]
    assert found[1] > 0.8 and found[2:] == [False, False, "float32"]


# ---- what is refused


def test_data_that_nothing_can_be_learned_from(on_torch):
    found = on_torch("""
def go(train, valid, net=None, recipe=recipe):
    return refused(fit, net or small(), train, valid, recipe)
one = data((30,), names="red")
print(json.dumps({
    "one": go(one, one, small(1)),
    "empty": go(data((20, 0, 20)), valid),
    "labels": go(train, data((2, 2, 2), names="a b c")),
    "few": go(data((3, 4, 5)), valid),
    "none": go(train, valid.take(np.zeros(0, int))),
    "outputs": go(train, valid, small(7)),
    "nan": go(train, valid, recipe=dataclasses.replace(recipe, rate=1e30)),
    "enough": go(data((5, 5, 6)), valid),
}))
""")
    assert found["one"] == (
        "Dataset(30 images, 1 labels) has nothing to tell apart; two labels are the least."
    )
    assert found["empty"] == '"green" has no training image; each label needs one.'
    assert found["labels"] == "the training and the validation images must have the same labels."
    assert found["few"] == (
        "12 training images are less than one batch of 16; choose a batch of 12 or less."
    )
    assert found["none"] == "there are no validation images; hold some out."
    assert found["outputs"].startswith("the net has 7 outputs, but there are LabelSpace(")
    assert found["nan"].startswith("the validation loss is nan after epoch 1; lower the rate")
    assert found["enough"] == "nothing was refused"


# ---- nets


@pytest.fixture(scope="module")
def built(torch_python, tmp_path_factory):
    """Keras applications on torch: what they say of two pictures, and with which weights."""
    folder = tmp_path_factory.mktemp("built")
    code = f"""
import keras
np.random.seed(0)
pixels = np.random.randint(0, 256, (2, 64, 64, 3)).astype(np.float32)
x = torch.from_numpy(pixels).permute(0, 3, 1, 2)
out = {{}}
for name in ("NASNetMobile", "MobileNetV3Small", "MobileNetV2", "EfficientNetV2B0"):
    tag = "random" if name == "NASNetMobile" else "tiny"
    net = nets.build(f"keras/{{name}}@{{tag}}", 7, 64)
    rng = np.random.default_rng(0)
    for weight in net.model.weights:
        if name == "NASNetMobile" and weight.name in ("beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    body = {{w.path: keras.ops.convert_to_numpy(w) for w in net.model.weights[:-2]}}
    if name == "NASNetMobile":
        np.savez({str(folder)!r} + "/weights.npz", **body)
    net.eval()
    with torch.no_grad():
        logits = net(x)
    net.train()
    twice = [net(x).detach() for _ in range(2)]
    kernel, bias = map(keras.ops.convert_to_numpy, net.model.weights[-2:])
    np.savez({str(folder)!r} + f"/{{name}}.npz", pixels=pixels, logits=logits, kernel=kernel,
             bias=bias)
    out[name] = [sum(p.requires_grad for p in net.parameters()), len(net.model.trainable_variables),
                 torch.equal(*twice), list(logits.shape), len(net.state_dict())]
print(json.dumps([out, keras.config.image_data_format(), "tensorflow" in sys.modules]))
"""
    return folder, *json.loads(torch_python(PRELUDE + code))


@pytest.mark.contract
@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "MobileNetV2", "EfficientNetV2B0", "NASNetMobile"]
)
def test_a_keras_net_on_torch_computes_what_it_does_on_tensorflow(name, built):
    """Preprocessing, layout, batch norm and weights: the published application says the same."""
    import keras
    from keras.applications import imagenet_utils

    from meznet_helpers.labelers import packing, registry

    folder, facts, layout, _ = built
    net = registry().get(f"keras/{name}@tiny") or registry()[f"keras/{name}@imagenet"]
    body = getattr(keras.applications, name)(
        input_shape=(64, 64, 3), include_top=False, pooling="avg", weights=None, **net.options
    )
    if net.tag == "tiny":
        stored = packing.read(profile.data() / "models" / name / "weights.safetensors")
    else:
        stored = np.load(folder / "weights.npz")
    for weight in body.weights:
        weight.assign(stored[weight.path])
    found = np.load(folder / f"{name}.npz")
    pixels = found["pixels"]
    if net.mode != "raw":
        pixels = imagenet_utils.preprocess_input(pixels.copy(), mode=net.mode)
    features = np.asarray(body(pixels, training=False))
    np.testing.assert_allclose(
        found["logits"], features @ found["kernel"] + found["bias"], rtol=1e-3, atol=1e-4
    )
    trained, trainable, twice_the_same, shape, tensors = facts[name]
    assert trained == trainable and tensors >= len(body.weights) + 2
    assert twice_the_same  # nothing drops out
    assert shape == [2, 7] and layout == "channels_last"  # the setting is put back


def test_a_keras_net_brings_no_tensorflow_along(built):
    assert built[3] is False


def test_batch_norm_follows_the_batch(torch_python):
    code = """
import keras
rng = np.random.default_rng(0)
out = []
for axis in (1, -1):
    layer = keras.layers.BatchNormalization(axis=axis)
    layer.build((None, 3, 5, 3))
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 2, 3))
    gamma, beta, mean, variance = (keras.ops.convert_to_numpy(w) for w in layer.weights)
    pixels = keras.Input((3, 5, 3))
    net = nets.as_torch(keras.Model(pixels, layer(pixels)), "raw", axis == 1)
    x = rng.normal(1, 2, (4, 3, 5, 3)).astype(np.float32)
    given = torch.from_numpy(x if axis == 1 else x.transpose(0, 3, 1, 2))
    y = net.train()(given).detach().numpy()
    shape = (1, 3, 1, 1) if axis == 1 else (1, 1, 1, 3)
    axes = (0, 2, 3) if axis == 1 else (0, 1, 2)
    at, spread = x.mean(axes), x.var(axes)
    def normal(m, v):
        return (x - m.reshape(shape)) / np.sqrt(v.reshape(shape) + 1e-3) * gamma.reshape(shape) \
            + beta.reshape(shape)
    out.append(np.abs(y - normal(at, spread)).max())
    count = x.size // 3
    moved = 0.97 * mean + 0.03 * at, 0.97 * variance + 0.03 * spread * count / (count - 1)
    for ours, weight in zip(moved, layer.weights[2:]):
        out.append(np.abs(ours - keras.ops.convert_to_numpy(weight)).max())
    y = net.eval()(given).detach().numpy()
    out.append(np.abs(y - normal(*moved)).max())
print(json.dumps([float(each) for each in out]))
"""
    assert max(json.loads(torch_python(PRELUDE + code))) < 1e-5


def test_timm_nets(on_fresh_torch):
    found = on_fresh_torch("""
import timm
vit = nets.build("timm/vit_tiny_patch16_224@random", 5, 32)
x = torch.rand(2, 3, 32, 32) * 255
scaled = nets.scaled(torch.nn.Identity(), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
by_hand = (x / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor(
    [0.5, 0.6, 0.7]).view(3, 1, 1)
deit = nets.build("timm/deit_tiny_distilled_patch16_224@random", 5, 32)
print(json.dumps([
    list(vit(x).shape), list(deit(x).shape), (scaled(x) - by_hand).abs().max().item(),
    [vit.scale.mean, deit.scale.std],
    [name for name in vit.state_dict() if not name.startswith("net.")],
    refused(nets.build, "timm/regnetx_002@tiny", 5, 32),
    refused(nets.build, "timm/vit_huge_patch99", 5, 32),
    refused(nets.build, "keras/MobileNetV2@tiny", 5, 32),
]))
""")
    assert found[0] == found[1] == [2, 5] and found[2] < 1e-5
    assert found[3][0] == pytest.approx([127.5] * 3)  # its own preprocessing, not ImageNet's
    assert found[3][1] == pytest.approx([255 * 0.229, 255 * 0.224, 255 * 0.225])
    assert found[4] == []
    assert found[5] == "timm/regnetx_002 starts from @imagenet or @random, not from @tiny."
    assert found[6].startswith('timm has no net "vit_huge_patch99"')
    assert found[7].startswith("keras/MobileNetV2 is fine-tuned on Keras' torch backend")


def test_a_second_build_calls_its_weights_the_same(torch_python):
    code = """
nets_ = [nets.build("keras/InceptionV3@random", 5, 75) for _ in range(2)]
print(json.dumps([list(net.state_dict()) for net in nets_]))
"""
    found = json.loads(torch_python(PRELUDE + code))
    assert found[0] == found[1] and len(found[0]) == len(set(found[0])) > 300


@pytest.mark.real
def test_published_weights(real, fresh_python):
    """Offline: the trunk that lies in Keras' cache, and one that does not."""
    code = """
import keras
net = nets.build("keras/MobileNetV2", 3, 224)
trunk = keras.applications.MobileNetV2(include_top=False, pooling="avg", weights="imagenet")
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
features = trunk(pixels / 127.5 - 1, training=False).detach().numpy()
net.eval()
with torch.no_grad():
    logits = net(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
kernel, bias = (keras.ops.convert_to_numpy(each) for each in net.model.weights[-2:])
print(json.dumps([
    float(np.abs(logits - features @ kernel - bias).max()), float(np.abs(logits).max()),
    refused(nets.build, "keras/Xception", 3, 96),
    refused(nets.build, "timm/vit_tiny_patch16_224", 3, 96),
]))
"""
    env = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(real / "keras"), "OMP_NUM_THREADS": "1"}
    env |= {"MEZNET_OFFLINE": "1"}
    found = json.loads(fresh_python(PRELUDE + code, **env))
    assert found[0] < 1e-3 < found[1]
    assert "MEZNET_OFFLINE is set" in found[2] and "MEZNET_OFFLINE is on" in found[3]


def test_a_size_that_a_net_can_not_take(torch_python):
    code = """
print(json.dumps([refused(nets.build, "keras/InceptionV3@random", 5, 64)]))
"""
    found = json.loads(torch_python(PRELUDE + code))
    assert found[0].startswith("keras/InceptionV3@random can't be built for images of 64 pixels: ")
    assert "75" in found[0] and "\n" not in found[0]
