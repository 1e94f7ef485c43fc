"""Does it matter how one asks? Templates for prompts, compared on the same inputs, with answers that a program checks.

python -m gpt_text_generation.prompt_engineering --n 40
python -m gpt_text_generation.prompt_engineering --templates zero_shot,few_shot --tasks sentiment --n 200
python -m gpt_text_generation.prompt_engineering --template_file mine.yaml --output answers.jsonl

Templates are data (prompt_templates.yaml, which says how one is written), tasks are in prompt_tasks.py. Each template
puts each task to the model for the same inputs through the model's chat template, and the answer is greedy. So two
templates are compared input by input: an exact McNemar test of each against the first, all corrected together by Holm;
the intervals are by bootstrap over the inputs.

The score of a small model depends on the words more than on the technique: a template here is one wording of its
technique, and what is found is found for that wording.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from gpt_text_generation.prompt_tasks import TASKS, Item, Material, Task, load_material
from shared.config import check, parse_config, parse_yaml
from shared.datasets import read_text
from shared.errors import UserError, run_program
from shared.files import write_text
from shared.logging import print_result, print_table, progress_bar, setup_logging
from shared.timing import Timer

TEMPLATES = Path(__file__).with_name("prompt_templates.yaml")
READS = ("whole", "answer_line", "json")
AT_ONCE = 16  # prompts of a batch


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Compare ways to put a task to a language model, on the same inputs."""

    templates: str = ""
    """Templates to compare, with commas between them; the others are tested against the first. By default all."""
    tasks: str = ",".join(TASKS)
    """Tasks, with commas between them."""
    n: int = 40
    """Inputs of each task."""
    model: str = "smollm2"
    """Language model with a chat template: short name, hub name or path."""
    template_file: str | None = None
    """Your own templates, written as in prompt_templates.yaml."""
    output: str | None = None
    """File for every prompt, answer and verdict, one JSON object a line."""
    seed: int = 0
    """Seed of the intervals' draws."""

    def __post_init__(self) -> None:
        check(self.n >= 1, "n", self.n, "give at least 1")
        for name in self.task_names:
            check(name in TASKS, "tasks", name, f"choose among {', '.join(TASKS)}")
        check(bool(self.task_names), "tasks", repr(self.tasks), f"choose among {', '.join(TASKS)}")

    @property
    def task_names(self) -> list[str]:
        return split_names(self.tasks)


@dataclass(frozen=True)
class Template:
    """One way to ask. The fields are explained in prompt_templates.yaml."""

    user: str
    system: str = ""
    about: str = ""
    examples: int = 0
    reads: Literal["whole", "answer_line", "json"] = "whole"

    def __post_init__(self) -> None:
        if not self.user.strip():
            raise ValueError("its user is empty: write what the model is asked")
        if self.examples < 0:
            raise ValueError(f"examples {self.examples}: give 0 or more")
        if self.reads not in READS:
            raise ValueError(f"reads {self.reads}: choose one of {', '.join(READS)}")
        for text in (self.system, self.user):
            self._fill(text, Item("x"), next(iter(TASKS.values())))

    def messages(self, task: Task, item: Item, solved: Sequence[tuple[Item, str]] = ()) -> list[dict[str, str]]:
        """The conversation up to where the model answers; of the `solved` inputs the first few come before."""
        turns = [{"role": "system", "content": self._fill(self.system, item, task)}] if self.system else []
        for example, answer in solved[: self.examples]:
            turns.append({"role": "user", "content": self._fill(self.user, example, task)})
            turns.append({"role": "assistant", "content": self._written(answer)})
        return [*turns, {"role": "user", "content": self._fill(self.user, item, task)}]

    def read(self, answer: str) -> str | None:
        """The part of the model's answer that counts; None where it is not in the form that was asked for."""
        if self.reads == "answer_line":
            before, found, after = answer.rpartition("Answer:")
            return after.strip() if found else None
        if self.reads == "json":
            return _answer_in_json(answer)
        return answer.strip()

    def _written(self, answer: str) -> str:
        """An example's answer in the form that is asked for."""
        if self.reads == "json":
            return json.dumps({"answer": answer}, ensure_ascii=False)
        return f"Answer: {answer}" if self.reads == "answer_line" else answer

    def _fill(self, text: str, item: Item, task: Task) -> str:
        try:
            return text.format(input=item.text, question=task.question, rules=task.rules, role=task.role)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"{error} is no placeholder: there are {{input}}, {{question}}, {{rules}} and {{role}}, and a brace "
                "that shall stay one is written twice"
            ) from error


def _answer_in_json(answer: str) -> str | None:
    """What stands under "answer" in the first JSON object; a list stays JSON. Words around the object do no harm."""
    start = answer.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(answer[start:]) if start >= 0 else (None, 0)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("answer") is None:
        return None
    value = found["answer"]
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_templates(file: str | Path = TEMPLATES) -> dict[str, Template]:
    """The templates of a YAML file by name. Raises UserError for what is none, naming the template."""
    try:
        found = parse_yaml(read_text(Path(file)))
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not valid YAML ({' '.join(str(error).split())}): mend the file") from error
    if not isinstance(found, dict) or not found:
        raise UserError(f"{file}: holds no templates: write them as in {TEMPLATES.name}")
    templates = {}
    for name, fields in found.items():
        try:
            templates[str(name)] = Template(**fields)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{file}: template {name}: {error}") from error
    return templates


def choose_templates(config: PromptConfig) -> dict[str, Template]:
    """Those that are asked for, in that order. Raises UserError for an unknown name."""
    known = read_templates() | (read_templates(config.template_file) if config.template_file else {})
    names = split_names(config.templates) or list(known)
    for name in names:
        if name not in known:
            raise UserError(f"--templates {name}: unknown, choose among {', '.join(known)}")
    return {name: known[name] for name in names}


def split_names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


class Answer(NamedTuple):
    """What came of one prompt. `right` is None where the answer could not be parsed."""

    input: str
    prompt: str
    answer: str
    right: bool | None


class Cell(NamedTuple):
    """One template on one task: an answer to each input, in their order."""

    answers: list[Answer]
    prompt_tokens: float
    """Mean over the inputs."""
    answer_tokens: float
    seconds: float

    @property
    def scores(self) -> list[bool]:
        """What cannot be parsed is wrong."""
        return [bool(answer.right) for answer in self.answers]


def ask(model: Any, template: Template, task: Task, material: Material, on_progress: Any = lambda done: None) -> Cell:
    """Put every input to a LanguageModel. Raises UserError where it has no chat template, or a prompt fills its window.

    An answer that must be found behind a first thought gets room for the thought.
    """
    room = task.max_new_tokens + (60 if template.reads == "answer_line" else 12 if template.reads == "json" else 0)
    prompts = [model.chat(template.messages(task, item, material.solved)) for item in material.items]
    lengths = [len(model.encode(prompt)) for prompt in prompts]
    if max(lengths) + room > model.context:
        raise UserError(
            f"{model.name}: a prompt of {max(lengths)} tokens and {room} for the answer do not fit into its window of "
            f"{model.context}: take fewer examples, or another model"
        )
    answers: list[str] = []
    with Timer() as timer:
        for start in range(0, len(prompts), AT_ONCE):
            answers += model.generate_batch(prompts[start : start + AT_ONCE], max_new_tokens=room)
            on_progress(len(answers))
    judged = []
    for item, prompt, answer in zip(material.items, prompts, answers, strict=True):
        found = template.read(answer)
        judged.append(Answer(item.text, prompt, answer, task.check(item, found) if found is not None else None))
    written = [len(model.encode(answer, start=False)) for answer in answers]
    return Cell(judged, sum(lengths) / len(lengths), sum(written) / len(written), timer.seconds)


def compare_templates(cells: Mapping[tuple[str, str], Cell], seed: int = 0) -> list[dict[str, Any]]:
    """A row for each (template, task): score with interval, and the test against the task's first template.

    `p_holm` is corrected for all tests of the table. Raises ValueError where a task's templates saw different inputs.
    """
    import numpy as np

    from shared.significance import bootstrap_interval, holm, mcnemar

    first: dict[str, str] = {}
    for template, task in cells:
        first.setdefault(task, template)
    rows: list[dict[str, Any]] = []
    tested = []
    for (template, task), cell in cells.items():
        reference = cells[first[task], task]
        if [a.input for a in cell.answers] != [a.input for a in reference.answers]:
            raise ValueError(f"{template} and {first[task]} saw different inputs of {task}: they cannot be compared")
        scores = np.array(cell.scores)
        interval = bootstrap_interval(scores, seed=seed)
        row = {
            "template": template,
            "task": task,
            "score": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "p": None,
            "p_holm": None,
            "parsed": sum(answer.right is not None for answer in cell.answers) / len(cell.answers),
            "prompt_tokens": cell.prompt_tokens,
            "answer_tokens": cell.answer_tokens,
            "n": len(cell.answers),
        }
        if template != first[task]:
            row["p"], row["only_this_right"], row["only_first_right"] = mcnemar(scores, np.array(reference.scores))
            tested.append(row)
        rows.append(row)
    for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):  # type: ignore[misc]
        row["p_holm"] = corrected
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in keys} for row in rows]


def run_comparison(config: PromptConfig, model: Any) -> dict[tuple[str, str], Cell]:
    """Every template on every task, with a progress bar."""
    templates = choose_templates(config)
    cells = {}
    total = len(templates) * len(config.task_names) * config.n
    with progress_bar("asking", total) as update:
        done = 0

        def report(so_far: int) -> None:
            update(done + so_far)

        for task_name in config.task_names:
            material = load_material(TASKS[task_name], config.n, max(each.examples for each in templates.values()))
            for name, template in templates.items():
                cells[name, task_name] = ask(model, template, TASKS[task_name], material, report)
                done += config.n
    return cells


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(PromptConfig, argv, prog="python -m gpt_text_generation.prompt_engineering")
    setup_logging()
    choose_templates(config)  # before the model is loaded
    from shared.language_model import load_language_model

    # Many prompts at a time are faster on transformers than one at a time on the other engine.
    model = load_language_model(config.model, "transformers")
    cells = run_comparison(config, model)
    rows = compare_templates(cells, config.seed)
    if config.output is not None:
        lines = [
            json.dumps({"template": template, "task": task, **answer._asdict()}, ensure_ascii=False)
            for (template, task), cell in cells.items()
            for answer in cell.answers
        ]
        write_text(Path(config.output), "\n".join(lines) + "\n")
    hidden = ("only_this_right", "only_first_right", "n")
    print_table(
        f"{config.model}, {config.n} inputs of each task",
        [{key: value for key, value in row.items() if key not in hidden} for row in rows],
    )
    print_result({"model": config.model, "rows": rows, "output": config.output})


if __name__ == "__main__":
    run_program(main)
