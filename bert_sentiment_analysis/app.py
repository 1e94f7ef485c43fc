"""The demo page: type a text and see what the model thinks and which words made it; or give it a file of texts."""

from functools import partial
from pathlib import Path

import streamlit as st

from bert_sentiment_analysis import page_text
from bert_sentiment_analysis.page_models import TRAINING, Model, Page, Say, find_models, load_or_say, model_name
from shared.page import choice_key, choose_language
from shared.phrases import Language, phrase


def main() -> None:
    st.set_page_config(layout="wide")  # two pictures beside each other need the room
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.bert_sentiment_analysis", language))
    notices = st.container()
    one, many, quality = st.tabs([say("tab.one"), say("tab.many"), say("tab.quality")])
    with one:
        text = page_text.ask(say)
    # What answers takes seconds to load, of which torch takes most: one can write meanwhile.
    from bert_sentiment_analysis import page_quality, page_texts

    folders = find_models()
    with notices:
        model = choose_model(folders, say) if folders else count_words(say)
    if model is None:
        return
    page = Page(model, language, say)
    with one:
        page_text.show(page, text, folders)
    with many:
        page_texts.show(page)
    with quality:
        page_quality.show(page)


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"sentiment.page.{key}", language, **values)


def choose_model(folders: list[Path], say: Say) -> Model | None:
    """The model of the visitor's choice, described in the sidebar; None where its files are damaged."""
    naming = partial(model_name, say=say)
    folder = st.sidebar.selectbox(say("model"), folders, format_func=naming, key=choice_key("model"))
    model = load_or_say(folder, say)
    if model is not None:
        classifier = model.predictor.classifier
        count = f"{sum(weight.numel() for weight in classifier.parameters()):,}"
        kind = say("kind.rating" if model.rates else "kind.classification", n=len(model.classes))
        st.sidebar.caption(say("model_facts", kind=kind, params=count, tokens=classifier.settings.max_length))
        if (card := folder / "README.md").is_file():
            with st.sidebar.expander(say("card")):
                st.markdown(card.read_text(encoding="utf-8"))
    return model


def count_words(say: Say) -> Model | None:
    """Where no encoder is: counted words, and a banner that says so; None where there are no texts to learn from."""
    with st.spinner(say("counting_words")):
        model = load_or_say(None, say)
    if model is not None and model.counted is not None:
        labels, probabilities = model.counted.held_out
        accuracy = (probabilities.argmax(1) == labels).mean()
        st.warning(say("no_models", accuracy=f"{accuracy:.1%}", n=f"{len(labels):,}"))
        st.code(TRAINING, language="bash", wrap_lines=True)
        kind = say("kind.classification", n=len(model.classes))
        st.sidebar.caption(say("counted_facts", kind=kind, params=f"{model.counted.n_params:,}"))
    return model


main()
