"""Names on the bundled ground: cities and towns of India, in English and, where GeoNames has it, in Hindi. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

RANKS = (4_000_000, 1_000_000, 400_000, 150_000, 75_000)
"""People from which a place is of rank 0, 1, 2 …; the scripts say from which zoom each rank is written."""
CAPITAL_RANK = 1
CAPITALS = {
    "Agartala", "Aizawl", "Amaravati", "Bengaluru", "Bhopal", "Bhubaneswar", "Chandigarh", "Chennai",
    "Daman", "Dehradun", "Gandhinagar", "Gangtok", "Guwahati", "Hyderabad", "Imphal", "Itanagar",
    "Jaipur", "Jammu", "Kavaratti", "Kohima", "Kolkata", "Leh", "Lucknow", "Mumbai", "Panaji", "Patna",
    "Port Blair", "Puducherry", "Raipur", "Ranchi", "Shillong", "Shimla", "Silvassa", "Srinagar",
    "Thiruvananthapuram",
}  # fmt: skip
COUNTRY_CAPITAL = "New Delhi"
RENAMED = {
    "Bahraigh": "Bahraich", "Barddhaman": "Bardhaman", "Chanda": "Chandrapur", "Hugli": "Hooghly", "Morvi": "Morbi",
    "Murwara": "Katni", "Panjim": "Panaji", "Saugor": "Sagar", "Shahjanpur": "Shahjahanpur", "Sholapur": "Solapur",
    "Fyzabad": "Faizabad", "Teni": "Theni",
}  # fmt: skip
NO_CITY = {1273294, 1270926, 1258393, 6943660, 12501153, 11679708, 12501195, 8347656, 8740017}
"""Ids of entries that are no town, are there twice, or hide New Delhi, which lies within Delhi."""
NO_GREAT_CITY = {
    12165956, 1261162, 1254745, 1275610, 1259239, 1270576, 12032137, 12165955, 1258451, 10834495, 1253133,
}  # fmt: skip
"""Ids of towns that GeoNames gives the people of their district."""
HINDI = {
    "Mumbai": "मुंबई", "Bengaluru": "बेंगलुरु", "Ahmedabad": "अहमदाबाद",
    "Chennai": "चेन्नई", "Kolkata": "कोलकाता", "Surat": "सूरत", "Pune": "पुणे",
    "Jaipur": "जयपुर", "Lucknow": "लखनऊ", "Coimbatore": "कोयंबटूर", "Indore": "इंदौर",
    "Vadodara": "वडोदरा", "Patna": "पटना", "Nashik": "नाशिक", "Madurai": "मदुरै",
    "Tirunelveli": "तिरुनेलवेली", "Agra": "आगरा", "Rajkot": "राजकोट", "Meerut": "मेरठ",
    "Ghaziabad": "ग़ाज़ियाबाद", "Varanasi": "वाराणसी", "Vijayawada": "विजयवाड़ा",
    "Ranchi": "रांची", "Prayagraj": "प्रयागराज", "Visakhapatnam": "विशाखापट्टनम",
    "Gwalior": "ग्वालियर", "Howrah": "हावड़ा", "Tiruchirappalli": "तिरुचिरापल्ली",
    "Solapur": "सोलापुर", "Tiruppur": "तिरुपुर", "Guwahati": "गुवाहाटी",
    "Hubballi": "हुबली", "Mysuru": "मैसूरु", "Gurugram": "गुरुग्राम", "Jalandhar": "जालंधर",
    "Thiruvananthapuram": "तिरुवनंतपुरम", "Bareilly": "बरेली", "Moradabad": "मुरादाबाद",
    "Warangal": "वारंगल", "Gorakhpur": "गोरखपुर", "Guntur": "गुंटूर",
    "Puducherry": "पुडुचेरी", "Cuttack": "कटक", "Nanded": "नांदेड़", "Kozhikode": "कोझिकोड",
    "Kolhapur": "कोल्हापुर", "Nellore": "नेल्लोर", "Kalaburagi": "कलबुर्गी",
    "Dehradun": "देहरादून", "Erode": "ईरोड", "Ujjain": "उज्जैन", "Mangaluru": "मंगलुरु",
    "Belagavi": "बेलगावी", "Vellore": "वेल्लोर", "Jalgaon": "जलगांव", "Kurnool": "कुरनूल",
    "Udaipur": "उदयपुर", "Ballari": "बल्लारी", "Agartala": "अगरतला", "Dhule": "धुले",
    "Kollam": "कोल्लम", "Chandrapur": "चंद्रपुर", "Vijayapura": "विजयपुर",
    "Shivamogga": "शिवमोगा", "Aizawl": "आइज़ोल", "Gandhinagar": "गांधीनगर",
    "Thanjavur": "तंजावुर", "Imphal": "इंफाल", "Rourkela": "राउरकेला",
    "Tirupati": "तिरुपति", "Anantapur": "अनंतपुर", "Noida": "नोएडा", "Korba": "कोरबा",
    "Navi Mumbai": "नवी मुंबई", "Thane": "ठाणे", "Jodhpur": "जोधपुर",
    "Aurangabad": "औरंगाबाद", "Bhopal": "भोपाल", "Jabalpur": "जबलपुर",
    "Jamshedpur": "जमशेदपुर", "Raipur": "रायपुर", "Srinagar": "श्रीनगर",
    "Shillong": "शिलांग", "Thoothukudi": "तूतुकुडी", "Rewa": "रीवा",
    "Durgapur": "दुर्गापुर", "Siliguri": "सिलीगुड़ी", "Darbhanga": "दरभंगा",
    "Muzaffarpur": "मुज़फ़्फ़रपुर", "Muzaffarnagar": "मुज़फ़्फ़रनगर", "Bharatpur": "भरतपुर",
    "Silchar": "सिलचर", "Haridwar": "हरिद्वार", "Gondia": "गोंदिया",
    "Secunderabad": "सिकंदराबाद", "Kanchipuram": "कांचीपुरम", "Shimla": "शिमला",
    "Hassan": "हासन", "Chitradurga": "चित्रदुर्ग", "Dibrugarh": "डिब्रूगढ़",
    "Nagpur": "नागपुर", "Kanpur": "कानपुर", "Kota": "कोटा", "Amritsar": "अमृतसर",
    "Bhuj": "भुज", "Ooty": "ऊटी", "Jammu": "जम्मू", "Panaji": "पणजी",
    "Port Blair": "पोर्ट ब्लेयर", "Kavaratti": "कवरत्ती", "Leh": "लेह", "Kohima": "कोहिमा",
    "Itanagar": "ईटानगर", "Gangtok": "गंगटोक", "Silvassa": "सिलवासा", "Daman": "दमन",
    "Amaravati": "अमरावती", "New Delhi": "नई दिल्ली", "Amravati": "अमरावती",
    "Chandigarh": "चंडीगढ़", "Bhubaneswar": "भुवनेश्वर", "Hyderabad": "हैदराबाद",
    "Sangli": "सांगली", "Saharanpur": "सहारनपुर", "Gaya": "गया", "Patiala": "पटियाला",
    "Jhansi": "झांसी", "Bhagalpur": "भागलपुर", "Davangere": "दावणगेरे",
    "Malegaon": "मालेगांव", "Kakinada": "काकीनाडा", "Bilaspur": "बिलासपुर",
    "Bhilwara": "भीलवाड़ा", "Kadapa": "कडपा", "Alwar": "अलवर", "Nizamabad": "निज़ामाबाद",
    "Thrissur": "त्रिशूर", "Panipat": "पानीपत", "Karnal": "करनाल", "Sonipat": "सोनीपत",
    "Satna": "सतना", "Purnia": "पूर्णिया", "Ratlam": "रतलाम", "Junagadh": "जूनागढ़",
    "Bardhaman": "बर्धमान", "Firozabad": "फ़िरोज़ाबाद", "Kovilpatti": "कोविलपट्टी",
    "Parli Vaijnath": "परली वैजनाथ", "Bangaon": "बनगांव", "Tellicherry": "थलस्सेरी",
    "Maduravoyal": "मदुरावोयल", "Kukatpally": "कुकटपल्ली", "Dharashiv": "धाराशिव",
    "Bokaro": "बोकारो", "Kalyan": "कल्याण", "Hosur": "होसुर", "Tumkur": "तुमकुरु",
    "Kolar": "कोलार", "Mandya": "मंड्या",
}  # fmt: skip
"""Written by hand: GeoNames does not say whether a name in Devanagari is Hindi, Marathi, Nepali or Sanskrit."""
DEVANAGARI = re.compile(r"[ऀ-ॿ\u200c\u200d.\-]+")
NOT_HINDI = re.compile(r"ळ|ऴ|्$|ः$|नगरम|मण्डल|पूर$|ङ्|ञ्|ण्[डट]|न्द|म्ब")
"""Marathi has ळ and पूर, Sanskrit ends in म् or ः; Hindi writes nasals before a consonant as a dot."""
SUBURB_DEGREES = 0.28
SMALLEST_RANK = len(RANKS) - 1
SAME_PLACE_DEGREES = 0.35
Place = tuple[str, str, float, float, int]
"""English, Hindi or nothing, latitude, longitude, rank."""


def places(cities: Iterable[dict[str, Any]]) -> list[Place]:
    """The greatest first; of two entries of one name close together the greater, and suburbs as small as they look."""
    kept: list[Place] = []
    for city in sorted(
        cities, key=lambda city: (city["name"] != COUNTRY_CAPITAL, -city["population"], city["geonameid"])
    ):
        same = [other for other in kept if other[0] == _plain(city["name"])]
        place = _place(city, is_namesake=bool(same))
        if place is not None and not any(_is_near(place, other, SAME_PLACE_DEGREES) for other in same):
            kept.append(_as_suburb(place, kept))
    return sorted(kept, key=lambda place: place[4])


def _greatness(city: dict[str, Any]) -> tuple[bool, int, int]:
    return city["name"] != COUNTRY_CAPITAL, -city["population"], city["geonameid"]


def _place(city: dict[str, Any], is_namesake: bool) -> Place | None:
    name = _plain(city["name"])
    rank = _rank("" if is_namesake else name, city["population"])
    if rank is None or city["geonameid"] in NO_CITY:
        return None
    rank = SMALLEST_RANK if city["geonameid"] in NO_GREAT_CITY else rank
    return name, _hindi(name, city["alternatenames"]), round(city["latitude"], 3), round(city["longitude"], 3), rank


def _plain(name: str) -> str:
    """Without the strokes of scholars: Thane, not Thāne."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return RENAMED.get(plain, plain)


def _as_suburb(place: Place, greater: Iterable[Place]) -> Place:
    in_shadow = any(other[4] <= 1 and _is_near(place, other, SUBURB_DEGREES) for other in greater)
    return (*place[:4], SMALLEST_RANK) if in_shadow and place[0] not in CAPITALS else place


def _rank(name: str, people: int) -> int | None:
    if name == COUNTRY_CAPITAL:
        return 0
    by_people = next((rank for rank, least in enumerate(RANKS) if people >= least), None)
    if name in CAPITALS:
        return CAPITAL_RANK if by_people is None else min(CAPITAL_RANK, by_people)
    return by_people


def _hindi(name: str, others: Iterable[str]) -> str:
    """Nothing where several names are left: a wrong one is worse than the English one."""
    told = {other for other in others if DEVANAGARI.fullmatch(other) and not NOT_HINDI.search(other)}
    return HINDI.get(name) or (told.pop() if len(told) == 1 else "")


def _is_near(place: Place, other: Place, degrees: float) -> bool:
    return abs(place[2] - other[2]) < degrees and abs(place[3] - other[3]) < degrees
