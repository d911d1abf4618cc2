"""The process in which one net of the benchmark is fine-tuned; `benchmark.run` starts it.

Its argument is a JSON object, and so is its answer on standard output. It ends when its standard
input does, so it never outlives its caller.
"""

import dataclasses
import json
import os
import platform
import random
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from meznet_helpers import emojizoo
from meznet_helpers.book.benchmark import NETS, RECIPE
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import fit, nets, predict
from meznet_helpers.measure import proportion


def fine_tune(spec: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune one net, or go on with it.

    Parameters
    ----------
    spec : dict
        model, out, epochs, size, seed, each: as `benchmark.run` takes them.

    Returns
    -------
    dict
        row, history and predictions: one net's part of `benchmark.Results`, without its name.
    """
    import torch
    from safetensors.torch import save

    model, seed = spec["model"], spec["seed"]
    name = NETS[model]
    recipe = dataclasses.replace(RECIPE, epochs=spec["epochs"], size=spec["size"])
    zoo = emojizoo.animals(each=spec["each"], size=recipe.size, seed=seed)
    train, valid = zoo.by_picture(seed=seed)
    random.seed(seed)  # of Keras' initializers; this process is the net's own
    torch.manual_seed(seed)
    net = nets.build(name, len(zoo.labels), recipe.size)
    kept = Path(spec["out"]) / f"{model}.safetensors"
    history = fit(net, train, valid, recipe, seed=seed, checkpoint=kept, progress=True)
    start = time.perf_counter()
    probs = predict(net, valid.images, recipe, progress=True)
    seconds = time.perf_counter() - start
    first, ids = probs.argmax(1), zoo.labels.ids
    hits = int((first == valid.truth).sum())
    best = history[history["best"]].iloc[0]
    steps = recipe.epochs * (len(train) // recipe.batch)
    floats = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
    row = {
        "model": model,
        "framework": name.partition("/")[0],
        "weights": nets.weights_for(name),
        "size": recipe.size,
        "n_train": len(train),
        "n": len(valid),
        "loss": float(best["valid_loss"]),
        **proportion(hits, len(valid)),
        "parameters": sum(each.numel() for each in floats.values()) / 1e6,
        "size_mb": len(save({k: v.half().contiguous() for k, v in floats.items()})) / 1e6,
        "train_s": float(history["seconds"].sum()),
        "train_ms": 1000 * float(history["seconds"].sum()) / steps,
        "predict_s": seconds,
        "predict_ms": 1000 * seconds / -(-len(valid) // recipe.batch),
        "batch": recipe.batch,
        "epochs": recipe.epochs,
        "best": int(best["epoch"]),
        "seed": seed,
        "machine": _machine(),
        "versions": ", ".join(f"{each} {version(each)}" for each in ("torch", "keras", "timm")),
    }
    predictions = {
        "image": list(valid.images.names),
        "truth": [ids[at] for at in valid.truth],
        "label": [ids[at] for at in first],
        "score": [round(float(each), 4) for each in probs.max(1)],
    }
    return {"row": row, "history": history.to_dict("list"), "predictions": predictions}


def _machine() -> str:
    """Say what the net was trained on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"


def _main() -> None:
    """Answer the argument on standard output; nothing else is written there."""
    answers, sys.stdout = sys.stdout, sys.stderr
    threading.Thread(target=lambda: sys.stdin.read() or os._exit(1), daemon=True).start()
    try:
        answer = fine_tune(json.loads(sys.argv[1]))
    except MeznetError as error:
        answer = {"error": str(error)}
    answers.write(json.dumps(answer))
    answers.flush()
    os._exit(0)  # at once, without the farewells of the frameworks


if __name__ == "__main__":
    _main()
