"""Words that tell what an adapter shows, in English, Chinese, Japanese and Korean.

They are searched in listings and captions. Latin words are compared as whole words, in lower case
and after NFKC. Words in other scripts are searched as substrings, because those scripts put no
spaces between words. Surnames are the most frequent ones of public census tables.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Class words of training folders and captions: a person, but not which one.
PERSON_WORDS = frozenset(
    ["person", "woman", "man", "girl", "boy", "lady", "guy", "female", "male", "actress", "actor",
     "singer", "model", "idol", "celebrity", "face", "portrait", "1girl", "1boy", "女", "男",
     "女人", "男人", "女生", "男生", "人像", "明星", "人物", "女性", "男性", "美女", "帅哥",
     "写真", "人", "顔", "女の子", "男の子", "女優", "俳優", "여자", "남자", "사람", "여성",
     "남성", "얼굴", "인물"]
)  # fmt: skip

# Words with which a listing says that it shows a real person.
REAL_PERSON_WORDS = frozenset(
    ["celebrity", "celebrities", "celeb", "actress", "actor", "singer", "idol", "kpop", "jpop",
     "cpop", "influencer", "instagram", "tiktok", "youtuber", "streamer", "cosplayer",
     "politician", "athlete", "realperson", "likeness", "lookalike", "deepfake", "faceswap",
     "gravure", "pornstar", "onlyfans", "supermodel", "footballer", "真人", "明星", "演员",
     "女演员", "歌手", "偶像", "网红", "網紅", "博主", "主播", "模特", "女优", "名人", "艺人",
     "藝人", "换脸", "芸能人", "女優", "俳優", "アイドル", "グラビア", "声優", "タレント",
     "有名人", "実在", "연예인", "배우", "가수", "아이돌", "걸그룹", "인플루언서", "유명인",
     "실존"]
)  # fmt: skip

# Words with which a listing says that it shows a style, an object or a fictional character.
NO_PERSON_WORDS = frozenset(
    ["style", "styles", "artstyle", "aesthetic", "anime", "manga", "cartoon", "comic", "pixel",
     "concept", "clothing", "clothes", "dress", "outfit", "costume", "uniform", "armor",
     "hairstyle", "pose", "poses", "background", "scenery", "landscape", "architecture",
     "building", "interior", "vehicle", "car", "weapon", "animal", "food", "tool", "slider",
     "enhancer", "lighting", "detailer", "effect", "texture", "logo", "object", "objects",
     "furry", "robot", "mecha", "风格", "画风", "二次元", "动漫", "漫画", "服装", "服饰", "汉服",
     "姿势", "背景", "场景", "建筑", "室内", "载具", "武器", "动物", "美食", "特效", "光影",
     "概念", "插画", "国风", "游戏角色", "画風", "スタイル", "アニメ", "衣装", "ポーズ", "風景",
     "キャラクター", "그림체", "스타일", "애니", "의상", "포즈", "배경", "캐릭터"]
)  # fmt: skip

# Base models that people choose for photographs.
PHOTOGRAPHIC_BASES = re.compile(
    r"chill?out|realistic[\s_-]*vision|majic|麦橘|epicrealism|epic[\s_-]*realism|photon|"
    r"cyberrealistic|juggernaut|realvis|absolutereality|beautifulrealistic|brav6|kanpiro|"
    r"墨幽|写实|真实|analog|dreamshaper",
    re.IGNORECASE,
)

# Words of titles that are not part of a name.
TITLE_WORDS = frozenset(
    ["lora", "locon", "lycoris", "loha", "lokr", "dora", "sd", "sdxl", "xl", "pony", "flux",
     "model", "v", "version", "checkpoint", "embedding", "textual", "inversion", "ti", "final",
     "test", "by", "the", "a", "of", "and", "for", "new", "young", "old", "ai", "photo",
     "realistic", "portrait", "face"]
)  # fmt: skip

CHINESE_SURNAMES = frozenset(
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许"
    "傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆"
    "郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文張劉陳楊趙"
    "黃吳孫馬羅鄭謝韓馮蕭鄧許沈呂蘇盧蔣賈葉閻鐘范譚鄒陸龍萬錢湯賀賴龔"
)
DOUBLE_SURNAMES = (
    "欧阳", "司马", "上官", "诸葛", "司徒", "东方", "皇甫", "慕容", "歐陽", "司馬", "諸葛",
)  # fmt: skip
JAPANESE_SURNAMES = (
    "佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤", "吉田",
    "山田", "佐々木", "山口", "松本", "井上", "木村", "斎藤", "清水", "山崎", "阿部", "池田",
    "橋本", "山下", "石川", "中島", "前田", "藤田", "小川", "後藤", "岡田", "長谷川", "村上",
    "近藤", "石井", "坂本", "遠藤", "青木", "藤井", "西村", "福田", "太田", "三浦", "藤原",
    "岡本", "松田", "中川", "中野", "原田", "小野", "竹内", "金子", "和田", "中山", "石田",
    "上田", "森田", "新垣", "広瀬", "橋本", "浜辺", "有村", "石原", "綾瀬", "白石", "齋藤",
    "西野", "与田",
)  # fmt: skip
KOREAN_SURNAMES = frozenset(
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차"
    "주우구민진나지엄채원천방공현함변염여추도소석선설마길연위표명기반왕금옥육"
    "인맹제모"
)
PINYIN_SURNAMES = frozenset(
    ["wang", "li", "zhang", "liu", "chen", "yang", "zhao", "huang", "zhou", "wu", "xu", "sun",
     "hu", "zhu", "gao", "lin", "he", "guo", "ma", "luo", "liang", "song", "zheng", "xie", "han",
     "tang", "feng", "yu", "dong", "xiao", "cheng", "cao", "yuan", "deng", "fu", "shen", "zeng",
     "peng", "lu", "su", "jiang", "cai", "jia", "ding", "wei", "xue", "ye", "pan", "du", "dai",
     "xia", "zhong", "tian", "ren", "fan", "fang", "shi", "yao", "tan", "liao", "zou", "xiong",
     "jin", "hao", "kong", "bai", "cui", "kang", "mao", "qiu", "qin", "gu", "hou", "shao", "meng",
     "wan", "lei", "qian", "kim", "lee", "park", "choi", "jung", "jeong", "kang", "cho", "yoon",
     "jang", "lim", "bae", "shin", "kwon"]
)  # fmt: skip

_LATIN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SPLIT = re.compile(r"\s[-–—|/]\s|[\[\](){}【】（）《》「」|:：,，、]")
_VERSION = re.compile(r"[vV]?[\d._]+")
_PARTICLES = frozenset(
    ["de", "la", "van", "von", "der", "den", "di", "da", "del", "dos", "bin", "al", "el"]
)
_HAN = re.compile(r"[㐀-鿿豈-﫿々]")
_KANA = re.compile(r"[぀-ヿ]")
_HANGUL = re.compile(r"[가-힣]")


def plain(text: str) -> str:
    """A text as it is compared: compatibility forms folded (NFKC) and in lower case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def named_in(texts: Iterable[str], words: frozenset[str]) -> list[str]:
    """The words of `words` that occur in the texts, in their order of occurrence."""
    folded = plain(" \n ".join(texts))
    found = [word for word in _LATIN.findall(folded) if word in words]
    if not folded.isascii():
        # A single character may be part of any other word.
        found += [word for word in words if word in folded and len(word) > 1 and not word.isascii()]
    return list(dict.fromkeys(found))


def personal_name(title: str) -> tuple[str, bool] | None:
    """The part of a title that reads like a person's name, and whether it holds a known surname.

    Without a known surname, two or three capitalised Latin words count, although titles of styles
    may look the same.
    """
    for part in _SPLIT.split(unicodedata.normalize("NFKC", title)[:200]):
        words = [
            word
            for word in part.split()
            if plain(word) not in TITLE_WORDS and not _VERSION.fullmatch(word)
        ]
        name = " ".join(words)
        if not name or named_in([name], NO_PERSON_WORDS):
            continue
        if _is_asian_name("".join(words)) or _has_pinyin_surname(words):
            return name, True
        if _is_capitalised(words):
            return name, False
    return None


def _is_asian_name(text: str) -> bool:
    if _HANGUL.search(text):
        return bool(re.fullmatch(r"[가-힣]{2,4}", text)) and text[0] in KOREAN_SURNAMES
    if _KANA.search(text):
        foreign = re.fullmatch(r"[゠-ヿ]{2,}[・=][゠-ヿ・]{2,}", text)
        return bool(foreign) or (text.startswith(JAPANESE_SURNAMES) and len(text) <= 7)
    if not text or not all(_HAN.match(sign) for sign in text):
        return False
    if text.startswith(JAPANESE_SURNAMES) and 3 <= len(text) <= 6:
        return True
    if text.startswith(DOUBLE_SURNAMES) and 3 <= len(text) <= 4:
        return True
    return 2 <= len(text) <= 3 and text[0] in CHINESE_SURNAMES


def _has_pinyin_surname(words: list[str]) -> bool:
    folded = [plain(word) for word in words]
    return (
        2 <= len(words) <= 3
        and all(word.isascii() and word.isalpha() for word in folded)
        and (folded[0] in PINYIN_SURNAMES or folded[-1] in PINYIN_SURNAMES)
    )


def _is_capitalised(words: list[str]) -> bool:
    names = [word for word in words if plain(word) not in _PARTICLES]
    return (
        2 <= len(names) <= 3
        and all(
            re.fullmatch(r"[^\W\d_]{2,}(?:['’-][^\W\d_]+)*", word) and word[0].isupper()
            for word in names
        )
        and not {plain(word) for word in names} & PERSON_WORDS
    )
