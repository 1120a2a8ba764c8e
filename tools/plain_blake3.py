"""BLAKE3 in plain Python, from its specification: slow, and nobody else's code."""

from __future__ import annotations

BLOCK, CHUNK = 64, 1024
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CONTEXT, MATERIAL = 32, 64
WORD = 0xFFFFFFFF
IV = (
    0x6A09E667,
    0xBB67AE85,
    0x3C6EF372,
    0xA54FF53A,
    0x510E527F,
    0x9B05688C,
    0x1F83D9AB,
    0x5BE0CD19,
)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))

Words = tuple[int, ...]
Node = tuple[Words, Words, int, int, int]
"""What a compression takes: chaining value, block, counter, length, flags."""


def derive_key(context: str, material: bytes) -> bytes:
    """The 32 bytes of the derive-key mode."""
    key = _root(context.encode(), IV, CONTEXT)
    return _root(material, _words(key), MATERIAL)


def plain(data: bytes) -> bytes:
    """The 32 bytes of the mode without a key."""
    return _root(data, IV, 0)


def _root(data: bytes, key: Words, mode: int) -> bytes:
    value, block, _, length, flags = _tree(data, 0, key, mode)
    words = _compress((value, block, 0, length, flags | ROOT))[:8]
    return b"".join(word.to_bytes(4, "little") for word in words)


def _tree(data: bytes, counter: int, key: Words, mode: int) -> Node:
    """The last compression of a part of the input that begins with chunk number `counter`."""
    if len(data) <= CHUNK:
        return _chunk(data, counter, key, mode)
    chunks = (len(data) - 1) // CHUNK
    left = 1 << (chunks.bit_length() - 1)
    halves = (
        _tree(data[: left * CHUNK], counter, key, mode),
        _tree(data[left * CHUNK :], counter + left, key, mode),
    )
    block = _compress(halves[0])[:8] + _compress(halves[1])[:8]
    return key, block, 0, BLOCK, mode | PARENT


def _chunk(data: bytes, counter: int, key: Words, mode: int) -> Node:
    value = key
    starts = range(0, max(len(data), 1), BLOCK)
    for start in starts:
        block = data[start : start + BLOCK]
        flags = mode | (CHUNK_START if start == 0 else 0)
        padded = _words(block.ljust(BLOCK, b"\0"))
        if start == starts[-1]:
            return value, padded, counter, len(block), flags | CHUNK_END
        value = _compress((value, padded, counter, len(block), flags))[:8]
    raise AssertionError("a chunk has at least one block")


def _words(data: bytes) -> Words:
    return tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))


def _compress(node: Node) -> Words:
    value, block, counter, length, flags = node
    state = [*value, *IV[:4], counter & WORD, counter >> 32 & WORD, length, flags]
    message = list(block)
    for _ in range(7):
        for at, quarter in enumerate((*COLUMNS, *DIAGONALS)):
            _mix(state, quarter, message[2 * at], message[2 * at + 1])
        message = [message[at] for at in PERMUTATION]
    for at in range(8):
        state[at] ^= state[at + 8]
        state[at + 8] ^= value[at]
    return tuple(state)


def _mix(state: list[int], at: tuple[int, int, int, int], one: int, other: int) -> None:
    a, b, c, d = at
    for word, first, second in ((one, 16, 12), (other, 8, 7)):
        state[a] = (state[a] + state[b] + word) & WORD
        state[d] = _rotated(state[d] ^ state[a], first)
        state[c] = (state[c] + state[d]) & WORD
        state[b] = _rotated(state[b] ^ state[c], second)


def _rotated(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & WORD
