"""The states and union territories of GST, by the two digits that a GSTIN begins with. Pure."""

STATES = {
    "01": "Jammu and Kashmir", "02": "Himachal Pradesh", "03": "Punjab", "04": "Chandigarh", "05": "Uttarakhand",
    "06": "Haryana", "07": "Delhi", "08": "Rajasthan", "09": "Uttar Pradesh", "10": "Bihar", "11": "Sikkim",
    "12": "Arunachal Pradesh", "13": "Nagaland", "14": "Manipur", "15": "Mizoram", "16": "Tripura", "17": "Meghalaya",
    "18": "Assam", "19": "West Bengal", "20": "Jharkhand", "21": "Odisha", "22": "Chhattisgarh",
    "23": "Madhya Pradesh", "24": "Gujarat", "25": "Daman and Diu", "26": "Dadra and Nagar Haveli and Daman and Diu",
    "27": "Maharashtra", "28": "Andhra Pradesh (old)", "29": "Karnataka", "30": "Goa", "31": "Lakshadweep",
    "32": "Kerala", "33": "Tamil Nadu", "34": "Puducherry", "35": "Andaman and Nicobar Islands", "36": "Telangana",
    "37": "Andhra Pradesh", "38": "Ladakh", "97": "Other Territory",
}  # fmt: skip
WITHOUT_LEGISLATURE = frozenset({"04", "25", "26", "31", "35", "38", "97"})
"""Union territories where UTGST stands in the place of SGST; Delhi, Puducherry, Jammu and Kashmir have SGST."""

LETTERS = {
    "01": "JK", "02": "HP", "03": "PB", "04": "CH", "05": "UK", "06": "HR", "07": "DL", "08": "RJ", "09": "UP",
    "10": "BR", "11": "SK", "12": "AR", "13": "NL", "14": "MN", "15": "MZ", "16": "TR", "17": "ML", "18": "AS",
    "19": "WB", "20": "JH", "21": "OD", "22": "CG", "23": "MP", "24": "GJ", "25": "DD", "26": "DN", "27": "MH",
    "28": "AP", "29": "KA", "30": "GA", "31": "LD", "32": "KL", "33": "TN", "34": "PY", "35": "AN", "36": "TS",
    "37": "AD", "38": "LA", "97": "OT",
}  # fmt: skip
"""As Zoho Books calls them."""
_BY_NAME = {name.lower(): code for code, name in STATES.items()} | {
    "orissa": "21", "pondicherry": "34", "uttaranchal": "05", "nct of delhi": "07", "new delhi": "07",
    "daman and diu": "26", "dadra and nagar haveli": "26", "jammu & kashmir": "01", "jammu and kashmir": "01",
}  # fmt: skip


def name_of(code: str) -> str:
    return STATES.get(code, "")


def code_of(name: str) -> str | None:
    """`Karnataka` -> `29`; None for a name nobody knows."""
    return _BY_NAME.get(" ".join(name.lower().split()))
