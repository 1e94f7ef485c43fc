"""Queries, the cut-off, near-duplicates, and the commands on random weights."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from multimodal_llm import image_search as commands
from multimodal_llm.clip_applications import spaces
from multimodal_llm.clip_applications.duplicates import bits_apart, difference_hash, fold
from multimodal_llm.clip_applications.image_index import Found
from multimodal_llm.clip_applications.image_search import ImageSearch, fitting
from multimodal_llm.clip_applications.query import Query, parse
from multimodal_llm.clip_applications.spaces import NamedSpace
from shared.errors import UserError

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "purple": (1, 0, 1)}


def unit(vector) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float32)
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


class Colours:
    """A space in which a word is the colour it names."""

    width = 3

    def encode_texts(self, texts):
        return unit([COLOURS.get(text, (1, 1, 1)) for text in texts])

    def encode_images(self, images):
        return unit([np.asarray(image.resize((1, 1), Image.Resampling.BOX), dtype=float)[0, 0] for image in images])


class Memory:
    """An index in memory."""

    def __init__(self, vectors, looks=None):
        self.vectors = unit(vectors)
        self.looks = looks or [number * 0x0101_0101 for number in range(len(vectors))]

    def __len__(self):
        return len(self.vectors)

    def search(self, vector, n):
        cosines = self.vectors @ vector
        return [
            Found(str(i), float(cosines[i]), self.looks[i], self.vectors[i]) for i in np.argsort(-cosines)[:n].tolist()
        ]

    def usual(self, vector):
        return self.vectors @ vector


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("beach, minus people", "beach", ("people",)),
        ("a dog without a leash and no snow", "a dog", ("leash", "snow")),
        ("beach - people", "beach", ("people",)),
        ("black-and-white dog", "black-and-white dog", ()),
        ("a note on the north wall", "a note on the north wall", ()),
        ("沙滩，没有人", "沙滩", ("人",)),
        # What these gave once: one text "people, dogs", brackets left over, and of the Chinese ones an error.
        ("beach, minus people, dogs", "beach", ("people", "dogs")),
        ("street without cars or people", "street", ("cars", "people")),
        ("a beach (no people)", "a beach", ("people",)),
        ("没有人的海滩", "海滩", ("人",)),
        ("一只没有尾巴的狗", "一只狗", ("尾巴",)),
        ("除了狗以外的动物", "动物", ("狗",)),
        # No "not" at all.
        ("a no parking sign", "a no parking sign", ()),
        ("no smoking sign", "no smoking sign", ()),
        ("No. 5 bus", "No. 5 bus", ()),
    ],
)
def test_what_is_not_wanted_is_taken_out_of_the_text(typed, wanted, unwanted):
    assert parse(typed) == ((wanted,), unwanted)


@pytest.mark.parametrize("typed", ["", "  ", "no people", "without snow"])
def test_a_query_that_wants_nothing_is_refused(typed):
    with pytest.raises(UserError, match="nothing to search for"):
        parse(typed)
    with pytest.raises(UserError, match="nothing to search for"):
        Query(not_texts=("people",)).vector(Colours())


def test_a_photo_fits_that_keeps_seven_tenths_of_the_bests_height_above_the_usual():
    usual, cosines = np.linspace(-0.1, 0.1, 100), np.array([0.6, 0.5, 0.44, 0.3])
    assert fitting(cosines, usual) == 3
    assert fitting(cosines, usual, kept=0.45) == 4
    assert fitting(cosines, usual, floor=0.45) == 2
    assert fitting(cosines, usual, floor=0.7) == 0


def test_the_hash_says_where_a_picture_grows_brighter_from_left_to_right():
    rising = Image.fromarray(np.tile(np.arange(0, 252, 28, dtype=np.uint8), (8, 1)))  # (8, 9)
    assert difference_hash(rising) == -1  # all 64 bits
    assert difference_hash(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


def test_subtracting_moves_photos_that_show_it_down():
    index = Memory([(1, 0, 0.1), (1, 1, 0.1)])
    search = ImageSearch(Colours(), index)
    assert [hit.path for hit in search.search(Query(texts=("yellow",))).hits] == ["1", "0"]
    assert [hit.path for hit in search.search(Query(texts=("yellow",), not_texts=("green",))).hits] == ["0", "1"]


def test_added_queries_find_what_has_both():
    index = Memory([(1, 0, 0), (0, 0, 1), (1, 0, 1)])
    query = Query(texts=("red",), pictures=(Image.new("RGB", (4, 4), "blue"),))
    assert ImageSearch(Colours(), index).search(query).hits[0].path == "2"


def test_the_same_subtracted_leaves_the_query_as_it_was():
    assert Query(texts=("red",), not_texts=("red",)).vector(Colours()) == pytest.approx(unit((1, 0, 0)))


def crowd(n: int, seed: int = 0) -> np.ndarray:
    """Photos that are all rather blue."""
    return np.random.default_rng(seed).standard_normal((n, 3)) * 0.05 + (0, 0, 1)


def test_a_search_that_nothing_matches_gives_nothing_but_the_closest():
    search = ImageSearch(Colours(), Memory(crowd(500)))
    search.floor = 0.5
    results = search.search(Query(texts=("red",)))
    whole = search.search(Query(texts=("red",)), cut=False)
    assert results.hits == []
    assert results.closest.path == whole.hits[0].path
    assert len(whole.hits) == 20


def test_a_photo_that_stands_out_is_given_alone():
    index = Memory(np.vstack([crowd(300), [(1, 0, 0.1)]]))
    results = ImageSearch(Colours(), index).search(Query(texts=("red",)))
    assert [hit.path for hit in results.hits] == ["300"]


def test_photos_are_given_however_many_of_them_fit():
    reds = np.random.default_rng(1).standard_normal((120, 3)) * 0.05 + (1, 0, 0)
    index = Memory(np.vstack([crowd(280), reds]), looks=[(number * 2654435761) % 2**62 for number in range(400)])
    results = ImageSearch(Colours(), index).search(Query(texts=("red",)), k=200)
    assert {int(hit.path) for hit in results.hits} == set(range(280, 400))


def test_small_and_empty_collections_give_all_they_have_unless_the_floor_forbids():
    search = ImageSearch(Colours(), Memory([(1, 0, 0), (0, 1, 0)]))
    assert len(search.search(Query(texts=("red",))).hits) == 2
    search.floor = 0.5
    assert [hit.path for hit in search.search(Query(texts=("red",))).hits] == ["0"]
    assert ImageSearch(Colours(), Memory(np.empty((0, 3)))).search(Query(texts=("red",))).hits == []


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.one_of(st.none(), st.floats(-1, 1)))
def test_the_cut_keeps_the_best_and_only_the_best(values, floor):
    cosines, usual = np.sort(np.array(values))[::-1], np.random.default_rng(0).normal(0, 0.1, 200)
    n = fitting(cosines, usual, floor)
    middle, low = np.quantile(usual, [0.5, 0.16])
    least = middle + 3 * (middle - low) if floor is None else floor
    assert 0 <= n <= len(cosines)
    assert (n > 0) == (cosines[0] >= least)
    if n:
        assert cosines[n - 1] >= least
        share = cosines[0] - 0.3 * max(cosines[0] - middle, 0)
        assert n == len(cosines) or cosines[n] < max(least, share)


def scene(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 255, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC)


def test_a_photo_scaled_compressed_and_brightened_is_a_near_duplicate(tmp_path):
    original = scene(0)
    original.resize((160, 120)).save(tmp_path / "small.jpg", quality=40)
    versions = [Image.open(tmp_path / "small.jpg"), ImageEnhance.Brightness(original).enhance(1.2)]
    for version in versions:
        assert bits_apart(difference_hash(original), difference_hash(version)) <= 8
    apart = [bits_apart(difference_hash(original), difference_hash(scene(seed))) for seed in range(1, 30)]
    assert min(apart) > 8


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_folding_loses_no_photo_and_keeps_the_order_of_the_best(pairs):
    looks = [2**62 if look == 3 else (1 << (20 * look)) - 1 for look, _ in pairs]
    vectors = np.eye(4, dtype=np.float32)[[place for _, place in pairs]].reshape(-1, 4)
    groups = fold(looks, vectors)
    assert sorted(number for group in groups for number in group) == list(range(len(pairs)))
    leaders = [group[0] for group in groups]
    assert leaders == sorted(leaders)


def test_near_duplicates_are_told_with_the_photo_they_repeat():
    index = Memory([(1, 0, 0), (1, 0.01, 0), (0, 1, 0)], looks=[5, 5, 5])
    results = ImageSearch(Colours(), index).search(Query(texts=("red",)))
    assert [(hit.path, hit.near_duplicates) for hit in results.hits] == [("0", ("1",)), ("2", ())]
    unfolded = ImageSearch(Colours(), index).search(Query(texts=("red",)), folded=False)
    assert [hit.path for hit in unfolded.hits] == ["0", "1", "2"]


# The commands


@pytest.fixture
def colour_space(monkeypatch):
    made = NamedSpace("joint", Colours(), "v1")
    monkeypatch.setattr(spaces, "load_space", lambda name="auto", device="auto": made)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (30, 20), colour).save(folder / f"{colour}.png")
    return folder


def run(capsys, *arguments):
    commands.main([str(argument) for argument in arguments])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_index_query_and_remove_from_the_command_line(colour_space, photos, tmp_path, capsys):
    where = ("--index", tmp_path / "index")
    made = run(capsys, "index", photos, *where)
    assert (made["added"], made["photos"], made["broken"]) == (3, 3, [])
    found = run(capsys, "query", "red", *where, "--k", 1)
    assert found["hits"][0]["path"].endswith("red.png")
    like = run(capsys, "query", "--like", photos / "blue.png", *where)
    assert like["hits"][0]["path"].endswith("blue.png")
    minus = run(capsys, "query", "yellow, minus green", *where)
    assert minus["subtracted"] == ["green"]
    assert minus["hits"][0]["path"].endswith("red.png")
    both = run(capsys, "query", "red", "--plus", "blue, red", "--minus", "green", *where)
    assert (both["wanted"], both["subtracted"]) == (["red", "blue", "red"], ["green"])
    assert run(capsys, "remove", photos / "red.png", *where)["photos"] == 2


def test_no_folder_no_index_and_nothing_indexed_are_told_on_one_line(colour_space, photos, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    where = ["--index", str(tmp_path / "index")]
    with pytest.raises(UserError, match="there is no index"):
        commands.main(["query", "red", *where])
    with pytest.raises(UserError, match="no folders"):
        commands.main(["index", *where])
    with pytest.raises(UserError, match="no such folder"):
        commands.main(["index", str(tmp_path / "nowhere"), *where])
    assert not (tmp_path / "index").exists()
    commands.main(["index", str(empty), *where])
    with pytest.raises(UserError, match="holds no photo"):
        commands.main(["query", "red", *where])
    (empty / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(UserError, match="none of the 1 pictures can be read"):
        commands.main(["index", str(empty), *where])


def test_an_index_is_brought_up_to_date_in_its_own_space(photos, tmp_path, monkeypatch, capsys):
    """Without --space, the second update of an index in conse-e5 was refused."""
    asked = []

    def load(name="auto", device="auto"):
        asked.append(name)
        return NamedSpace("joint" if name == "auto" else name, Colours(), "v1")

    monkeypatch.setattr(spaces, "load_space", load)
    where = ("--index", tmp_path / "index")
    run(capsys, "index", photos, *where, "--space", "conse-e5")
    assert run(capsys, "index", photos, *where)["unchanged"] == 3
    assert asked == ["conse-e5", "conse-e5"]
    with pytest.raises(UserError, match="--index"):
        commands.main(["index", str(photos), "--index", ""])


def test_an_index_of_other_weights_is_refused(colour_space, photos, tmp_path, monkeypatch):
    where = ["--index", str(tmp_path / "index")]
    commands.main(["index", str(photos), *where])
    other = NamedSpace("joint", Colours(), "v2")
    monkeypatch.setattr(spaces, "load_space", lambda name="auto", device="auto": other)
    with pytest.raises(UserError, match="another version"):
        commands.main(["query", "red", *where])
    with pytest.raises(UserError, match="its fingerprint is v1, not v2"):
        commands.main(["index", str(photos), *where])


@pytest.mark.parametrize("words", [Query(texts=("海滩",)), Query(texts=("beach",), not_texts=("人",))])
def test_words_that_the_space_cannot_read_are_refused_with_the_remedy(words):
    """A warning stood above results that were nonsense."""
    with pytest.raises(UserError, match="--space conse-e5 --index"):
        commands.refuse_script(NamedSpace("joint", Colours(), "v1"), words, "photos.index")
    commands.refuse_script(NamedSpace("conse-e5", Colours(), "v1"), words, "zh.index")
    commands.refuse_script(NamedSpace("joint", Colours(), "v1"), Query(texts=("crème",)), "photos.index")


def test_without_ray_or_milvus_the_remedy_is_told(photos, tmp_path, monkeypatch, colour_space):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(UserError, match="make setup EXTRAS=scale"):
        commands.main(["index", str(photos), "--index", str(tmp_path / "i"), "--engine", "ray"])
    with pytest.raises(UserError, match="make setup EXTRAS=scale"):
        commands.main(["index", str(photos), "--index", str(tmp_path / "i.db")])


@pytest.mark.slow
def test_a_local_ray_gives_the_index_that_this_process_gives(tmp_path, photos, capsys):
    ray = pytest.importorskip("ray")
    from multimodal_llm.clip_applications.image_index import ImageIndex
    from multimodal_llm.tests.clip_fixtures import save_clip

    (tmp_path / "clip").mkdir()
    save_clip(tmp_path / "clip")
    (photos / "bad.jpg").write_bytes(b"bad")
    found = {}
    for engine in ("local", "ray"):
        where = tmp_path / engine
        made = run(capsys, "index", photos, "--index", where, "--space", tmp_path / "clip", "--engine", engine)
        assert (made["added"], len(made["broken"])) == (3, 1)
        index = ImageIndex(where)
        found[engine] = {path: (photo.content, index.vector(path)) for path, photo in index.photos().items()}
        index.close()
    ray.shutdown()
    assert found["ray"].keys() == found["local"].keys()
    for path, (content, vector) in found["local"].items():
        assert found["ray"][path][0] == content
        assert found["ray"][path][1] == pytest.approx(vector, abs=1e-2)
