"""Names of people, in several scripts, each with the letters that its e-mail address is made of.

What belongs here: words. Who bears which name is drawn in `people.py`.
"""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    """Names of one language: pairs of the name as written and as it stands in an address."""

    given: tuple[tuple[str, str], ...]
    family: tuple[tuple[str, str], ...]
    family_first: bool = False
    space: str = " "

    def full(self, given: str, family: str) -> str:
        """A full name as the language orders it."""
        return self.space.join((family, given) if self.family_first else (given, family))


def _pairs(words: str) -> tuple[tuple[str, str], ...]:
    """Read `Zoë=zoe Adam`: a name that is written as in an address needs no second form."""
    pairs = (word.partition("=") for word in words.split())
    return tuple((written, ascii_form or written.lower()) for written, _, ascii_form in pairs)


WESTERN = Names(
    _pairs(
        "Emma Noah Olivia Liam Ava James Sophia Henry Grace Lucas Chloé=chloe Hugo Zoë=zoe Anaïs=anais Jürgen=juergen "
        "Søren=soeren Łukasz=lukasz Małgorzata=malgorzata Inês=ines João=joao Siobhán=siobhan Ömer=oemer"
    ),
    _pairs(
        "Smith Garcia Martin Rossi Silva O'Brien=obrien D'Angelo=dangelo Müller=mueller Jensen Nowak Kowalczyk "
        "Lefèvre=lefevre Núñez=nunez Ferreira Byrne Johansson Novák=novak Demir Okafor Horváth=horvath"
    ),
)
CYRILLIC = Names(
    _pairs(
        "Ирина=irina Олег=oleg Надежда=nadezhda Андрій=andriy Дмитрий=dmitry Милена=milena Оксана=oksana Петър=petar"
    ),
    _pairs(
        "Шевченко=shevchenko Коваленко=kovalenko Мельник=melnyk Димитров=dimitrov Бондар=bondar Ткач=tkach Лысенко=lysenko"
    ),
)
GREEK = Names(
    _pairs("Ελένη=eleni Γιώργος=giorgos Κατερίνα=katerina Νίκος=nikos Σοφία=sofia Δημήτρης=dimitris"),
    _pairs(
        "Αλεξίου=alexiou Νικολάου=nikolaou Οικονόμου=oikonomou Κωνσταντίνου=konstantinou Βασιλείου=vasileiou"
    ),
)
CHINESE = Names(
    _pairs("伟=wei 秀英=xiuying 娜=na 敏=min 静=jing 浩然=haoran 子涵=zihan 欣怡=xinyi"),
    _pairs("王=wang 李=li 张=zhang 刘=liu 陈=chen 杨=yang 赵=zhao 欧阳=ouyang"),
    family_first=True,
    space="",
)
JAPANESE = Names(
    _pairs("陽菜=hina 蓮=ren さくら=sakura 大翔=hiroto 美咲=misaki 健太=kenta"),
    _pairs("佐藤=sato 鈴木=suzuki 高橋=takahashi 田中=tanaka 渡辺=watanabe 小林=kobayashi"),
    family_first=True,
)
KOREAN = Names(
    _pairs("서연=seoyeon 민준=minjun 지우=jiwoo 하윤=hayoon 도윤=doyoon"),
    _pairs("김=kim 이=lee 박=park 최=choi 정=jung"),
    family_first=True,
    space="",
)
ARABIC = Names(
    _pairs("فاطمة=fatima محمد=mohammed ليلى=layla يوسف=yousef مريم=maryam عمر=omar"),
    _pairs("الحسن=alhassan العلي=alali حداد=haddad منصور=mansour خليل=khalil نجار=najjar"),
)
HEBREW = Names(
    _pairs("נועה=noa איתי=itai מאיה=maya יונתן=yonatan"),
    _pairs("כהן=cohen לוי=levi מזרחי=mizrahi פרץ=peretz"),
)
INDIC = Names(
    _pairs("प्रिया=priya अर्जुन=arjun अनन्या=ananya रोहन=rohan कविता=kavita"),
    _pairs("शर्मा=sharma पटेल=patel सिंह=singh गुप्ता=gupta"),
)

ALL_NAMES = (WESTERN, CYRILLIC, GREEK, CHINESE, JAPANESE, KOREAN, ARABIC, HEBREW, INDIC)
"""Who is drawn at random bears a Western name about half of the time, else one of the others."""

DEPARTMENTS = (
    "Operations",
    "Sales",
    "Finance",
    "Engineering",
    "Customer Care",
    "People & Culture",
    "Legal",
    "Logistics",
)
