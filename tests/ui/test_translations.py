"""Simplified Chinese: whole, with the same placeholders, nothing left over, no verdict on a nerve."""

from __future__ import annotations

import re
import string

import pytest

from app.ui import text
from tests.ui.reading_aloud import english_in
from tests.ui.translations import anywhere, content, shown, spoken, tabled

LANGUAGE = "zh-CN"
HAN = re.compile(r"[\u4e00-\u9fff]")
# Texts that are the same in every language: codes, units, names of methods.
SAME = frozenset(["–", "SHA-256", "PACS", "&PACS", "P&ACS", "ml", "IRE", "RFA", "Ω 1", "60 °C", "ICC(2,1)", "2D", "{name}, {end}", "of {n}", "A: {a}\nB: {b}", "{n} of {all}", "{after} of {before} ml", "{n} of {m}", "Wilson", "Kaplan–Meier"])

QUOTED = ("IEEE", "Ultrasound Med", "landmarks", "allow_propagated", "Shrout", "tls://")  # sources, commands and keys as they are written


@pytest.fixture(scope="module")
def held():
    return content(LANGUAGE)


@pytest.fixture
def chinese():
    """The language of the test; English again after it."""
    text.set_language(LANGUAGE)
    yield
    text.set_language("en")


def test_that_every_text_has_a_translation(held):
    wanted = shown()
    assert len(wanted) > 2000
    missing = {k: where for k, where in wanted.items() if k not in held["texts"] and k not in held["sentences"]}
    assert not missing, f"{len(missing)} texts lack a translation, for example {dict(list(missing.items())[:5])}; python -m tests.ui.translations lists them"


def test_that_no_translation_is_left_of_a_text_that_is_gone(held):
    assert held["texts"].keys() <= spoken().keys() | tabled().keys()
    rest = held["sentences"].keys() - shown().keys()  # refusals that happen to be translated
    assert rest <= (anywhere() if rest else set())


def fields(words: str) -> list[str]:
    """Placeholders with their formats, sorted."""
    return sorted(f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(words) if name is not None)


def test_that_placeholders_and_mnemonics_stay(held):
    for english, words in held["texts"].items():
        if english.count("{}") < 2:  # those are sentences, looked at below
            assert fields(english) == fields(words), english
        key = re.search(r"&(\w)", english)
        assert (re.search(r"\(&(\w)\)", words).group(1) if key else None) == (key.group(1).upper() if key else None), english


def test_that_a_sentence_takes_what_varies_in_it(held):
    for english, words in held["sentences"].items():
        parts = len(re.findall(r"(?:\{\})+", english))
        filled = words.format(*(f"<{n}>" for n in range(parts)))
        assert all(f"<{n}>" in filled for n in range(parts)), english


def test_that_translations_are_chinese(held):
    for english, words in (held["texts"] | held["sentences"]).items():
        if english in SAME:
            continue
        if not HAN.search(words):  # figures, units and signs alone
            assert not english_in(re.sub(r"\{[^}]*\}", " ", english)), english
            continue
        left = english_in(re.sub(r"\{[^}]*\}|\*\.\S+", " ", words))
        assert len(left) < 3 or any(mark in words for mark in QUOTED), f"{words!r} still says {left}"


def test_that_no_structure_is_called_safe_or_spared(held):
    for words in (*held["texts"].values(), *held["sentences"].values()):
        assert not re.search("安全|保留|无损|未受损|幸免|无害|无风险", words), words
    assert held["texts"]["Investigational use only – not for clinical decisions"] == "仅供研究使用，不得用于临床决策"


def test_that_sentences_put_together_are_read_by_their_pattern(chinese):
    assert text.said("Outline by click (N1)") == "点击勾画（N1）"
    assert text.said("Conductivity of background is assumed (preset muscle, give or take 50 %).") == "背景组织 的电导率为假定值（预设 肌肉，误差约 50 %）。"
    assert text.said("Needle E1 passes 3.2 mm from left carotid.") == "针 E1 距 左侧颈动脉 3.2 mm。"
    assert text.said("2 nodes without a reading") == "2 个淋巴结尚无阅片"
    assert text.told("A sentence nobody wrote.", "some_code") == "A sentence nobody wrote. [some_code]"
    assert text.told("The node lies in 3 separate pieces; they are measured as one.", "several_pieces") == "淋巴结分为 3 块；合为一个测量。"


def test_that_english_stays_as_it_is_written():
    text.set_language("en")
    assert text.t("Images") == "Images"
    assert text.said("2 nodes without a reading") == "2 nodes without a reading"
    assert text.told("A sentence.", "some_code") == "A sentence."


def test_that_an_unknown_language_is_refused_by_name():
    with pytest.raises(text.LanguageUnknown, match="no language xx"):
        text.set_language("xx")
    assert text.language() == "en"
