"""Tests of meznet_helpers.labelers.worker: same numbers, one-line errors, and no process left."""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import psutil
import pytest

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler, base, living, worker
from meznet_helpers.labelers.keras import KerasLabeler
from meznet_helpers.labelers.worker import Worker
from meznet_helpers.labels import from_names
from meznet_helpers.names import labeler

pytestmark = pytest.mark.contract

MODULE = '''
import os, sys, tempfile, time
import numpy as np
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_names

class Odd(Labeler):
    """Labels by mean colors; what else it does stands in `how`."""

    labels, framework = from_names(["red", "green", "blue"]), "another"

    def __init__(self, how="", name="odd"):
        self.how, self.name = how, name

    def recipe(self):
        return {"how": self.how, "name": self.name}

    def _probabilities(self, images):
        if self.how == "noise":
            print("a library says something", flush=True)
            os.write(1, b"and so does C" * 1000)
            assert sys.stdin.read() == ""
        if self.how == "refuse":
            raise MeznetError("The cat is out.")
        if self.how == "fail":
            raise ValueError("one line\\nand another.")
        if "litter" in self.how:
            with open(tempfile.mkdtemp() + "/litter", "w") as file:
                file.write("a library leaves it")
        if "die" in self.how:
            os.kill(os.getpid(), 9)
        if self.how == "abort":
            os.write(2, b"option registered twice!\\n")
            os._exit(3)
        if self.how == "sleep":
            time.sleep(3600)
        if self.how == "where":
            return np.array([[float(os.environ["MEZNET_TEST"]), os.getpid(), 0]])
        sums = np.array([image.sum((0, 1), dtype=np.float32) + 1 for image in images])
        return sums / sums.sum(1, keepdims=True)

class Gone(Odd):
    @classmethod
    def from_recipe(cls, recipe):
        raise RuntimeError("no such net")
'''


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A module of labelers that a worker can import."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "odd_labelers.py").write_text(MODULE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.syspath_prepend(folder)
        patch.setenv("MEZNET_TEST", "7")
        yield importlib.import_module("odd_labelers")
        sys.modules.pop("odd_labelers")


@pytest.fixture
def elsewhere(monkeypatch):
    """Let another framework than that of any labeler live here."""
    monkeypatch.setattr(base, "living", lambda: {"tensorflow"})


def pictures(count, seed=0, side=40):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (side + i, side - i % 7, 3), np.uint8) for i in range(count)]


def gone(pid, seconds=120):
    """Whether a process ends in time."""
    stop = time.monotonic() + seconds
    while psutil.pid_exists(pid) and time.monotonic() < stop:
        time.sleep(0.05)
    return not psutil.pid_exists(pid)


# ---- the same numbers


@pytest.mark.parametrize("how", ["", "noise"])
def test_numbers_are_those_of_this_process(how, odd, elsewhere):
    net = odd.Odd(how)
    images = pictures(9)
    found = net.predict(images, batch_size=4)
    assert net._worker.alive
    expected = odd.Odd()._probabilities(images)
    np.testing.assert_array_equal(found.probs[0], expected)
    assert found.probs.dtype == np.float32 and found.models == ("odd",)
    net.release()


def test_batches_larger_than_any_pipe(odd, elsewhere):
    net, images = odd.Odd(), pictures(3, side=1500)
    np.testing.assert_array_equal(net.predict(images).probs[0], net._probabilities(images))
    net.release()


def test_it_runs_elsewhere_in_the_same_environment(odd, elsewhere):
    net = odd.Odd("where")
    (setting, pid, _), *_ = net.probabilities(pictures(1))
    assert setting == 7 and pid == net._worker._process.pid != os.getpid()
    net.release()


def test_no_worker_without_need(odd, monkeypatch):
    for there in (set(), {"another"}):
        monkeypatch.setattr(base, "living", lambda there=there: there)
        net = odd.Odd("where")
        assert net.probabilities([])[0, 1] == os.getpid() and net._worker is None


def test_living():
    import keras  # noqa: F401

    assert living() == {"tensorflow"}


# ---- errors


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("refuse", "The cat is out."),
        ("fail", "The worker process of odd failed (ValueError: one line and another)."),
    ],
)
def test_errors_come_back_and_the_worker_goes_on(how, said, odd, elsewhere):
    net = odd.Odd(how)
    for _ in range(2):
        with pytest.raises(MeznetError) as error:
            net.predict(pictures(2))
        assert str(error.value) == said
        assert net._worker.alive
    net.release()


def test_a_labeler_that_cannot_be_made(odd, elsewhere):
    net = odd.Gone()
    with pytest.raises(MeznetError, match=r"odd failed \(RuntimeError: no such net\)\.$"):
        net.predict(pictures(1))
    net.release()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("die", "ended in the middle (SIGKILL); there may be too little memory for it."),
        ("abort", "ended in the middle (exit status 3): option registered twice!."),
    ],
)
def test_killed_in_the_middle(how, said, odd, elsewhere):
    net = odd.Odd(how)
    with pytest.raises(MeznetError) as error:
        net.predict(pictures(2))
    assert str(error.value) == f"The worker process of odd {said}"
    assert not net._worker.alive and gone(net._worker._process.pid)
    net.how = ""  # the next prediction starts another one
    assert net.predict(pictures(2)).probs.shape == (1, 2, 3)
    net.release()


def test_killed_between_two_batches(odd, elsewhere):
    net = odd.Odd()
    net.predict(pictures(2))
    first = net._worker
    os.kill(first._process.pid, signal.SIGKILL)
    first._process.wait(120)
    assert net.predict(pictures(2)).probs.shape == (1, 2, 3) and net._worker is not first
    net.release()


def test_killed_from_outside_while_it_labels(odd):
    process = Worker(odd.Odd("sleep"))
    threading.Timer(1.0, os.kill, (process._process.pid, signal.SIGKILL)).start()
    with pytest.raises(MeznetError, match="SIGKILL"):
        process.call("_probabilities", pictures(1))


def test_an_interrupt_ends_it(odd, elsewhere, monkeypatch):
    net = odd.Odd()
    expected = net.predict(pictures(1)).probs
    first = net._worker

    def interrupt(pipe):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(worker, "_receive", interrupt)
        net.predict(pictures(1, seed=1))
    assert not first.alive and gone(first._process.pid)
    np.testing.assert_array_equal(net.predict(pictures(1)).probs, expected)  # no stale answer
    net.release()


def test_ctrl_c_on_the_terminal_is_for_the_caller(odd):
    """The terminal sends it to the whole group of processes; what the caller makes of it counts."""
    code = """
import os, signal
import numpy as np, odd_labelers
from meznet_helpers.labelers.worker import Worker
worker, image = Worker(odd_labelers.Odd()), np.zeros((2, 2, 3), np.uint8)
worker.call("_probabilities", [image])
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests ignores it
try:
    os.killpg(0, signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print(worker.call("_probabilities", [image]).shape)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, start_new_session=True, capture_output=True, encoding="utf-8")
    assert (done.stdout, done.stderr) == ("(1, 3)\n", "")


class Local(Labeler):
    name, labels, framework = "local", from_names(["a"]), "another"

    def _probabilities(self, images):
        return np.ones((len(images), 1), np.float32)


def test_without_a_recipe(elsewhere):
    with pytest.raises(MeznetError, match=r"local needs another, but .* Local has no recipe"):
        Local().predict(pictures(1))


def test_a_class_that_cannot_be_imported(elsewhere):
    class Inner(Local):
        def recipe(self):
            return {}

    with pytest.raises(MeznetError, match=r"can't import .*Inner; define the class at the top"):
        Inner().predict(pictures(1))


# ---- no process is left


def test_release_ends_it(odd, elsewhere):
    net = odd.Odd()
    net.predict(pictures(1))
    process = net._worker  # held, so that it does not end for want of a holder
    assert psutil.pid_exists(process._process.pid)
    net.release()
    net.release()
    assert not psutil.pid_exists(process._process.pid) and net._worker is None


@pytest.mark.parametrize("how", ["litter", "litter, then die"])
def test_its_temporary_files_go_with_it(how, odd, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    net = odd.Odd(how)
    if "die" in how:
        with pytest.raises(MeznetError, match="SIGKILL"):
            net.predict(pictures(1))
    else:
        net.predict(pictures(1))
        assert len(list(tmp_path.glob("meznet-worker-*/*/litter"))) == 1
        net.release()
    assert not list(tmp_path.iterdir())


def test_it_ends_with_its_labeler(odd, elsewhere):
    net = odd.Odd()
    net.predict(pictures(1))
    pid = net._worker._process.pid
    del net
    gc.collect()
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("", "pass"),
        ("sleep", "pass"),
        ("", "os._exit(0)"),
        ("", "os.kill(os.getpid(), 9)"),
        ("sleep", "os.kill(os.getpid(), 9)"),
        ("litter", "os.kill(os.getpid(), 9)"),
    ],
)
def test_it_ends_with_its_caller(how, end, odd, tmp_path):
    code = f"""
import os, threading, time
import numpy as np
import odd_labelers
from meznet_helpers.labelers.worker import Worker, _send
worker = Worker(odd_labelers.Odd({how!r}))
image = np.zeros((4, 4, 3), np.uint8)
order = np.array('["_probabilities", 1, {{}}]')
if {how!r} == "sleep":
    _send(worker._process.stdin, image, order=order)
else:
    worker.call("_probabilities", [image])
print(worker._process.pid, flush=True)
{end}
"""
    out, temporary = tmp_path / "pid", tmp_path / "temporary"
    temporary.mkdir()
    env = os.environ | {"TMPDIR": str(temporary)}
    with out.open("w") as file:  # not a pipe: a worker that lives on would keep it open
        subprocess.run([sys.executable, "-c", code], stdout=file, timeout=600, env=env)
    assert gone(int(out.read_text()))
    assert not list(temporary.iterdir())


def test_the_callers_script_runs_once(odd, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\nimport numpy as np, odd_labelers\n"
        "from meznet_helpers.labelers.worker import Worker\n"
        "image = np.zeros((2, 2, 3), np.uint8)\n"
        "print(Worker(odd_labelers.Odd()).call('_probabilities', [image]).shape)\n",
        encoding="utf-8",
    )
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert (done.stdout, done.stderr) == ("once\n(1, 3)\n", "")


# ---- Keras in a worker


def test_mode_and_interpolation_survive_the_trip():
    net = labeler("keras/MobileNetV2@tiny", mode="caffe", interpolation="nearest")
    recipe = json.loads(json.dumps(net.recipe()))
    assert KerasLabeler.from_recipe(recipe).backbone == net.backbone


@pytest.mark.parametrize(
    ("env", "settings", "framework"),
    [
        ({}, None, "tensorflow"),
        ({"KERAS_BACKEND": "torch"}, '{"backend": "jax"}', "torch"),
        ({}, '{"backend": "torch"}', "torch"),
        ({}, "broken", "tensorflow"),
    ],
)
def test_framework_of_a_keras_net(env, settings, framework, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    if settings:
        (tmp_path / "keras.json").write_text(settings, encoding="utf-8")
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    sys.modules.pop("keras", None)
    assert labeler("keras/MobileNetV2@tiny").framework == framework


def test_what_keras_json_says_of_axes_changes_nothing():
    """As where an old keras.json says channels_first, which Keras reads when it is imported."""
    import keras

    images, before = pictures(3, side=70), keras.config.image_data_format()
    found = []
    try:
        for axes in ("channels_last", "channels_first"):
            keras.config.set_image_data_format(axes)
            net = labeler("keras/MobileNet@tiny")
            _ = net.model  # by Keras, not by an exported file
            found += [net.predict(images).probs, net.features(images)]
    finally:
        keras.config.set_image_data_format(before)
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


def test_keras_beside_torch(fresh_python, tmp_path):
    images = pictures(5, side=70)
    np.savez(tmp_path / "images.npz", *images)
    code = f"""
import sys, torch
import numpy as np
from meznet_helpers.names import labeler
images = list(np.load({str(tmp_path / "images.npz")!r}).values())
net = labeler("keras/MobileNet@tiny", mode="caffe", interpolation="nearest")
net._exported = lambda: False  # as if it could not be exported
found = net.predict(images, batch_size=2)
assert not {{"tensorflow", "keras"}} & sys.modules.keys() and net._worker.alive
np.save({str(tmp_path / "probs.npy")!r}, found.probs)
"""
    assert fresh_python(code) == ""
    net = labeler("keras/MobileNet@tiny", mode="caffe", interpolation="nearest")
    here = net.predict(images)
    assert net._worker is None
    np.testing.assert_allclose(np.load(tmp_path / "probs.npy"), here.probs, atol=1e-5)
    own = labeler("keras/MobileNet@tiny").predict(images)
    assert np.abs(own.probs - here.probs).max() > 0.01
