import gzip

import pytest

from kobert_kit.corpus import detection
from kobert_kit.corpus.detection import detect
from kobert_vocab.languages import find_language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("오늘은 비가 온다", "ko"),
        ("비가 온다".encode().decode() + " C++ API", "ko"),
        ("ㅋㅋㅋ", "ko"),
        ("今日は寒いですね", "ja"),
        ("这是我们的国家", "zh-Hans"),
        ("這是我們的國家", "zh-Hant"),
        ("วันนี้ฝนตก", "th"),
        ("დღეს წვიმს", "ka"),
        ("Σήμερα βρέχει", "el"),
        ("The committee will meet again in the city on Thursday evening.", "en"),
        ("Der Ausschuss trifft sich am Donnerstagabend wieder in der Stadt.", "de"),
        ("Комитет снова соберётся в городе в четверг вечером.", "ru"),
        ("12:30, 5.5 %", "und"),
        ("", "und"),
        ("a", "und"),
        ("山川", "und"),
        ("Bonjour Tom", "und"),  # French says the model, at 0.17
        ("이 API 함수를 CString에", "ko"),
    ],
)
def test_languages_are_told_by_script_and_then_by_words(text, code):
    assert detect(text) == code


def test_a_few_kana_make_a_text_japanese():
    assert detect("東京都庁前広場での集会案内") == "ja"  # two of thirteen letters
    assert detect("我们的国家の这说为国个时会过对来没还发经长门问") == "zh-Hans"  # one of many


def test_only_the_beginning_of_a_text_is_looked_at():
    assert detect("오늘은 비가 온다. " * 200 + "The rain has come. " * 2_000) == "ko"


def test_a_language_of_the_model_that_the_table_lacks_in_that_script_is_unknown(monkeypatch):
    class Sure:
        def classify(self, _):
            return "volapük", 1.0

    monkeypatch.setattr(detection, "_identifier", Sure)
    assert detect("Binob in dom obik e vilob gololön.") == "und"


def test_a_model_of_another_script_is_not_believed():
    # Uzbek in Cyrillic letters must not become Uzbek in Latin ones.
    assert detect("Бугун ёмғир ёғди, биз уйда қолдик ва китоб ўқидик.") != "uz"


@pytest.mark.corpora
@pytest.mark.parametrize(
    "key",
    ["kor", "eng", "jpn", "deu", "fra", "spa", "rus", "tha", "ara", "hin", "zho_Hans", "zho_Hant"],
)
def test_pieces_of_500_characters_are_known_in_nine_of_ten_cases(corpora, key):
    with gzip.open(corpora / "multilingual" / f"{key}.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read(30_000)
    pieces = [text[begin : begin + 500] for begin in range(0, len(text) - 499, 500)]
    right = sum(detect(piece) == find_language(key) for piece in pieces)
    assert right >= 0.9 * len(pieces)
