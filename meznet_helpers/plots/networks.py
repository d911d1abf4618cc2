"""Pictures of small neural nets: those of mglearn, drawn by matplotlib instead of Graphviz.

mglearn belongs to A. C. Müller and S. Guido, Introduction to Machine Learning with Python (2016).
"""

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from meznet_helpers.errors import MeznetError
from meznet_helpers.plots.style import WIDTH, subplots

if TYPE_CHECKING:
    from graphviz import Digraph

_GRAPHS = (
    "plot_logistic_regression_graph",
    "plot_single_hidden_layer_graph",
    "plot_two_hidden_layer_graph",
)
_NAME = r'"?([^"\s{}]+)"?'  # of a node, as it stands in a line of DOT
_LABEL = r'(?: \[(?:label="?([^"]*?)"?|.*)\])?'


def network(hidden: int = 0) -> Figure:
    """Draw mglearn's graph of a net with no, one or two hidden layers.

    Parameters
    ----------
    hidden : {0, 1, 2}
        Layers between inputs and output. Without any it is a logistic regression.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MeznetError
        If there is no such graph, or mglearn is not installed.

    Examples
    --------
    >>> [text.get_text() for text in network(1).axes[0].texts][:5]
    ['inputs', 'x[0]', 'x[1]', 'x[2]', 'x[3]']
    """
    if hidden not in range(len(_GRAPHS)):
        raise MeznetError(f"mglearn draws 0, 1 or 2 hidden layers, not {hidden}.")
    return layers(_mglearn(_GRAPHS[hidden]))


def layers(graph: "Digraph") -> Figure:
    """Draw a graph whose clusters are the layers of a net, from left to right.

    Parameters
    ----------
    graph : graphviz.Digraph
        Each subgraph is one layer, with a label and its nodes.

    Returns
    -------
    matplotlib.figure.Figure
        All that the graph has: names of layers, nodes and edges.

    Examples
    --------
    >>> from graphviz import Digraph
    >>> graph, layer = Digraph(), Digraph(name="cluster_0")
    >>> layer.node("x")
    >>> graph.subgraph(layer)
    >>> [text.get_text() for text in layers(graph).axes[0].texts]
    ['', 'x']
    """
    nodes, edges = _read(graph)
    tallest = max(len(layer) for _, layer in nodes)
    place, size = {}, (min(WIDTH, 2.2 * len(nodes)), 0.7 * tallest + 0.6)
    figure, ((axis,),) = subplots(1, 1, size, style=None)
    for column, (title, layer) in enumerate(nodes):
        axis.text(2.2 * column, tallest, title, ha="center", va="center")
        for row, (name, text) in enumerate(layer.items()):
            place[name] = np.array([2.2 * column, tallest - 1 - row - (tallest - len(layer)) / 2])
            axis.add_patch(Circle(place[name], 0.36, facecolor="white", edgecolor="0.2"))
            axis.text(*place[name], text, ha="center", va="center", fontsize=9)
    for start, end, text in edges:
        step = place[end] - place[start]
        step = 0.36 * step / np.linalg.norm(step)
        arrow = {"arrowstyle": "-|>", "color": "0.4", "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", place[end] - step, place[start] + step, arrowprops=arrow)
        if text:
            middle = 0.6 * place[start] + 0.4 * place[end]
            axis.text(*middle, text, ha="center", va="center", fontsize=8, backgroundcolor="white")
    axis.set(xlim=(-0.8, 2.2 * (len(nodes) - 1) + 0.8), ylim=(-0.5, tallest + 0.4), aspect="equal")
    axis.set_axis_off()
    return figure


def _read(
    graph: "Digraph",
) -> tuple[list[tuple[str, dict[str, str]]], list[tuple[str, str, str]]]:
    """Return layers (title; names and texts of nodes) and edges (from, to, text)."""
    titles, layers, edges = [], [], []
    for line in map(str.strip, graph.body):
        if line.startswith("subgraph"):
            titles.append("")
            layers.append({})
        elif title := re.fullmatch(r'label = "(.*)"', line):
            titles[-1] = title[1]
        elif edge := re.fullmatch(rf"{_NAME} -> {_NAME}{_LABEL}", line):
            edges.append((edge[1], edge[2], edge[3] or ""))
        elif not line.startswith("node") and (node := re.fullmatch(_NAME + _LABEL, line)):
            layers[-1][node[1]] = node[2] or node[1]
    return list(zip(titles, layers, strict=True)), edges


def _mglearn(name: str) -> "Digraph":
    """Call one of mglearn's functions. Importing the package would make a folder `cache`."""
    package = importlib.util.find_spec("mglearn")
    if package is None:
        raise MeznetError("mglearn is not installed; install it with pip install mglearn.")
    file = Path(package.origin).with_name("plot_nn_graphs.py")
    spec = importlib.util.spec_from_file_location("plot_nn_graphs", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()
