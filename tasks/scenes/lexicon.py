"""The words of the synthetic set, by split: no content word of dev or test occurs in train, nor one of dev in test.

A *setting* keeps sentences plausible: each of its actions fits each of its objects, at each of its places. The first
wording of a word is the usual one, the others are synonyms.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Word:
    """A noun, adjective, number or phrase of time or place: its wordings in each language, the usual one first."""

    ko: tuple[str, ...]
    en: tuple[str, ...]


@dataclass(frozen=True)
class Verb:
    """A transitive verb: Korean stems, and English (-ing form, past participle) pairs, the usual one first."""

    ko: tuple[str, ...]
    en: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Setting:
    """Places, actions and objects that go together."""

    places: tuple[Word, ...]
    actions: tuple[Verb, ...]
    objects: tuple[Word, ...]


@dataclass(frozen=True)
class Lexicon:
    """All content words of one split."""

    settings: tuple[Setting, ...]
    agents: tuple[Word, ...]
    agent_modifiers: tuple[Word, ...]
    object_modifiers: tuple[Word, ...]
    times: tuple[Word, ...]
    numbers: tuple[Word, ...]
    plurals: dict[str, str] = field(default_factory=dict)
    """English plurals that are not formed with -s."""


def _words(*entries: str) -> tuple[Word, ...]:
    """Words from `한국어/다른 말 = english/other wording`."""
    pairs = (entry.split(" = ") for entry in entries)
    return tuple(Word(tuple(ko.split("/")), tuple(en.split("/"))) for ko, en in pairs)


def _verbs(*entries: str) -> tuple[Verb, ...]:
    """Verbs from `어간/다른 어간 = doing done/making made`."""
    verbs = []
    for entry in entries:
        ko, en = entry.split(" = ")
        forms = [form.split(" ") for form in en.split("/")]
        verbs.append(Verb(tuple(ko.split("/")), tuple((doing, done) for doing, done in forms)))
    return tuple(verbs)


TRAIN = Lexicon(
    settings=(
        Setting(
            _words("부엌 = in the kitchen", "식당 = in the restaurant", "빵집 = at the bakery"),
            _verbs(
                "씻/헹구 = washing washed/rinsing rinsed",
                "나르/옮기 = carrying carried/moving moved",
                "떨어뜨리 = dropping dropped",
            ),
            _words("접시 = plate", "컵/잔 = cup", "그릇/사발 = bowl", "냄비 = pot", "숟가락 = spoon"),
        ),
        Setting(
            _words("차고 = in the garage", "작업장 = in the workshop", "창고 = in the warehouse"),
            _verbs(
                "수리하/고치 = repairing repaired/fixing fixed", "칠하 = painting painted", "팔/판매하 = selling sold"
            ),
            _words("자전거 = bicycle/bike", "의자 = chair", "시계 = clock", "라디오 = radio", "전등/램프 = lamp"),
        ),
        Setting(
            _words("도서관 = in the library", "교실 = in the classroom", "사무실 = in the office"),
            _verbs(
                "읽 = reading read",
                "숨기/감추 = hiding hidden/concealing concealed",
                "찢 = tearing torn/ripping ripped",
            ),
            _words("책/도서 = book", "편지 = letter", "지도 = map", "신문 = newspaper", "공책/노트 = notebook"),
        ),
        Setting(
            _words("공원 = in the park", "해변/바닷가 = on the beach", "운동장 = on the playground"),
            _verbs(
                "던지 = throwing thrown/tossing tossed", "잡 = catching caught/grabbing grabbed", "차 = kicking kicked"
            ),
            _words("공 = ball", "원반 = frisbee", "풍선 = balloon", "깡통 = can", "돌/돌멩이 = stone/rock"),
        ),
        Setting(
            _words("농장 = on the farm", "마구간 = in the stable", "들판/벌판 = in the field"),
            _verbs(
                "쓰다듬/어루만지 = petting petted/stroking stroked",
                "쫓/뒤쫓 = chasing chased",
                "그리 = drawing drawn/sketching sketched",
            ),
            _words("개/강아지 = dog", "말 = horse", "염소 = goat", "소 = cow", "오리 = duck"),
        ),
        Setting(
            _words("가게/상점 = in the shop/in the store", "시장 = at the market", "백화점 = in the department store"),
            _verbs(
                "사/구입하 = buying bought/purchasing purchased",
                "고르/선택하 = choosing chosen/selecting selected",
                "포장하 = wrapping wrapped",
            ),
            _words("모자 = hat", "외투/코트 = coat", "가방 = bag", "우산 = umbrella", "목도리/스카프 = scarf"),
        ),
    ),
    agents=_words(
        "남자/남성 = man",
        "여자/여성 = woman/lady",
        "소년 = boy",
        "소녀 = girl",
        "학생 = student",
        "교사/선생님 = teacher",
        "농부 = farmer",
        "요리사 = cook/chef",
        "간호사 = nurse",
        "군인/병사 = soldier",
        "화가 = artist",
        "점원 = clerk",
    ),
    agent_modifiers=_words(
        "젊은 = young", "키가 큰 = tall", "피곤한/지친 = tired/weary", "바쁜 = busy", "웃는 = smiling"
    ),
    object_modifiers=_words(
        "작은/조그만 = small/little",
        "하얀/흰 = white",
        "더러운 = dirty",
        "예쁜/아름다운 = pretty/beautiful",
        "비싼/값비싼 = expensive/costly",
    ),
    times=_words(
        "아침에 = in the morning",
        "밤에 = at night",
        "월요일에 = on Monday",
        "화요일에 = on Tuesday",
        "여름에 = in summer",
    ),
    numbers=_words("두 = two", "세 = three", "네 = four"),
    plurals={"man": "men", "woman": "women", "lady": "ladies"},
)

DEV = Lexicon(
    settings=(
        Setting(
            _words("병원 = in the hospital", "기차역 = at the railway station", "호텔 = in the hotel"),
            _verbs(
                "밀 = pushing pushed",
                "들어 올리 = lifting lifted/raising raised",
                "살펴보/검사하 = inspecting inspected/examining examined",
            ),
            _words("수레/손수레 = cart", "휠체어 = wheelchair", "상자/박스 = box", "트렁크 = suitcase", "침대 = bed"),
        ),
        Setting(
            _words("정원/뜰 = in the garden", "과수원 = in the orchard", "온실 = in the greenhouse"),
            _verbs(
                "심 = planting planted",
                "다듬/손질하 = trimming trimmed/pruning pruned",
                "재/측정하 = measuring measured",
            ),
            _words("장미 = rose", "사과나무 = apple tree", "포도나무 = grapevine", "덤불 = bush", "선인장 = cactus"),
        ),
        Setting(
            _words("박물관 = in the museum", "미술관/화랑 = in the gallery", "강당 = in the auditorium"),
            _verbs("걸 = hanging hung", "감상하 = admiring admired", "훔치 = stealing stolen"),
            _words("거울 = mirror", "초상화 = portrait", "커튼 = curtain", "깃발 = flag/banner", "가면/탈 = mask"),
        ),
    ),
    agents=_words(
        "의사 = doctor/physician",
        "소방관/소방대원 = firefighter/fireman",
        "관광객/여행객 = tourist/traveler",
        "가수 = singer/vocalist",
        "할머니 = grandmother/grandma",
        "과학자 = scientist/researcher",
    ),
    agent_modifiers=_words("쾌활한/명랑한 = cheerful/merry", "힘센 = strong", "용감한 = brave/courageous"),
    object_modifiers=_words("큰/커다란 = large/big", "초록색/녹색 = green", "독특한 = unusual"),
    times=_words("저녁에 = in the evening", "목요일에 = on Thursday", "봄에 = in spring"),
    numbers=_words("다섯 = five", "여섯 = six"),
    plurals={"fireman": "firemen"},
)

TEST = Lexicon(
    settings=(
        Setting(
            _words("극장 = in the theater", "녹음실 = in the studio", "공연장 = in the concert hall"),
            _verbs("연주하 = playing played", "조율하 = tuning tuned", "부수 = breaking broken/smashing smashed"),
            _words("기타 = guitar", "바이올린 = violin/fiddle", "피아노 = piano", "하프 = harp", "첼로 = cello"),
        ),
        Setting(
            _words("거리/길거리 = in the street/on the road", "터널 = in the tunnel", "공항 = at the airport"),
            _verbs(
                "운전하/몰 = driving driven/steering steered",
                "견인하 = towing towed",
                "빌리/대여하 = renting rented/hiring hired",
            ),
            _words(
                "자동차/승용차 = car/automobile",
                "트럭/화물차 = truck/lorry",
                "버스 = bus",
                "택시 = taxi/cab",
                "승합차 = van",
            ),
        ),
        Setting(
            _words("호수 = on the lake", "강 = on the river", "항구/부두 = in the harbor/in the port"),
            _verbs(
                "젓 = rowing rowed/paddling paddled", "묶/매 = mooring moored/tying tied", "띄우 = launching launched"
            ),
            _words("나룻배 = ferryboat", "뗏목 = raft", "카누 = canoe", "보트 = boat", "카약 = kayak"),
        ),
        Setting(
            _words(
                "거실 = in the living room/in the lounge", "침실 = in the bedroom", "발코니/베란다 = on the balcony"
            ),
            _verbs(
                "꿰매/깁 = sewing sewn/mending mended",
                "접/개 = folding folded",
                "다리/다림질하 = ironing ironed/pressing pressed",
            ),
            _words(
                "셔츠 = shirt", "담요 = blanket", "치마/스커트 = skirt", "원피스/드레스 = dress", "수건/타월 = towel"
            ),
        ),
    ),
    agents=_words(
        "아이/어린이 = child/kid",
        "기술자/엔지니어 = engineer/technician",
        "변호사 = lawyer/attorney",
        "할아버지 = grandfather/grandpa",
        "무용수/댄서 = dancer",
        "경찰관/경찰 = police officer/policeman",
        "조종사 = pilot/aviator",
        "작가 = writer/author",
        "이웃 = neighbor",
        "목수 = carpenter",
    ),
    agent_modifiers=_words(
        "날씬한/마른 = slim/thin",
        "화난/성난 = angry/furious",
        "유명한/이름난 = famous/well-known",
        "수줍은 = shy",
    ),
    object_modifiers=_words(
        "검은/까만 = black",
        "파란/푸른 = blue",
        "이상한/기묘한 = strange/odd",
        "값싼/저렴한 = cheap/inexpensive",
        "멋진/근사한 = wonderful",
    ),
    times=_words(
        "오후에 = in the afternoon",
        "새벽에/동틀 녘에 = at dawn/at daybreak",
        "토요일에 = on Saturday",
        "일요일에 = on Sunday",
        "겨울에 = in winter",
    ),
    numbers=_words("일곱 = seven", "여덟 = eight", "아홉 = nine"),
    plurals={"child": "children", "policeman": "policemen"},
)

LEXICONS = {"train": TRAIN, "dev": DEV, "test": TEST}
