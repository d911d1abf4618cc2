"""A training that keeps a file, and goes on from it bit for bit, whatever broke it off.

The file is safetensors, with all else as JSON in its header; nothing in it is pickled. What is left
to chance in an epoch follows from the seed and the epoch's number, so both together are the state
of the random numbers.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers import stored
from meznet_helpers.errors import MeznetError
from meznet_helpers.files import aside

KIND = "meznet-training-1"


class Run:
    """A net, its optimizer and its log, as they stand between two epochs.

    Parameters
    ----------
    path : Path or None
        The file. If it is there, the run goes on from it.
    facts : mapping of str
        What makes a training this one, in words and for JSON, such as its ``"recipe"`` (a dict) and
        its ``"seed"``. A file that says otherwise is refused.
    weights : callable
        Returns all tensors of the net by name (dict), those that don't learn too.
    learned : dict of str to torch.nn.Parameter
        Those that do.
    decay : float
        Weight decay of AdamW; vectors (biases, scales) have none.
    betas : tuple of float
        AdamW's.
    mixed : bool
        Scale the loss on a GPU, so that float16 gradients don't vanish.

    Attributes
    ----------
    log : list of dict
        One for each epoch done.
    best : dict of str to torch.Tensor
        The weights of the best epoch, if the training keeps them.

    Raises
    ------
    MeznetError
        If the file is of another training.
    """

    def __init__(
        self,
        path: Path | None,
        facts: Mapping[str, Any],
        weights: Callable[[], dict[str, Any]],
        learned: dict[str, Any],
        *,
        decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        mixed: bool = False,
    ) -> None:
        """Make the optimizer, and go on from the file."""
        import torch

        facts = {**facts, "weights that learn": list(learned)}
        self.path, self.facts = path, json.loads(json.dumps(facts))  # as they are read again
        self.weights, self.learned = weights, learned
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        matrices, vectors = (
            [weight for weight in learned.values() if (weight.ndim > 1) == wide]
            for wide in (True, False)
        )
        groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors}]
        self.optimizer = torch.optim.AdamW(groups, betas=betas, weight_decay=0.0)
        self.scaler = _scaler(next(iter(learned.values())).device, mixed)
        if path is not None and path.exists():
            self._resume(path)

    @property
    def steps(self) -> int:
        """How many steps the optimizer has taken; it leaves out those of an overflow."""
        states = self.optimizer.state.values()  # that of a weight without a gradient is empty
        return max((int(state.get("step", 0)) for state in states), default=0)

    def update(self, loss: Any, rate: float) -> None:
        """Take one step of the optimizer, unless a scaled gradient has overflowed."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def save(self) -> None:
        """Write all that the next epoch needs; nothing where there is no path."""
        if self.path is None:
            return
        tensors = {f"weights/{name}": weight for name, weight in self.weights().items()}
        tensors |= {f"best/{name}": weight for name, weight in self.best.items()}
        for name, weight in self.learned.items():
            for key, moment in self.optimizer.state[weight].items():
                tensors[f"{key}/{name}"] = moment
        tensors = {name: weight.detach().contiguous().cpu().numpy()
                   for name, weight in tensors.items()}  # fmt: skip
        header = {"kind": KIND, **self.facts, "log": self.log, "scaler": self.scaler.state_dict()}
        with aside(self.path) as part:
            stored.write(part, tensors, header)

    def _resume(self, path: Path) -> None:
        """Take what `save` wrote, if it is of this very training."""
        import torch

        tensors, header = read(path)
        weights, then = self.weights(), below(tensors, "weights/")
        for name in [*weights, *then]:
            ours, theirs = weights.get(name), then.get(name)
            if ours is None or theirs is None or ours.shape != theirs.shape:
                raise MeznetError(
                    f'{path} is of a training of another net, whose weight "{name}" differs; '
                    "delete it or name another file."
                )
        self._check(path, header)
        fill(weights, then)
        with stored.telling(f"{path} is no checkpoint of a training"):
            self.log, self.best = header["log"], below(tensors, "best/")
            self.scaler.load_state_dict(header["scaler"])
            for key in ("step", "exp_avg", "exp_avg_sq"):
                for name, moment in below(tensors, f"{key}/").items():
                    weight = self.learned[name]
                    if key != "step":  # in the order in memory that the weight has
                        moment = torch.empty_like(weight).copy_(moment)
                    self.optimizer.state[weight][key] = moment

    def _check(self, path: Path, header: Mapping[str, Any]) -> None:
        """Refuse a file of another training."""
        for key, ours in self.facts.items():
            what, theirs = key, header.get(key)
            if theirs == ours:
                continue
            if key == "recipe":
                field = next(name for name in ours if theirs.get(name) != ours[name])
                what, theirs, ours = f"{field} in its recipe", theirs.get(field), ours[field]
            how = "" if isinstance(ours, list) else f", {theirs} instead of {ours}"
            raise MeznetError(
                f"{path} is of a training with other {what}{how}; delete it or name another file."
            )


def read(path: Path, framework: str = "pt") -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the file of a run.

    Parameters
    ----------
    path : Path
    framework : {"pt", "np"}
        What the tensors are to be: torch's, on the CPU, or NumPy's arrays.

    Returns
    -------
    tensors : dict of str
        The net's are called ``weights/NAME``.
    header : dict
        `log`, and the facts of the training.

    Raises
    ------
    MeznetError
        If it is no such file.
    """
    sentence = f"{path} is no checkpoint of a training; delete it or name another file"
    with stored.telling(sentence):
        tensors, header = stored.unpack(stored.mapped(path))
        if header["kind"] != KIND:
            raise ValueError(f"it is of kind {header['kind']}")
        tensors = {name: np.array(values) for name, values in tensors.items()}
        if framework == "pt":
            import torch

            tensors = {name: torch.from_numpy(values) for name, values in tensors.items()}
    return tensors, header


def below(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the tensors whose names start so, by the rest of their names.

    >>> below({"weights/a": 1, "optimizer/a": 2}, "weights/")
    {'a': 1}
    """
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def fill(weights: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Copy stored tensors into those of a net."""
    import torch

    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(stored[name])


def _scaler(device: Any, mixed: bool) -> Any:
    """Return what keeps float16 gradients from vanishing; bfloat16 has the range of float32."""
    import torch

    return torch.amp.GradScaler(device.type, enabled=mixed and device.type == "cuda")
