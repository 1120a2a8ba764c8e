from __future__ import annotations

import sys

import pytest

import check_key_vectors
import key_format
import plain_blake3

TEXT = check_key_vectors.VECTORS.read_text("utf-8")
LINES = [line for line in TEXT.splitlines() if not line.startswith("#")]


def test_the_vectors_are_what_the_page_says() -> None:
    report = check_key_vectors.check(TEXT)
    assert report.wrong == []
    assert report.checked["digest"] >= 80
    assert report.checked["encoding"] >= 60
    assert report.checked["ingredient"] >= 10
    assert report.checked["key"] >= 3
    # pandas makes columns of Arrow only where pyarrow is; all else needs none of its libraries.
    unruled = report.checked["value whose library has no rule here, or is not installed"]
    assert unruled <= 1 or "numpy" not in check_key_vectors.names()


def test_no_kind_of_ingredient_is_without_a_vector() -> None:
    kinds = {line.split(" | ")[1] for line in LINES if line.startswith("ingredient | ")}
    assert kinds == set(key_format.KINDS)


@pytest.mark.parametrize("kind", ["value", "fold", "ingredient", "key"])
def test_another_digit_anywhere_is_noticed(kind: str) -> None:
    line = next(line for line in LINES if line.startswith(f"{kind} | "))
    for at in (-1, -33, -64):
        digit = "0" if line[at] != "0" else "1"
        edited = line[:at] + digit + (line[at + 1 :] if at != -1 else "")
        assert len(check_key_vectors.check(edited).wrong) >= 1


def test_another_value_is_noticed() -> None:
    one, two = "value | 1 | ", "value | 2 | "
    line = next(line for line in LINES if line.startswith(one))
    assert check_key_vectors.check(line).wrong == []
    assert check_key_vectors.check(line.replace(one, two)).wrong != []


def test_a_line_of_an_unknown_kind_is_an_error() -> None:
    assert check_key_vectors.check("nothing | of | this").wrong != []


# From the test vectors that the authors of BLAKE3 publish.
@pytest.mark.parametrize(
    ("length", "digest"),
    [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"),
    ],
)
def test_blake3_in_plain_python(length: int, digest: str) -> None:
    data = bytes(number % 251 for number in range(length))
    assert plain_blake3.plain(data).hex() == digest


def test_what_is_no_encoding_is_refused(request: pytest.FixtureRequest) -> None:
    limit = sys.getrecursionlimit()
    request.addfinalizer(lambda: sys.setrecursionlimit(limit))
    sys.setrecursionlimit(5_000)
    for encoding in (
        "",
        "ff",
        "03",
        "0301000000000000",
        "00" * 2,
        "10" + "ff" * 8,
        "31" + "00" * 8,
    ):
        with pytest.raises(key_format.Malformed):
            key_format.digest(bytes.fromhex(encoding))
    with pytest.raises(key_format.Malformed, match="500"):
        key_format.digest((b"\x11" + (1).to_bytes(8, "little")) * 600 + b"\0")
