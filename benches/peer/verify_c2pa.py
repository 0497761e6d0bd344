"""The peer of `gascli generator verify-c2pa`: the same files, the same anchors, c2pa-python.

    python verify_c2pa.py ANCHORS FILE...

Prints a line a file. The rules are the validators' first ones only (codes of the validation status), so that the
time is the library's and Python's, not that of code written to lose.
"""

import json
import sys
from pathlib import Path

import c2pa

FATAL = ("mismatch", "error", "signingCredential.", "inaccessible")


def verdict(path: str, context: c2pa.Context) -> str:
    try:
        with c2pa.Reader(path, context=context) as reader:
            store = json.loads(reader.json())
    except c2pa.C2paError as error:
        return f"no manifest: {error}"
    codes = [status["code"] for status in store.get("validation_status", [])]
    return next((code for code in codes if any(part in code for part in FATAL)), "accepted")


def main() -> None:
    anchors = "".join(file.read_text() for file in sorted(Path(sys.argv[1]).glob("*.pem")))
    context = c2pa.Context(c2pa.Settings.from_dict({"trust": {"user_anchors": anchors}}))
    for path in sys.argv[2:]:
        print(path, verdict(path, context))


main()
