"""Search a folder of photos by words and pictures.

python -m multimodal_llm.image_search index ~/Pictures --index photos.index
python -m multimodal_llm.image_search query "a dog on a beach, minus people" --index photos.index
python -m multimodal_llm.image_search query --like photo.jpg --plus snow --index photos.index
python -m multimodal_llm.image_search remove ~/Pictures/old --index photos.index
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from shared.config import check, first_line, parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.timing import Timer

log = get_logger(__name__)

PROGRAM = "python -m multimodal_llm.image_search"


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Bring an index up to date with the folders that stand after the options: new, changed, moved, deleted photos."""

    index: str = "photos.index"
    """Folder of the index, or a Milvus address (http://...:19530)."""
    space: str = "auto"
    """Where pictures and words meet: joint (ours, non-commercial), conse (free), conse-e5 (Chinese), or a CLIP; by
    default what the index was made with, a new one with joint."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    engine: Literal["local", "ray"] = "local"
    """Who encodes: this process, or a Ray cluster."""
    address: str | None = None
    """Of the Ray cluster; by default one is started on this machine."""
    workers: int = 2
    """Processes that encode on the cluster."""

    def __post_init__(self) -> None:
        check(bool(self.index.strip()), "index", repr(self.index), "name a folder")
        check(self.workers >= 1, "workers", self.workers, "give at least 1")


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """Find the photos that the words after the options describe; "minus", "without" and "no" are subtracted."""

    index: str = "photos.index"
    """Folder of the index, or a Milvus address (http://...:19530)."""
    plus: str = ""
    """More that photos should show, with commas between."""
    minus: str = ""
    """What they should not show, with commas between."""
    like: str | None = None
    """A picture that they should be like."""
    unlike: str | None = None
    """A picture that they should be unlike."""
    k: int = 20
    """Photos at most."""
    always: bool = False
    """Give k photos, whether they fit or not."""
    unfolded: bool = False
    """List near-duplicates too."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        check(1 <= self.k <= 1000, "k", self.k, "give 1 to 1000")


@dataclass(frozen=True, kw_only=True)
class RemoveConfig:
    """Forget the photos in the folders and files that stand after the options; the photos themselves stay."""

    index: str = "photos.index"
    """Folder of the index, or a Milvus address (http://...:19530)."""


def index(config: IndexConfig, folders: Sequence[str]) -> dict[str, Any]:
    """Update the index. Raises UserError for no or missing folders, and where none of the files can be read."""
    from functools import partial

    from multimodal_llm.clip_applications.index_update import encode_here, update
    from multimodal_llm.clip_applications.spaces import load_space
    from multimodal_llm.picture_files import told

    if not folders:
        raise UserError("no folders: give some after the options")
    if missing := [folder for folder in folders if not Path(folder).expanduser().exists()]:
        raise UserError(f"{missing[0]}: no such folder: check the path (nothing was changed)")
    name = config.space if config.space != "auto" else space_of(config.index)
    space = load_space(name, config.device)
    opened = open_index(
        config.index, {"space": space.name, "fingerprint": space.fingerprint, "width": str(space.width)}
    )
    if config.engine == "ray":
        from multimodal_llm.clip_applications.ray_encode import encode_with_ray

        encode: Any = partial(encode_with_ray, name, workers=config.workers, address=config.address)
    else:
        encode = partial(encode_here, space)
    with Timer() as timer, progress_bar("photos", None) as show:
        changes = update(opened, folders, encode, progress=lambda done, total: show(done, f"of {total:,}"))
    for line in changes.broken:
        log.warning("%s: %s", line["file"], line["reason"])
    if changes.passed_over:
        log.warning("%s", told(changes.passed_over))
    result = {**asdict(changes), "photos": len(opened), "index": config.index, "space": space.name}
    opened.close()
    if changes.broken and not result["photos"]:
        raise UserError(f"none of the {len(changes.broken):,} pictures can be read: {changes.broken[0]['reason']}")
    if not result["photos"]:
        log.warning("no pictures in %s: the index is empty", ", ".join(folders))
    return {**result, "seconds": timer.seconds}


def query(config: QueryConfig, texts: Sequence[str]) -> dict[str, Any]:
    """Search. Raises UserError where nothing is searched for, the index is empty, or a picture cannot be read."""
    from multimodal_llm.clip_applications.image_search import ImageSearch
    from multimodal_llm.clip_applications.query import Query, parse
    from multimodal_llm.clip_applications.spaces import load_space
    from multimodal_llm.images import load_image

    pairs = [parse(text) for text in [*([" ".join(texts)] if texts else []), *parts(config.plus)]]
    asked = Query(
        texts=tuple(text for wanted, _ in pairs for text in wanted),
        not_texts=(*(text for _, unwanted in pairs for text in unwanted), *parts(config.minus)),
        pictures=(load_image(config.like),) if config.like else (),
        not_pictures=(load_image(config.unlike),) if config.unlike else (),
    )
    opened = open_index(config.index)
    if not len(opened):
        raise UserError(f"--index {config.index}: holds no photo: run `{PROGRAM} index FOLDER` first")
    space = load_space(opened.settings["space"], config.device)
    if space.fingerprint != opened.settings["fingerprint"]:
        raise UserError(f"--index {config.index}: its vectors are of another version of {space.name}: index anew")
    refuse_script(space, asked, config.index)
    asked.vector(space)  # a model is loaded when it is first used, which is no part of a search
    with Timer() as timer:
        results = ImageSearch(space, opened).search(asked, config.k, cut=not config.always, folded=not config.unfolded)
    opened.close()
    return {
        "wanted": [*asked.texts, *filter(None, [config.like])],
        "subtracted": [*asked.not_texts, *filter(None, [config.unlike])],
        **asdict(results),
        "seconds": timer.seconds,
    }


def parts(text: str) -> list[str]:
    """What stands between the commas."""
    return [part.strip() for part in text.replace("，", ",").split(",") if part.strip()]


def remove(config: RemoveConfig, paths: Sequence[str]) -> dict[str, Any]:
    """Forget photos. Raises UserError where none of the paths is in the index."""
    opened = open_index(config.index)
    roots = [Path(path).expanduser().resolve() for path in paths]
    known = [
        path
        for path in (*opened.photos(), *opened.broken())
        if any(Path(path) == root or root in Path(path).parents for root in roots)
    ]
    if not known:
        raise UserError(f"{', '.join(paths) or 'no paths'}: nothing of it is in {config.index}: check the path")
    opened.remove(known)
    opened.compact()
    opened.reload()
    result = {"removed": len(known), "photos": len(opened)}
    opened.close()
    return result


def open_index(address: str, settings: dict[str, str] | None = None) -> Any:
    """A folder's index, or that of a Milvus server (an address) or file (NAME.db)."""
    if "://" in address or address.endswith(".db"):
        from multimodal_llm.clip_applications.milvus_index import MilvusIndex

        return MilvusIndex(address, settings)
    from multimodal_llm.clip_applications.image_index import ImageIndex

    return ImageIndex(address, settings)


def space_of(address: str) -> str:
    """The name of the space that an index was made with, `auto` where there is none yet."""
    try:
        opened = open_index(address)
    except UserError:
        return "auto"
    opened.close()
    return opened.settings["space"]


def refuse_script(space: Any, asked: Any, index: str) -> None:
    """Raise UserError where the space's text encoder cannot read what was typed: it would answer with nonsense."""
    if space.reads_chinese is False and not asked.is_latin:
        words = " ".join((*asked.texts, *asked.not_texts))
        raise UserError(
            f"{words:.40}: {index} is in the space {space.name}, which reads English only: "
            f"run `{PROGRAM} index FOLDER --space conse-e5 --index zh.index`, and query that index"
        )


COMMANDS: dict[str, tuple[type, Any]] = {
    "index": (IndexConfig, index),
    "query": (QueryConfig, query),
    "remove": (RemoveConfig, remove),
}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        usage = [f"usage: {PROGRAM} NAME [--help] [options] [WORDS or PATHS]", "", "NAME is one of:"]
        usage += [f"  {name:8} {first_line(config_class)}" for name, (config_class, _) in COMMANDS.items()]
        sys.stdout.write("\n".join(usage) + "\n")
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"unknown name {name!r}: choose one of {', '.join(COMMANDS)}")
    config_class, run = COMMANDS[name]
    options, words = split_texts(rest)
    config = parse_config(config_class, options, prog=f"{PROGRAM} {name}")
    setup_logging()
    result = run(config, words)
    for hit in result.get("hits", []):
        also = f"  (and {len(hit['near_duplicates'])} like it)" if hit["near_duplicates"] else ""
        log.info("%.3f  %s%s", hit["cosine"], hit["path"], also)
    if "hits" in result and not result["hits"]:
        log.info("nothing matches; the closest is %s (see --always)", result["closest"]["path"])
    print_result(result)


if __name__ == "__main__":
    run_program(main)
