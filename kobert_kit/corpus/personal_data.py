"""Personal data in text replaced by tags: <email>, <id>, <card>, <account> and <phone>.

Masked is what has the form of such a number and is no other number: a resident number needs a
possible birthday, a card the Luhn check, and forms that other numbers share (15xx-xxxx, digits
without hyphens, passports) need their word before them. Dates, law and patent numbers, ISBN, prices
and coordinates stay. Forms of Korea; an e-mail address is one anywhere.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

# Any of the numbers has seven digits with at most two signs between two of them, but for M123A4567
# of a passport. (An expression that begins with one set is found four times as fast as a choice.)
_NUMBER = re.compile(r"[0-9](?:(?:[-. )]{0,2}[0-9]){6}|[0-9]{2}[A-Za-z][0-9]{4})")
_NOTHING: Mapping[str, int] = MappingProxyType({})

_BEFORE = r"(?<![0-9])(?<![0-9][-.,])"
_AFTER = r"(?![0-9]|[-.,][0-9])"

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]*@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
# "hong골뱅이네이버": only with a Latin name and a domain of the large providers.
_SPOKEN_EMAIL = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]+ ?골뱅이 ?(?:naver|gmail|hanmail|daum|nate|kakao"
    r"|네이버|지메일|한메일|다음|네이트|카카오)(?: ?(?:\.|점|닷) ?(?:com|net|컴|넷))?"
)

_RESIDENT = re.compile(
    rf"{_BEFORE}([0-9]{{2}})([0-9]{{2}})([0-9]{{2}})([- ]?)([0-9][0-9]{{6}}|[0-9]\*{{4,6}})"
    rf"(?!\*){_AFTER}"
)
_COMPANY = re.compile(r"법인\s?(?:등록)?\s?번호[^0-9]{0,10}$")  # six and seven digits as well
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)

_CARD = re.compile(
    rf"{_BEFORE}(?:[0-9]{{4}}([- ]?)[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}"
    rf"|3[47][0-9]{{2}}([- ]?)[0-9]{{6}}\2[0-9]{{5}}){_AFTER}"
)
_CARD_BEGINS = "34569"  # 3 Amex and JCB, 4 Visa, 5 Mastercard, 6 UnionPay, 9 domestic

_LICENCE = re.compile(
    rf"{_BEFORE}(?:1[1-9]|2[0-8])-[0-9]{{2}}-[0-9]{{6}}-[0-9]{{2}}{_AFTER}"  # 11 Seoul ... 28
    r"|(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주)"
    rf" ?[0-9]{{2}}-[0-9]{{6}}-[0-9]{{2}}{_AFTER}"
)
_PASSPORT = re.compile(
    r"((?:여권|[Pp]assport)[^0-9\n]{0,20}?(?<![A-Za-z0-9]))"
    r"[MSRGDmsrgd][0-9]{3}[A-Za-z0-9][0-9]{4}(?![A-Za-z0-9])"
)

_BANKS = (
    r"계좌|입금|송금|국민은행|신한은행|우리은행|하나은행|기업은행|제일은행|씨티은행|농협|수협|우체국|신협"
    r"|새마을금고|카카오뱅크|토스뱅크|케이뱅크|부산은행|대구은행|광주은행|전북은행|경남은행|제주은행"
)
# The banks' ways to part an account's digits. 4-4-4 (Toss) and 3-4-4 need a bank's name.
_ACCOUNT_FORMS = (
    "3-3-6",  # Shinhan, K bank
    "4-3-6",  # Woori
    "3-6-5",  # Hana
    "3-4-4-2",  # NongHyup
    "3-6-2-3",  # IBK
    "4-2-7",  # Kakao
    "6-2-6",  # KB, post office
    "3-2-6",  # SC, old Shinhan
    "3-2-4-3",  # old KB
    "4-2-6-1",
    "4-4-4-1",  # credit unions
    "3-2-6-1",  # Busan, Daegu
)
_HYPHENED = "|".join(
    "-".join(f"[0-9]{{{length}}}" for length in form.split("-"))
    for form in sorted(_ACCOUNT_FORMS, key=len, reverse=True)
)
_ACCOUNT = re.compile(rf"{_BEFORE}(?:{_HYPHENED}){_AFTER}")
_NAMED_ACCOUNT = re.compile(
    rf"((?:{_BANKS})[^0-9\n]{{0,15}}?{_BEFORE})(?!01[016789])"
    rf"(?:[0-9]{{10,14}}|[0-9]{{3,6}}-[0-9]{{2,6}}-[0-9]{{4,7}}){_AFTER}"
)

_AREA = r"(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|80|50[2-8]?)"
_PHONE = re.compile(
    rf"(?:\+|(?<![0-9])00)82[-. )]{{0,2}}(?:\(?0\)?)?(?:{_AREA}|1[016789])[-. )]{{0,2}}"
    rf"[0-9]{{3,4}}[-. ]?[0-9]{{4}}{_AFTER}"
    # 010 is followed by eight digits, the older 011 to 019 by seven or eight; none begins with 0
    # (0100001234 is the tax office's code for receipts without a name).
    rf"|{_BEFORE}01(?:0([-. ]?)[1-9][0-9]{{3}}\1|[16789]([-. ]?)[1-9][0-9]{{2,3}}\2)"
    rf"[0-9]{{4}}{_AFTER}"
    rf"|{_BEFORE}\(?0{_AREA}(?:\) ?|-)[0-9]{{3,4}}-[0-9]{{4}}{_AFTER}"
    rf"|{_BEFORE}0{_AREA}\.[0-9]{{3,4}}\.[0-9]{{4}}{_AFTER}"
)
_NAMED_PHONE = re.compile(
    r"((?:전화|연락처|문의|팩스|콜센터|고객센터|대표번호|휴대폰|핸드폰|☎|☏|℡|[Tt][Ee][Ll]|[Ff][Aa][Xx]|[Pp]hone)"
    rf"[^0-9\n]{{0,12}}?{_BEFORE})"
    rf"(?:0{_AREA}[-. ]?[0-9]{{3,4}}[-. ]?[0-9]{{4}}|1[568][0-9]{{2}}[-. ]?[0-9]{{4}}){_AFTER}"
)


def mask_personal(text: str) -> tuple[str, Mapping[str, int]]:
    """``text`` with personal data replaced, and how many of each tag.

    >>> mask_personal("문의는 010-1234-5678로, hong@example.kr도 됩니다")[0]
    '문의는 <phone>로, <email>도 됩니다'
    """
    if not ("@" in text or "골뱅이" in text or _NUMBER.search(text)):
        return text, _NOTHING
    counts: Counter[str] = Counter()
    for tag, pattern, is_one in _STEPS:
        text = _masked(text, tag, pattern, is_one, counts)
    return text, dict(counts)


def _masked(
    text: str,
    tag: str,
    pattern: re.Pattern[str],
    is_one: Callable[[re.Match[str]], bool],
    counts: Counter[str],
) -> str:
    def replacement(match: re.Match[str]) -> str:
        if not is_one(match):
            return match[0]
        counts[tag] += 1
        before = match[1] if pattern in _WITH_WORD else ""
        return f"{before}<{tag}>"

    return pattern.sub(replacement, text)


def _always(match: re.Match[str]) -> bool:
    return True


def _is_resident(match: re.Match[str]) -> bool:
    _, month, day, separator, rest = match.groups()
    # 9 and 0 are people born before 1900, 5 to 8 foreigners.
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= _DAYS[int(month) - 1]):
        return False
    if "*" in rest:
        return bool(separator)
    if not separator:
        return _has_check_digit(match[0])
    return not _COMPANY.search(match.string[max(0, match.start() - 25) : match.start()])


def _has_check_digit(digits: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=False))
    return (11 - total % 11) % 10 == int(digits[-1])


def _is_card(match: re.Match[str]) -> bool:
    digits = [int(char) for char in match[0] if char.isdigit()]
    if match[0][0] not in _CARD_BEGINS or len(set(digits)) < 3:
        return False
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


_WITH_WORD = frozenset((_PASSPORT, _NAMED_ACCOUNT, _NAMED_PHONE))
# In this order: a card without hyphens would be an account, a licence a telephone.
_STEPS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    ("email", _EMAIL, _always),
    ("email", _SPOKEN_EMAIL, _always),
    ("id", _RESIDENT, _is_resident),
    ("card", _CARD, _is_card),
    ("id", _LICENCE, _always),
    ("id", _PASSPORT, _always),
    ("phone", _PHONE, _always),
    ("account", _ACCOUNT, _always),
    ("phone", _NAMED_PHONE, _always),
    ("account", _NAMED_ACCOUNT, _always),
)
