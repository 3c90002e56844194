"""Documents that were damaged on the way: random changes of whole ones, by a seed."""

from __future__ import annotations

import random

#: what damage is made of: delimiters, digits, and bytes that are no text
ALPHABET = b"*~>'+:?.|^\n\r\t 0159AZaz-,\"{}[]<>&\x00\x1c\xff\xc3\xb6"


def mutated(chance: random.Random, raw: bytes) -> bytes:
    """One to four changes: a byte other, gone, or more; a piece gone, doubled or moved; the end cut off."""
    text = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        if not text:
            break
        at = chance.randrange(len(text))
        until = min(len(text), at + chance.choice((1, 3, 10, 80, 300)))
        kind = chance.randrange(8)
        if kind == 0:
            text[at] = chance.choice(ALPHABET)
        elif kind == 1:
            del text[at]
        elif kind == 2:
            text[at:at] = bytes(chance.choice(ALPHABET) for _ in range(chance.randint(1, 5)))
        elif kind == 3:
            del text[at:until]
        elif kind == 4:
            text[at:at] = text[at:until]
        elif kind == 5:
            piece = text[at:until]
            del text[at:until]
            to = chance.randrange(len(text) + 1)
            text[to:to] = piece
        elif kind == 6:
            del text[at:]
        else:
            found = text.find(chance.choice((b"*", b"+", b"~", b"'", b"\n", b":")), at)
            if found >= 0:
                text[found] = chance.choice(ALPHABET)
    return bytes(text)
