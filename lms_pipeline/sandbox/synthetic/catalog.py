"""The catalog of the synthetic world: names of people, titles and kinds of courses, profiles of companies.

Belongs here: words, and figures that describe a company or a course. Not here: what happens to whom (`company.py`).
"""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Literal, NamedTuple

import msgspec


class Names(NamedTuple):
    """Names of one language, each as written and as in an e-mail address."""

    given: list[tuple[str, str]]
    family: list[tuple[str, str]]
    is_family_first: bool
    separator: str

    def format_full(self, given: str, family: str) -> str:
        """Return the full name in the order of the language."""
        return self.separator.join((family, given) if self.is_family_first else (given, family))


def _names(given: str, family: str, *, is_family_first: bool = False, separator: str = " ") -> Names:
    return Names(_parse(given), _parse(family), is_family_first, separator)


def _parse(words: str) -> list[tuple[str, str]]:
    """Parse words like `Zoë=zoe Adam`; without `=` the address has the name in lower case."""
    pairs = (word.partition("=") for word in words.split())
    return [(written, ascii_form or written.lower()) for written, _, ascii_form in pairs]


WESTERN = _names(
    "Emma Noah Olivia Liam Ava James Sophia Henry Grace Lucas Chloé=chloe Hugo Zoë=zoe Anaïs=anais Jürgen=juergen "
    "Søren=soeren Łukasz=lukasz Małgorzata=malgorzata Inês=ines João=joao Siobhán=siobhan Ömer=oemer",
    "Smith Garcia Martin Rossi Silva O'Brien=obrien D'Angelo=dangelo Müller=mueller Jensen Nowak Kowalczyk "
    "Lefèvre=lefevre Núñez=nunez Ferreira Byrne Johansson Novák=novak Demir Okafor Horváth=horvath",
)
CYRILLIC = _names(
    "Ирина=irina Олег=oleg Надежда=nadezhda Андрій=andriy Дмитрий=dmitry Милена=milena Оксана=oksana Петър=petar",
    "Шевченко=shevchenko Коваленко=kovalenko Мельник=melnyk Димитров=dimitrov Бондар=bondar Ткач=tkach Лысенко=lysenko",
)
GREEK = _names(
    "Ελένη=eleni Γιώργος=giorgos Κατερίνα=katerina Νίκος=nikos Σοφία=sofia Δημήτρης=dimitris",
    "Αλεξίου=alexiou Νικολάου=nikolaou Οικονόμου=oikonomou Κωνσταντίνου=konstantinou Βασιλείου=vasileiou",
)
CHINESE = _names(
    "伟=wei 秀英=xiuying 娜=na 敏=min 静=jing 浩然=haoran 子涵=zihan 欣怡=xinyi",
    "王=wang 李=li 张=zhang 刘=liu 陈=chen 杨=yang 赵=zhao 欧阳=ouyang",
    is_family_first=True,
    separator="",
)
JAPANESE = _names(
    "陽菜=hina 蓮=ren さくら=sakura 大翔=hiroto 美咲=misaki 健太=kenta",
    "佐藤=sato 鈴木=suzuki 高橋=takahashi 田中=tanaka 渡辺=watanabe 小林=kobayashi",
    is_family_first=True,
)
KOREAN = _names(
    "서연=seoyeon 민준=minjun 지우=jiwoo 하윤=hayoon 도윤=doyoon",
    "김=kim 이=lee 박=park 최=choi 정=jung",
    is_family_first=True,
    separator="",
)
ARABIC = _names(
    "فاطمة=fatima محمد=mohammed ليلى=layla يوسف=yousef مريم=maryam عمر=omar",
    "الحسن=alhassan العلي=alali حداد=haddad منصور=mansour خليل=khalil نجار=najjar",
)
HEBREW = _names("נועה=noa איתי=itai מאיה=maya יונתן=yonatan", "כהן=cohen לוי=levi מזרחי=mizrahi פרץ=peretz")
INDIC = _names(
    "प्रिया=priya अर्जुन=arjun अनन्या=ananya रोहन=rohan कविता=kavita", "शर्मा=sharma पटेल=patel सिंह=singh गुप्ता=gupta"
)

ALL_NAMES = (WESTERN, CYRILLIC, GREEK, CHINESE, JAPANESE, KOREAN, ARABIC, HEBREW, INDIC)

DEPARTMENTS = (
    "Operations", "Sales", "Finance", "Engineering", "Customer Care", "People & Culture", "Legal", "Logistics",
)  # fmt: skip

YEARLY = (
    "Information Security Essentials", "Data Protection and Privacy", "Anti-Bribery & Corruption",
    "Health and Safety at Work", "Code of Conduct",
)  # fmt: skip
"""Mandatory trainings, assigned to everybody every year."""

ONBOARDING = ("Welcome Aboard", "Your First 30 Days: Tools and Teams")
"""Trainings assigned to new people."""

ELECTIVES = (
    "Writing Clear E-mails", "Presenting with Confidence", "Spreadsheets: From Formulas to Pivot Tables",
    "Project Management Foundations", "Giving and Receiving Feedback", "Python for Analysts",
    "SQL in Practice", "Time Management That Lasts", "Negotiation Skills",
    "Introduction to Machine Learning", "Customer Conversations: Listening First", "Inclusive Hiring",
    "Mindfulness at Work", "Leading Remote Teams", "Accessible Documents", "Business English: Meetings",
    "Deutsch für den Beruf: Stufe B1", "Gestión de conflictos", "Premiers secours en entreprise",
    "Основы проектного управления", "ビジネスマナー入門", "中文商务写作", "Forklift Refresher", "Cloud Fundamentals",
    "Design Thinking Workshop", "Storytelling with Data", "Budgeting for Non-Financial Managers",
    "Coaching Conversations", "Incident Response Drill", "Sustainability Basics",
)  # fmt: skip
"""Courses that people choose; each year offers some more of this list."""

DIPLOMAS = (
    "Certificate in Web Development", "Digital Marketing Diploma", "UX Research Bootcamp", "Bookkeeping: Level 2",
)  # fmt: skip
"""Long courses of a school."""

Kind = Literal["yearly", "onboarding", "elective"]


class Course(msgspec.Struct, frozen=True):
    """A course, and how it usually goes."""

    title: str
    kind: Kind
    created_at: datetime
    finish_rate: float
    """The share of its learners that finish."""
    hours: float
    """Median of the learning time."""
    days: float
    """Median of the time between the first and the last session."""
    has_exam: bool

    @property
    def is_mandatory(self) -> bool:
        """Whether people have to finish it by a due date."""
        return self.kind == "yearly"


Range = tuple[float, float]
_RANGES: dict[Kind, tuple[Range, Range, Range, float]] = {
    "yearly": ((0.84, 0.98), (0.5, 2), (0.2, 4), 0.7),
    "onboarding": ((0.9, 0.99), (1, 4), (3, 14), 0.2),
    "elective": ((0.3, 0.8), (1, 20), (5, 60), 0.3),
}
"""Of each kind the finish rate, the hours, the days, and the share of courses with an exam."""


def draw_course(draw: Random, title: str, kind: Kind, created_at: datetime) -> Course:
    """Draw a course within the ranges of its kind."""
    *ranges, exam_share = _RANGES[kind]
    finish_rate, hours, days = (draw.uniform(*bounds) for bounds in ranges)
    return Course(title, kind, created_at, finish_rate, hours, days, has_exam=draw.random() < exam_share)


class Profile(msgspec.Struct, frozen=True):
    """What kind of company uses an account: how many people, which courses, and what its LMS reports."""

    domain: str
    headcount: int
    """People at the beginning; new people replace those who leave."""
    yearly_turnover: float
    """The share of people who leave, and join, in a year."""
    zone: str
    """Time zone of the portal: of the working hours, and of dates that a portal writes as text."""
    electives_per_person: float
    """Electives that a person starts in a year."""
    yearly: tuple[str, ...] = ()
    onboarding: tuple[str, ...] = ()
    electives: tuple[str, ...] = ELECTIVES
    has_editions: bool = False
    """Whether a yearly training is a new course each year, not a new enrollment in the same course."""
    reports_overdue: bool = False
    """Whether the LMS has the status `overdue`; otherwise only the due date shows it."""
