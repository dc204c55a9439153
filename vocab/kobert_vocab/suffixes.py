"""Where Korean words end in particles and endings, from a table: the analyser without a model.

The longest suffix that leaves a stem is cut off, then the longest of what is left, three deep
(학교|에서|는, 먹|었|습니다). There is no dictionary, so a one-syllable suffix needs a stem of two
syllables (가지 keeps its 지), and one that only follows a consonant or a vowel is held to that.
"""

from kobert_vocab.hangul import is_syllable, tail

DEPTH = 3
# Syllables of stem that a suffix of one syllable needs, and a longer one: 가지 keeps its 지.
STEM_OF_SHORT, STEM_OF_LONG = 2, 1

# Particles (josa) and endings (eomi) that follow a final consonant, those that follow a vowel
# (or ㄹ before 로), and all others. Compound ones (에서는, 까지도) come off one by one.
AFTER_CONSONANT = """
은 을 과 이나 이랑 이라도 이라는 이라고 이라 이라면 이며 이든 이든지 이야 이란 이나마 으로 으로서
으로써 이다 이에요 이네 이죠 입니다 으니 으니까 으러 으려 으려고 으려면 으며 으면 으면서 으므로
는다 는다고 는다는 는다면 다는 다고 다면 다며 다니 다만 습니다 습니까 었 았 겠 음
"""
AFTER_VOWEL = """
를 와 가 랑 라도 라는 라고 라면 란 나마 든지 였다 였던 예요 로 로서 로써
"""
OTHERS = """
이 의 에 도 만 는 에서 에게 한테 께 께서 에게서 한테서 부터 까지 마저 조차 밖에 처럼 같이 보다 만큼
마다 대로 뿐 요 들 다 고 지 게 자 면 니 나 네 죠 던 며 기 거나 거든 거라 고서 구나 군요 길래 냐고
느냐 는가 는구나 는군요 는데 는데요 는지 니까 다가 더니 더라 더라고 더라도 더라면 던가 던데 던지
도록 든가 듯이 려고 려면 면서 므로 어도 어라 어서 어야 어야지 어요 아도 아라 아서 아야 아요 자마자
잖아 잖아요 지만 지요 네요 세요 십니다 하다 하고 하는 하기 하여 하며 하면 하지 하게 하거나 하도록
했다 했던 했고 했는데 했습니다 합니다 한다 한다고 해서 해도 해야 해요 하였다 되는 되고 되다 되어
되었다 된다 됩니다 됐다 시킨 시키는 적인 적으로
"""

_CONSONANT_ONLY = frozenset(AFTER_CONSONANT.split())
_VOWEL_ONLY = frozenset(AFTER_VOWEL.split())
_SUFFIXES = frozenset(OTHERS.split()) | _CONSONANT_ONLY | _VOWEL_ONLY
_LONGEST = max(map(len, _SUFFIXES))
_RIEUL = 8  # ㄹ: 서울로, not 서울으로


def suffix_cuts(word: str) -> list[int]:
    """Where the suffixes of ``word`` begin, ascending.

    >>> suffix_cuts("학교에서는"), suffix_cuts("배웠습니다"), suffix_cuts("가지")
    ([2, 4], [2], [])
    """
    cuts: list[int] = []
    end = len(word)
    while len(cuts) < DEPTH:
        start = _suffix_start(word[:end])
        if start is None:
            break
        cuts.append(start)
        end = start
    return cuts[::-1]


def _suffix_start(word: str) -> int | None:
    for start in range(max(1, len(word) - _LONGEST), len(word)):
        stem, suffix = word[:start], word[start:]
        shortest = STEM_OF_SHORT if len(suffix) == 1 else STEM_OF_LONG
        if suffix in _SUFFIXES and len(stem) >= shortest and _fits(stem, suffix):
            return start
    return None


def _fits(stem: str, suffix: str) -> bool:
    if not is_syllable(stem[-1]):
        return True  # 3을, OECD는: how it is read is not known
    last = tail(stem[-1])
    if suffix in _CONSONANT_ONLY:
        return last != 0
    if suffix in _VOWEL_ONLY:
        return last == 0 or (last == _RIEUL and suffix.startswith("로"))
    return True
