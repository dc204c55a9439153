import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kobert_kit.corpus.personal_data import mask_personal

PARTICLES = ("로", "는", "입니다", "으로 연락 주세요", ")", ".", "이나", "")
glued = st.sampled_from(PARTICLES)
separators = st.sampled_from(("-", ".", " ", ""))
WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def digits(least, most=None):
    return st.text(alphabet="0123456789", min_size=least, max_size=most or least)


def assert_masked(number, tag, before="번호는 ", after="로"):
    masked, counts = mask_personal(f"{before}{number}{after}")
    assert masked == f"{before}<{tag}>{after}"
    assert counts == {tag: 1}


@given(separators, st.integers(1000, 9999), digits(4), glued)
def test_mobile_numbers_are_found_before_particles(separator, middle, last, after):
    assert_masked(f"010{separator}{middle}{separator}{last}", "phone", after=after)


@given(st.sampled_from(("02", "031", "051", "064", "070")), digits(3, 4), digits(4), glued)
def test_area_numbers_are_found_before_particles(area, middle, last, after):
    assert_masked(f"{area}-{middle}-{last}", "phone", after=after)
    assert_masked(f"({area}) {middle}-{last}", "phone", after=after)
    assert_masked(f"{area}.{middle}.{last}", "phone", after="로")


@given(st.sampled_from(("2", "31", "10")), st.integers(1000, 9999), digits(4))
def test_numbers_from_abroad_are_found(area, middle, last):
    for number in (f"+82-{area}-{middle}-{last}", f"+82 {area} {middle} {last}"):
        assert_masked(number, "phone")


@given(st.sampled_from(("1588", "1644", "1899")), digits(4), st.sampled_from(("전화 ", "문의: ")))
def test_service_numbers_need_their_word(first, last, word):
    assert_masked(f"{first}-{last}", "phone", before=word)
    assert mask_personal(f"{first}-{last} 사이의 값")[1] == {}


def resident(year, month, day, sex, serial):
    head = f"{year:02d}{month:02d}{day:02d}{sex}{serial:05d}"
    total = sum(w * int(d) for w, d in zip(WEIGHTS, head, strict=True))
    return head + str((11 - total % 11) % 10)


births = st.tuples(
    st.integers(0, 99),
    st.integers(1, 12),
    st.integers(1, 29),
    st.integers(1, 8),
    st.integers(0, 99_999),
)


@given(births, digits(1), glued)
def test_resident_numbers_with_a_hyphen_need_only_a_birthday(birth, last, after):
    number = resident(*birth)[:12] + last
    assert_masked(f"{number[:6]}-{number[6:]}", "id", after=after)
    assert_masked(f"{number[:6]} {number[6:]}", "id", after=after)
    assert_masked(f"{number[:6]}-{number[6]}******", "id", after=after)


@given(births, digits(1))
def test_resident_numbers_without_hyphen_need_the_check_digit_too(birth, last):
    number = resident(*birth)
    assert_masked(number, "id")
    assume(last != number[-1])
    assert mask_personal(f"값 {number[:12]}{last}이다")[1].get("id") is None


@given(st.sampled_from(("1302", "0230", "0431", "0000")), digits(7))
def test_impossible_birthdays_are_no_resident_numbers(day, rest):
    assert mask_personal(f"번호 99{day}-{rest}번")[1].get("id") is None


LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@pytest.mark.parametrize(("month", "last"), list(enumerate(LAST_DAYS, start=1)))
def test_a_birthday_may_be_the_last_of_its_month_and_not_the_day_after(month, last):
    assert_masked(f"00{month:02d}{last}-3123456", "id")
    assert mask_personal(f"번호 00{month:02d}{last + 1}-3123456번")[1].get("id") is None


def with_check_digit(head):
    doubled = [(2 * int(d) - 9 * (int(d) > 4)) for d in head[::-2]]
    total = sum(doubled) + sum(int(d) for d in head[-2::-2])
    return head + str(-total % 10)


@given(st.sampled_from("4569"), digits(14), st.sampled_from(("-", " ", "")), digits(1), glued)
def test_cards_are_found_by_luhn_alone(first, middle, separator, last, after):
    number = with_check_digit(first + middle)
    assume(len(set(number)) > 2)
    parts = separator.join(re.findall("....", number))
    assert_masked(parts, "card", after=after)
    assume(last != number[-1])
    assert mask_personal(f"값 {parts[:-1]}{last}이다")[1].get("card") is None


@given(
    st.sampled_from(("3-3-6", "4-3-6", "3-6-5", "3-4-4-2", "3-6-2-3", "4-2-7", "6-2-6", "3-2-6")),
    digits(20),
    glued,
)
def test_accounts_are_found_by_the_form_of_their_bank(form, row, after):
    parts, begin = [], 0
    for length in map(int, form.split("-")):
        parts.append("1" + row[begin : begin + length - 1])
        begin += length
    assert_masked("-".join(parts), "account", after=after)


@given(st.sampled_from(("국민은행 ", "계좌번호: ", "카카오뱅크 ")), digits(12))
def test_accounts_without_hyphens_need_a_bank(bank, number):
    assume(not number.startswith("0"))
    assert_masked(number, "account", before=bank)
    assert mask_personal(f"합계 {number}원")[1] == {}


@given(
    st.text(alphabet="abcxyz019._", min_size=1, max_size=12).filter(
        lambda name: name[0] not in "._"
    ),
    st.sampled_from(("naver.com", "snu.ac.kr", "sub.mail.example.org")),
    st.sampled_from(("로", "입니다", "", ", 또는")),
)
def test_addresses_are_found_before_particles(name, domain, after):
    assert_masked(f"{name}@{domain}", "email", after=after)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("hong골뱅이네이버닷컴으로", "<email>으로"),
        ("카드 378282246310005로", "카드 <card>로"),
        ("카드 3530-1113-3330-0000로", "카드 <card>로"),
        ("면허 11-12-345678-90 소지", "면허 <id> 소지"),
        ("면허는 서울 12-345678-90", "면허는 <id>"),
        ("여권번호 M12345678와", "여권번호 <id>와"),
        ("여권 M123A4567을", "여권 <id>을"),
        ("여권 m123a4567을", "여권 <id>을"),
        ("TEL 02 123 4567", "TEL <phone>"),
        ("0212345678은 전화 0212345678", "0212345678은 전화 <phone>"),
    ],
)
def test_further_forms(text, masked):
    assert mask_personal(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "2013-12-05부터 2014.12.05까지",
        "제2013-12호(2013. 12. 3.) 제1234567호",
        "1,234,567,890원과 12345678원",
        "ISBN 978-89-1234-567-4, 9788912345674, 89-1234-567-8",
        "버전 10.0.19041.1234와 1.2.3",
        "위도 37.566535, 경도 126.977969",
        "사업자등록번호 123-45-67890",
        "법인등록번호: 110111-1234567",
        "특허 10-2013-0012345",
        "0100001234로 발급한다",
        "3.14159265358979",
        "M12345678 나사",
        "1588-1599년",
        "골뱅이무침",
        "트위터 @hong",
        "131302-1234567",
        "4111 1111 1111 1112",
        "2024-11-22 010",
        "4444 4444 4444 4448",
        "9901011******",
        "법인 등록 번호는 다음과 같음: 110111-1234567",
    ],
)
def test_other_numbers_stay(text):
    assert mask_personal(text) == (text, {})


@given(st.text())
def test_a_masked_text_has_nothing_left_to_mask(text):
    masked, _ = mask_personal(text)
    assert mask_personal(masked) == (masked, {})
