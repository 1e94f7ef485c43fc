"""TEDS: how alike two tables are, as trees (Zhong et al. 2020, "Image-based table recognition", arXiv 1911.10683).

A table is a tree of head, body, rows and cells. The distance is the least number of nodes to insert, delete and change
(Zhang and Shasha 1989, SIAM J. Comput. 18(6)); a cell whose spans are right but whose text is not costs the share of
letters that differ. TEDS is 1 less the distance over the larger tree's nodes; "structure" leaves the texts out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from multimodal_llm.document_understanding.text_metrics import edit_distance


@dataclass
class Node:
    """A node of a tree: what it is, spans included, and a cell's text."""

    name: str
    text: str = ""
    children: list["Node"] = field(default_factory=list)


Cost = Callable[[Node, Node], float]


def teds(table: Node, reference: Node, structure_only: bool = False) -> float:
    """0 to 1, of trees as `tree_of_html` makes them."""

    def change(one: Node, other: Node) -> float:
        if one.name != other.name:
            return 1.0
        if structure_only or not one.text and not other.text:
            return 0.0
        return edit_distance(one.text, other.text) / max(len(one.text), len(other.text))

    larger = max(_size(table), _size(reference))
    return 1 - tree_distance(table, reference, change) / larger


def tree_distance(one: Node, other: Node, change: Cost) -> float:
    """Least cost that makes one ordered tree of the other, where inserting or deleting a node costs 1."""
    nodes, leftmost, roots = _post_order(one)
    others, other_leftmost, other_roots = _post_order(other)
    costs = np.array([[change(node, each) for each in others] for node in nodes])  # (n, m)
    trees = np.zeros_like(costs)  # distances of the subtrees that end in each pair of nodes
    for root in roots:
        for other_root in other_roots:
            _forests(root, other_root, leftmost, other_leftmost, costs, trees)
    return float(trees[-1, -1])


def _forests(
    root: int,
    other_root: int,
    leftmost: Sequence[int],
    other_leftmost: Sequence[int],
    costs: np.ndarray,
    trees: np.ndarray,
) -> None:
    """Fill in the distances of all subtrees on the leftmost paths below two nodes (the paper's `treedist`)."""
    first, other_first = leftmost[root], other_leftmost[other_root]
    n, m = root - first + 2, other_root - other_first + 2
    forest = [[0.0] * m for _ in range(n)]  # of the first nodes of both; plain lists are faster than an array here
    forest[0] = [float(column) for column in range(m)]
    for row in range(1, n):
        node = first + row - 1
        current, above = forest[row], forest[row - 1]
        current[0] = float(row)
        whole = leftmost[node] == first
        for column in range(1, m):
            each = other_first + column - 1
            best = min(above[column], current[column - 1]) + 1
            if whole and other_leftmost[each] == other_first:
                current[column] = trees[node, each] = min(best, above[column - 1] + costs[node, each])
            else:
                before = forest[leftmost[node] - first][other_leftmost[each] - other_first]
                current[column] = min(best, before + trees[node, each])


def _post_order(tree: Node) -> tuple[list[Node], list[int], list[int]]:
    """The nodes, children before parents; each one's leftmost leaf; and the nodes that have a brother to their left."""
    nodes: list[Node] = []
    leftmost: list[int] = []

    def visit(node: Node) -> int:
        leaves = [visit(child) for child in node.children]
        nodes.append(node)
        leftmost.append(leaves[0] if leaves else len(nodes) - 1)
        return leftmost[-1]

    visit(tree)
    last = {leaf: number for number, leaf in enumerate(leftmost)}  # of those with the same leaf, the highest node
    return nodes, leftmost, sorted(last.values())


def _size(tree: Node) -> int:
    """Nodes below the root, as TEDS counts them."""
    return max(1, len(_post_order(tree)[0]) - 1)


def tree_of_html(text: str) -> Node:
    """The tree of a `<table>`: `thead` and `tbody`, rows, cells with their spans and their text without tags."""
    from lxml import html

    def node(element) -> Node:
        if element.tag in ("td", "th"):
            spans = [element.get(key, "1") for key in ("colspan", "rowspan")]
            return Node(" ".join(["td", *spans]), " ".join(element.text_content().split()))
        return Node(element.tag, children=[node(child) for child in element if isinstance(child.tag, str)])

    return node(html.fromstring(text))
